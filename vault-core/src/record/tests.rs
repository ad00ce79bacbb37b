//! What holds for every record, not for examples: it is read as it was
//! written, a part of it is nothing, and a newer version's is left alone.

use proptest::collection::vec;
use proptest::prelude::*;
use vault_platform::clock::{Clock, ManualClock};
use vault_platform::folder::StateFolder;
use vault_platform::store::StoreWorker;
use vault_platform::store::memory::MemoryStore;

use super::*;
use crate::storage::{Names, SealedReading, Storage};

fn key() -> KeyItem {
    KeyItem {
        key: SealingKey::from_bytes([7; 32]),
        key_id: KeyId([2; 16]),
        login: LoginId([1; 16]),
        issuer: "https://login.example".to_owned(),
        client_id: "app".to_owned(),
        folder: FolderId([3; 16]),
        path: None,
        credential: None,
        dpop: None,
    }
}

fn storage() -> Storage {
    let names = Names {
        application: "com.example.app".to_owned(),
        profile: "default".to_owned(),
    };
    let store = StoreWorker::new(std::sync::Arc::new(MemoryStore::new()));
    let folder = StateFolder::in_memory();
    Storage::open(names, folder, store, Duration::from_secs(1)).unwrap()
}

prop_compose! {
    fn record()(
        generation in any::<u64>(),
        token in ".{0,80}",
        account in proptest::option::of(".{0,40}"),
        scope in vec(".{0,12}", 0..4),
        access in vec((".{0,40}", any::<Option<u64>>(), any::<Option<i64>>(), vec(".{0,8}", 0..3)), 0..3),
        times in any::<(u64, u64)>(),
        nonce in proptest::option::of(".{0,20}"),
    ) -> LoginRecord {
        let mut now = ManualClock::new().now();
        now.since_boot = Duration::from_millis(times.0);
        now.wall = Duration::from_millis(times.1);
        let stamp = Stamp::from(&now);
        let first = first_version();
        let like = &first.access_tokens[0];
        let cached = access.into_iter().map(|(token, lifetime_ms, clock_offset_ms, scope)| CachedToken {
            key: CacheKey::new([], None, scope.clone()),
            token: AccessToken::new(token.into()),
            life: Life { since: stamp.clone(), lifetime_ms, clock_offset_ms },
            granted_scope: (!scope.is_empty()).then_some(scope),
            ..like.clone()
        });
        LoginRecord {
            generation: Generation(generation),
            refresh_token: RefreshToken::new(token.into()),
            access_tokens: cached.collect(),
            settings: LoginSettings { scope, account, ..first.settings.clone() },
            refreshed: stamp.clone(),
            dpop_nonce: nonce,
            ..first
        }
    }
}

/// What the first version wrote, of which all later ones read every field.
fn first_version() -> LoginRecord {
    LoginRecord::read(&bytes(crate::fuzzing::first_version_record())).unwrap()
}

fn bytes(text: &[u8]) -> SecretBytes {
    SecretBytes::from(text.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_login_is_read_as_it_was_written(record in record()) {
        let written = record.write();
        prop_assert!(written.expose().iter().all(|byte| matches!(byte, 0x20..=0x7e)));
        let read = LoginRecord::read(&written).unwrap();
        prop_assert!(read.write().same_as(&written));
        prop_assert_eq!(read.refresh_token.expose(), record.refresh_token.expose());
        prop_assert_eq!(&read.settings.account, &record.settings.account);

        let storage = storage();
        storage.write_sealed(&key(), &record).unwrap();
        let SealedReading::Present(read) = storage.sealed(&key()).unwrap() else {
            panic!("it is not read back");
        };
        prop_assert!(read.write().same_as(&written));
    }

    #[test]
    fn a_token_item_is_read_as_it_was_written(token in ".{0,200}", generation in any::<u64>(), login in any::<[u8; 16]>()) {
        let item = TokenItem {
            login: LoginId(login),
            generation: Generation(generation),
            refresh_token: RefreshToken::new(token.into()),
        };
        let read = TokenItem::read(&item.write()).unwrap();
        prop_assert_eq!(read.login, item.login);
        prop_assert_eq!(read.generation, item.generation);
        prop_assert_eq!(read.refresh_token.expose(), item.refresh_token.expose());
    }

    #[test]
    fn a_part_of_a_record_is_an_error(record in record(), cut in any::<prop::sample::Index>()) {
        let items = [record.write(), key().write(), TokenItem {
            login: LoginId([1; 16]),
            generation: record.generation,
            refresh_token: record.refresh_token.duplicate(),
        }.write()];
        let [login, key, token] = items.map(|item| {
            bytes(&item.expose()[..cut.index(item.len())])
        });
        let error = LoginRecord::read(&login).unwrap_err();
        prop_assert_eq!(error, UNREADABLE_FILE);
        prop_assert!(KeyItem::read(&key).is_err());
        prop_assert!(TokenItem::read(&token).is_err());
    }

    #[test]
    fn a_record_of_a_newer_version_says_so_and_is_never_taken_for_damage(
        version in 2..=u32::MAX,
        more in "[a-z]{1,8}",
        value in any::<i64>(),
    ) {
        let line = bytes(format!(r#"{{"x{more}":{value},"v":{version}}}"#).as_bytes());
        let errors = [
            TokenItem::read(&line).unwrap_err(),
            KeyItem::read(&line).map(drop).unwrap_err(),
            LoginRecord::read(&line).unwrap_err(),
            Mark::read(&line).unwrap_err(),
            FolderMark::read(&line).unwrap_err(),
            SealedHeader::read(line.expose()).unwrap_err(),
        ];
        for error in errors {
            let is_newer = matches!(error, RecordError::TooNew { version: found, .. } if found == version);
            prop_assert!(is_newer, "{}", error);
        }
        // Under the right key, too: an error, and not damage that is repaired.
        let storage = storage();
        let header = SealedHeader::new("com.example.app", "default", &key(), Generation(1)).write();
        let sealed = vault_platform::sealed_file::seal(&key().key, header.expose(), line.expose());
        let name = sealed_name(key().login);
        storage.folder.replace(&name, &sealed).unwrap();
        let is_foreign = matches!(storage.sealed(&key()).unwrap(), SealedReading::Foreign(_));
        prop_assert!(is_foreign);
        storage.folder.replace("mark", line.expose()).unwrap();
        storage.folder.replace("folder", line.expose()).unwrap();
        prop_assert!(storage.mark().is_err());
        let taken = storage.take_folder_over(&key());
        prop_assert!(taken.is_err());
        let kept = storage.folder.read("folder", 1 << 20).unwrap().unwrap();
        prop_assert!(kept.same_as(&line));
    }

    #[test]
    fn fields_that_are_not_known_yet_cost_nothing(record in record(), name in "later_[a-z]{1,8}") {
        for (written, is_read) in [
            (record.write(), (|line| LoginRecord::read(line).is_ok()) as fn(&SecretBytes) -> bool),
            (key().write(), |line| KeyItem::read(line).is_ok()),
        ] {
            let text = String::from_utf8(written.expose().to_vec()).unwrap();
            let line = text.replacen('{', &format!(r#"{{"{name}":[{{}},null],"#), 1);
            prop_assert!(is_read(&bytes(line.as_bytes())), "{line}");
        }
    }
}

/// As [`vault_platform::sealed_file`] promises it, seen from here: no change of
/// the file gives another login, or another token of this one.
#[test]
fn no_change_of_any_byte_of_a_sealed_file_is_read_as_a_login() {
    let record = first_version();
    let storage = storage();
    storage.write_sealed(&key(), &record).unwrap();
    let name = sealed_name(key().login);
    let good = storage.folder.read(&name, 1 << 20).unwrap().unwrap();
    let good = good.expose();
    let is_login = |file: &[u8]| {
        storage.folder.replace(&name, file).unwrap();
        matches!(storage.sealed(&key()).unwrap(), SealedReading::Present(_))
    };
    assert!(is_login(good));
    let mut file = good.to_vec();
    for at in 0..good.len() {
        for change in [1, 0x20, 0x80, 0xFF] {
            file[at] = good[at] ^ change;
            assert!(!is_login(&file), "byte {at} xor {change}");
        }
        file[at] = good[at];
        assert!(!is_login(&good[..at]), "cut after {at} bytes");
        let longer = [&good[..at], &[0], &good[at..]].concat();
        assert!(!is_login(&longer), "a byte more at {at}");
    }
    assert!(!is_login(&[good, &[0]].concat()));
    assert!(is_login(good));
}
