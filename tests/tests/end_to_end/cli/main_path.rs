//! From a login by each way to its logout.

use std::time::Duration;

use serde_json::Value;
use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::support::{Running, Sandbox, login, vault_cli, wait};

fn server() -> AuthorizationServer {
    AuthorizationServer::start(ServerConfig::default())
}

/// Long enough for any machine, short enough to be waited for.
const SHORT_LIFE: Duration = Duration::from_secs(2);

#[test]
fn a_login_with_a_browser_serves_until_its_logout() {
    let (server, sandbox) = (server(), Sandbox::new());
    let logged_in = sandbox.log_in(&server, "default");
    assert!(
        logged_in
            .stdout
            .starts_with("logged in as alice at http://127.0.0.1:")
    );
    assert_eq!(logged_in.stdout.lines().count(), 1, "{logged_in:?}");

    let status = vault_cli(&sandbox, &["status"]);
    assert_eq!(status.code(), Some(0), "{status:?}");
    assert!(
        status.stdout.starts_with("default: logged in as alice at "),
        "{status:?}"
    );
    assert!(status.stdout.contains("encrypted-file"), "{status:?}");
    assert_eq!(status.stdout.lines().count(), 1);

    let token = vault_cli(&sandbox, &["token"]);
    assert_eq!((token.code(), token.stderr.as_str()), (Some(0), ""));
    let secret = token.stdout.strip_suffix('\n').unwrap();
    assert!(server.is_valid_access_token(secret));
    let header = vault_cli(&sandbox, &["token", "--header"]);
    assert_eq!(header.stdout, format!("Authorization: Bearer {secret}\n"));
    assert_eq!(server.counts().refreshes_ok, 0);

    let left = vault_cli(&sandbox, &["logout"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert_eq!(
        left.stdout,
        "default: logged out, and the refresh token is revoked\n"
    );
    assert_eq!(server.living_logins(), 0);

    for command in [
        &["token"][..],
        &["status"],
        &["show"],
        &["refresh"],
        &["logout"],
    ] {
        assert_eq!(vault_cli(&sandbox, command).code(), Some(3), "{command:?}");
    }
    let refused = vault_cli(&sandbox, &["token", "--json"]).json();
    assert_eq!(refused["error"]["code"], "logged_out");
    let rest = format!("{:?}", sandbox.stored());
    assert!(!rest.contains("sealed."), "{rest}");
}

#[test]
fn a_device_login_tells_a_script_where_to_go_on_the_first_line() {
    let (server, sandbox) = (server(), Sandbox::new());
    let mut arguments = login(&server);
    arguments.extend(["--flow", "device", "--json"]);
    let mut running = Running::start(sandbox.command(&arguments));
    let shown: Value = serde_json::from_str(&running.line().unwrap()).unwrap();
    let page = shown["verification_uri"].as_str().unwrap();
    assert!(page.starts_with(server.issuer()));
    assert!(
        shown["verification_uri_complete"]
            .as_str()
            .unwrap()
            .starts_with(page)
    );
    assert_eq!(shown["expires_in"], 600);
    assert!(server.approve_device(shown["user_code"].as_str().unwrap()));
    let logged_in = running.finish();
    assert_eq!(logged_in.code(), Some(0), "{logged_in:?}");
    let answer = logged_in.json();
    assert_eq!(answer["account"], "alice");
    assert_eq!(answer["store"], "encrypted-file");
    assert!(answer["expires_at"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn an_imported_token_is_refreshed_at_its_first_use() {
    let (server, sandbox) = (server(), Sandbox::new());
    let issued = server.issue_login();
    let imported = sandbox.import(&server, "default", &format!("{}\r\n", issued.refresh_token));
    assert_eq!(imported.code(), Some(0), "{imported:?}");
    assert_eq!(server.counts().refresh_requests, 0);
    let token = vault_cli(&sandbox, &["token", "--json"]).json();
    assert_eq!(token["refreshed"], true);
    assert_eq!(token["token_type"], "Bearer");
    assert!(token["expires_in"].as_u64().unwrap() <= 300);
    assert!(server.is_valid_access_token(token["access_token"].as_str().unwrap()));
    assert_eq!(server.counts().refreshes_ok, 1);
}

#[test]
fn the_rotation_policy_is_chosen_at_login_and_shown() {
    let (server, sandbox) = (server(), Sandbox::new());
    for (rotation, shown) in [
        ("strict", "rotation: strict"),
        ("30s", "rotation: one retry within 30 s"),
    ] {
        let issued = server.issue_login();
        let arguments = [
            "import",
            "--issuer",
            server.issuer(),
            "--client-id",
            "vault-cli",
            "--rotation",
            rotation,
        ];
        let imported = sandbox.run_with_input(&arguments, &issued.refresh_token);
        assert_eq!(imported.code(), Some(0), "{imported:?}");
        let status = vault_cli(&sandbox, &["status"]);
        assert!(status.stdout.contains(shown), "{status:?}");
    }
    let wrong = vault_cli(&sandbox, &["import", "--rotation", "often"]);
    assert_eq!(wrong.code(), Some(2), "{wrong:?}");
}

#[test]
fn a_token_is_imported_for_a_token_endpoint_alone() {
    let (server, sandbox) = (server(), Sandbox::new());
    let issued = server.issue_login();
    let endpoint = server.url("/token");
    let arguments = [
        "import",
        "--token-endpoint",
        &endpoint,
        "--client-id",
        "vault-cli",
    ];
    let imported = sandbox.run_with_input(&arguments, &issued.refresh_token);
    assert_eq!(imported.code(), Some(0), "{imported:?}");
    let token = vault_cli(&sandbox, &["token"]);
    assert!(
        server.is_valid_access_token(token.stdout.trim()),
        "{token:?}"
    );
    let doctor = vault_cli(&sandbox, &["doctor"]);
    assert_eq!(doctor.code(), Some(0), "{doctor:?}");
}

#[test]
fn sixteen_processes_after_the_expiry_make_one_refresh_and_get_one_token() {
    let server = AuthorizationServer::start(ServerConfig {
        access_token_lifetime: SHORT_LIFE,
        latency: Duration::from_millis(50),
        ..ServerConfig::default()
    });
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    // Long enough for sixteen processes on a slow machine.
    server.configure(|config| config.access_token_lifetime = Duration::from_secs(300));
    wait(SHORT_LIFE);

    let running: Vec<_> = (0..16)
        .map(|_| sandbox.command(&["token"]).spawn().unwrap())
        .collect();
    let mut tokens: Vec<_> = running
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 1);
    assert!(server.is_valid_access_token(tokens[0].trim()));
    let counts = server.counts();
    assert_eq!(
        (
            counts.refresh_requests,
            counts.refreshes_ok,
            counts.reuse_detected
        ),
        (1, 1, 0)
    );
}

#[test]
fn profiles_are_listed_and_shown_without_a_secret() {
    let (server, sandbox) = (server(), Sandbox::new());
    sandbox.log_in(&server, "default");
    let issued = server.issue_login();
    assert!(
        sandbox
            .import(&server, "work", &issued.refresh_token)
            .status
            .success()
    );
    let token = vault_cli(&sandbox, &["--profile", "work", "token"]).stdout;

    let list = vault_cli(&sandbox, &["list"]);
    assert_eq!(list.code(), Some(0), "{list:?}");
    let lines: Vec<_> = list.stdout.lines().collect();
    assert!(lines[0].starts_with("PROFILE"), "{list:?}");
    assert!(
        lines[1].starts_with("default") && lines[1].contains("alice"),
        "{list:?}"
    );
    assert!(
        lines[2].starts_with("work") && lines[2].contains("logged in"),
        "{list:?}"
    );
    let rows = vault_cli(&sandbox, &["list", "--json"]).json();
    assert_eq!(rows["profiles"][1]["profile"], "work");
    assert_eq!(rows["profiles"][1]["generation"], 2);
    assert_eq!(rows["profiles"][1]["state"], "logged_in");

    for command in [&["show"][..], &["show", "--json"], &["show", "--claims"]] {
        let mut arguments = vec!["--profile", "work"];
        arguments.extend(command);
        let shown = vault_cli(&sandbox, &arguments);
        assert_eq!(shown.code(), Some(0), "{shown:?}");
        assert!(shown.stdout.contains("fingerprint"), "{shown:?}");
        assert!(!shown.stdout.contains(token.trim()), "{shown:?}");
        assert!(!shown.stdout.contains("rt-"), "{shown:?}");
    }
    let shown = vault_cli(&sandbox, &["--profile", "work", "show", "--json"]).json();
    assert_eq!(shown["refresh_token"]["length"], 64);
    assert_eq!(shown["generation"], 2);
    assert_eq!(shown["store"], "encrypted-file");
    // A pipe is no terminal: there is nobody who could have asked for it.
    let revealed = vault_cli(
        &sandbox,
        &["--profile", "work", "show", "--reveal", "--json"],
    );
    assert_eq!(revealed.code(), Some(2), "{revealed:?}");
    assert_eq!(revealed.json()["error"]["code"], "no_terminal");
}
