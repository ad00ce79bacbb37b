//! Looking at what is stored: claims, secrets, history, other applications, and
//! names that are nearly right.

use vault_tests::server::{AccessTokenFormat, AuthorizationServer, ServerConfig};

use crate::support::{Sandbox, vault_cli};

fn logged_in() -> (AuthorizationServer, Sandbox) {
    let server = AuthorizationServer::start(ServerConfig {
        access_token_format: AccessTokenFormat::JwtShaped { bytes: 400 },
        ..ServerConfig::default()
    });
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    (server, sandbox)
}

#[test]
fn the_claims_of_both_tokens_are_shown_as_unverified_with_their_times() {
    let (server, sandbox) = logged_in();
    // What a refresh brings is the access token's; the login's ID token stays.
    assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
    let shown = vault_cli(&sandbox, &["show", "--claims"]);
    assert_eq!(shown.code(), Some(0), "{shown:?}");
    let text = &shown.stdout;
    assert_eq!(
        text.matches("unverified: anyone could have written")
            .count(),
        2,
        "{text}"
    );
    assert_eq!(text.matches(r#"claim "sub": "alice""#).count(), 2, "{text}");
    assert!(text.contains("Z (in 4 min)"), "{text}");
    assert!(text.contains(r#"header "alg": "ES256""#), "{text}");
    let document = vault_cli(&sandbox, &["show", "--claims", "--json"]).json();
    let id_token = &document["id_token"];
    assert_eq!(id_token["unverified"]["claims"]["iss"], server.issuer());
    assert_eq!(id_token["token"]["value"], serde_json::Value::Null);
    let plain = vault_cli(&sandbox, &["show"]).stdout;
    assert!(plain.contains("\nid token:"), "{plain}");
    assert!(
        !plain.contains("eyJ") && !plain.contains("claim"),
        "{plain}"
    );
}

#[test]
fn secrets_go_into_a_pipe_only_where_that_is_said() {
    let (_server, sandbox) = logged_in();
    let token = vault_cli(&sandbox, &["token"]).stdout;
    let refused = vault_cli(&sandbox, &["show", "--reveal"]);
    assert_eq!((refused.code(), refused.stdout.as_str()), (Some(2), ""));
    assert!(refused.stderr.contains("--yes-i-know"), "{refused:?}");
    let alone = vault_cli(&sandbox, &["show", "--yes-i-know"]);
    assert_eq!((alone.code(), alone.stdout.as_str()), (Some(2), ""));
    let revealed = vault_cli(&sandbox, &["show", "--reveal", "--yes-i-know"]);
    assert_eq!(revealed.code(), Some(0), "{revealed:?}");
    assert!(revealed.stdout.contains(token.trim()), "{revealed:?}");
    assert!(revealed.stdout.contains("rt-"), "{revealed:?}");
}

#[test]
fn the_history_tells_which_program_and_how_long() {
    let (_server, sandbox) = logged_in();
    assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
    let entries = vault_cli(&sandbox, &["history", "--json"]).json()["entries"].take();
    let program = format!("vault-cli{}", std::env::consts::EXE_SUFFIX);
    assert_eq!(entries[0]["program"], program.as_str());
    assert_eq!(entries[0]["took_ms"], serde_json::Value::Null);
    assert!(
        entries[1]["took_ms"].as_u64().unwrap() < 30_000,
        "{entries}"
    );
    let table = vault_cli(&sandbox, &["history"]).stdout;
    assert!(
        table.contains("PROGRAM") && table.contains(" ms "),
        "{table}"
    );
    // What an older version wrote tells neither.
    let path = sandbox.profile("default").join("history");
    let old = r#"{"v":1,"at_ms":1,"event":"login","outcome":"ok","login":"00000000000000000000000000000000","generation":1,"process":7}"#;
    std::fs::write(&path, format!("{old}\n")).unwrap();
    let entries = vault_cli(&sandbox, &["history", "--json"]).json()["entries"].take();
    assert_eq!(entries[0]["program"], serde_json::Value::Null, "{entries}");
}

#[test]
fn every_application_is_listed_and_told_where_that_makes_sense() {
    let (server, sandbox) = logged_in();
    let other = sandbox.log_in_with(&server, &["--app", "com.example.app", "--profile", "work"]);
    assert_eq!(other.code(), Some(0), "{other:?}");
    let list = vault_cli(&sandbox, &["--app", "*", "list"]);
    assert_eq!(list.code(), Some(0), "{list:?}");
    let lines: Vec<_> = list.stdout.lines().collect();
    assert!(lines[0].starts_with("APP "), "{list:?}");
    assert!(lines[1].starts_with("com.example.app  work "), "{list:?}");
    assert!(
        lines[2].starts_with("vault-cli        default "),
        "{list:?}"
    );
    let rows = vault_cli(&sandbox, &["--app", "*", "list", "--json"]).json();
    assert_eq!(rows["profiles"][0]["app"], "com.example.app");

    let status = vault_cli(&sandbox, &["--app", "*", "status"]);
    assert_eq!(status.code(), Some(0), "{status:?}");
    assert_eq!(status.stdout.lines().count(), 2);
    assert!(
        status.stdout.starts_with("com.example.app work: logged in"),
        "{status:?}"
    );
    let out = vault_cli(
        &sandbox,
        &["--app", "com.example.app", "--profile", "work", "logout"],
    );
    assert_eq!(out.code(), Some(0), "{out:?}");
    assert_eq!(
        vault_cli(&sandbox, &["--app", "*", "status"]).code(),
        Some(3)
    );

    for command in ["token", "show", "history", "doctor", "logout", "refresh"] {
        let refused = vault_cli(&sandbox, &["--app", "*", command]);
        assert_eq!((refused.code(), refused.stdout.as_str()), (Some(2), ""));
        assert!(refused.stderr.contains("works on one"), "{refused:?}");
    }
    assert_eq!(vault_cli(&sandbox, &["status"]).code(), Some(0));
}

#[test]
fn a_profile_that_is_not_there_finds_the_one_that_was_meant() {
    let (server, sandbox) = logged_in();
    sandbox.log_in(&server, "work");
    for command in ["token", "status", "show"] {
        let refused = vault_cli(&sandbox, &["--profile", "wrok", command]);
        assert_eq!(refused.code(), Some(3), "{refused:?}");
        assert!(
            refused.stderr.contains("did you mean `--profile work`?"),
            "{refused:?}"
        );
        assert!(refused.stderr.lines().count() <= 3, "{refused:?}");
    }
    let other = vault_cli(&sandbox, &["--profile", "elsewhere", "token"]);
    assert!(!other.stderr.contains("did you mean"), "{other:?}");
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_enough_is_no_error() {
    let (_server, sandbox) = logged_in();
    let plain = sandbox.command(&[]);
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", "set -o pipefail; \"$PROGRAM\" list | head -0"]);
    shell.env_clear().env("PATH", "/usr/bin:/bin");
    for (name, value) in plain.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell
        .env("PROGRAM", plain.get_program())
        .stdin(std::process::Stdio::null());
    let done = shell.output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert!(done.stderr.is_empty(), "{done:?}");
}
