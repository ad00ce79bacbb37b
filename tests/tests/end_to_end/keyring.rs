//! The program with the store that a Linux desktop has: a real gnome-keyring, a
//! real KeePassXC, and a real KWallet.
//!
//! Runs where `VAULT_TEST_SECRET_SERVICE` names one of them, inside a session
//! bus of its own, as `tests/lanes/with-keyring` and its like make it; lanes
//! `keyring`, `keepassxc` and `kwallet` of `tests/run`. All tests share the one
//! keyring and take turns. What needs no keyring runs anywhere.

#![cfg(target_os = "linux")]

use std::time::Duration;

use self::desktop::{
    Desktop, Stopped, accounts, daemon_and_its_start, finished, is_locked, lock_keyring,
    replace_daemon, server, threads_asleep, variable,
};
use self::unreachable::{NO_BUS, run};
use crate::scene::tell;
use crate::support::{Output, login, vault_cli, wait};

mod blank;
mod desktop;
mod duplicates;
mod handover;
mod held;
mod labels;
mod others;
mod unreachable;

#[test]
fn a_login_is_two_items_and_a_logout_leaves_none() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(60));
    let answer = desktop.log_in(&server, &[]).json();
    assert_eq!(
        answer["provider"],
        "org.freedesktop.secrets (gnome-keyring)"
    );
    assert_eq!(accounts("vault-cli"), ["default", "default#key"]);

    // A rotation replaces an item, it adds none.
    let refreshed = desktop.run(&["refresh", "--force"]);
    assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
    assert_eq!(accounts("vault-cli"), ["default", "default#key"]);

    desktop.log_in(&server, &["--profile", "work"]);
    assert_eq!(accounts("vault-cli").len(), 4);
    let left = desktop.run(&["logout"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert_eq!(accounts("vault-cli"), ["work", "work#key"]);
    let left = desktop.run(&["logout", "--all"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert_eq!(accounts("vault-cli"), [""; 0]);
    assert_eq!(server.living_logins(), 0);
}

#[test]
fn who_asks_once_needs_no_thread() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(3600));
    desktop.log_in(&server, &[]);
    let asking = |arguments: &[&str]| {
        let daemon = Stopped::new();
        let mut process = desktop.command(arguments).spawn().unwrap();
        let threads = threads_asleep(process.id());
        drop(daemon);
        assert!(process.wait().unwrap().success());
        threads
    };
    assert_eq!(asking(&["token"]), 1);
    assert!(asking(&["refresh", "--force"]) > 1);
}

#[test]
fn the_items_of_another_application_are_left_alone() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(60));
    desktop.log_in(&server, &["--app", "vault.test.keyring"]);
    assert_eq!(accounts("vault-cli"), [""; 0]);
    assert_eq!(accounts("vault.test.keyring"), ["default", "default#key"]);
    assert_eq!(desktop.run(&["logout"]).code(), Some(3));
    assert_eq!(accounts("vault.test.keyring").len(), 2);
    let left = desktop.run(&["--app", "vault.test.keyring", "logout"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert_eq!(accounts("vault.test.keyring"), [""; 0]);
}

#[test]
fn sixteen_processes_make_one_refresh() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let life = Duration::from_secs(2);
    let server = server(life);
    desktop.log_in(&server, &[]);
    wait(life);
    // So long that nothing expires while they start.
    server.configure(|config| config.access_token_lifetime = Duration::from_secs(60));
    let answers = desktop.at_once(16, &["token"]);
    for answer in &answers {
        assert_eq!((answer.code(), answer.stderr.as_str()), (Some(0), ""));
        assert_eq!(answer.stdout, answers[0].stdout);
    }
    assert!(server.is_valid_access_token(answers[0].stdout.trim_end()));
    let counts = server.counts();
    assert_eq!((counts.refresh_requests, counts.reuse_detected), (1, 0));
    assert_eq!(accounts("vault-cli"), ["default", "default#key"]);
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
}

/// gnome-keyring 42 aborts when many processes connect at once in the way that
/// the usual crates do; see `secret_service` in vault-platform. The variable
/// `VAULT_TEST_ROUNDS` asks for more rounds (`tests/run --keyring-trial`).
#[test]
fn sixty_four_cold_processes_do_not_kill_the_keyring() {
    const PROCESSES: usize = 64;
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let rounds: usize = variable("VAULT_TEST_ROUNDS").map_or(3, |text| text.parse().unwrap());
    let server = server(Duration::from_secs(24 * 3600));
    desktop.log_in(&server, &[]);
    let before = daemon_and_its_start();
    let began = std::time::Instant::now();
    for _ in 0..rounds {
        let answers = desktop.at_once(PROCESSES, &["token"]);
        for answer in &answers {
            assert_eq!((answer.code(), answer.stderr.as_str()), (Some(0), ""));
            assert_eq!(answer.stdout, answers[0].stdout);
        }
        assert!(server.is_valid_access_token(answers[0].stdout.trim_end()));
        assert_eq!(daemon_and_its_start(), before);
    }
    let took = began.elapsed();
    let (process, start) = before;
    tell(&format!(
        "{rounds} rounds of {PROCESSES} cold `vault-cli token` at once: {} tokens in {:.1} s; \
         the keyring is process {process}, started at tick {start}, as in the beginning",
        rounds * PROCESSES,
        took.as_secs_f64(),
    ));
    assert_eq!(server.counts().refresh_requests, 0);
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
}

#[test]
fn a_locked_keyring_is_locked_and_not_a_login_that_is_gone() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let life = Duration::from_secs(2);
    let server = server(life);
    desktop.log_in(&server, &[]);
    wait(life);
    let stored = desktop.sandbox.stored();

    let everything_says_locked = || {
        let new = login(&server);
        let new = [&new[..], &["--no-browser", "--profile", "new"]].concat();
        for arguments in [&["token"][..], &["refresh", "--force"], &["show"], &new] {
            let arguments = [arguments, &["--json"]].concat();
            let refused = desktop.run(&arguments);
            assert_eq!(refused.code(), Some(4), "{arguments:?} {refused:?}");
            let error = &refused.json()["error"];
            assert_eq!(error["code"], "store_locked", "{arguments:?} {error}");
        }
    };
    lock_keyring();
    everything_says_locked();
    // As after a start of the session without a password.
    replace_daemon(false);
    assert!(is_locked());
    everything_says_locked();
    assert_eq!(server.counts().refresh_requests, 0);
    let now = desktop.sandbox.stored();
    for (path, content) in &stored {
        assert_eq!(now.get(path), Some(content), "{}", path.display());
    }

    server.configure(|config| config.access_token_lifetime = Duration::from_secs(60));
    replace_daemon(true);
    let token = desktop.run(&["token"]);
    assert_eq!(token.code(), Some(0), "{token:?}");
    assert!(server.is_valid_access_token(token.stdout.trim_end()));
    assert_eq!(server.counts().refresh_requests, 1);
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
    assert_eq!(accounts("vault-cli"), [""; 0]);
}

#[test]
fn a_login_moves_into_the_keyring_and_back_while_others_ask() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let life = Duration::from_secs(2);
    let server = server(life);
    desktop.sandbox.log_in(&server, "default");
    desktop.sandbox.log_in(&server, "work");
    assert_eq!(accounts("vault-cli"), [""; 0]);
    let key_file = desktop.sandbox.key_file();
    let key_file = ["--key-file", key_file.to_str().unwrap()];
    wait(life);

    // The login has expired: of all these one refreshes, and none loses it.
    let with_key = |arguments: &[&str]| desktop.command(&[&key_file, arguments].concat());
    let asking: Vec<_> = (0..8)
        .map(|_| with_key(&["token"]).spawn().unwrap())
        .collect();
    let moved = finished(with_key(&["migrate", "--all", "--to", "secret-service"]));
    assert_eq!(moved.code(), Some(0), "{moved:?}");
    assert!(
        moved
            .stdout
            .starts_with("default: moved from the encrypted-file store to secret-service (org"),
        "{moved:?}"
    );
    for process in asking {
        let answer = Output::from(process.wait_with_output().unwrap());
        assert_eq!((answer.code(), answer.stderr.as_str()), (Some(0), ""));
    }
    assert_eq!(
        accounts("vault-cli"),
        ["default", "default#key", "work", "work#key"]
    );
    let items = desktop.sandbox.state().join("vault-cli").join("items");
    let left = std::fs::read_dir(items)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["params"]);

    // Who names the old store is told; who names none is served.
    let refused = vault_cli(&desktop.sandbox, &["token", "--json"]);
    assert_eq!(
        refused.json()["error"]["code"],
        "store_refused",
        "{refused:?}"
    );
    let status = desktop.run(&["status", "--json"]).json();
    assert_eq!(status["store"], "secret-service");
    assert_eq!(desktop.run(&["refresh", "--force"]).code(), Some(0));

    // A locked keyring moves nothing.
    lock_keyring();
    let refused = finished(with_key(&["migrate", "--to", "encrypted-file", "--json"]));
    assert_eq!(refused.code(), Some(4), "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "store_locked");
    replace_daemon(true);

    let back = finished(with_key(&["migrate", "--to", "encrypted-file", "--json"]));
    assert_eq!(back.code(), Some(0), "{back:?}");
    assert_eq!(back.json()["moved"], true);
    assert_eq!(accounts("vault-cli"), ["work", "work#key"]);
    assert_eq!(finished(with_key(&["refresh", "--force"])).code(), Some(0));
    assert_eq!(finished(with_key(&["logout", "--all"])).code(), Some(0));
    assert_eq!(accounts("vault-cli"), [""; 0]);
    let counts = server.counts();
    assert_eq!((counts.reuse_detected, server.living_logins()), (0, 0));
}

#[test]
fn a_login_is_not_lost_by_a_session_without_a_bus() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(60));
    desktop.log_in(&server, &[]);
    for bus in [None, Some(NO_BUS)] {
        for arguments in [&["token", "--json"][..], &["refresh", "--force", "--json"]] {
            let refused = run(&desktop.sandbox, bus, arguments);
            assert_eq!(refused.code(), Some(4), "{bus:?} {refused:?}");
            assert_eq!(refused.json()["error"]["code"], "store_missing");
        }
    }
    assert_eq!(desktop.run(&["token"]).code(), Some(0));
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
    assert_eq!(server.living_logins(), 0);
}
