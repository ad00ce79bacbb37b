//! Leaving the server too (OpenID Connect RP-Initiated Logout 1.0), where no
//! browser is opened.

use serde_json::json;
use vault_tests::server::{AuthorizationServer, Endpoint, Fault, ServerConfig};

use crate::support::{Output, Sandbox, vault_cli};

fn server(page: Option<&str>) -> AuthorizationServer {
    let server = AuthorizationServer::start(ServerConfig::default());
    server.configure(|config| {
        config.metadata_changes = vec![("end_session_endpoint".to_owned(), json!(page))];
    });
    server
}

fn leave(sandbox: &Sandbox, more: &[&str]) -> Output {
    let mut arguments = vec!["logout", "--end-session", "--no-browser"];
    arguments.extend(more);
    let left = vault_cli(sandbox, &arguments);
    assert_eq!(left.code(), Some(0), "{left:?}");
    left
}

const PAGE: &str = "https://login.example/logout?tenant=1";
const ADDRESS: &str = "https://login.example/logout?tenant=1&client_id=vault-cli";

#[test]
fn the_page_stands_alone_on_a_line_of_standard_error() {
    let (server, sandbox) = (server(Some(PAGE)), Sandbox::new());
    sandbox.log_in(&server, "default");
    let left = leave(&sandbox, &[]);
    assert_eq!(left.stderr, format!("{ADDRESS}\n"));
    assert_eq!(server.living_logins(), 0);

    sandbox.log_in(&server, "default");
    let left = leave(&sandbox, &["--json"]);
    assert_eq!(left.json()["end_session_url"], ADDRESS, "{left:?}");
    // Where nobody could look at a browser, none is opened.
    sandbox.log_in(&server, "default");
    let left = vault_cli(&sandbox, &["logout", "--end-session"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert_eq!(left.stderr, format!("{ADDRESS}\n"));
    // And nobody is sent there who did not ask for it.
    sandbox.log_in(&server, "default");
    assert_eq!(vault_cli(&sandbox, &["logout"]).stderr, "");
}

#[test]
fn a_server_that_is_left_by_several_profiles_is_left_once() {
    let (server, sandbox) = (server(Some(PAGE)), Sandbox::new());
    sandbox.log_in(&server, "default");
    sandbox.log_in(&server, "work");
    let left = leave(&sandbox, &["--all"]);
    assert_eq!(left.stderr, format!("{ADDRESS}\n"));
    assert_eq!(server.living_logins(), 0);
}

#[test]
fn a_server_without_such_a_page_is_left_all_the_same() {
    let (server, sandbox) = (server(None), Sandbox::new());
    sandbox.log_in(&server, "default");
    let left = leave(&sandbox, &[]);
    assert_eq!(left.stderr.lines().count(), 1, "{left:?}");
    assert!(left.stderr.contains("no page for logging out"), "{left:?}");
    assert_eq!(vault_cli(&sandbox, &["token"]).code(), Some(3));
}

#[test]
fn a_revocation_that_fails_does_not_keep_the_page_away() {
    let (server, sandbox) = (server(Some(PAGE)), Sandbox::new());
    sandbox.log_in(&server, "default");
    server.fail_always(Endpoint::Revoke, Fault::unavailable(1));
    let left = leave(&sandbox, &[]);
    assert!(left.stderr.ends_with(&format!("{ADDRESS}\n")), "{left:?}");
}
