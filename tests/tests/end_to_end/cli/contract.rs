//! What scripts rely on: streams, exit codes, JSON, help.

use std::process::Stdio;

use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::support::{Sandbox, login, vault_cli};

const COMMANDS: [&str; 21] = [
    "login",
    "import",
    "token",
    "exec",
    "refresh",
    "list",
    "show",
    "status",
    "history",
    "watch",
    "logout",
    "issuers",
    "credential",
    "bind",
    "setup",
    "unbind",
    "migrate",
    "doctor",
    "passphrase",
    "completions",
    "man",
];

#[test]
fn every_commands_help_says_what_the_list_says_and_has_examples() {
    let sandbox = Sandbox::new();
    let help = vault_cli(&sandbox, &["--help"]);
    assert_eq!(help.code(), Some(0));
    for command in COMMANDS {
        let start = format!("  {command} ");
        let listed = help
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix(&start));
        let listed = listed.expect(command).trim();
        let help = vault_cli(&sandbox, &[command, "--help"]);
        assert_eq!(help.stdout.lines().next(), Some(listed), "{command}");
        assert_eq!(
            (help.code(), help.stderr.as_str()),
            (Some(0), ""),
            "{command}"
        );
        assert!(help.stdout.contains("Examples:\n  "), "{command}");
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error_with_a_suggestion() {
    let sandbox = Sandbox::new();
    for (arguments, expected) in [
        (&["tokn"][..], "token"),
        (&["token", "--heade"], "--header"),
        (&["--store", "keyring", "list"], "keychain"),
        (&["login", "--client-id", "x"], "vault-cli login --help"),
        (&["token", "--min-valid", "soon"], "vault-cli"),
    ] {
        let refused = vault_cli(&sandbox, arguments);
        assert_eq!(
            (refused.code(), refused.stdout.as_str()),
            (Some(2), ""),
            "{refused:?}"
        );
        assert!(refused.stderr.starts_with("error: "), "{refused:?}");
        assert!(refused.stderr.contains(expected), "{refused:?}");
        assert!(refused.stderr.lines().count() <= 3, "{refused:?}");
        let mut arguments = arguments.to_vec();
        arguments.insert(0, "--json");
        let refused = vault_cli(&sandbox, &arguments);
        assert_eq!(refused.code(), Some(2));
        let error = &refused.json()["error"];
        assert_eq!(error["code"], "usage");
        assert!(!error["hint"].as_str().unwrap().is_empty());
    }
}

#[test]
fn without_a_login_every_command_that_needs_one_says_so_with_code_3() {
    let sandbox = Sandbox::new();
    for command in ["token", "refresh", "show", "logout"] {
        let refused = vault_cli(&sandbox, &[command]);
        assert_eq!(
            (refused.code(), refused.stdout.as_str()),
            (Some(3), ""),
            "{refused:?}"
        );
        assert!(
            refused
                .stderr
                .contains("hint: log in with `vault-cli login"),
            "{refused:?}"
        );
        let refused = vault_cli(&sandbox, &[command, "--json"]);
        assert_eq!(
            refused.json()["error"]["code"],
            "not_logged_in",
            "{refused:?}"
        );
        assert_eq!((refused.code(), refused.stderr.as_str()), (Some(3), ""));
    }
    let status = vault_cli(&sandbox, &["status"]);
    assert_eq!(
        (status.code(), status.stdout.as_str()),
        (Some(3), "default: not logged in\n")
    );
    let list = vault_cli(&sandbox, &["list", "--json"]);
    assert_eq!(list.code(), Some(0));
    assert_eq!(list.json()["profiles"], serde_json::json!([]));
}

#[test]
fn without_a_terminal_a_login_opens_no_browser_and_fails_at_once() {
    let (server, sandbox) = (
        AuthorizationServer::start(ServerConfig::default()),
        Sandbox::new(),
    );
    let refused = vault_cli(&sandbox, &login(&server));
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--no-browser"), "{refused:?}");
    assert!(refused.stderr.contains("--flow device"), "{refused:?}");
    assert_eq!(server.counts().requests.total(), 0);
    assert!(sandbox.stored().is_empty());
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let (server, sandbox) = (
        AuthorizationServer::start(ServerConfig::default()),
        Sandbox::new(),
    );
    sandbox.log_in(&server, "default");
    for arguments in [&["token"][..], &["show", "--json"], &["list"], &["--help"]] {
        let mut child = sandbox
            .command(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn options_and_environment_mean_the_same_and_options_win() {
    let (server, sandbox) = (
        AuthorizationServer::start(ServerConfig::default()),
        Sandbox::new(),
    );
    sandbox.log_in(&server, "work");
    let by_environment = sandbox
        .command(&["token"])
        .env("VAULT_PROFILE", "work")
        .output()
        .unwrap();
    assert_eq!(by_environment.status.code(), Some(0));
    let by_option = sandbox
        .command(&["token", "--profile", "work"])
        .env("VAULT_PROFILE", "elsewhere")
        .output()
        .unwrap();
    assert_eq!(by_option.stdout, by_environment.stdout);
    let other_app = vault_cli(
        &sandbox,
        &["--app", "com.example.other", "--profile", "work", "token"],
    );
    assert_eq!(other_app.code(), Some(3), "{other_app:?}");
}

#[test]
fn the_manual_and_the_completions_come_from_the_same_source() {
    let sandbox = Sandbox::new();
    let page = vault_cli(&sandbox, &["man", "token"]);
    assert_eq!(page.code(), Some(0), "{page:?}");
    assert!(
        page.stdout.contains(".TH ") && page.stdout.contains("min\\-valid"),
        "{page:?}"
    );
    let description = "Print a valid access token, and nothing else";
    assert!(page.stdout.contains(description), "{page:?}");
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = vault_cli(&sandbox, &["completions", shell]);
        assert_eq!(script.code(), Some(0));
        assert!(script.stdout.contains("min-valid"), "{shell}");
    }
}
