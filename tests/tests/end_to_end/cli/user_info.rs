//! The account's name where the ID token has none: it is shown, and nothing
//! hangs on it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vault_tests::server::{AuthorizationServer, Dpop, Endpoint, Fault, ServerConfig};

use crate::support::{Output, Sandbox, login, vault_cli};

fn server(told: &[(&str, Value)]) -> AuthorizationServer {
    let told = told
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()));
    AuthorizationServer::start(ServerConfig {
        user_info: told.collect(),
        ..ServerConfig::default()
    })
}

fn log_in(server: &AuthorizationServer, more: &[&str]) -> Output {
    let sandbox = Sandbox::new();
    let output = sandbox.log_in_with(server, &[&["--json"], more].concat());
    assert_eq!(output.code(), Some(0), "{output:?}");
    assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
    output
}

#[test]
fn an_account_is_named_as_the_server_tells_it() {
    let server = server(&[("email", json!("alice@login.example"))]);
    assert_eq!(
        log_in(&server, &[]).json()["account"],
        "alice@login.example"
    );
    assert_eq!(server.counts().requests.user_info, 1);
    // With proofs, and with the nonce that the API wants in them.
    server.configure(|config| config.dpop = Dpop::WithNonce);
    assert_eq!(
        log_in(&server, &["--dpop"]).json()["account"],
        "alice@login.example"
    );
    let requests = server.counts().requests;
    assert_eq!(requests.user_info, 3);
    // The login's own nonce was not lost by it: two for the login, one later.
    assert_eq!(requests.token, 2 + 3);
}

#[test]
fn nobody_else_is_named() {
    let mallory = [("sub", json!("mallory")), ("name", json!("Mallory"))];
    for told in [
        &mallory[..],
        &[],
        &[("email", json!(7))],
        &[("email", json!(" "))],
    ] {
        let server = server(told);
        assert_eq!(log_in(&server, &[]).json()["account"], "alice", "{told:?}");
    }
}

#[test]
fn an_answer_that_can_not_be_used_fails_no_login() {
    let server = server(&[("email", json!("alice@login.example"))]);
    for fault in [
        Fault::status(401),
        Fault::unavailable(30),
        Fault::TruncateBody,
        Fault::Drop,
        Fault::DelayAnswer(Duration::from_secs(60)),
    ] {
        server.fail_next(Endpoint::UserInfo, 1, fault);
        #[expect(clippy::disallowed_methods, reason = "a person waits in real time")]
        let began = Instant::now();
        assert_eq!(log_in(&server, &[]).json()["account"], "alice");
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    server.configure(|config| {
        config.metadata_changes = vec![("userinfo_endpoint".to_owned(), Value::Null)];
    });
    assert_eq!(log_in(&server, &[]).json()["account"], "alice");
}

#[test]
fn a_login_that_is_none_of_openid_connect_asks_nothing() {
    let server = server(&[("email", json!("alice@login.example"))]);
    let sandbox = Sandbox::new();
    let mut arguments = login(&server);
    arguments.retain(|argument| *argument != "openid");
    // The option before it.
    arguments.remove(
        arguments
            .iter()
            .position(|word| *word == "--scope")
            .unwrap(),
    );
    arguments.extend(["--no-browser", "--json"]);
    let mut running = crate::support::Running::start(sandbox.command(&arguments));
    let url = running.line_that_starts_with("http").unwrap();
    vault_tests::server::browser::follow(&url).unwrap();
    let output = running.finish();
    assert_eq!(output.json()["account"], Value::Null, "{output:?}");
    assert_eq!(server.counts().requests.user_info, 0);
}
