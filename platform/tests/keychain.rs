//! The keychain store against a real keychain of macOS.
//!
//! Runs where `VAULT_TEST_KEYCHAIN=1` is set, with a default keychain that may be
//! written to and locked: `tests/lanes/with-keychain` brings one. Its one test
//! goes through its parts in order, for they share that keychain.

#![cfg(target_os = "macos")]

use std::io::Write;
use std::process::Command;
use std::sync::Arc;

use vault_platform::store::{
    self, Interaction, SecretStore, StoreErrorKind, StoreKind, StoreOptions,
};

#[path = "common/contract/mod.rs"]
mod contract;

use contract::{Subject, item};

const APPLICATION: &str = "vault.test.keychain";

#[expect(clippy::disallowed_methods, reason = "the test's own switch")]
fn is_wanted() -> bool {
    std::env::var("VAULT_TEST_KEYCHAIN").as_deref() == Ok("1")
}

fn open() -> Arc<dyn SecretStore> {
    store::open(StoreKind::Keychain, &StoreOptions::default()).expect("opens")
}

fn security(arguments: &[&str]) {
    let status = Command::new("security").args(arguments).status();
    assert!(status.expect("security runs").success(), "{arguments:?}");
}

#[test]
fn the_keychain_store_works_with_a_real_keychain() {
    if !is_wanted() {
        let said = b"\nskipped: it is for `tests/run keychain`\n";
        std::io::stderr().write_all(said).expect("standard error");
        return;
    }
    contract::is_kept(Subject::new(StoreKind::Keychain));
    a_locked_keychain_is_locked_and_not_absent();
}

fn a_locked_keychain_is_locked_and_not_absent() {
    let store = open();
    let work = item(APPLICATION, "work");
    store
        .set(&work, &b"kept".to_vec().into())
        .expect("stores while it is unlocked");
    security(&["lock-keychain"]);
    for result in [
        store.unlock(Interaction::Forbidden),
        store.get(&work).map(drop),
        store.set(&work, &b"lost".to_vec().into()),
    ] {
        let error = result.expect_err("locked");
        assert_eq!(error.kind, StoreErrorKind::Locked, "{error:?}");
        assert!(error.hint().is_some(), "{error:?}");
    }
    security(&["unlock-keychain", "-p", "pass"]);
    let found = store.get(&work).expect("answers");
    assert_eq!(found[0].expose(), b"kept");
    store.delete(&work).expect("deletes");
}
