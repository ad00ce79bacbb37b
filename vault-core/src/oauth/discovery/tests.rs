use super::*;
use vault_platform::secret::SecretBytes;

const ISSUER: &str = "https://login.example/tenant";

fn url() -> Url {
    Url::parse("https://login.example/tenant/.well-known/openid-configuration").unwrap()
}

fn answer(status: u16, body: &str) -> Result<Endpoints, Error> {
    let response = Response {
        status,
        content_type: None,
        date: None,
        dpop_nonce: None,
        retry_after: Some(std::time::Duration::from_secs(9)),
        fresh_for: None,
        body: SecretBytes::from(body.as_bytes().to_vec()),
    };
    read(&response, ISSUER, &url())
}

fn refusal(status: u16, body: &str) -> Error {
    answer(status, body).expect_err(body)
}

fn metadata(more: &str) -> String {
    format!(r#"{{"issuer":"{ISSUER}","token_endpoint":"https://login.example/token"{more}}}"#)
}

#[test]
fn a_full_description_is_read() {
    let endpoints = answer(
        200,
        &metadata(
            r#","authorization_endpoint":"https://login.example/authorize?tenant=1",
               "device_authorization_endpoint":"https://login.example/device",
               "revocation_endpoint":"https://login.example/revoke",
               "userinfo_endpoint":"https://login.example/me",
               "authorization_response_iss_parameter_supported":true,
               "code_challenge_methods_supported":["plain","S256"],
               "response_types_supported":["code"],"jwks_uri":"https://login.example/jwks""#,
        ),
    )
    .unwrap();
    assert_eq!(endpoints.issuer, ISSUER);
    assert_eq!(endpoints.token_endpoint.path(), "/token");
    assert_eq!(
        endpoints.authorization_endpoint.unwrap().query(),
        Some("tenant=1")
    );
    assert!(endpoints.device_authorization_endpoint.is_some());
    assert!(endpoints.revocation_endpoint.is_some());
    assert!(endpoints.userinfo_endpoint.is_some());
    assert!(endpoints.authorization_response_iss_parameter_supported);
    assert!(!endpoints.lacks_pkce_s256);
}

#[test]
fn a_page_for_logging_out_that_can_not_be_opened_counts_as_none() {
    for (named, taken) in [
        ("https://login.example/logout?a=b", true),
        ("http://login.example/logout", false),
        ("not a url", false),
    ] {
        let more = format!(r#","end_session_endpoint":"{named}""#);
        let page = answer(200, &metadata(&more))
            .unwrap()
            .end_session("it's me");
        let expected = "https://login.example/logout?a=b&client_id=it%27s+me";
        assert_eq!(page.map(String::from).as_deref(), taken.then_some(expected));
    }
}

#[test]
fn a_meagre_description_is_enough() {
    let endpoints = answer(200, &metadata("")).unwrap();
    assert!(endpoints.authorization_endpoint.is_none());
    assert!(!endpoints.authorization_response_iss_parameter_supported);
    assert!(!endpoints.lacks_pkce_s256);
    assert!(
        answer(
            200,
            &metadata(r#","code_challenge_methods_supported":["plain"]"#)
        )
        .unwrap()
        .lacks_pkce_s256
    );
}

#[test]
fn endpoints_survive_being_stored() {
    let endpoints = answer(200, &metadata("")).unwrap();
    let stored = serde_json::to_string(&endpoints).unwrap();
    assert_eq!(
        serde_json::from_str::<Endpoints>(&stored).unwrap(),
        endpoints
    );
}

#[test]
fn the_documents_are_sought_where_each_convention_puts_them() {
    let paths = |issuer: &str| -> Vec<String> {
        let urls = addresses(&issuer_url(issuer).unwrap());
        urls.iter().map(|url| url.as_str().to_owned()).collect()
    };
    for root in ["https://login.example", "https://login.example/"] {
        assert_eq!(
            paths(root),
            [
                "https://login.example/.well-known/openid-configuration",
                "https://login.example/.well-known/oauth-authorization-server",
            ]
        );
    }
    for tenant in [
        "https://login.example:8443/a/b",
        "https://login.example:8443/a/b/",
    ] {
        assert_eq!(
            paths(tenant),
            [
                "https://login.example:8443/a/b/.well-known/openid-configuration",
                "https://login.example:8443/.well-known/oauth-authorization-server/a/b",
                "https://login.example:8443/.well-known/openid-configuration/a/b",
            ]
        );
    }
}

#[test]
fn an_issuer_that_is_not_one_is_refused() {
    for (issuer, kind) in [
        ("", ErrorKind::InvalidInput),
        ("login.example", ErrorKind::InvalidInput),
        ("ftp://login.example", ErrorKind::InvalidInput),
        ("file:///etc/passwd", ErrorKind::InvalidInput),
        ("https://login.example?x=1", ErrorKind::InvalidInput),
        ("https://login.example#x", ErrorKind::InvalidInput),
        ("https://user:pw@login.example", ErrorKind::InvalidInput),
        (" https://login.example", ErrorKind::InvalidInput),
        ("https://login.ex\nample", ErrorKind::InvalidInput),
        ("http://login.example", ErrorKind::InsecureUrl),
        ("http://127.0.0.1.example", ErrorKind::InsecureUrl),
        ("http://localhost.example", ErrorKind::InsecureUrl),
        ("http://0.0.0.0:80", ErrorKind::InsecureUrl),
        ("http://192.168.0.1", ErrorKind::InsecureUrl),
    ] {
        assert_eq!(
            issuer_url(issuer).expect_err(issuer).kind(),
            kind,
            "{issuer}"
        );
    }
    for issuer in [
        "https://login.example",
        "http://127.0.0.1:9000",
        "http://127.9.9.9",
        "http://localhost:9000/x",
        "http://[::1]:9000",
    ] {
        assert!(issuer_url(issuer).is_ok(), "{issuer}");
    }
}

#[test]
fn the_issuer_is_compared_character_by_character() {
    for other in [
        "https://login.example/tenant/",
        "https://login.example/Tenant",
        "https://LOGIN.example/tenant",
        "https://login.example:443/tenant",
        "https://login.example",
        "https://evil.example/tenant",
        "",
    ] {
        let body = metadata("").replace(ISSUER, other);
        let error = refusal(200, &body);
        assert_eq!(error.kind(), ErrorKind::IssuerMismatch, "{other}");
        assert!(error.to_string().contains(ISSUER), "{error}");
        assert!(error.to_string().contains(other), "{error}");
    }
    let nameless = r#"{"token_endpoint":"https://login.example/token"}"#;
    assert_eq!(
        refusal(200, nameless).kind(),
        ErrorKind::ServerAnswerInvalid
    );
}

#[test]
fn a_description_that_is_nested_without_end_overflows_nothing() {
    let lists = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    for nested in [lists, objects] {
        // What nobody asked for is passed over; where something is wanted it is an error.
        assert!(answer(200, &metadata(&format!(r#","more":{nested}"#))).is_ok());
        let issuer = format!(r#"{{"issuer":{nested}}}"#);
        for body in [issuer, nested] {
            let error = answer(200, &body).map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ServerAnswerInvalid);
        }
    }
}

#[test]
fn each_bad_answer_has_its_own_error() {
    for (status, body, kind, words) in [
        (404, "", ErrorKind::IssuerUnknown, "status 404"),
        (401, "{}", ErrorKind::IssuerUnknown, "status 401"),
        (302, "", ErrorKind::ServerAnswerInvalid, "redirect"),
        (503, "", ErrorKind::ServerUnavailable, "status 503"),
        (429, "", ErrorKind::ServerUnavailable, "status 429"),
        (200, "<html>", ErrorKind::ServerAnswerInvalid, "web page"),
        (
            200,
            "{\"issuer\":\"https",
            ErrorKind::ServerAnswerInvalid,
            "truncated",
        ),
        (200, "", ErrorKind::ServerAnswerInvalid, "empty"),
        (200, "[]", ErrorKind::ServerAnswerInvalid, "not JSON"),
    ] {
        let error = refusal(status, body);
        assert_eq!(error.kind(), kind, "{status} {body}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().contains("login.example"), "{error}");
    }
    assert_eq!(refusal(503, "").retry_after().unwrap().as_secs(), 9);
}

#[test]
fn an_endpoint_that_can_not_be_trusted_refuses_the_description() {
    for (more, kind) in [
        (
            r#","revocation_endpoint":"http://login.example/r""#,
            ErrorKind::InsecureUrl,
        ),
        (
            r#","authorization_endpoint":"javascript:alert(1)""#,
            ErrorKind::InsecureUrl,
        ),
        (
            r#","userinfo_endpoint":"/me""#,
            ErrorKind::ServerAnswerInvalid,
        ),
        (
            r#","revocation_endpoint":"https://u:p@login.example/r""#,
            ErrorKind::ServerAnswerInvalid,
        ),
        (
            r#","device_authorization_endpoint":"https://login.example/d#f""#,
            ErrorKind::ServerAnswerInvalid,
        ),
    ] {
        assert_eq!(refusal(200, &metadata(more)).kind(), kind, "{more}");
    }
    let nowhere = format!(r#"{{"issuer":"{ISSUER}"}}"#);
    assert_eq!(
        refusal(200, &nowhere).kind(),
        ErrorKind::ServerAnswerInvalid
    );
}

#[test]
fn a_description_lives_between_five_minutes_and_a_day() {
    let life = |said: Option<u64>| {
        let response = Response {
            status: 200,
            content_type: None,
            date: None,
            retry_after: None,
            dpop_nonce: None,
            fresh_for: said.map(Duration::from_secs),
            body: SecretBytes::from(Vec::new()),
        };
        good_for(&response).as_secs()
    };
    let (shortest, longest) = (SHORTEST_LIFE.as_secs(), LONGEST_LIFE.as_secs());
    assert_eq!(life(None), longest);
    assert_eq!(life(Some(0)), shortest);
    assert_eq!(life(Some(3600)), 3600);
    assert_eq!(life(Some(u64::MAX)), longest);
}
