//! The Secret Service store against a real gnome-keyring.
//!
//! Runs where `VAULT_TEST_SECRET_SERVICE=1` is set, inside a session bus of its
//! own whose keyring is unlocked:
//!
//! ```text
//! VAULT_TEST_SECRET_SERVICE=1 dbus-run-session -- sh -c \
//!   'printf pass | gnome-keyring-daemon --unlock --components=secrets >/dev/null; exec "$@"' \
//!   sh cargo test -p vault-platform --test secret_service
//! ```
//!
//! Its one test goes through its parts in order: they lock, kill and restart
//! the one daemon that they share.

#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use vault_platform::store::{
    self, Interaction, SecretStore, StoreErrorKind, StoreKind, StoreOptions, StoreWorker,
};

#[path = "common/contract/mod.rs"]
mod contract;

use contract::{Subject, item};

const APPLICATION: &str = "vault.test.secret-service";

#[expect(clippy::disallowed_methods, reason = "the test's own switch")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn open(state_root: &Path) -> Arc<dyn SecretStore> {
    let options = StoreOptions {
        state_root: Some(state_root.to_owned()),
        ..StoreOptions::default()
    };
    store::open(StoreKind::SecretService, &options).expect("opens")
}

#[test]
fn the_secret_service_store_works_with_a_real_keyring() {
    if variable("VAULT_TEST_SECRET_SERVICE").as_deref() != Some("1") {
        say("skipped: VAULT_TEST_SECRET_SERVICE is not 1");
        return;
    }
    // The daemon goes to the background before it has its name; a call now would
    // make the bus start a second one, which is locked.
    while daemon().is_none() {
        std::thread::yield_now();
    }
    let place = tempfile::tempdir().expect("a temporary folder");
    let root = place.path().join("state");

    contract::is_kept(Subject {
        any_bytes: false,
        ..Subject::new(StoreKind::SecretService)
    });
    the_provider_is_named(&root);
    items_are_found_by_secret_tool(&root);
    duplicates_are_all_read_and_a_set_leaves_one(&root);
    a_secret_that_is_not_one_line_is_refused(&root);
    simultaneous_readers_leave_the_daemon_alive(&root);
    a_service_that_does_not_answer_is_hung(&root);
    a_locked_keyring_is_locked_not_empty(&root);
    a_restarted_daemon_is_reached_again(&root);
}

/// Connects and reads as often as told: a child process of the stress test.
#[test]
#[ignore = "a child process of the stress test"]
fn child_reads() {
    let mut orders = std::io::stdin().lines().map(|line| line.expect("orders"));
    let mut order = || orders.next().expect("an order");
    let (mode, root, times) = (order(), order(), order());
    order();
    let stress = item(APPLICATION, "stress");
    for _ in 0..times.parse().expect("a number") {
        let found = match mode.as_str() {
            "raw" => {
                secret_service::blocking::SecretService::connect(secret_service::EncryptionType::Dh)
                    .expect("connects")
                    .search_items(HashMap::from([
                        ("service", APPLICATION),
                        ("username", "stress"),
                    ]))
                    .map_or(0, |found| found.unlocked.len())
            }
            _ => open(Path::new(&root)).get(&stress).expect("answers").len(),
        };
        assert_eq!(found, 1);
    }
}

#[test]
#[ignore = "a child process without a session bus"]
fn child_without_a_bus() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let store = open(place.path());
    for error in [
        store.unlock(Interaction::Allowed).expect_err("missing"),
        store.get(&item(APPLICATION, "a")).expect_err("missing"),
        store.list(APPLICATION).expect_err("missing"),
    ] {
        assert_eq!(error.kind, StoreErrorKind::Missing);
    }
}

#[test]
fn without_a_session_bus_the_store_is_missing() {
    let status = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "child_without_a_bus", "--ignored"])
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
        .stdout(Stdio::null())
        .status()
        .expect("starts");
    assert!(status.success());
}

fn say(text: &str) {
    use std::io::Write;

    writeln!(std::io::stderr(), "{text}").expect("standard error");
}

fn the_provider_is_named(root: &Path) {
    let store = open(root);
    assert_eq!(store.provider(), "org.freedesktop.secrets");
    store.unlock(Interaction::Forbidden).expect("unlocked");
    assert_eq!(store.provider(), "org.freedesktop.secrets (gnome-keyring)");
}

fn secret_tool(arguments: &[&str], input: &str) -> String {
    use std::io::Write;

    let mut process = Command::new("secret-tool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("secret-tool is installed");
    let mut pipe = process.stdin.take().expect("piped");
    pipe.write_all(input.as_bytes()).expect("takes input");
    drop(pipe);
    let output = process.wait_with_output().expect("ends");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn items_are_found_by_secret_tool(root: &Path) {
    let store = open(root);
    store
        .set(&item(APPLICATION, "work"), &b"token".to_vec().into())
        .expect("stores");
    store
        .set(&item(APPLICATION, "work#key"), &b"key".to_vec().into())
        .expect("stores");
    let shown = secret_tool(&["search", "--all", "service", APPLICATION], "");
    assert!(shown.contains("attribute.username = work\n"), "{shown}");
    assert!(shown.contains("attribute.username = work#key\n"), "{shown}");
    assert!(shown.contains("secret = token\n"), "{shown}");
    for item in store.list(APPLICATION).expect("lists") {
        store.delete(&item).expect("deletes");
    }
    let shown = secret_tool(&["search", "--all", "service", APPLICATION], "");
    assert!(!shown.contains("secret ="), "{shown}");
}

fn duplicates_are_all_read_and_a_set_leaves_one(root: &Path) {
    let store = open(root);
    let twice = item(APPLICATION, "twice");
    store.set(&twice, &b"one".to_vec().into()).expect("stores");
    // A further attribute makes another item that matches, too.
    let attributes = ["service", APPLICATION, "username", "twice", "more", "yes"];
    let mut arguments = vec!["store", "--label=duplicate"];
    arguments.extend(attributes);
    secret_tool(&arguments, "two");
    let mut found: Vec<Vec<u8>> = store
        .get(&twice)
        .expect("answers")
        .iter()
        .map(|secret| secret.expose().to_vec())
        .collect();
    found.sort();
    assert_eq!(found, [b"one", b"two"]);
    assert_eq!(
        store.list(APPLICATION).expect("lists"),
        std::slice::from_ref(&twice)
    );

    store
        .set(&twice, &b"three".to_vec().into())
        .expect("stores");
    let found = store.get(&twice).expect("answers");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].expose(), b"three");

    secret_tool(&arguments, "two");
    store.delete(&twice).expect("deletes");
    assert!(store.get(&twice).expect("answers").is_empty());
}

fn a_secret_that_is_not_one_line_is_refused(root: &Path) {
    let store = open(root);
    for bytes in [&b"two\nlines"[..], b"\0", b"\xc3\xa9"] {
        let error = store
            .set(&item(APPLICATION, "bad"), &bytes.to_vec().into())
            .expect_err("refused");
        assert_eq!(error.kind, StoreErrorKind::Refused);
    }
}

/// Gives the process id of who owns the service's name.
fn daemon() -> Option<u32> {
    let output = Command::new("dbus-send")
        .args([
            "--session",
            "--print-reply=literal",
            "--dest=org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus.GetConnectionUnixProcessID",
            "string:org.freedesktop.secrets",
        ])
        .output()
        .expect("dbus-send is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().last()?.parse().ok()
}

/// Eight processes connect and read at the same moments, over and over.
///
/// `VAULT_TEST_TRIALS` and `VAULT_TEST_CONNECTIONS` ask for more;
/// `VAULT_TEST_STRESS=raw` connects as the usual crates do, and only counts, to
/// show what the first call is for.
fn simultaneous_readers_leave_the_daemon_alive(root: &Path) {
    use std::io::Write;

    let number = |name, usual| variable(name).map_or(usual, |text| text.parse().expect("a number"));
    let trials: u32 = number("VAULT_TEST_TRIALS", 3);
    let connections: u32 = number("VAULT_TEST_CONNECTIONS", 25);
    let mode = variable("VAULT_TEST_STRESS").unwrap_or_else(|| "ours".to_owned());
    let store = open(root);
    let stress = item(APPLICATION, "stress");
    store
        .set(&stress, &b"token".to_vec().into())
        .expect("stores");
    let (mut died, mut failed) = (0, 0);
    for _ in 0..trials {
        let before = daemon().expect("a daemon");
        let mut readers: Vec<_> = (0..8)
            .map(|_| {
                let mut process = Command::new(std::env::current_exe().expect("this binary"))
                    .args(["--exact", "child_reads", "--ignored"])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .expect("starts");
                let mut orders = process.stdin.take().expect("piped");
                writeln!(orders, "{mode}\n{}\n{connections}", root.display())
                    .expect("takes orders");
                (process, orders)
            })
            .collect();
        // All are started; now all read.
        for (_, orders) in &mut readers {
            writeln!(orders).expect("takes orders");
        }
        for (process, _) in &mut readers {
            failed += u32::from(!process.wait().expect("ends").success());
        }
        if daemon() != Some(before) {
            died += 1;
            let now = daemon();
            say(&format!("the daemon was {before}, is {now:?}"));
            restart_daemon();
        }
    }
    say(&format!(
        "stress ({mode}): {trials} trials of 8 processes of {connections} connections: \
         the daemon died in {died}, {failed} processes failed"
    ));
    if mode == "ours" {
        assert_eq!((died, failed), (0, 0));
    }
    store.delete(&stress).expect("deletes");
}

fn signal(name: &str, process: u32) {
    let status = Command::new("kill")
        .args([name, &process.to_string()])
        .status()
        .expect("kill runs");
    assert!(status.success());
}

fn a_service_that_does_not_answer_is_hung(root: &Path) {
    let options = || StoreOptions {
        state_root: Some(root.to_owned()),
        call_deadline: Duration::from_millis(200),
        ..StoreOptions::default()
    };
    let connected = store::open(StoreKind::SecretService, &options()).expect("opens");
    connected.unlock(Interaction::Forbidden).expect("unlocked");
    let daemon = daemon().expect("a daemon");
    signal("-STOP", daemon);
    let fresh = store::open(StoreKind::SecretService, &options()).expect("opens");
    let kinds = [connected, fresh].map(|store| {
        let answer = store.get(&item(APPLICATION, "any"));
        answer.map(|found| found.len()).map_err(|error| error.kind)
    });
    signal("-CONT", daemon);
    assert_eq!(kinds, [Err(StoreErrorKind::Hung); 2]);
}

fn lock_keyring() {
    let output = Command::new("dbus-send")
        .args([
            "--session",
            "--print-reply",
            "--dest=org.freedesktop.secrets",
            "/org/freedesktop/secrets",
            "org.freedesktop.Secret.Service.Lock",
            "array:objpath:/org/freedesktop/secrets/aliases/default",
        ])
        .output()
        .expect("dbus-send is installed");
    assert!(output.status.success(), "{output:?}");
}

fn a_locked_keyring_is_locked_not_empty(root: &Path) {
    let store = open(root);
    let there = item(APPLICATION, "there");
    store
        .set(&there, &b"token".to_vec().into())
        .expect("stores");
    lock_keyring();
    for store in [store, open(root)] {
        let absent = item(APPLICATION, "absent");
        for error in [
            store.get(&there).expect_err("locked"),
            store.get(&absent).expect_err("locked"),
            store.list(APPLICATION).expect_err("locked"),
            store
                .set(&there, &b"x".to_vec().into())
                .expect_err("locked"),
            store
                .set(&absent, &b"x".to_vec().into())
                .expect_err("locked"),
            store.delete(&there).expect_err("locked"),
            store.unlock(Interaction::Forbidden).expect_err("locked"),
        ] {
            assert_eq!(error.kind, StoreErrorKind::Locked, "{}", error.operation);
        }
    }
    restart_daemon();
    let store = open(root);
    assert_eq!(store.get(&there).expect("reads")[0].expose(), b"token");
    store.delete(&there).expect("deletes");
}

/// Replaces the daemon, unlocked with the password of the session.
fn restart_daemon() {
    use std::io::Write;

    let before = daemon();
    let mut process = Command::new("gnome-keyring-daemon")
        .args(["--replace", "--unlock", "--components=secrets"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("gnome-keyring is installed");
    let mut password = process.stdin.take().expect("piped");
    password.write_all(b"pass").expect("takes the password");
    drop(password);
    process.wait().expect("goes to the background");
    // The old one may still be on its way out.
    while daemon().is_none() || daemon() == before {
        std::thread::yield_now();
    }
}

fn a_restarted_daemon_is_reached_again(root: &Path) {
    let worker = StoreWorker::new(open(root));
    let kept = item(APPLICATION, "kept");
    let deadline = Duration::from_secs(60);
    let written = kept.clone();
    worker
        .call_within(deadline, "set", move |store| {
            store.set(&written, &b"token".to_vec().into())
        })
        .expect("stores");
    let before = daemon();
    restart_daemon();
    assert_ne!(daemon(), before);
    let read = kept.clone();
    let found = worker
        .call_within(deadline, "get", move |store| store.get(&read))
        .expect("connects again");
    assert_eq!(found[0].expose(), b"token");
    worker
        .call_within(deadline, "delete", move |store| store.delete(&kept))
        .expect("deletes");
}
