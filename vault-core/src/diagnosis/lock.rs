//! Check 2: the refresh lock keeps a second holder out, on this very file
//! system.

use std::time::Duration;

use vault_platform::folder::StateFolder;
use vault_platform::lock::{LockError, LockFile};

use super::{Code, Report, folder};
use crate::error::Error;

/// Shorter than a refresh takes, long enough for one that is about to end.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn examine(folder: Option<&StateFolder>, report: &mut Report) {
    let Some(folder) = folder else {
        report.skipped(Code::Lock, "no folder to lock in");
        return;
    };
    let lock = LockFile::new(folder, "lock");
    for _ in 0..TRIES {
        let held = match lock.try_lock() {
            Ok(Some(held)) => held,
            Ok(None) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return failed(error, report),
        };
        // It has to keep out whoever comes by another handle, too.
        let second = lock.try_lock();
        drop(held);
        match second {
            Ok(None) => report.found(Code::Lock, "taken, kept a second holder out, released"),
            Ok(Some(_)) => report.found(
                Code::LockUseless,
                "the file system gave the same lock twice",
            ),
            Err(error) => failed(error, report),
        }
        return;
    }
    let path = folder.path().map(|path| path.join("lock"));
    let message = "another process holds it, as one does while it refreshes";
    report.found_at(Code::LockHeld, path, message);
}

fn failed(error: LockError, report: &mut Report) {
    let error = match error {
        LockError::Folder(error) => {
            let error = Error::from(error);
            report.failed(folder::code(&error), &error);
            return;
        }
        error => Error::from(error),
    };
    report.failed(Code::LockUseless, &error);
}
