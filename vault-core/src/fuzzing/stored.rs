//! What lies in the store and in the state folder, where a disk, a backup or
//! another program of the user may have written over it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use vault_platform::clock::{Clock, ManualClock};
use vault_platform::counters::{SharedWords, WORDS};
use vault_platform::folder::StateFolder;
use vault_platform::sealed_file::{self, SealingKey};
use vault_platform::secret::SecretBytes;
use vault_platform::store::StoreWorker;
use vault_platform::store::memory::MemoryStore;

use super::{assert_ascii_line, assert_clean, assert_hidden, assert_quiet, split_line};
use crate::display::{HistoryEntry, LoginState, ProfileSummary};
use crate::error::{Error, ErrorKind};
use crate::identity::{FolderId, Generation, KeyId, LoginId};
use crate::known_servers::KnownServers;
use crate::login::LoginRequest;
use crate::record::{
    FolderMark, KeyItem, LoginRecord, Mark, RecordError, SealedHeader, TokenItem, sealed_name,
};
use crate::refresh::protocol::Failure;
use crate::refresh::revocations::item::{Note, RevocationItem};
use crate::shared::refusals::Reason;
use crate::shared::{FILE, Shared};
use crate::storage::{Names, SealedReading, Storage};

/// Reads a record, and what was written of it again: the same comes out.
fn round_trip<T>(
    bytes: &[u8],
    read: impl Fn(&SecretBytes) -> Result<T, RecordError>,
    write: impl Fn(&T) -> SecretBytes,
) -> Option<T> {
    let version = serde_json::from_slice::<Value>(bytes).ok();
    let version = version.and_then(|value| value.get("v")?.as_u64());
    let record = match read(&SecretBytes::from(bytes.to_vec())) {
        Ok(record) => record,
        Err(error) => {
            assert_quiet(&Error::from(error));
            return None;
        }
    };
    assert!(version.is_none_or(|version| version <= 1));
    let written = write(&record);
    assert_ascii_line(&written);
    let again = read(&written).expect("what was written can be read");
    assert!(write(&again).same_as(&written));
    Some(record)
}

/// The item with the newest refresh token.
pub(super) fn token_item(bytes: &[u8]) {
    if let Some(item) = round_trip(bytes, TokenItem::read, TokenItem::write) {
        assert_hidden(&item, item.refresh_token.expose(), bytes);
    }
}

/// The item with the key of the sealed file.
pub(super) fn key_item(bytes: &[u8]) {
    let Some(item) = round_trip(bytes, KeyItem::read, KeyItem::write) else {
        return;
    };
    assert_hidden(&item, &item.issuer, bytes);
    for jkt in [None, Some("KEY")] {
        match item.dpop_key(jkt) {
            Ok(Some(key)) => assert!(jkt.is_none_or(|jkt| jkt == key.thumbprint())),
            // A bound login never goes on as one that is not.
            Ok(None) => assert!(jkt.is_none() && item.dpop.is_none()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::DpopKeyLost),
        }
    }
}

/// A revocation that waits, and the note beside it.
pub(super) fn revocation_item(bytes: &[u8]) {
    if let Some(item) = round_trip(bytes, RevocationItem::read, RevocationItem::write) {
        assert_hidden(&item, item.refresh_token.expose(), bytes);
        assert!(crate::http::is_secure(&item.endpoints.token_endpoint));
    }
    round_trip(bytes, Note::read, Note::write);
}

/// The small files: the mark of a refresh, and the folder's own record.
pub(super) fn marks(bytes: &[u8]) {
    round_trip(bytes, Mark::read, Mark::write);
    if let Some(mark) = round_trip(bytes, FolderMark::read, FolderMark::write) {
        let store = mark.store;
        let moved = mark.clone().moved_to(store);
        assert_eq!(moved.store, store);
        assert!(!moved.also.contains(&store));
    }
}

const LOGIN: LoginId = LoginId([1; 16]);

fn storage() -> Storage {
    let names = Names {
        application: "com.example.app".to_owned(),
        profile: "default".to_owned(),
    };
    let store = StoreWorker::new(Arc::new(MemoryStore::new()));
    let folder = StateFolder::in_memory();
    Storage::open(names, folder, store, Duration::from_secs(1)).expect("memory is there")
}

fn sealing_key() -> KeyItem {
    KeyItem {
        key: SealingKey::from_bytes([7; 32]),
        key_id: KeyId([2; 16]),
        login: LOGIN,
        issuer: super::answers::ISSUER.to_owned(),
        client_id: "app".to_owned(),
        folder: FolderId([3; 16]),
        path: None,
        credential: None,
        dpop: None,
    }
}

/// A login as the sealed file holds it, in the format's first version.
const RECORD: &[u8] =
    include_bytes!("../../../tests/fuzz/corpus/sealed_file/contents-first-version");

/// The login itself, without what the door wants to know.
pub(crate) fn first_version_record() -> &'static [u8] {
    RECORD.strip_prefix(b"contents\n").expect("its mode")
}

/// A sealed file. The first line says what the rest is: the whole `file`, the
/// `header` or the `contents` of one that is sealed with the right key, or
/// pairs of bytes that are each added to a place of a good file (`changes`).
pub(super) fn sealed_file(bytes: &[u8]) {
    let (mode, rest) = split_line(bytes);
    let key = sealing_key();
    let record = first_version_record();
    let storage = storage();
    let names = &storage.names;
    let good_header =
        SealedHeader::new(&names.application, &names.profile, &key, Generation(3)).write();
    let good = || sealed_file::seal(&key.key, good_header.expose(), record);
    let (file, may_open) = match mode {
        b"header" => (sealed_file::seal(&key.key, rest, record), true),
        b"contents" => {
            let file = sealed_file::seal(&key.key, good_header.expose(), rest);
            (file, true)
        }
        b"changes" => {
            let original = good();
            let mut file = original.clone();
            for change in rest.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % file.len();
                file[at] = file[at].wrapping_add(change[2]);
            }
            let is_same = file == original;
            (file, is_same)
        }
        // Nobody without the key makes a file that opens.
        _ => (rest.to_vec(), false),
    };
    let name = sealed_name(LOGIN);
    storage.folder.replace(&name, &file).expect("memory");
    match storage.sealed(&key).expect("memory can be read") {
        SealedReading::Present(found) => {
            assert!(may_open, "a changed file was opened");
            let written = found.write();
            assert_ascii_line(&written);
            let again = LoginRecord::read(&written).expect("what was written can be read");
            assert!(again.write().same_as(&written));
            if mode != b"contents" {
                assert_eq!(
                    found.refresh_token.expose(),
                    "fake-refresh-token-of-generation-3"
                );
            }
            assert_hidden(&found, found.refresh_token.expose(), rest);
            let now = ManualClock::new().now();
            for cached in &found.access_tokens {
                assert_hidden(&found, cached.token.expose(), rest);
                let left = cached.life.left(&now);
                assert!(left.is_none_or(|left| Some(left) <= cached.life.lifetime()));
                let _at = cached.life.ends_at_wall_ms();
            }
            let _clock = found.server_clock();
        }
        SealedReading::Absent => panic!("the file is there"),
        SealedReading::Unreadable => {}
        SealedReading::Foreign(error) => {
            assert!(matches!(
                error.kind(),
                ErrorKind::NewerVersion | ErrorKind::Corrupted
            ));
            assert_quiet(&error);
        }
    }
    // Looking changes nothing.
    let after = storage.folder.read(&name, file.len() + 1).expect("memory");
    assert_eq!(after.expect("the file is there").expose(), file);
}

/// The page of counters, as another process of the user may have left it.
pub(super) fn shared_counters(bytes: &[u8]) {
    let folder = StateFolder::in_memory();
    let words = SharedWords::open(&folder, FILE).expect("memory");
    for (at, word) in bytes.chunks_exact(8).take(WORDS).enumerate() {
        let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        words.word(at).store(word, Ordering::Release);
    }
    let shared = Shared::new(words);
    let now = ManualClock::new().now();
    let bounded = |pause: Duration| assert!(pause <= Duration::from_secs(600), "{pause:?}");
    if let Some((_, left)) = shared.backing_off(&now) {
        bounded(left);
    }
    let _why = (shared.failure(), shared.failed_since(shared.attempts()));
    shared.count_attempt();
    let described = shared.takes_description(&now);
    assert!(!described || !shared.takes_description(&now));
    for name in [1, u64::MAX] {
        if let Some((_, left)) = shared.refusal_of(name, &now) {
            bounded(left);
        }
        bounded(shared.share_refusal(name, Reason::Scope, None, &now));
        assert!(shared.refusal_of(name, &now).is_some());
        shared.forget_refusal(name);
        assert!(shared.refusal_of(name, &now).is_none());
    }
    bounded(shared.share_failure(Failure::ServerUnavailable, None, &now));
    assert!(shared.backing_off(&now).is_some());
    shared.share_success();
    assert!(shared.backing_off(&now).is_none());
    let before = shared.newest_login();
    shared.login_begins();
    shared.login_ended(true);
    assert_eq!(shared.login_since(before), Some(true));
    // Whatever stood there, a change that was ended is seen, and over.
    let before = shared.version();
    shared.begin_change();
    shared.end_change();
    let version = shared.version();
    assert!(
        version.is_some() && version != before,
        "{before:?} {version:?}"
    );
}

/// The display copy of a profile.
pub(super) fn profile_summary(bytes: &[u8]) {
    const FILE: &str = "profile.json";
    let folder = StateFolder::in_memory();
    folder.replace(FILE, bytes).expect("memory");
    let stored = || {
        let file = folder.read(FILE, 1 << 24).expect("memory");
        file.expect("the file is there").expose().to_vec()
    };
    match ProfileSummary::read(&folder) {
        Ok(Some(summary)) => {
            summary.write(&folder).expect("it can be written");
            assert_eq!(ProfileSummary::read(&folder).expect("reads"), Some(summary));
            let state = LoginState::LoggedOut;
            ProfileSummary::restate(&folder, state).expect("it can be written");
            let after = ProfileSummary::read(&folder).expect("reads");
            assert_eq!(after.expect("it is there").state, state);
        }
        Ok(None) => {
            ProfileSummary::restate(&folder, LoginState::LoginRequired).expect("nothing to do");
            assert_eq!(stored(), bytes);
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NewerVersion);
            assert_quiet(&error);
            ProfileSummary::restate(&folder, LoginState::LoggedOut).expect_err("too new");
            assert_eq!(stored(), bytes, "a newer version's file was written over");
        }
    }
}

/// The chain of rotations.
pub(super) fn history(bytes: &[u8]) {
    const FILE: &str = "history";
    let folder = StateFolder::in_memory();
    folder.replace(FILE, bytes).expect("memory");
    let before = HistoryEntry::read_all(&folder).expect("memory");
    for entry in &before {
        let line = serde_json::to_vec(entry).expect("it can be written");
        let again: HistoryEntry = serde_json::from_slice(&line).expect("it can be read back");
        assert_eq!(&again, entry);
    }
    let newest = Generation(7);
    HistoryEntry::complete(&folder, LOGIN, newest, 1).expect("memory");
    let after = HistoryEntry::read_all(&folder).expect("memory");
    // Nothing is lost, little is added, and the newest link is there.
    assert!(after.starts_with(&before));
    assert!(after.len() - before.len() <= 1001);
    let ours = after.iter().filter(|entry| entry.login == LOGIN);
    let newest_known = ours.filter(|entry| entry.is_link()).map(|e| e.generation);
    assert!(newest_known.max() >= Some(newest.0));
    HistoryEntry::complete(&folder, LOGIN, newest, 1).expect("memory");
    assert_eq!(HistoryEntry::read_all(&folder).expect("memory"), after);
}

/// A list of known servers.
pub(super) fn known_servers(bytes: &[u8]) {
    let list = match KnownServers::read(&String::from_utf8_lossy(bytes)) {
        Ok(list) => list,
        Err(error) => return assert_quiet(&error),
    };
    for server in list.iter() {
        let written = serde_json::to_string(server).expect("it can be written");
        let text = format!(r#"{{"v":1,"servers":[{written}]}}"#);
        let again = KnownServers::read(&text).expect("what was written can be read");
        assert!(again.iter().eq([server]));
        let request = LoginRequest::new("https://login.example", "app")
            .scope("openid offline_access")
            .parameter("own", "1");
        let adapted = server.adapt(&request);
        assert_eq!(adapted.issuer, request.issuer);
        assert_eq!(adapted.parameters[0], ("own".to_owned(), "1".to_owned()));
        if let Err(error) = adapted.own_parameters() {
            assert_clean(&error.to_string());
        }
    }
    let long = format!("https://{}.example/path", ["aaaaaaaa"; 20].join("."));
    for issuer in [
        "https://login.example",
        "https://a.b.c.example:1/d",
        &long,
        "",
    ] {
        let _found = list.find(issuer);
    }
}
