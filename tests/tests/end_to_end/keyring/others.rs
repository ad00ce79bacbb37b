//! The program with a real KeePassXC and with a real KWallet; lanes `keepassxc`
//! and `kwallet`.

use std::process::Command;
use std::time::Duration;

use super::desktop::{Desktop, accounts, finished, server, variable};
use crate::skipped::left_to_lane;
use crate::support::{login, wait};

/// The lanes' names of the services, and the names of their programs.
const OTHERS: [(&str, &str); 2] = [("keepassxc", "keepassxc"), ("kwallet", "kwalletd5")];

/// A desktop with one of them, and the name of its program.
fn desktop() -> Option<(Desktop, &'static str)> {
    let given = variable("VAULT_TEST_SECRET_SERVICE").unwrap_or_default();
    let (service, program) = OTHERS
        .into_iter()
        .find(|(name, _)| *name == given)
        .or_else(|| {
            left_to_lane("keepassxc kwallet");
            None
        })?;
    Some((Desktop::with(service)?, program))
}

/// Has the lane's script do something to the service.
fn service(what: &[&str]) {
    let script = variable("VAULT_TEST_SERVICE").expect("the lane's script");
    let status = Command::new(&script).args(what).status().unwrap();
    assert!(status.success(), "{script} {what:?}");
}

#[test]
fn a_login_is_kept_refreshed_listed_and_ended() {
    let Some((desktop, program)) = desktop() else {
        return;
    };
    let life = Duration::from_secs(5);
    let server = server(life);
    let answer = desktop.log_in(&server, &[]).json();
    let provider = format!("org.freedesktop.secrets ({program})");
    assert_eq!(answer["provider"], provider.as_str());
    assert_eq!(accounts("vault-cli"), ["default", "default#key"]);
    desktop.log_in(&server, &["--profile", "work"]);

    let token = desktop.run(&["token"]);
    assert_eq!(token.code(), Some(0), "{token:?}");
    assert!(server.is_valid_access_token(token.stdout.trim_end()));
    server.configure(|config| config.access_token_lifetime = Duration::from_secs(60));
    wait(life);
    let next = desktop.run(&["token"]);
    assert_eq!((next.code(), next.stderr.as_str()), (Some(0), ""));
    assert_ne!(next.stdout, token.stdout);
    assert_eq!(server.counts().refresh_requests, 1);

    let listed = desktop.run(&["list", "--json"]).json();
    let profiles = listed["profiles"].as_array().unwrap();
    let names: Vec<_> = profiles.iter().map(|profile| &profile["profile"]).collect();
    assert_eq!(names, ["default", "work"]);
    let status = desktop.run(&["status", "--json"]).json();
    assert_eq!(status["store"], "secret-service");
    let doctor = desktop.run(&["doctor"]);
    assert_eq!(doctor.code(), Some(0), "{doctor:?}");

    let left = desktop.run(&["logout"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert_eq!(accounts("vault-cli"), ["work", "work#key"]);
    assert_eq!(desktop.run(&["token"]).code(), Some(3));
    let left = desktop.run(&["logout", "--all"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert_eq!(accounts("vault-cli"), [""; 0]);
    let counts = server.counts();
    assert_eq!((counts.reuse_detected, server.living_logins()), (0, 0));
}

#[test]
fn what_is_closed_is_locked_and_the_login_comes_back_with_it() {
    let Some((desktop, _)) = desktop() else {
        return;
    };
    let server = server(Duration::from_secs(1));
    desktop.log_in(&server, &[]);
    service(&["await-saved"]);
    let stored = desktop.sandbox.stored();
    service(&["kill"]);
    service(&["start-locked"]);
    let new = [&login(&server)[..], &["--no-browser", "--profile", "new"]].concat();
    for arguments in [&["token"][..], &["refresh", "--force"], &new] {
        let refused = desktop.run(&[arguments, &["--json"]].concat());
        assert_eq!(refused.code(), Some(4), "{arguments:?} {refused:?}");
        let code = &refused.json()["error"]["code"];
        assert_eq!(code, "store_locked", "{arguments:?}");
    }
    let now = desktop.sandbox.stored();
    for (path, content) in &stored {
        assert_eq!(now.get(path), Some(content), "{}", path.display());
    }
    service(&["kill"]);
    service(&["start"]);
    server.configure(|config| config.access_token_lifetime = Duration::from_secs(60));
    let token = desktop.run(&["token"]);
    assert_eq!(token.code(), Some(0), "{token:?}");
    assert!(server.is_valid_access_token(token.stdout.trim_end()));
    assert_eq!(server.counts().reuse_detected, 0);
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
    assert_eq!(accounts("vault-cli"), [""; 0]);
}

#[test]
fn eight_processes_make_one_refresh_and_a_login_moves_out_of_it() {
    let Some((desktop, _)) = desktop() else {
        return;
    };
    let life = Duration::from_secs(2);
    let server = server(life);
    desktop.log_in(&server, &[]);
    wait(life);
    server.configure(|config| config.access_token_lifetime = Duration::from_secs(60));
    for answer in desktop.at_once(8, &["token"]) {
        assert_eq!((answer.code(), answer.stderr.as_str()), (Some(0), ""));
        assert!(server.is_valid_access_token(answer.stdout.trim_end()));
    }
    let counts = server.counts();
    assert_eq!((counts.refresh_requests, counts.reuse_detected), (1, 0));

    let key = desktop.sandbox.key_file();
    let with_key = |arguments: &[&str]| {
        let key = ["--key-file", key.to_str().unwrap()];
        finished(desktop.command(&[&key, arguments].concat()))
    };
    for (to, left) in [
        ("encrypted-file", &[][..]),
        ("secret-service", &["default", "default#key"]),
    ] {
        let moved = with_key(&["migrate", "--to", to]);
        assert_eq!(moved.code(), Some(0), "{moved:?}");
        assert_eq!(accounts("vault-cli"), left);
        assert_eq!(with_key(&["refresh", "--force"]).code(), Some(0));
    }
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
    let counts = server.counts();
    assert_eq!((counts.reuse_detected, server.living_logins()), (0, 0));
}
