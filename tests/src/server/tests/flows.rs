//! Each flow from its first request to its tokens.

use super::*;

#[test]
fn the_code_flow_ends_in_tokens_that_work_and_can_be_revoked() {
    let server = start();
    let answer = authorize(&server, &[("scope", "openid read"), ("nonce", "n1")]);
    assert_eq!(answer.status, 302);
    assert_eq!(redirected(&answer, "state").as_deref(), Some("the state"));
    assert_eq!(redirected(&answer, "iss").as_deref(), Some(server.issuer()));
    let code = redirected(&answer, "code").expect("a code");

    let tokens = redeem(&server, &code, VERIFIER);
    assert_eq!(tokens.status, 200);
    assert_eq!(tokens.header("cache-control"), Some("no-store"));
    assert_eq!(tokens.json()["token_type"], "Bearer");
    assert_eq!(tokens.json()["expires_in"], 300);
    assert_eq!(tokens.json()["scope"], "openid read");
    assert!(tokens.member("id_token").is_some());
    let access = format!("Bearer {}", tokens.member("access_token").expect("a token"));
    let user = fetch(&server.url("/userinfo"), &[("Authorization", &access)]).expect("an answer");
    assert_eq!((user.status, user.json()), (200, json!({ "sub": "alice" })));

    let next = refresh(&server, &tokens.member("refresh_token").expect("a token"));
    let next = next
        .expect("an answer")
        .member("refresh_token")
        .expect("rotated");
    let form = [("client_id", DEFAULT_CLIENT_ID), ("token", next.as_str())];
    let revoked = post_form(&server.url("/revoke"), &form, &[]).expect("an answer");
    assert_eq!(revoked.status, 200);
    assert_eq!(
        refresh(&server, &next).expect("an answer").json()["error"],
        "invalid_grant"
    );
    let user = fetch(&server.url("/userinfo"), &[("Authorization", &access)]).expect("an answer");
    assert_eq!(user.status, 401);
    assert!(
        user.header("www-authenticate")
            .is_some_and(|text| text.contains("invalid_token"))
    );

    let counts = server.counts();
    assert_eq!(
        (
            counts.logins,
            counts.refreshes_ok,
            counts.refreshes_refused,
            counts.revocations
        ),
        (1, 1, 1, 1)
    );
    assert_eq!((counts.reuse_detected, counts.families_revoked), (0, 1));
    assert_eq!((counts.requests.authorize, counts.requests.token), (1, 3));
}

#[test]
fn the_person_may_say_no_and_the_response_may_be_tampered_with() {
    let server = start();
    server.configure(|config| config.decision = Decision::Deny);
    let denied = authorize(&server, &[]);
    assert_eq!(
        redirected(&denied, "error").as_deref(),
        Some("access_denied")
    );
    assert_eq!(redirected(&denied, "state").as_deref(), Some("the state"));
    server.configure(|config| {
        config.decision = Decision::Approve;
        config.state_parameter = ResponseParameter::Altered;
        config.iss_parameter = ResponseParameter::Omitted;
    });
    let answer = authorize(&server, &[]);
    assert_ne!(redirected(&answer, "state").as_deref(), Some("the state"));
    assert_eq!(redirected(&answer, "iss"), None);
    assert!(redirected(&answer, "code").is_some());
}

#[test]
fn the_browser_ends_on_the_applications_own_page() {
    let server = start();
    let application = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let redirect = format!(
        "http://{}/callback",
        application.local_addr().expect("bound")
    );
    let serving = thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = application.accept().expect("a browser");
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).expect("a request");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
            .expect("sent");
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let query = [
        ("response_type", "code"),
        ("client_id", DEFAULT_CLIENT_ID),
        ("redirect_uri", &redirect),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let url = Url::parse_with_params(&server.url("/authorize"), query).expect("a URL");
    let page = browser::follow_in_background(url.as_str())
        .join()
        .expect("no panic");
    let page = page.expect("a page");
    assert_eq!((page.status, page.body.as_str()), (200, "done"));
    assert!(page.url.starts_with(&format!("{redirect}?code=")));
    assert!(
        serving
            .join()
            .expect("no panic")
            .starts_with("GET /callback?code=")
    );
}

#[test]
fn the_device_flow_over_the_wire() {
    let server = AuthorizationServer::start(ServerConfig {
        device_interval: Duration::from_secs(60),
        ..ServerConfig::default()
    });
    let form = [("client_id", DEFAULT_CLIENT_ID), ("scope", "read")];
    let start = post_form(&server.url("/device_authorization"), &form, &[]).expect("an answer");
    assert_eq!(start.json()["interval"], 60);
    let device_code = start.member("device_code").expect("a code");
    let poll = || {
        let form = [
            ("grant_type", DEVICE_GRANT),
            ("device_code", device_code.as_str()),
        ];
        token(&server, &form).expect("an answer")
    };
    assert_eq!(poll().json()["error"], "authorization_pending");
    assert_eq!(poll().json()["error"], "slow_down");
    let complete = start.member("verification_uri_complete").expect("a URL");
    assert_eq!(browser::follow(&complete).expect("a page").status, 200);
    assert_eq!(
        poll().json()["error"],
        "slow_down",
        "approved or not, too fast is too fast"
    );
    server.expire_device_codes();
    assert_eq!(poll().json()["error"], "expired_token");
    assert!(!server.approve_device(&start.member("user_code").expect("a code")));

    server.configure(|config| config.device_approval = DeviceApproval::AfterPolls(0));
    let start = post_form(&server.url("/device_authorization"), &form, &[]).expect("an answer");
    let device_code = start.member("device_code").expect("a code");
    let form = [
        ("grant_type", DEVICE_GRANT),
        ("device_code", device_code.as_str()),
    ];
    let tokens = token(&server, &form).expect("an answer");
    assert!(server.is_current_refresh_token(&tokens.member("refresh_token").expect("a token")));
    assert_eq!(server.counts().device_polls, 5);
}

#[test]
fn metadata_is_served_for_an_issuer_with_a_path_and_can_be_made_wrong() {
    let server = AuthorizationServer::start(ServerConfig {
        issuer_path: "/tenant".to_owned(),
        ..ServerConfig::default()
    });
    let root = format!("http://{}", server.address());
    for path in [
        "/.well-known/oauth-authorization-server/tenant",
        "/tenant/.well-known/openid-configuration",
    ] {
        let document = fetch(&format!("{root}{path}"), &[])
            .expect("an answer")
            .json();
        assert_eq!(document["issuer"], server.issuer());
        assert_eq!(document["token_endpoint"], server.url("/token"));
    }
    server.configure(|config| {
        config.metadata_changes = vec![
            ("issuer".to_owned(), json!("https://other.example")),
            ("token_endpoint".to_owned(), json!(null)),
        ];
    });
    let url = server.url("/.well-known/openid-configuration");
    let document = fetch(&url, &[]).expect("an answer").json();
    assert_eq!(document["issuer"], "https://other.example");
    assert!(document.get("token_endpoint").is_none());
}

#[test]
fn an_access_token_is_refused_once_it_has_expired() {
    let server = start();
    let login = server.issue_login();
    let header = format!("Bearer {}", login.access_token);
    let user = || {
        let headers = [("Authorization", header.as_str())];
        fetch(&server.url("/userinfo"), &headers)
            .expect("an answer")
            .status
    };
    assert_eq!(user(), 200);
    server.expire_access_tokens();
    assert_eq!(user(), 401);
    assert!(!server.is_valid_access_token(&login.access_token));
    assert_eq!(
        fetch(&server.url("/userinfo"), &[])
            .expect("an answer")
            .status,
        401
    );
}

#[test]
fn expires_in_is_rounded_fixed_or_left_out() {
    let server = start();
    let mut token = server.issue_login().refresh_token;
    let mut expires_in = |change: fn(&mut ServerConfig)| {
        server.configure(change);
        let answer = refresh(&server, &token).expect("an answer");
        token = answer.member("refresh_token").expect("rotated");
        answer.json().get("expires_in").cloned()
    };
    let lifetime = |config: &mut ServerConfig| {
        config.access_token_lifetime = Duration::from_millis(1600);
    };
    assert_eq!(expires_in(lifetime), Some(json!(2)));
    assert_eq!(
        expires_in(|config| config.expires_in = ExpiresIn::Seconds(7)),
        Some(json!(7))
    );
    assert_eq!(
        expires_in(|config| config.expires_in = ExpiresIn::Omitted),
        None
    );
}
