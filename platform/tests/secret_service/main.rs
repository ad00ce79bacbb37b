//! The Secret Service store against real services, and against one that
//! misbehaves.
//!
//! `VAULT_TEST_SECRET_SERVICE` names what answers on the session bus, which is
//! one of its own: `gnome-keyring`, `keepassxc` and `kwallet`, as
//! `tests/lanes/with-keyring` and its like make it, or `nobody` for a bus where
//! the tests put a service themselves (`tests/lanes/with-bus`). Lanes `keyring`,
//! `keepassxc` and `kwallet` of `tests/run`.
//!
//! The test of the real services goes through its parts in order: they lock,
//! kill and restart the one service that they share.

#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secret_service::EncryptionType;
use secret_service::blocking::SecretService;
use vault_platform::store::{
    self, Interaction, ItemName, SecretStore, StoreErrorKind, StoreKind, StoreOptions, StoreWorker,
};

#[path = "../common/contract/mod.rs"]
mod contract;
mod fake;
mod misbehaving;
mod session;
mod stress;

use contract::{Subject, item};
use session::{Service, daemon, lock_keyring, say, secret_tool, signal};

const APPLICATION: &str = "vault.test.secret-service";

/// KeePassXC 2.7.4 dies (a segmentation fault) when several clients delete an
/// item at once. Ours write under the profile's lock, one after the other.
const DEADLY_TO_KEEPASSXC: [&str; 3] = [
    "writers_at_once_leave_one_of_their_values",
    "sets_and_deletes_at_once_leave_one_value_or_none",
    "processes_that_write_at_once_leave_one_value",
];

fn open(state_root: &Path) -> Arc<dyn SecretStore> {
    let options = StoreOptions {
        state_root: Some(state_root.to_owned()),
        ..StoreOptions::default()
    };
    store::open(StoreKind::SecretService, &options).expect("opens")
}

#[test]
fn the_store_works_with_a_real_service() {
    let Some(service) = Service::of_this_session().filter(|service| *service != Service::Nobody)
    else {
        say("skipped: it is for `tests/run keyring keepassxc kwallet`");
        return;
    };
    // A daemon may go to the background before it has its name; a call now would
    // make the bus start a second one, which is locked.
    while daemon().is_none() {
        std::thread::yield_now();
    }
    let place = tempfile::tempdir().expect("a temporary folder");
    let root = place.path().join("state");

    contract::is_kept(Subject {
        name: service.name(),
        except: match service {
            Service::KeePassXc => &DEADLY_TO_KEEPASSXC,
            _ => &[],
        },
        any_bytes: false,
        // Not KeePassXC 2.7.4: what is no text, as in these cases, it keeps in an
        // attachment, and after a restart it was seen to give out another item's.
        spoil: (service != Service::KeePassXc)
            .then_some(|_, item, bytes| another_program_writes(item, bytes)),
        ..Subject::new(StoreKind::SecretService)
    });
    the_provider_is_named(service, &root);
    items_are_found_by_secret_tool(&root);
    duplicates_are_all_read_and_a_set_leaves_one(&root);
    a_secret_that_is_not_one_line_is_refused(&root);
    stress::simultaneous_readers_leave_the_daemon_alive(service, &root);
    a_service_that_does_not_answer_is_hung(&root);
    a_locked_keyring_is_locked_not_empty(service, &root);
    a_service_that_comes_back_is_reached_again(service, &root);
    a_service_that_comes_back_locked_is_locked_not_empty(service, &root);
}

/// Replaces an item's secret as any other program could: one that does not
/// encrypt, as KWallet goes on with another key in one of 170 sessions.
fn another_program_writes(item: &ItemName, bytes: &[u8]) {
    let service = SecretService::connect(EncryptionType::Plain).expect("connects");
    let attributes = HashMap::from([
        ("service", item.application()),
        ("username", item.account()),
    ]);
    let found = service.search_items(attributes).expect("answers");
    let [item] = &found.unlocked[..] else {
        panic!("one item");
    };
    item.set_secret(bytes, "application/octet-stream")
        .expect("stores");
}

/// Says why, to the test that started it.
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
        say(&format!("because: {}", error.source().expect("a cause")));
    }
}

/// Where the store is missing, it is for this reason.
fn is_missing(bus: &str, why: &str) {
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "child_without_a_bus", "--ignored"])
        .env("DBUS_SESSION_BUS_ADDRESS", bus)
        .output()
        .expect("starts");
    let said = String::from_utf8_lossy(&output.stdout);
    // A name that no test has would run none, and end well.
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    let said = String::from_utf8_lossy(&output.stderr);
    let reasons = said.matches(&format!("because: {why}")).count();
    assert_eq!(reasons, 3, "{said}");
}

#[test]
fn without_a_session_bus_the_store_is_missing() {
    is_missing("unix:path=/nonexistent/bus", "I/O error: No such file");
}

/// The first messages go out before the bus has said whom it takes.
#[test]
fn with_a_bus_that_takes_nobody_or_is_another_one_the_store_is_missing() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("bus");
    let address = format!("unix:path={}", path.display());
    let listener = UnixListener::bind(&path).expect("listens");
    let answer = Arc::new(Mutex::new("REJECTED EXTERNAL\r\n"));
    let answers = answer.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.expect("a client");
            let begun = client.read(&mut [0; 4096]).expect("reads");
            let answer = *answers.lock().expect("not poisoned");
            client.write_all(answer.as_bytes()).expect("answers");
            assert!(begun > 0);
        }
    });
    is_missing(
        &address,
        "D-Bus handshake failed: the session bus does not take this user",
    );
    *answer.lock().expect("not poisoned") = "OK 0123456789abcdef0123456789abcdef\r\n";
    is_missing(
        &format!("{address},guid=00000000000000000000000000000000"),
        "D-Bus handshake failed: another bus listens there than the address names",
    );
}

fn the_provider_is_named(service: Service, root: &Path) {
    let store = open(root);
    assert_eq!(store.provider(), "org.freedesktop.secrets");
    store.unlock(Interaction::Forbidden).expect("unlocked");
    let named = format!("org.freedesktop.secrets ({})", service.program());
    assert_eq!(store.provider(), named);
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

fn a_service_that_does_not_answer_is_hung(root: &Path) {
    let options = || StoreOptions {
        state_root: Some(root.to_owned()),
        call_deadline: Duration::from_secs(2),
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

fn everything_is_locked(store: &dyn SecretStore, there: &ItemName) {
    let absent = item(APPLICATION, "absent");
    for error in [
        store.get(there).expect_err("locked"),
        store.get(&absent).expect_err("locked"),
        store.list(APPLICATION).expect_err("locked"),
        store.set(there, &b"x".to_vec().into()).expect_err("locked"),
        store
            .set(&absent, &b"x".to_vec().into())
            .expect_err("locked"),
        store.delete(there).expect_err("locked"),
        store.unlock(Interaction::Forbidden).expect_err("locked"),
    ] {
        assert_eq!(error.kind, StoreErrorKind::Locked, "{}", error.operation);
    }
}

fn a_locked_keyring_is_locked_not_empty(service: Service, root: &Path) {
    let store = open(root);
    let there = item(APPLICATION, "locked-later");
    store
        .set(&there, &b"token".to_vec().into())
        .expect("stores");
    service.await_saved();
    lock_keyring(service);
    everything_is_locked(&*store, &there);
    everything_is_locked(&*open(root), &there);
    service.restart();
    let store = open(root);
    assert_eq!(store.get(&there).expect("reads")[0].expose(), b"token");
    store.delete(&there).expect("deletes");
}

/// Killed, not asked to go: as after a crash.
fn a_service_that_comes_back_is_reached_again(service: Service, root: &Path) {
    let worker = StoreWorker::new(open(root));
    let kept = item(APPLICATION, "kept");
    let deadline = Duration::from_secs(60);
    let written = kept.clone();
    worker
        .call_within(deadline, "set", move |store| {
            store.set(&written, &b"token".to_vec().into())
        })
        .expect("stores");
    service.await_saved();
    let before = daemon();
    service.kill();
    service.start();
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

/// What the bus starts by itself when the service has died is locked.
fn a_service_that_comes_back_locked_is_locked_not_empty(service: Service, root: &Path) {
    let store = open(root);
    let there = item(APPLICATION, "still-there");
    store
        .set(&there, &b"token".to_vec().into())
        .expect("stores");
    service.await_saved();
    let before = daemon();
    service.kill();
    if service.is_scripted() {
        service.start_locked();
    }
    // gnome-keyring: started by this very call.
    everything_is_locked(&*store, &there);
    assert_ne!(daemon(), before);
    everything_is_locked(&*open(root), &there);
    service.restart();
    assert_eq!(store.get(&there).expect("reads")[0].expose(), b"token");
    store.delete(&there).expect("deletes");
}
