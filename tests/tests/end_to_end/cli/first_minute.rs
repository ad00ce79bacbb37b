//! The first minute: a person who types `vault-cli login` and nothing else.

use vault_tests::server::{AuthorizationServer, DeviceApproval, ServerConfig};

use crate::screen::Terminal;
use crate::support::{Sandbox, vault_cli};

#[test]
fn a_terminal_asks_for_what_was_not_given_and_the_login_tells_what_comes_next() {
    let server = AuthorizationServer::start(ServerConfig {
        device_approval: DeviceApproval::AfterPolls(0),
        ..ServerConfig::default()
    });
    let sandbox = Sandbox::new();
    let commands = "\"$PROGRAM\" login --no-qr; echo \"ended $?\"; sleep 60";
    let mut terminal = Terminal::start(&sandbox, 45, 160, commands);
    terminal.wait_for("Where do you log in?");
    terminal.wait_for("Google                https://accounts.google.com");
    terminal.wait_for("Number, or the address of another server:");
    terminal.types("77\n");
    terminal.wait_for("There is no such number.");
    terminal.types(&format!("{}\n", server.issuer()));
    terminal.wait_for("Client id");
    terminal.types("\n");
    terminal.wait_for("It is needed.");
    terminal.types("vault-cli\n");
    terminal.wait_for("[openid offline_access]");
    terminal.types("\n");
    terminal.wait_for("Number [1]:");
    terminal.types("2\n");
    terminal.wait_for("enter the code");
    terminal.wait_for("ended 0");
    let text = terminal.text();
    for wanted in [
        "logged in as alice",
        "kept in the encrypted-file store",
        "its access token is good until",
        "next: `vault-cli token`",
        "--client-id vault-cli --scope openid --scope offline_access --flow device`",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(vault_cli(&sandbox, &["token"]).status.success());
}

#[test]
fn a_known_server_is_chosen_by_its_number_and_asked_what_differs() {
    let sandbox = Sandbox::new();
    let commands = "\"$PROGRAM\" login; echo \"ended $?\"; sleep 60";
    let mut terminal = Terminal::start(&sandbox, 45, 160, commands);
    terminal.wait_for("another server:");
    terminal.types("1\n");
    terminal.wait_for("Auth0, tenant:");
    // Nothing more is typed: the end of a line's input.
    terminal.types("\x04");
    terminal.wait_for("ended 2");
    assert!(terminal.text().contains("the login was not begun"));
    assert!(sandbox.stored().is_empty());
}

#[test]
fn where_nobody_is_there_nothing_is_asked() {
    let sandbox = Sandbox::new();
    let refused = sandbox.run_with_input(&["login"], "https://login.example\nid\n");
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    assert!(refused.stdout.is_empty(), "{refused:?}");
    let lines: Vec<_> = refused.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{refused:?}");
    assert!(lines[0].ends_with("not provided: --issuer <URL> --client-id <ID>"));
    let refused = vault_cli(
        &sandbox,
        &["login", "--issuer", "https://x.example", "--json"],
    );
    assert_eq!(refused.code(), Some(2));
    assert_eq!(refused.json()["error"]["code"], "usage");
}

#[test]
fn the_version_tells_the_stores_that_are_compiled_in() {
    let sandbox = Sandbox::new();
    let short = vault_cli(&sandbox, &["-V"]).stdout;
    assert_eq!(short.lines().count(), 1, "{short}");
    let long = vault_cli(&sandbox, &["--version"]).stdout;
    assert!(long.starts_with(&short.trim_end().to_owned()), "{long}");
    let stores = long.lines().find_map(|line| line.strip_prefix("stores: "));
    let stores: Vec<_> = stores.expect("a line of stores").split(", ").collect();
    assert_eq!(
        stores,
        ["secret-service", "encrypted-file", "keyutils", "memory"]
    );
}
