//! The encrypted-file store's key: changed, and remembered for a while.

use std::path::Path;

use vault_platform::sealed_file::{self, SealingKey};
use vault_platform::store::encrypted_file::{self, EncryptedFileStore};
use vault_platform::store::{
    ItemName, KeySource, PassphraseCost, SecretStore, StoreErrorKind, StoreOptions, create_key_file,
};

#[path = "common/other.rs"]
mod other;

use other::Other;

const CHEAP: PassphraseCost = PassphraseCost {
    memory_kib: 64,
    passes: 1,
    lanes: 1,
};

fn options(place: &Path, key: Option<KeySource>) -> StoreOptions {
    StoreOptions {
        state_root: Some(place.join("state")),
        key,
        passphrase_cost: CHEAP,
        ..StoreOptions::default()
    }
}

fn store(place: &Path, key: Option<KeySource>) -> EncryptedFileStore {
    EncryptedFileStore::new(&options(place, key)).expect("opens")
}

fn phrase(text: &str) -> KeySource {
    KeySource::Passphrase(text.to_owned().into())
}

fn item() -> ItemName {
    ItemName::new("app", "account").expect("valid")
}

fn read(place: &Path, key: KeySource) -> Result<Vec<u8>, StoreErrorKind> {
    match store(place, Some(key)).get(&item()) {
        Ok(found) => Ok(found[0].expose().to_vec()),
        Err(error) => Err(error.kind),
    }
}

fn place_with_an_item(key: KeySource) -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a temporary folder");
    store(place.path(), Some(key))
        .set(&item(), &b"secret".to_vec().into())
        .expect("stores");
    place
}

#[test]
fn after_a_change_the_new_passphrase_opens_and_the_old_one_does_not() {
    let place = place_with_an_item(phrase("old"));
    let path = place.path();
    let running = store(path, Some(phrase("old")));
    running.get(&item()).expect("opens");
    store(path, Some(phrase("old")))
        .change_key("app", &phrase("new"))
        .expect("changes");
    assert_eq!(read(path, phrase("new")), Ok(b"secret".to_vec()));
    assert_eq!(read(path, phrase("old")), Err(StoreErrorKind::WrongKey));
    // Who had it open goes on, and can be read by whoever knows the new one.
    running
        .set(&item(), &b"later".to_vec().into())
        .expect("goes on");
    assert_eq!(read(path, phrase("new")), Ok(b"later".to_vec()));
}

#[test]
fn a_passphrase_can_become_a_key_file_and_a_key_file_a_passphrase() {
    let place = place_with_an_item(phrase("words"));
    let path = place.path();
    let file = path.join("key");
    create_key_file(&file).expect("creates");
    let file = || KeySource::KeyFile(file.clone());
    store(path, Some(phrase("words")))
        .change_key("app", &file())
        .expect("changes");
    assert_eq!(read(path, file()), Ok(b"secret".to_vec()));
    assert_eq!(read(path, phrase("words")), Err(StoreErrorKind::WrongKey));
    store(path, Some(file()))
        .change_key("app", &phrase("words"))
        .expect("changes");
    assert_eq!(read(path, phrase("words")), Ok(b"secret".to_vec()));
    assert_eq!(read(path, file()), Err(StoreErrorKind::WrongKey));
}

#[test]
fn a_change_that_can_not_be_made_changes_nothing() {
    let place = place_with_an_item(phrase("right"));
    let path = place.path();
    let change = |key, application: &str, new| {
        let changed = store(path, key).change_key(application, &new);
        changed.expect_err("fails").kind
    };
    let new = || phrase("new");
    assert_eq!(
        change(Some(phrase("wrong")), "app", new()),
        StoreErrorKind::WrongKey
    );
    assert_eq!(change(None, "app", new()), StoreErrorKind::Locked);
    assert_eq!(
        change(Some(phrase("right")), "app", phrase("")),
        StoreErrorKind::WrongKey
    );
    assert_eq!(
        change(Some(phrase("right")), "other", new()),
        StoreErrorKind::Missing
    );
    let absent = KeySource::KeyFile(path.join("absent"));
    assert_eq!(
        change(Some(phrase("right")), "app", absent),
        StoreErrorKind::Missing
    );
    assert_eq!(read(path, phrase("right")), Ok(b"secret".to_vec()));
}

/// Writes what the first form of the store wrote: items that the key file's
/// own key seals.
fn first_form(place: &Path) -> KeySource {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let key = SealingKey::from_bytes([7; 32]);
    let file = place.join("key");
    create_key_file(&file).expect("creates");
    std::fs::write(&file, hex(key.expose())).expect("writes");
    let source = KeySource::KeyFile(file);
    // Makes the folders, as private as they have to be.
    store(place, Some(source.duplicate()))
        .set(&item(), &b"x".to_vec().into())
        .expect("stores");
    let items = place.join("state/app/items");
    let salt = hex(&[5; 16]);
    let check = sealed_file::keyed_fingerprint(&key, "store check", salt.as_bytes());
    let params = format!(
        r#"{{"version":1,"key":"key-file","salt":"{salt}","check":"{}"}}"#,
        hex(&check)
    );
    std::fs::write(items.join("params"), params).expect("writes");
    let header = br#"{"application":"app","account":"account"}"#;
    let sealed = sealed_file::seal(&key, header, b"of old");
    let name = data_encoding::BASE32_DNSSEC.encode(b"account") + ".item";
    std::fs::write(items.join(name), sealed).expect("writes");
    source
}

#[test]
fn a_store_of_the_first_form_is_read_and_its_key_can_be_changed() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path();
    let source = first_form(path);
    assert_eq!(read(path, source.duplicate()), Ok(b"of old".to_vec()));
    let other = path.join("other");
    create_key_file(&other).expect("creates");
    let other = KeySource::KeyFile(other);
    assert_eq!(read(path, other), Err(StoreErrorKind::WrongKey));
    store(path, Some(source.duplicate()))
        .change_key("app", &phrase("words"))
        .expect("changes");
    assert_eq!(read(path, phrase("words")), Ok(b"of old".to_vec()));
    assert_eq!(read(path, source), Err(StoreErrorKind::WrongKey));
}

#[test]
fn damaged_and_newer_params_are_corrupted_and_left_alone() {
    let place = place_with_an_item(phrase("right"));
    let path = place.path();
    let file = path.join("state/app/items/params");
    let good = std::fs::read_to_string(&file).expect("reads");
    let newer = good.replace("\"version\": 2", "\"version\": 9");
    let sealed = good.find("\"sealed\": \"").expect("a sealed key") + 60;
    let mut forged = good.clone().into_bytes();
    forged[sealed] = if forged[sealed] == b'0' { b'1' } else { b'0' };
    for bad in [
        b"".to_vec(),
        b"garbage".to_vec(),
        b"{\"version\":9}".to_vec(),
        newer.into_bytes(),
        forged,
    ] {
        std::fs::write(&file, &bad).expect("writes");
        assert_eq!(read(path, phrase("right")), Err(StoreErrorKind::Corrupted));
        let set = store(path, Some(phrase("right"))).set(&item(), &b"x".to_vec().into());
        assert_eq!(set.expect_err("fails").kind, StoreErrorKind::Corrupted);
        assert_eq!(std::fs::read(&file).expect("reads"), bad);
    }
    std::fs::write(&file, good).expect("writes");
    assert_eq!(read(path, phrase("right")), Ok(b"secret".to_vec()));
}

#[test]
#[ignore = "a child process of another test"]
fn child_changes() {
    let mut orders = other::orders();
    let place = orders.next().expect("a folder");
    let turns = ["a", "b"];
    let first = usize::from(read(place.as_ref(), phrase("a")).is_err());
    other::answer("begins");
    for turn in first.. {
        let (old, new) = (turns[turn % 2], turns[(turn + 1) % 2]);
        store(place.as_ref(), Some(phrase(old)))
            .change_key("app", &phrase(new))
            .expect("changes");
        other::answer("changed");
    }
}

#[test]
fn a_kill_in_a_change_leaves_the_old_passphrase_or_the_new_one() {
    let place = place_with_an_item(phrase("a"));
    let path = place.path();
    for round in 0..20 {
        let mut child = Other::start("child_changes", &[path.to_str().expect("utf-8")]);
        while child.answer() != "begins" {}
        // The kill falls into the next change, somewhere.
        (0..round % 4).for_each(|_| drop(child.answer()));
        (0..round * 3_000).for_each(|_| std::hint::spin_loop());
        child.kill();
        let found = ["a", "b"].map(|text| read(path, phrase(text)));
        let right = found.iter().filter(|read| **read == Ok(b"secret".to_vec()));
        assert_eq!(right.count(), 1, "{found:?}");
        assert!(found.contains(&Err(StoreErrorKind::WrongKey)), "{found:?}");
    }
    // Nothing that a killed process held keeps the next from changing.
    let mut child = Other::start("child_changes", &[path.to_str().expect("utf-8")]);
    child.ask("");
    while child.answer() != "changed" {}
}

/// The names of all files of the application's items, temporary ones included.
fn files(place: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(place.join("state/app/items"))
        .expect("lists")
        .map(|entry| entry.expect("lists").file_name())
        .map(|name| name.into_string().expect("utf-8"))
        .collect();
    names.sort_unstable();
    names
}

fn name_of_the_item() -> String {
    data_encoding::BASE32_DNSSEC.encode(b"account") + ".item"
}

#[test]
fn a_change_leaves_no_file_that_the_old_passphrase_opens() {
    let place = place_with_an_item(phrase("old"));
    let path = place.path();
    let items = path.join("state/app/items");
    // What a first use leaves that is killed between its link and its unlink.
    std::fs::hard_link(items.join("params"), items.join(".tmp-left")).expect("links");
    let change = |key, new| store(path, Some(phrase(key))).change_key("app", &phrase(new));
    change("wrong", "new").expect_err("can't be made");
    assert!(items.join(".tmp-left").exists(), "it changes nothing");
    change("old", "new").expect("changes");
    let left = [name_of_the_item(), "params".into(), "params.lock".into()];
    assert_eq!(files(path), left);
    assert_eq!(read(path, phrase("new")), Ok(b"secret".to_vec()));
}

#[test]
fn a_deleted_item_is_not_left_in_a_temporary_file() {
    let place = place_with_an_item(phrase("words"));
    let items = place.path().join("state/app/items");
    // What a `set` leaves that is killed before its rename.
    std::fs::copy(items.join(name_of_the_item()), items.join(".tmp-left")).expect("copies");
    let store = store(place.path(), Some(phrase("words")));
    store.delete(&item()).expect("deletes");
    assert_eq!(files(place.path()), ["params"]);
}

/// The same with processes that are really killed, or live.
#[cfg(feature = "fault-points")]
mod killed {
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::sync::Arc;

    use vault_platform::fault::{self, Action};

    use super::*;

    #[test]
    #[ignore = "a child process of another test"]
    fn child_sets() {
        let mut orders = other::orders();
        let mut next = || orders.next().expect("an order");
        let (place, action, point) = (next(), next(), next());
        let store = store(place.as_ref(), Some(phrase("old")));
        let action = match &*action {
            "kill" => Action::Kill,
            "delete another" => Action::Run(Arc::new(move || {
                let another = ItemName::new("app", "another").expect("valid");
                let other = super::store(place.as_ref(), Some(phrase("old")));
                other.delete(&another).expect("deletes");
                assert_eq!(temporaries(place.as_ref()), 0, "swept");
            })),
            _ => panic!("{action}"),
        };
        fault::arm(&point, 1, action);
        store.set(&item(), &b"new".to_vec().into()).expect("stores");
    }

    /// Has another process do something at this point of a `set`; tells whether
    /// it ended well.
    fn set_with(place: &Path, action: &str, point: &str) -> bool {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "killed::child_sets", "--ignored"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let orders = format!("{}\n{action}\n{point}\n", place.display());
        let mut pipe = child.stdin.take().expect("piped");
        pipe.write_all(orders.as_bytes()).expect("takes orders");
        drop(pipe);
        child.wait().expect("ends").success()
    }

    fn kill_at(place: &Path, point: &str) {
        assert!(!set_with(place, "kill", point), "{point}");
        assert_eq!(temporaries(place), 1, "{point}");
    }

    fn temporaries(place: &Path) -> usize {
        let names = files(place);
        let temporary = names.iter().filter(|name| name.starts_with(".tmp-"));
        temporary.count()
    }

    #[test]
    fn a_change_leaves_nothing_of_a_first_use_that_was_killed() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path();
        kill_at(path, "file.params:linked");
        store(path, Some(phrase("old")))
            .change_key("app", &phrase("new"))
            .expect("changes");
        assert_eq!(files(path), ["params", "params.lock"]);
        store(path, Some(phrase("new")))
            .set(&item(), &b"secret".to_vec().into())
            .expect("opens");
    }

    #[test]
    fn a_delete_leaves_nothing_of_a_set_that_was_killed() {
        for point in ["temporary:fsynced", "file.item:fsynced"] {
            let place = place_with_an_item(phrase("old"));
            kill_at(place.path(), point);
            let store = store(place.path(), Some(phrase("old")));
            store.delete(&item()).expect("deletes");
            assert_eq!(files(place.path()), ["params"], "{point}");
        }
    }

    /// On Windows nobody sweeps what is open, so that there is nothing to see.
    #[cfg(unix)]
    #[test]
    fn a_set_that_lives_is_not_lost_to_a_delete() {
        let first = tempfile::tempdir().expect("a temporary folder");
        let second = place_with_an_item(phrase("old"));
        for (place, point) in [
            (&first, "temporary:fsynced"),
            (&second, "temporary:fsynced"),
            (&second, "file.item:fsynced"),
        ] {
            assert!(set_with(place.path(), "delete another", point), "{point}");
            assert_eq!(read(place.path(), phrase("old")), Ok(b"new".to_vec()));
            assert_eq!(files(place.path()), [&*name_of_the_item(), "params"]);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_remembered_key_is_not_derived_again_until_its_time_has_passed() {
    use std::time::Duration;

    let place = place_with_an_item(phrase("words"));
    let path = place.path();
    let forgetful = || options(path, None);
    assert!(!encrypted_file::is_remembered(&forgetful(), "app").expect("answers"));
    let locked = store(path, None).get(&item()).expect_err("locked");
    assert_eq!(locked.kind, StoreErrorKind::Locked);

    let remembering = |seconds| {
        EncryptedFileStore::new(&StoreOptions {
            remember: Some(Duration::from_secs(seconds)),
            ..options(path, Some(phrase("words")))
        })
    };
    // A kernel without key rings says so; there is nothing to be tested then.
    let first = match remembering(600) {
        Ok(first) => first,
        Err(missing) => return assert_eq!(missing.kind, StoreErrorKind::Missing),
    };
    first.get(&item()).expect("derives");
    assert!(encrypted_file::is_remembered(&forgetful(), "app").expect("answers"));
    // Who has no passphrase can't have derived anything.
    let second = store(path, None);
    assert_eq!(second.get(&item()).expect("reads")[0].expose(), b"secret");
    second
        .set(&item(), &b"new".to_vec().into())
        .expect("stores");
    // A change wants the old passphrase all the same, and ends the remembering.
    let change = store(path, None).change_key("app", &phrase("words"));
    assert_eq!(
        change.expect_err("no passphrase").kind,
        StoreErrorKind::Locked
    );
    store(path, Some(phrase("words")))
        .change_key("app", &phrase("words"))
        .expect("changes");
    assert!(!encrypted_file::is_remembered(&forgetful(), "app").expect("answers"));

    // Counted in whole seconds of the wall clock: two or three of them.
    remembering(3)
        .expect("opens")
        .get(&item())
        .expect("derives");
    assert_eq!(
        store(path, None).get(&item()).expect("reads")[0].expose(),
        b"new"
    );
    while encrypted_file::is_remembered(&forgetful(), "app").expect("answers") {
        std::thread::yield_now();
    }
    let locked = store(path, None).get(&item()).expect_err("asks again");
    assert_eq!(locked.kind, StoreErrorKind::Locked);
}

#[cfg(not(target_os = "linux"))]
#[test]
fn elsewhere_a_key_can_not_be_remembered() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let error = EncryptedFileStore::new(&StoreOptions {
        remember: Some(std::time::Duration::from_secs(60)),
        ..options(place.path(), Some(phrase("words")))
    })
    .expect_err("no kernel to remember it");
    assert_eq!(error.kind, StoreErrorKind::Missing);
    let remembered = encrypted_file::is_remembered(&options(place.path(), None), "app");
    assert!(!remembered.expect("answers"));
}

#[test]
fn a_new_passphrase_costs_what_the_standard_recommends() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let store = EncryptedFileStore::new(&StoreOptions {
        passphrase_cost: PassphraseCost::default(),
        ..options(place.path(), Some(phrase("words")))
    });
    store
        .expect("opens")
        .set(&item(), &b"x".to_vec().into())
        .expect("stores");
    let params = std::fs::read_to_string(place.path().join("state/app/items/params"));
    let params = params.expect("reads");
    for part in [
        "\"key\": \"argon2id\"",
        "\"memory_kib\": 65536",
        "\"passes\": 3",
    ] {
        assert!(params.contains(part), "{params}");
    }
}
