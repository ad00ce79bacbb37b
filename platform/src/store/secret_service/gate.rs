//! One process at a time connects.
//!
//! gnome-keyring 42.1 aborts when several clients connect at once and
//! OpenSession is the first call on each connection, which is how the zbus
//! store connects. A lock file in the state root serialises that among our own
//! processes; a millisecond or a few for each.
//!
//! The gate is a courtesy, not a safety: when it can't be had for some seconds
//! (somebody hangs while holding it), or there is no state root, it is left
//! out.

use std::path::PathBuf;
use std::time::Duration;

use crate::folder::{FolderOptions, StateFolder};
use crate::lock::{LockFile, LockGuard};
use crate::random;

const NAME: &str = "secret-service.gate";

/// Tries of 1–8 ms each: about 3 seconds.
const TRIES: u32 = 650;

/// Passes the gate, which stays closed to others until the guard is dropped.
pub(super) fn pass(state_root: Option<&PathBuf>) -> Option<LockGuard> {
    // Whether the state root may be on a network file system is for those to
    // decide who keep something there.
    let options = FolderOptions {
        allow_network_file_system: true,
    };
    let folder = match StateFolder::create(state_root?, options) {
        Ok(folder) => folder,
        Err(error) => {
            tracing::debug!(%error, "no gate before the secret service");
            return None;
        }
    };
    let gate = LockFile::new(&folder, NAME);
    for _ in 0..TRIES {
        match gate.try_lock() {
            Ok(Some(guard)) => return Some(guard),
            Ok(None) => pause(),
            Err(error) => {
                tracing::debug!(%error, "no gate before the secret service");
                return None;
            }
        }
    }
    tracing::debug!("the gate before the secret service did not open");
    None
}

#[expect(
    clippy::disallowed_methods,
    reason = "the store has its own thread, and the wait is bounded"
)]
fn pause() {
    let [jitter] = random::bytes::<1>();
    let micros = 1000 + u64::from(jitter) * 7000 / 256;
    std::thread::sleep(Duration::from_micros(micros));
}
