//! What the server refuses.

use super::*;

#[test]
fn a_used_code_and_a_wrong_verifier_are_refused_over_the_wire() {
    let server = start();
    let code = redirected(&authorize(&server, &[]), "code").expect("a code");
    let token = redeem(&server, &code, VERIFIER)
        .member("refresh_token")
        .expect("a token");
    let again = redeem(&server, &code, VERIFIER);
    assert_eq!(
        (again.status, again.json()["error"].as_str()),
        (400, Some("invalid_grant"))
    );
    assert!(!server.family_alive(&token));
    let code = redirected(&authorize(&server, &[]), "code").expect("a code");
    assert_eq!(
        redeem(&server, &code, &"x".repeat(43)).json()["error"],
        "invalid_grant"
    );
}

#[test]
fn an_authorization_request_without_s256_is_redirected_with_an_error() {
    let server = start();
    for wrong in [
        ("code_challenge_method", "plain"),
        ("code_challenge", "short"),
    ] {
        let answer = authorize(&server, &[wrong]);
        assert_eq!(
            redirected(&answer, "error").as_deref(),
            Some("invalid_request")
        );
        assert_eq!(redirected(&answer, "code"), None);
    }
    let answer = authorize(&server, &[("scope", "read admin")]);
    assert_eq!(
        redirected(&answer, "error").as_deref(),
        Some("invalid_scope")
    );
}

#[test]
fn a_foreign_redirect_and_an_unknown_client_get_a_page_and_no_redirect() {
    let server = start();
    for wrong in [
        ("redirect_uri", "https://attacker.example/"),
        ("client_id", "nobody"),
        ("client_id", ""),
    ] {
        let answer = authorize(&server, &[wrong]);
        assert_eq!((answer.status, answer.header("location")), (400, None));
    }
    let twice = format!(
        "{}?client_id=vault-cli&client_id=vault-cli",
        server.url("/authorize")
    );
    assert_eq!(fetch(&twice, &[]).expect("an answer").status, 400);
}

#[test]
fn the_token_endpoint_is_strict_about_form_and_client() {
    let server = start();
    let url = server.url("/token");
    let login = server.issue_login();
    let good = ("refresh_token", login.refresh_token.as_str());
    let grant = ("grant_type", "refresh_token");
    let id = ("client_id", DEFAULT_CLIENT_ID);
    let check = |answer: io::Result<Answer>, status: u16, error: &str| {
        let answer = answer.expect("an answer");
        assert_eq!(
            (answer.status, answer.json()["error"].as_str()),
            (status, Some(error))
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    };
    check(post_form(&url, &[grant, good], &[]), 400, "invalid_request");
    check(
        post_form(&url, &[grant, good, ("client_id", "x")], &[]),
        401,
        "invalid_client",
    );
    check(
        post_form(&url, &[grant, good, id, ("client_secret", "x")], &[]),
        401,
        "invalid_client",
    );
    check(
        post_form(&url, &[grant, good, id, id], &[]),
        400,
        "invalid_request",
    );
    check(
        post_form(&format!("{url}?a=b"), &[grant, good, id], &[]),
        400,
        "invalid_request",
    );
    check(
        post_form(&url, &[("grant_type", "password"), id], &[]),
        400,
        "unsupported_grant_type",
    );
    check(
        send("POST", &url, &[("Content-Type", "application/json")], b"{}"),
        400,
        "invalid_request",
    );
    let get = fetch(&url, &[]).expect("an answer");
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    assert!(
        server.is_current_refresh_token(&login.refresh_token),
        "nothing was consumed"
    );
}

#[test]
fn clients_with_a_secret_use_their_registered_method_only() {
    let basic = ClientAuthentication::SecretBasic("s3cret".to_owned());
    let post = ClientAuthentication::SecretPost("s3cret".to_owned());
    let clients = vec![
        Client::confidential("basic", basic),
        Client::confidential("post", post),
    ];
    let server = AuthorizationServer::start(ServerConfig {
        clients,
        ..ServerConfig::default()
    });
    let revoke = |form: &[(&str, &str)], headers: &[(&str, &str)]| {
        post_form(&server.url("/revoke"), form, headers)
            .expect("an answer")
            .status
    };
    let token = ("token", "anything");
    let header = ("Authorization", "Basic YmFzaWM6czNjcmV0"); // basic:s3cret
    assert_eq!(revoke(&[token], &[header]), 200);
    assert_eq!(
        revoke(
            &[token, ("client_id", "basic"), ("client_secret", "s3cret")],
            &[]
        ),
        401
    );
    assert_eq!(
        revoke(
            &[token, ("client_id", "post"), ("client_secret", "s3cret")],
            &[]
        ),
        200
    );
    assert_eq!(
        revoke(
            &[token, ("client_id", "post"), ("client_secret", "no")],
            &[]
        ),
        401
    );
    assert_eq!(
        revoke(&[token, ("client_secret", "s3cret")], &[header]),
        400
    );
}
