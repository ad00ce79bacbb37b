//! The contract that every store keeps, run by those that need nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault_platform::store::{
    self, Interaction, ItemName, KeySource, SecretStore, StoreErrorKind, StoreKind, StoreOptions,
    create_key_file,
};

#[path = "common/contract/mod.rs"]
mod contract;

use contract::{Subject, item};

fn key_file(place: &Path) -> PathBuf {
    let path = place.join("key");
    create_key_file(&path).expect("a new key file");
    path
}

fn encrypted_file(place: &Path, key: Option<KeySource>) -> Arc<dyn SecretStore> {
    let options = StoreOptions {
        state_root: Some(place.join("state")),
        key,
        ..StoreOptions::default()
    };
    store::open(StoreKind::EncryptedFile, &options).expect("opens")
}

fn passphrase(text: &str) -> Option<KeySource> {
    Some(KeySource::Passphrase(text.to_owned().into()))
}

#[test]
fn the_memory_store_keeps_the_contract() {
    contract::is_kept(Subject::new(StoreKind::Memory));
}

#[cfg(target_os = "linux")]
#[test]
fn the_keyutils_store_keeps_the_contract() {
    contract::is_kept(Subject {
        // A container may forbid key rings.
        may_be_missing: true,
        ..Subject::new(StoreKind::Keyutils)
    });
}

#[cfg(windows)]
#[test]
fn the_credential_manager_keeps_the_contract() {
    contract::is_kept(Subject::new(StoreKind::CredentialManager));
}

#[test]
fn the_encrypted_file_store_with_a_key_file_keeps_the_contract() {
    contract::is_kept(Subject {
        name: "encrypted-file (key file)",
        prepare: |place| drop(key_file(place)),
        ..encrypted_files()
    });
}

#[test]
fn the_encrypted_file_store_with_a_passphrase_keeps_the_contract() {
    contract::is_kept(Subject {
        name: "encrypted-file (passphrase)",
        prepare: |place| {
            // A private file, and the passphrase in it.
            let path = key_file(place);
            std::fs::write(&path, "correct horse\n").expect("writes");
            std::fs::rename(path, place.join("passphrase")).expect("renames");
        },
        ..encrypted_files()
    });
}

fn encrypted_files() -> Subject {
    Subject {
        locked: Some(|place| encrypted_file(place, None)),
        #[cfg(unix)]
        refused: Some(open_to_others),
        spoil: Some(|place, item, bytes| {
            std::fs::write(file_of(place, item), bytes).expect("writes")
        }),
        ..Subject::new(StoreKind::EncryptedFile)
    }
}

/// Finds the item's file, which is the one that a set replaces.
fn file_of(place: &Path, item: &ItemName) -> PathBuf {
    let folder = place.join("state").join(item.application()).join("items");
    let account = data_encoding::BASE32_DNSSEC.encode(item.account().as_bytes());
    let path = folder.join(account + ".item");
    assert!(path.exists());
    path
}

/// Gives the store a folder that others may write to.
#[cfg(unix)]
fn open_to_others(place: &Path) -> Arc<dyn SecretStore> {
    use std::os::unix::fs::PermissionsExt;

    let root = place.join("state");
    std::fs::create_dir(&root).expect("creates");
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o777)).expect("chmod");
    encrypted_file(place, Some(KeySource::KeyFile(place.join("key"))))
}

fn wrong_key(first: Option<KeySource>, second: Option<KeySource>, place: &Path) {
    let item = item("app", "account");
    encrypted_file(place, first)
        .set(&item, &b"secret".to_vec().into())
        .expect("stores");
    let other = encrypted_file(place, second);
    let read = other.get(&item).expect_err("another key");
    assert_eq!(read.kind, StoreErrorKind::WrongKey);
    let written = other
        .set(&item, &b"x".to_vec().into())
        .expect_err("another key");
    assert_eq!(written.kind, StoreErrorKind::WrongKey);
}

#[test]
fn another_key_or_passphrase_is_told_from_damage() {
    let place = || tempfile::tempdir().expect("a temporary folder");
    let (one, two, three, four) = (place(), place(), place(), place());
    let from_file = |place: &tempfile::TempDir| Some(KeySource::KeyFile(key_file(place.path())));
    let key = from_file(&one);
    wrong_key(key, from_file(&two), one.path());
    let key = from_file(&three);
    wrong_key(key, passphrase("a passphrase"), three.path());
    wrong_key(passphrase("right"), passphrase("wrong"), four.path());
}

#[test]
fn without_a_key_the_encrypted_file_store_is_locked_not_empty() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let item = item("app", "account");
    encrypted_file(place.path(), passphrase("right"))
        .set(&item, &b"secret".to_vec().into())
        .expect("stores");
    let locked = encrypted_file(place.path(), None);
    for error in [
        locked.get(&item).expect_err("locked"),
        locked
            .set(&item, &b"x".to_vec().into())
            .expect_err("locked"),
        locked.unlock(Interaction::Forbidden).expect_err("locked"),
    ] {
        assert_eq!(error.kind, StoreErrorKind::Locked);
    }
    assert_eq!(locked.list("app").expect("needs no key"), [item]);
}

#[test]
fn damaged_and_swapped_items_are_corrupted() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let key = key_file(place.path());
    let store = encrypted_file(place.path(), Some(KeySource::KeyFile(key)));
    let (one, two) = (item("app", "one"), item("app", "two"));
    store.set(&one, &b"first".to_vec().into()).expect("stores");
    store.set(&two, &b"second".to_vec().into()).expect("stores");

    let items = place.path().join("state/app/items");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&items)
        .expect("lists")
        .map(|entry| entry.expect("lists").path())
        .filter(|path| path.extension().is_some_and(|end| end == "item"))
        .collect();
    files.sort();
    let [first, second] = &files[..] else {
        panic!("two files");
    };
    std::fs::copy(first, second).expect("copies");
    let kinds = [&one, &two].map(|item| store.get(item).map_err(|error| error.kind).err());
    assert!(
        kinds.contains(&Some(StoreErrorKind::Corrupted)),
        "{kinds:?}"
    );
    assert!(kinds.contains(&None), "{kinds:?}");

    let mut bytes = std::fs::read(first).expect("reads");
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(first, bytes).expect("writes");
    for item in [&one, &two] {
        let error = store.get(item).expect_err("damaged");
        assert_eq!(error.kind, StoreErrorKind::Corrupted);
        // A new login must succeed over it.
        store
            .set(item, &b"new".to_vec().into())
            .expect("overwrites");
        assert_eq!(store.get(item).expect("reads")[0].expose(), b"new");
    }
}

#[test]
fn nothing_of_a_secret_or_passphrase_is_on_disk() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let store = encrypted_file(place.path(), passphrase("canary-passphrase"));
    store
        .set(&item("app", "account"), &b"canary-secret".to_vec().into())
        .expect("stores");
    let items = place.path().join("state/app/items");
    for entry in std::fs::read_dir(items).expect("lists") {
        let bytes = std::fs::read(entry.expect("lists").path()).expect("reads");
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
    }
    assert!(!format!("{store:?}").contains("canary"));
}

#[test]
fn an_application_that_would_leave_the_folder_is_refused() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let store = encrypted_file(place.path(), passphrase("right"));
    for application in ["..", "../x", "a/b", "."] {
        let item = ItemName::new(application, "account").expect("printable");
        let error = store
            .set(&item, &b"x".to_vec().into())
            .expect_err("refused");
        assert_eq!(error.kind, StoreErrorKind::Refused, "{application}");
    }
    assert!(!place.path().join("x").exists());
}

#[cfg(unix)]
#[test]
fn a_state_folder_that_others_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let place = tempfile::tempdir().expect("a temporary folder");
    let root = place.path().join("state");
    std::fs::create_dir(&root).expect("creates");
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o777)).expect("chmod");
    let store = encrypted_file(place.path(), passphrase("right"));
    let error = store
        .set(&item("app", "account"), &b"x".to_vec().into())
        .expect_err("refused");
    assert_eq!(error.kind, StoreErrorKind::Refused);
    assert_eq!(std::fs::read_dir(&root).expect("lists").count(), 0);
}
