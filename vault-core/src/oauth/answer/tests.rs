use super::*;
use vault_platform::secret::SecretBytes;

fn response(status: u16, body: &str) -> Response {
    Response {
        status,
        content_type: None,
        date: Some(Duration::from_secs(1_800_000_000)),
        retry_after: Some(Duration::from_secs(7)),
        dpop_nonce: None,
        fresh_for: None,
        body: SecretBytes::from(body.as_bytes().to_vec()),
    }
}

fn meaning(status: u16, body: &str) -> Answer {
    classify(&response(status, body), &["the-refresh-token-sent"], None)
}

const GOOD: &str = r#"{"access_token":"AT","token_type":"Bearer","expires_in":300,
    "refresh_token":"RT","id_token":"a.b.c","scope":"openid read"}"#;

#[test]
fn tokens_are_granted_with_all_that_comes_with_them() {
    let Answer::Granted(tokens) = meaning(200, GOOD) else {
        panic!("not granted")
    };
    assert_eq!(tokens.access_token.expose(), "AT");
    assert_eq!(tokens.refresh_token.unwrap().expose(), "RT");
    assert_eq!(tokens.id_token.unwrap().expose(), "a.b.c");
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(300)));
    assert_eq!(tokens.scope.unwrap(), ["openid", "read"]);
    assert_eq!(tokens.date, Some(Duration::from_secs(1_800_000_000)));
}

fn bound(body: &str) -> Answer {
    classify(&response(200, body), &[], Some("KEY"))
}

fn bound_jwt(jkt: &str) -> String {
    let payload = format!(r#"{{"cnf":{{"jkt":"{jkt}"}}}}"#);
    let payload = data_encoding::BASE64URL_NOPAD.encode(payload.as_bytes());
    format!("e30.{payload}.c2ln")
}

#[test]
fn a_bound_token_is_taken_where_one_was_asked_for_and_nothing_less() {
    for token in ["AT".to_owned(), bound_jwt("KEY")] {
        let body = format!(r#"{{"access_token":"{token}","token_type":"dpop"}}"#);
        assert!(matches!(bound(&body), Answer::Granted(_)), "{body}");
        assert!(!matches!(meaning(200, &body), Answer::Granted(_)), "{body}");
    }
}

#[test]
fn a_downgrade_and_another_binding_keep_the_new_refresh_token() {
    let another = bound_jwt("ANOTHER");
    for (token, kind, word) in [
        ("AT", r#","token_type":"Bearer""#, "bearer"),
        ("AT", "", "bearer"),
        (&another, r#","token_type":"DPoP""#, "another DPoP key"),
    ] {
        let body = format!(r#"{{"access_token":"{token}","refresh_token":"RT"{kind}}}"#);
        let Answer::Unusable {
            refresh_token,
            reason,
        } = bound(&body)
        else {
            panic!("taken: {body}")
        };
        assert_eq!(refresh_token.expose(), "RT");
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn a_server_that_does_not_rotate_gives_no_refresh_token() {
    for none in ["", r#","refresh_token":null"#, r#","refresh_token":"""#] {
        let body = format!(r#"{{"access_token":"AT","token_type":"bEARER"{none}}}"#);
        let Answer::Granted(tokens) = meaning(200, &body) else {
            panic!("not granted: {body}")
        };
        assert!(tokens.refresh_token.is_none());
        assert_eq!(tokens.expires_in, None);
        assert!(tokens.scope.is_none());
    }
}

#[test]
fn white_space_around_what_counts_is_overlooked() {
    let body = r#"
        { "access_token" : "AT\n", "refresh_token" : "\tRT\r\n",
          "token_type" : " Bearer ", "expires_in" : " 300 ", "scope" : " a  b " }

    "#;
    let Answer::Granted(tokens) = meaning(200, body) else {
        panic!("granted")
    };
    assert_eq!(tokens.access_token.expose(), "AT");
    assert_eq!(tokens.refresh_token.unwrap().expose(), "RT");
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(300)));
    assert_eq!(tokens.scope.unwrap(), ["a", "b"]);
}

#[test]
fn a_life_of_nothing_counts_as_not_said() {
    for none in ["0", "-5", "\"-1\"", "0.0"] {
        let body = format!(r#"{{"access_token":"AT","expires_in":{none}}}"#);
        let Answer::Granted(tokens) = meaning(200, &body) else {
            panic!("not granted: {body}")
        };
        assert_eq!(tokens.expires_in, None, "{none}");
    }
}

#[test]
fn odd_types_of_other_fields_never_cost_the_new_token() {
    let body = "\u{feff}{\"access_token\":\"AT\",\"refresh_token\":\"RT\",\"expires_in\":\"300\",\
                \"scope\":[\"a\"],\"id_token\":{},\"error\":null,\"error_description\":[1]}";
    let Answer::Granted(tokens) = meaning(201, body) else {
        panic!("not granted")
    };
    assert_eq!(tokens.refresh_token.unwrap().expose(), "RT");
    assert_eq!(tokens.expires_in, Some(Duration::from_secs(300)));
    assert_eq!(tokens.scope.unwrap(), ["a"]);
}

#[test]
fn a_new_refresh_token_is_kept_when_the_rest_is_unusable() {
    for body in [
        r#"{"refresh_token":"RT"}"#,
        r#"{"refresh_token":"RT","access_token":""}"#,
        r#"{"refresh_token":"RT","access_token":17}"#,
        r#"{"refresh_token":"RT","access_token":"AT","token_type":"DPoP"}"#,
        r#"{"refresh_token":"RT","access_token":"A\nT","token_type":"Bearer"}"#,
        r#"{"refresh_token":"RT","error":"server_error"}"#,
    ] {
        let Answer::Unusable { refresh_token, .. } = meaning(200, body) else {
            panic!("lost the token: {body}")
        };
        assert_eq!(refresh_token.expose(), "RT");
    }
}

#[test]
fn success_without_a_token_leaves_the_outcome_unknown() {
    for body in [
        "",
        "{}",
        "null",
        "[]",
        "\"AT\"",
        "[\"AT\",\"RT\"]",
        "<html>Sign in to the hotel network</html>",
        r#"{"access_token":"AT","token_type":"Bea"#,
        r#"{"access_token":"AT","token_type":"mac"}"#,
        r#"{"access_token":"AT","refresh_token":"R\nT"}"#,
        "access_token=AT&token_type=bearer",
        "\u{0}\u{1}",
    ] {
        let answer = meaning(200, body);
        assert!(
            matches!(
                answer,
                Answer::Unknown {
                    status: Some(200),
                    ..
                }
            ),
            "{body}: {answer:?}"
        );
    }
}

#[test]
fn the_reason_tells_a_web_page_from_truncated_json() {
    let reason = |body: &str| match meaning(200, body) {
        Answer::Unknown { reason, .. } => reason.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(reason(" \n<!DOCTYPE html>").contains("web page"));
    assert!(reason("{\"access_token\":\"A").contains("truncated"));
    assert!(reason("").contains("empty"));
    assert!(reason("Hello").contains("not JSON"));
}

#[test]
fn busy_servers_did_not_act() {
    for status in [408, 425, 429, 503] {
        for body in ["", "<html>", r#"{"error":"invalid_grant"}"#, GOOD] {
            let answer = meaning(status, body);
            let Answer::Unavailable {
                status: Some(seen),
                retry_after: Some(wait),
                ..
            } = answer
            else {
                panic!("{status} {body}: {answer:?}")
            };
            assert_eq!((seen, wait.as_secs()), (status, 7));
        }
    }
}

#[test]
fn temporarily_unavailable_is_that_with_any_status() {
    for status in [200, 400, 401, 500, 503] {
        let answer = meaning(status, r#"{"error":"temporarily_unavailable"}"#);
        assert!(
            matches!(answer, Answer::Unavailable { .. }),
            "{status}: {answer:?}"
        );
    }
}

#[test]
fn a_failing_server_may_have_acted() {
    for status in [500, 501, 502, 504, 511, 520, 599] {
        for body in [
            "",
            "<html>",
            r#"{"error":"invalid_grant"}"#,
            r#"{"error":"server_error"}"#,
        ] {
            let answer = meaning(status, body);
            assert!(
                matches!(answer, Answer::Unknown { status: Some(seen), .. } if seen == status),
                "{status} {body}: {answer:?}"
            );
        }
    }
    let answer = meaning(400, r#"{"error":"server_error"}"#);
    assert!(matches!(answer, Answer::Unknown { .. }), "{answer:?}");
}

#[test]
fn a_refusal_with_an_error_code_is_told_with_it() {
    for (status, code) in [
        (400, "invalid_grant"),
        (401, "invalid_client"),
        (400, "invalid_target"),
        (400, "invalid_scope"),
        (400, "authorization_pending"),
        (403, "authorization_pending"),
        (428, "authorization_pending"),
        (400, "slow_down"),
        (429, "slow_down"),
        (429, "authorization_pending"),
        (400, "use_dpop_nonce"),
        (404, "invalid_request"),
        (200, "bad_refresh_token"),
        (200, "incorrect_client_credentials"),
    ] {
        let body = format!(r#"{{"error":"{code}","error_description":"because"}}"#);
        match meaning(status, &body) {
            Answer::Refused { error, description } => {
                assert_eq!(error, code);
                assert_eq!(description.as_deref(), Some("because"));
            }
            other => panic!("{status} {code}: {other:?}"),
        }
    }
}

#[test]
fn a_refusal_without_a_code_is_not_taken_for_invalid_grant() {
    for status in [301, 302, 307, 308, 400, 401, 403, 404, 405, 410] {
        for body in [
            "",
            "<html>invalid_grant</html>",
            "invalid_grant",
            r#"{"errorCode":"E0000011"}"#,
            r#"{"error":""}"#,
            r#"{"error":{"code":"invalid_grant"}}"#,
            r#"{"error":"invalid_g"#,
        ] {
            let answer = meaning(status, body);
            assert!(
                matches!(answer, Answer::RefusedWithoutReason { status: seen } if seen == status),
                "{status} {body}: {answer:?}"
            );
        }
    }
}

#[test]
fn a_redirect_is_a_refusal_whatever_it_says() {
    let answer = meaning(302, r#"{"error":"invalid_grant"}"#);
    assert!(
        matches!(answer, Answer::RefusedWithoutReason { .. }),
        "{answer:?}"
    );
}

#[test]
fn what_the_server_says_is_cleaned_and_cut() {
    let body = format!(
        r#"{{"error":"invalid_grant\u001b[31m","error_description":"no\u202e\r\n{}"}}"#,
        "x".repeat(1000)
    );
    let Answer::Refused {
        error, description, ..
    } = meaning(400, &body)
    else {
        panic!("not refused")
    };
    assert_eq!(error, "invalid_grant[31m");
    let description = description.unwrap();
    assert_eq!(description.chars().count(), 200);
    assert!(
        description
            .chars()
            .all(|c| !c.is_control() && c != '\u{202e}')
    );
}

#[test]
fn a_description_that_repeats_the_token_is_not_shown() {
    for text in ["unknown token the-refresh-token-sent", "the-refresh-to..."] {
        let body = format!(r#"{{"error":"invalid_grant","error_description":"{text}"}}"#);
        let answer = meaning(400, &body);
        assert!(!format!("{answer:?}").contains("the-refresh"), "{answer:?}");
        let Answer::Refused { error, .. } = answer else {
            panic!("not refused")
        };
        assert_eq!(error, "invalid_grant");
    }
}

#[test]
fn no_debug_output_shows_a_token() {
    let body = GOOD
        .replace("\"AT\"", "\"canary-a\"")
        .replace("\"RT\"", "\"canary-r\"");
    assert!(!format!("{:?}", meaning(200, &body)).contains("canary"));
    assert!(!format!("{:?}", response(200, &body)).contains("canary"));
    let unusable = meaning(200, r#"{"refresh_token":"canary-r"}"#);
    assert!(!format!("{unusable:?}").contains("canary"));
}

#[test]
fn hidden_characters_do_not_bring_a_secret_past_the_look_for_it() {
    let body = r#"{"error":"invalid_grant","error_description":"the-\u200brefresh-token-sent"}"#;
    let Answer::Refused { description, .. } = meaning(400, body) else {
        panic!("not refused")
    };
    assert_eq!(description, None);
}

#[test]
fn a_token_type_that_repeats_a_secret_is_not_shown() {
    let body = r#"{"access_token":"AT","token_type":"the-refresh-token-sent"}"#;
    let Answer::Unknown { reason, .. } = meaning(200, body) else {
        panic!("not unknown")
    };
    assert_eq!(reason.to_string(), "the server's token type is not known: ");
}

#[test]
fn a_member_that_is_out_of_range_or_comes_twice_costs_no_token() {
    for more in [
        r#""expires_in":1e400"#,
        r#""scope":"a","scope":"b""#,
        r#""error_description":"\ud800""#,
    ] {
        let body = format!(r#"{{"access_token":"AT","refresh_token":"RT",{more}}}"#);
        let Answer::Granted(tokens) = meaning(200, &body) else {
            panic!("not granted: {more}")
        };
        assert_eq!(tokens.refresh_token.unwrap().expose(), "RT", "{more}");
    }
}
