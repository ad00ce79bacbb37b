//! What is known of servers: listed, extended by a file, and used at login.

use serde_json::json;
use vault_tests::server::{AuthorizationServer, ServerConfig, browser};

use crate::support::{Running, Sandbox, login, vault_cli};

#[test]
fn the_list_is_shown_and_can_be_given_back() {
    let sandbox = Sandbox::new();
    let table = vault_cli(&sandbox, &["issuers"]);
    assert_eq!(table.code(), Some(0), "{table:?}");
    for name in ["auth0", "cognito", "entra", "google", "keycloak", "okta"] {
        assert!(table.stdout.contains(name), "{table:?}");
    }
    let list = vault_cli(&sandbox, &["issuers", "--json"]);
    let file = sandbox.home().join("servers.json");
    std::fs::write(&file, &list.stdout).unwrap();
    let twice = [
        "issuers",
        "--json",
        "--issuers-file",
        file.to_str().unwrap(),
        "--issuer",
        "https://tenant.okta.com",
    ];
    let found = vault_cli(&sandbox, &twice).json();
    assert_eq!(found["servers"].as_array().unwrap().len(), 1);
    assert_eq!(found["servers"][0]["rotation"]["window_ms"], 30_000);
    let unknown = ["issuers", "--issuer", "https://login.example"];
    assert_eq!(vault_cli(&sandbox, &unknown).stdout, "");
}

#[test]
fn a_login_follows_what_a_file_says_of_its_server() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    let file = sandbox.home().join("servers.json");
    let list = json!({ "v": 1, "servers": [{
        "name": "ours", "title": "Ours", "hosts": ["127.0.0.1"],
        "rotation": { "window_ms": 45_000, "retries": 1, "strict": false },
        "audience_parameter": true,
        "consent_prompt": false,
        "parameters": { "access_type": "offline" },
    }]});
    std::fs::write(&file, list.to_string()).unwrap();
    let mut arguments = login(&server);
    arguments.extend(["--no-browser", "--resource", "https://api.example/"]);
    let mut command = sandbox.command(&arguments);
    command.env("VAULT_ISSUERS_FILE", &file);
    let mut running = Running::start(command);
    let url = running.line_that_starts_with("http").unwrap();
    assert!(
        url.contains("&audience=https%3A%2F%2Fapi.example%2F&"),
        "{url}"
    );
    assert!(url.contains("&access_type=offline&"), "{url}");
    assert!(
        !url.contains("resource=") && !url.contains("prompt="),
        "{url}"
    );
    browser::follow(&url).unwrap();
    assert_eq!(running.finish().code(), Some(0));
    let status = vault_cli(&sandbox, &["status"]);
    assert!(
        status.stdout.contains("one retry within 45 s"),
        "{status:?}"
    );
}

#[test]
fn a_list_that_is_none_refuses_the_login_before_anyone_is_asked() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    let file = sandbox.home().join("servers.json");
    std::fs::write(&file, "{\"v\":1,\"servers\":[{\"nmae\":1}]}").unwrap();
    for path in [file.to_str().unwrap(), "/nowhere/at/all"] {
        let refused = sandbox.log_in_with(&server, &["--issuers-file", path]);
        assert_eq!(refused.code(), Some(2), "{refused:?}");
    }
    assert_eq!(server.counts().requests.total(), 0);
}
