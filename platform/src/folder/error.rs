//! What can be wrong with a folder.

use std::io;
use std::path::{Path, PathBuf};

/// What others may do with something that should be private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exposure {
    /// Its group may write.
    #[error("its group can write to it")]
    GroupWrites,
    /// Everybody may write.
    #[error("everybody can write to it")]
    OthersWrite,
    /// An account that is neither the user's nor the system's may write
    /// (Windows).
    #[error("another account can write to it")]
    AnotherWrites,
    /// Its group or everybody may read.
    #[error("others can read it")]
    OthersRead,
}

/// Why a folder or a file in it can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// Others may do more with it than is safe. Nothing was changed.
    #[error("{} is not private: {why}", path.display())]
    NotPrivate {
        /// The folder or file.
        path: PathBuf,
        /// What others may do.
        why: Exposure,
    },
    /// It belongs to another user.
    #[error("{} belongs to another user", path.display())]
    NotOwner {
        /// The folder or file.
        path: PathBuf,
    },
    /// It is a symbolic link; none are followed.
    #[error("{} is a link", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// It is something else than a folder.
    #[error("{} is not a folder", path.display())]
    NotFolder {
        /// What stands where the folder should be.
        path: PathBuf,
    },
    /// It is something else than a regular file.
    #[error("{} is not a regular file", path.display())]
    NotFile {
        /// What stands where the file should be.
        path: PathBuf,
    },
    /// It lies on a file system that may lose locks silently.
    #[error("{} is on a network file system ({file_system})", path.display())]
    NetworkFileSystem {
        /// The folder.
        path: PathBuf,
        /// The kind of file system, such as `nfs`.
        file_system: String,
    },
    /// Permissions or a read-only file system forbid it.
    #[error("{} can't be written to", path.display())]
    Unwritable {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk or the user's quota is full.
    #[error("no space left for {}", path.display())]
    Full {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is longer than the caller takes.
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The caller's limit in bytes.
        limit: usize,
    },
    /// The name would leave the folder or can't be a file's.
    #[error("{name:?} can't be a name in a folder")]
    BadName {
        /// The name.
        name: String,
    },
    /// Anything else.
    #[error("could not {operation} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl FolderError {
    /// Tells whether the disk or the quota is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Tells whether permissions or a read-only file system were the reason.
    #[must_use]
    pub fn is_unwritable(&self) -> bool {
        matches!(self, Self::Unwritable { .. })
    }

    /// Tells whether the folder itself is refused, whatever is done in it.
    #[must_use]
    pub fn is_refused_folder(&self) -> bool {
        matches!(
            self,
            Self::NotPrivate { .. }
                | Self::NotOwner { .. }
                | Self::Link { .. }
                | Self::NotFolder { .. }
                | Self::NetworkFileSystem { .. }
        )
    }

    /// Tells whether another program has the file open in a way that may pass
    /// (a virus scanner on Windows); trying again soon makes sense.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let (Self::Io { source, .. } | Self::Unwritable { source, .. }) = self else {
            return false;
        };
        is_in_use(source)
    }

    /// Tells whether the folder is gone from under its handle.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Sorts an error of the system.
    pub(crate) fn from_io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path, source }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Unwritable { path, source }
            }
            _ => Self::Io {
                operation,
                path,
                source,
            },
        }
    }
}

/// Whether another program has the file open in a way that may pass.
pub(super) fn is_in_use(error: &io::Error) -> bool {
    // ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION:
    // Windows answers all three for a file somebody else has open, and the
    // first also for one whose deletion waits for that.
    (cfg!(windows) && matches!(error.raw_os_error(), Some(5 | 32 | 33)))
        || error.kind() == io::ErrorKind::ResourceBusy
}
