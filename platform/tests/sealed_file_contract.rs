//! What sealed files promise, as cases that are counted: the bytes, and the
//! files that hold them while somebody reads, writes or dies.

#[path = "sealed_file_contract/bytes.rs"]
mod bytes;
#[path = "sealed_file_contract/files.rs"]
mod files;
#[path = "common/other.rs"]
mod other;
#[path = "common/suite.rs"]
mod suite;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use vault_platform::sealed_file::SealingKey;

/// The key of all cases that don't need two.
const KEY: [u8; 32] = [7; 32];

#[test]
fn sealed_files_keep_the_contract() {
    let bench = Bench {
        key: SealingKey::from_bytes(KEY),
        place: tempfile::tempdir().expect("a temporary folder"),
        folders: AtomicU32::new(0),
    };
    let cases = [bytes::CASES, files::CASES].concat();
    suite::run("sealed file", &cases, &bench, |_| ());
}

/// What the cases seal with, and where.
struct Bench {
    key: SealingKey,
    place: tempfile::TempDir,
    folders: AtomicU32,
}

impl Bench {
    /// Gives each case a folder of its own, not made yet.
    fn path(&self) -> PathBuf {
        let number = self.folders.fetch_add(1, Ordering::Relaxed);
        self.place.path().join(number.to_string())
    }
}
