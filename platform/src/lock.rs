//! A lock between processes.
//!
//! A kernel lock (`flock`, `LockFileEx`) on an empty file: it dies with its
//! process, whatever kills that. The file is opened for reading and writing
//! (NFSv4 wants that), holds nothing (on Windows nobody could read it while it
//! is locked), and is never deleted: whoever deletes a lock file lets two
//! processes lock two different files.
//!
//! There is no waiting in here. Who does not get the lock tries again, with
//! jitter, for as long as its caller wants to wait; a thread inside a blocking
//! lock could not be called back.
//!
//! After `fork` without `exec` the child's copy of a held lock is closed, and
//! the guard that the child inherited does nothing. (A fork in the instant
//! between opening and noting the file leaves the child a copy; it then holds
//! the lock only if its parent dies without unlocking.)
//!
//! fs2 is used in this file alone. Its methods are called by trait: since Rust
//! 1.89 `File` has methods of the same names.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fs2::FileExt;

use crate::exit::ForkMark;
use crate::fault;
use crate::folder::{Access, Backing, FolderError, StateFolder};

/// How often a lock file that was replaced is opened again.
const REPLACED_TRIES: u32 = 4;

/// Why there is no telling whether the lock is free.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The file system has no locks.
    #[error("the file system of {} has no file locks", path.display())]
    Unsupported {
        /// The lock file.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder was removed or replaced, or somebody keeps replacing the
    /// file. Open the folder again.
    #[error("{} was replaced", path.display())]
    Replaced {
        /// The lock file.
        path: std::path::PathBuf,
    },
    /// The lock file can't be opened.
    #[error("the lock file can't be opened")]
    Folder(#[from] FolderError),
    /// Locking failed.
    #[error("could not lock {}", path.display())]
    Io {
        /// The lock file.
        path: std::path::PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A lock, not held.
#[derive(Debug, Clone)]
pub struct LockFile {
    folder: StateFolder,
    name: String,
}

impl LockFile {
    /// Names the lock; touches nothing.
    #[must_use]
    pub fn new(folder: &StateFolder, name: &str) -> Self {
        Self {
            folder: folder.clone(),
            name: name.to_owned(),
        }
    }

    /// Takes the lock if it is free; `None` when somebody has it, be it this
    /// process. Never waits.
    ///
    /// # Errors
    ///
    /// [`LockError`]; nothing is locked then.
    pub fn try_lock(&self) -> Result<Option<LockGuard>, LockError> {
        let disk = match self.folder.backing() {
            Backing::Disk(disk) => disk,
            Backing::Memory(memory) => {
                let flag = memory.lock_flag(&self.name);
                let free = !flag.swap(true, Ordering::Acquire);
                return Ok(free.then(|| LockGuard {
                    lock: self.clone(),
                    held: Held::Flag(flag),
                }));
            }
        };
        let path = || self.folder.path_of(&self.name);
        for _ in 0..REPLACED_TRIES {
            let opened = match disk.open_file(&self.name, Access::ReadWriteCreate) {
                Err(error) if error.is_not_found() => {
                    return Err(LockError::Replaced { path: path() });
                }
                opened => opened?,
            };
            let Some(file) = opened else {
                return Err(LockError::Replaced { path: path() });
            };
            // Noted before it is locked: a fork in between would else leave
            // the child a copy of a lock that nobody closes.
            let held = HeldFile::new(file);
            match FileExt::try_lock_exclusive(held.file()) {
                Ok(()) => {}
                Err(_) if fault::is_injected(fault::SKIP_LOCK) => {}
                Err(error) if is_contended(&error) => return Ok(None),
                Err(source) if is_unsupported(&source) => {
                    return Err(LockError::Unsupported {
                        path: path(),
                        source,
                    });
                }
                Err(source) => {
                    return Err(LockError::Io {
                        path: path(),
                        source,
                    });
                }
            }
            fault::file_point(&self.name, "locked");
            let guard = LockGuard {
                lock: self.clone(),
                held: Held::File(held),
            };
            if guard.is_in_place() {
                return Ok(Some(guard));
            }
        }
        Err(LockError::Replaced { path: path() })
    }
}

/// The lock, held until this is dropped.
#[derive(Debug)]
#[must_use = "dropping the guard unlocks"]
pub struct LockGuard {
    lock: LockFile,
    held: Held,
}

#[derive(Debug)]
enum Held {
    File(HeldFile),
    Flag(Arc<AtomicBool>),
}

impl LockGuard {
    /// Tells whether the lock file's path still leads to the file that is
    /// locked. If it does not, somebody else may hold "the" lock as well.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        match (&self.held, self.lock.folder.backing()) {
            (Held::File(held), Backing::Disk(disk)) => {
                held.mark.is_here() && disk.is_same_file(held.file(), &self.lock.name)
            }
            _ => true,
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        match &self.held {
            Held::Flag(flag) => flag.store(false, Ordering::Release),
            Held::File(held) if held.mark.is_here() => {
                // Unlocked expressly, not by closing alone: a forked child may
                // have a copy that would keep the lock. If it fails, closing
                // still unlocks.
                fault::file_point(&self.lock.name, "unlocking");
                FileExt::unlock(held.file()).ok();
                fault::file_point(&self.lock.name, "unlocked");
            }
            Held::File(_) => {}
        }
    }
}

/// The open file, noted for forks.
#[derive(Debug)]
struct HeldFile {
    file: Option<File>,
    #[cfg(unix)]
    slot: Option<usize>,
    mark: ForkMark,
}

impl HeldFile {
    fn new(file: File) -> Self {
        Self {
            #[cfg(unix)]
            slot: crate::sys::remember_lock(std::os::fd::AsFd::as_fd(&file)),
            file: Some(file),
            mark: ForkMark::here(),
        }
    }

    fn file(&self) -> &File {
        self.file.as_ref().expect("taken out in drop only")
    }
}

impl Drop for HeldFile {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(slot) = self.slot {
            if !self.mark.is_here() {
                // A forked child: the descriptor was closed at the fork, and
                // its number may be another file's by now.
                std::mem::forget(self.file.take());
                return;
            }
            crate::sys::forget_lock(slot);
        }
    }
}

fn is_contended(error: &io::Error) -> bool {
    error.raw_os_error() == fs2::lock_contended_error().raw_os_error()
        || error.kind() == io::ErrorKind::WouldBlock
}

fn is_unsupported(error: &io::Error) -> bool {
    #[cfg(unix)]
    let unsupported = matches!(
        error.raw_os_error(),
        Some(libc::ENOLCK | libc::ENOSYS | libc::EOPNOTSUPP)
    );
    #[cfg(not(unix))]
    let unsupported = false;
    unsupported || error.kind() == io::ErrorKind::Unsupported
}
