use super::*;

fn judge(status: u16, header: &str) -> Verdict {
    Verdict::of(status, [header])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn schemes(header: &str) -> Vec<String> {
    let challenges = Challenge::from_headers([header]);
    challenges.into_iter().map(|one| one.scheme).collect()
}

const INVALID: &str =
    r#"Bearer realm="example", error="invalid_token", error_description="expired, \"so\"""#;

#[test]
fn a_token_of_no_use_is_replaced() {
    for header in [
        INVALID,
        "Bearer",
        "bearer realm=\"api\"",
        "BEARER error=invalid_token",
        "Bearer error = \"invalid_token\"",
        "Bearer error=\"token_expired\"",
        r#"DPoP algs="ES256", error="invalid_token""#,
        "Bearer realm=https://api.example/v1?x=1 error=\"invalid_token\"",
    ] {
        assert_eq!(judge(401, header), Verdict::RefreshAndRepeat, "{header}");
    }
    let none: [&str; 0] = [];
    assert_eq!(Verdict::of(401, none), Verdict::RefreshAndRepeat);
    assert_eq!(Verdict::of(403, none), Verdict::NotOurs);
    assert_eq!(Verdict::of(500, [INVALID]), Verdict::NotOurs);
}

#[test]
fn what_no_token_would_change_is_not_ours() {
    for header in [
        "Basic realm=\"x\"",
        "Negotiate YII=",
        "Bearer error=\"invalid_request\"",
        "DPoP error=\"invalid_dpop_proof\"",
    ] {
        assert_eq!(judge(401, header), Verdict::NotOurs, "{header}");
    }
    assert_eq!(judge(403, INVALID), Verdict::NotOurs);
}

#[test]
fn a_scope_that_does_not_suffice_is_named() {
    let header =
        r#"Bearer realm="r", scope="read  write:all bad\\one", error="insufficient_scope""#;
    let scope = words(&["read", "write:all"]);
    assert_eq!(judge(403, header), Verdict::NeedsScope { scope });
    let unnamed = Verdict::NeedsScope { scope: Vec::new() };
    assert_eq!(judge(401, "Bearer error=insufficient_scope"), unnamed);
}

#[test]
fn a_stronger_login_is_asked_for() {
    let header = r#"Bearer error="insufficient_user_authentication",
        error_description="more", acr_values="mfa hwk", max_age="5""#;
    let asked = Verdict::NeedsLogin {
        acr_values: words(&["mfa", "hwk"]),
        max_age: Some(Duration::from_secs(5)),
    };
    assert_eq!(judge(401, &header.replace('\n', " ")), asked);
    let header = "DPoP error=insufficient_user_authentication, max_age=soon";
    let asked = Verdict::NeedsLogin {
        acr_values: Vec::new(),
        max_age: None,
    };
    assert_eq!(judge(401, header), asked);
}

#[test]
fn the_challenge_that_says_most_decides() {
    let headers = [
        "Basic realm=\"a, Bearer b\"",
        INVALID,
        "DPoP error=\"use_dpop_nonce\", algs=\"ES256\"",
    ];
    assert_eq!(Verdict::of(401, headers), Verdict::DpopNonce);
    let one = headers.join(", ");
    assert_eq!(judge(401, &one), Verdict::DpopNonce);
    assert_eq!(schemes(&one), ["basic", "bearer", "dpop"]);
}

#[test]
fn several_challenges_in_one_header_are_told_apart() {
    let header =
        "Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\", Basic realm=\"simple\"";
    let challenges = Challenge::from_headers([header]);
    assert_eq!(challenges.len(), 2);
    assert_eq!(challenges[0].parameter("title"), Some("Login to \"apps\""));
    assert_eq!(challenges[0].parameter("type"), Some("1"));
    assert_eq!(challenges[1].parameter("realm"), Some("simple"));
    assert_eq!(
        schemes("Negotiate a87421000492aa874209af8bc028==, Bearer"),
        ["negotiate", "bearer"]
    );
    assert_eq!(
        schemes("Negotiate, NTLM , Bearer error=\"x\""),
        ["negotiate", "ntlm", "bearer"]
    );
    assert_eq!(schemes(", ,,Bearer,,"), ["bearer"]);
    assert_eq!(schemes("error=\"invalid_token\""), [""; 0]);
}

#[test]
fn what_can_not_be_read_does_not_hide_what_is_beside_it() {
    for rubbish in [
        "@@@",
        "Basic realm=\"x\" junk",
        "\"lonely, string\"",
        "é",
        "=,=",
        "Foo (bar)",
    ] {
        let header = format!("{rubbish}, {INVALID}");
        assert_eq!(judge(401, &header), Verdict::RefreshAndRepeat, "{rubbish}");
        let scope = format!("{rubbish}, Bearer error=\"insufficient_scope\"");
        let wanted = Verdict::NeedsScope { scope: Vec::new() };
        assert_eq!(judge(403, &scope), wanted, "{rubbish}");
    }
}

#[test]
fn a_repeated_parameter_counts_once() {
    let header = "Bearer error=\"insufficient_scope\", error=\"invalid_token\"";
    assert_eq!(
        judge(403, header),
        Verdict::NeedsScope { scope: Vec::new() }
    );
}

#[test]
fn a_header_without_end_is_read_in_part() {
    let many = "Bearer a=b, ".repeat(100_000);
    assert_eq!(schemes(&many).len(), 32);
    let many = format!("Bearer {}", "a=b, ".repeat(100_000));
    assert_eq!(Challenge::from_headers([&many])[0].parameters.len(), 64);
}

/// What is written out is read back, whatever the values hold.
#[test]
fn a_quoted_value_comes_back_as_it_was() {
    for value in ["", " ", "a\"b", "\\", "x, Bearer y=z", "=", "\t,\t", "ü€"] {
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let header = format!("Bearer before=\"1\", v=\"{quoted}\", after=2");
        let challenges = Challenge::from_headers([&header]);
        assert_eq!(challenges.len(), 1, "{header}");
        assert_eq!(challenges[0].parameter("v"), Some(value), "{header}");
        assert_eq!(challenges[0].parameter("after"), Some("2"), "{header}");
    }
}

/// Every header of up to seven pieces, each piece one that means something to
/// the parser: it ends, in order, and makes up nothing.
#[test]
fn no_header_whatever_makes_the_parser_fail() {
    const PIECES: [&[u8]; 8] = [b"Bearer", b" ", b",", b"=", b"\"", b"\\", b"\xff", b"error"];
    let mut headers: Vec<Vec<u8>> = vec![Vec::new()];
    for _ in 0..6 {
        let longer = headers
            .iter()
            .flat_map(|header| PIECES.iter().map(move |piece| [header, *piece].concat()));
        headers = longer.collect();
        for header in &headers {
            for challenge in Challenge::from_headers([header]) {
                let name = challenge.scheme.as_bytes();
                assert!(!name.is_empty());
                let header = header.to_ascii_lowercase();
                assert!(header.windows(name.len()).any(|window| window == name));
            }
            let _verdict = Verdict::of(401, [header]);
        }
    }
}

/// Every byte of a real header exchanged for every other, and cut everywhere.
#[test]
fn a_damaged_header_is_read_too() {
    for header in [
        INVALID,
        "Negotiate abc==, DPoP algs=\"ES256\", error=\"use_dpop_nonce\"",
    ] {
        for at in 0..header.len() {
            let mut damaged = header.as_bytes().to_vec();
            let _verdict = Verdict::of(401, [&damaged[..at]]);
            for byte in 0..=255 {
                damaged[at] = byte;
                let _verdict = Verdict::of(401, [&damaged]);
            }
        }
    }
}
