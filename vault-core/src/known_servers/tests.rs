use std::time::Duration;

use super::*;

fn name(issuer: &str) -> Option<String> {
    let servers = KnownServers::built_in();
    servers.find(issuer).map(|server| server.name.clone())
}

#[test]
fn a_server_is_known_by_its_issuer() {
    for (issuer, expected) in [
        ("https://tenant.eu.auth0.com/", "auth0"),
        ("https://dev-1.okta.com/oauth2/default", "okta"),
        (
            "https://login.microsoftonline.com/some-tenant/v2.0",
            "entra",
        ),
        (
            "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x",
            "cognito",
        ),
        ("https://ACCOUNTS.google.com", "google"),
        (
            "https://sso.university.example/auth/realms/staff",
            "keycloak",
        ),
        ("https://gitlab.com", "gitlab"),
    ] {
        assert_eq!(name(issuer).as_deref(), Some(expected), "{issuer}");
    }
    for unknown in [
        "https://okta.com.evil.example",
        "https://okta.com",
        "https://.okta.com",
        "https://login.microsoftonline.com.evil.example/x",
        "https://login.example",
        "not a url",
        "",
    ] {
        assert_eq!(name(unknown), None, "{unknown}");
    }
}

#[test]
fn an_issuer_that_is_filled_in_is_known_as_its_server() {
    for server in KnownServers::built_in().iter() {
        let values: Vec<_> = server.issuer_blanks().map(|_| "x1".to_owned()).collect();
        let Some(issuer) = server.issuer_with(&values) else {
            assert_eq!(server.name, "github");
            continue;
        };
        assert!(!issuer.contains(['{', '}']), "{issuer}");
        assert_eq!(name(&issuer).as_ref(), Some(&server.name), "{issuer}");
    }
    let servers = KnownServers::built_in();
    let cognito = servers.find("https://cognito-idp.x.amazonaws.com/y");
    let cognito = cognito.expect("it is known");
    let blanks: Vec<_> = cognito.issuer_blanks().collect();
    assert_eq!(blanks, ["region", "user pool id"]);
    assert_eq!(
        cognito.issuer_with(&["eu-west-1".to_owned(), "eu-west-1_x".to_owned()]),
        Some("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x".to_owned())
    );
}

#[test]
fn each_built_in_server_says_where_it_is_written() {
    let servers = KnownServers::built_in();
    let mut names: Vec<_> = servers.iter().map(|server| &server.name).collect();
    for server in servers.iter() {
        assert!(!server.source.is_empty(), "{}", server.name);
        assert!(!server.notes.is_empty(), "{}", server.name);
    }
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "in order, each once");
    assert!(names.is_sorted());
}

#[test]
fn the_rotation_policies_are_the_documented_ones() {
    let servers = KnownServers::built_in();
    let window = |issuer: &str| servers.find(issuer).and_then(|server| server.rotation);
    let okta = window("https://a.okta.com").unwrap();
    assert_eq!((okta.window, okta.retries), (Duration::from_secs(30), 1));
    assert_eq!(
        window("https://a.auth0.com"),
        None,
        "a setting of each tenant"
    );
}

#[test]
fn an_own_list_comes_first() {
    let own = r#"{"v":1,"servers":[{"name":"ours","title":"Ours","hosts":["*.okta.com"],
        "rotation":{"window_ms":0,"retries":0,"strict":true}}]}"#;
    let servers = KnownServers::read(own)
        .unwrap()
        .and(KnownServers::built_in());
    let found = servers.find("https://x.okta.com").unwrap();
    assert_eq!(found.name, "ours");
    assert!(found.rotation.unwrap().strict);
    assert!(found.consent_prompt, "what is left out is the usual");
    assert_eq!(servers.find("https://gitlab.com").unwrap().name, "gitlab");
}

#[test]
fn what_is_no_list_is_refused() {
    for (text, kind) in [
        ("", ErrorKind::InvalidInput),
        ("[]", ErrorKind::InvalidInput),
        (r#"{"servers":[]}"#, ErrorKind::InvalidInput),
        (r#"{"v":2,"servers":{}}"#, ErrorKind::NewerVersion),
        (
            r#"{"v":1,"servers":[{"name":"a","title":"A","hosts":[],"rotatoin":{}}]}"#,
            ErrorKind::InvalidInput,
        ),
    ] {
        assert_eq!(KnownServers::read(text).unwrap_err().kind(), kind, "{text}");
    }
}

#[test]
fn a_request_is_adapted_where_the_caller_said_nothing() {
    let servers = KnownServers::built_in();
    let api = Url::parse("https://api.example/").unwrap();
    let adapted =
        |issuer: &str, request: LoginRequest| servers.find(issuer).unwrap().adapt(&request);
    let request = LoginRequest::new("x", "c").scope("openid").resource(api);

    let auth0 = adapted("https://a.auth0.com/", request.clone());
    assert_eq!(auth0.audiences().len(), 1);
    assert!(auth0.resources().is_empty());
    assert!(auth0.each_scope().any(|scope| scope == "offline_access"));

    let google = adapted(
        "https://accounts.google.com",
        request.clone().scope("email offline_access").prompt("none"),
    );
    assert_eq!(google.scopes, ["openid", "email"]);
    assert_eq!(
        google.parameters,
        [("access_type".to_owned(), "offline".to_owned())],
        "the caller's own prompt stays"
    );
    assert!(google.own_parameters().is_ok());

    let entra = adapted("https://login.microsoftonline.com/t/v2.0", request);
    assert!(entra.quirks.no_consent_prompt);
    assert_eq!(entra.resources().len(), 1);
}
