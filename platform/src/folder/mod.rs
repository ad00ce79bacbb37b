//! Private folders whose files are replaced atomically.
//!
//! A [`StateFolder`] is where processes share what they know. It promises:
//!
//! - it is its user's own: created 0700 (files 0600) whatever the umask;
//!   refused, not repaired, when somebody else owns it or may write to it;
//! - no symbolic link is followed at its end or within it;
//! - a reader sees a whole file, the old one or the new one, also after a
//!   crash: write to a temporary file, fsync, rename, fsync of the folder;
//! - [`StateFolder::prepare`] reserves the space *before* something is done
//!   that can't be undone, so that saving it then does not fail for space;
//! - it holds on to the folder it opened. When that folder is removed and made
//!   again, [`StateFolder::is_in_place`] says so and nothing is written to the
//!   wrong one;
//! - network file systems, which lose locks silently, are refused unless
//!   allowed ([`FolderOptions`]).
//!
//! [`StateFolder::in_memory`] behaves the same and touches no disk. What the
//! files mean, and who may write when, is left to the callers.
//!
//! On Windows there are no modes but access lists (`access_list.rs`): a folder
//! is made for the user and the system alone, what is made in it inherits that,
//! and one that others may read or write to is refused. There and on Apple's systems file names have
//! no case; the capitals in folders' names are written otherwise
//! (`caseless.rs`), and the files' names have none. Reserved space is
//! really reserved on file systems that overwrite in place; copy-on-write ones
//! (btrfs, ZFS, APFS) may still run out.

#[cfg(any(windows, test))]
mod access_list;
#[cfg(unix)]
#[path = "unix.rs"]
mod disk;
#[cfg(not(unix))]
#[path = "windows.rs"]
mod disk;
mod error;
mod memory;
#[cfg(unix)]
mod network;
mod prepared;
#[cfg(windows)]
mod sys;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroize;

use crate::caseless;
use crate::fault;
use crate::random;
use crate::secret::{SecretBuffer, SecretBytes};

pub(crate) use disk::DiskFolder;
use memory::MemoryFolder;

pub use error::{Exposure, FolderError};
pub(crate) use memory::Words;
pub use prepared::PreparedFile;

/// Begins the names of temporary files.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// How often a temporary file is made again that a sweep took away. Many items
/// that are deleted in a row are as many sweeps.
const SWEPT_TRIES: u32 = 64;

/// What a folder may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FolderOptions {
    /// Take a folder on a file system known to be remote. Locks there may
    /// exclude nobody.
    pub allow_network_file_system: bool,
}

/// A folder of the user's own; clones are the same folder.
#[derive(Debug, Clone)]
pub struct StateFolder(Backing);

#[derive(Debug, Clone)]
pub(crate) enum Backing {
    Disk(Arc<DiskFolder>),
    Memory(Arc<MemoryFolder>),
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    ReadWrite,
    /// For reading and writing; created when it is not there.
    ReadWriteCreate,
    /// For writing at the end; created when it is not there.
    Append,
    /// For writing; must not be there.
    CreateNew,
}

impl StateFolder {
    /// Opens a folder and creates it, with the folders above, if needed.
    ///
    /// # Errors
    ///
    /// Every [`FolderError`] that is about a folder.
    pub fn create(path: &Path, options: FolderOptions) -> Result<Self, FolderError> {
        let folder = DiskFolder::create(path, options)?;
        Ok(Self(Backing::Disk(Arc::new(folder))))
    }

    /// Opens a folder; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// Every [`FolderError`] that is about a folder.
    pub fn open(path: &Path, options: FolderOptions) -> Result<Option<Self>, FolderError> {
        let folder = DiskFolder::open(path, options)?;
        Ok(folder.map(|folder| Self(Backing::Disk(Arc::new(folder)))))
    }

    /// Tells where a folder lies, or would lie, that is made below `root` by
    /// [`StateFolder::create_child`] for one name after the other. Looks at no
    /// disk.
    ///
    /// # Errors
    ///
    /// [`FolderError::BadName`]; [`FolderError::Io`] and its like when `root` is
    /// no path.
    pub fn path_below(root: &Path, names: &[&str]) -> Result<PathBuf, FolderError> {
        for name in names {
            check_name(name)?;
        }
        Ok(below(disk::plain(root)?, names, caseless::FILE_SYSTEMS))
    }

    /// Makes a new, empty folder that is only in this process's memory.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(Backing::Memory(Arc::default()))
    }

    /// Tells where the folder is; `None` in memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Backing::Disk(folder) => Some(folder.path()),
            Backing::Memory(_) => None,
        }
    }

    /// Tells whether the path still leads to this very folder.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        match &self.0 {
            Backing::Disk(folder) => folder.is_in_place(),
            Backing::Memory(_) => true,
        }
    }

    /// Opens a folder in this folder and creates it if needed.
    ///
    /// # Errors
    ///
    /// Every [`FolderError`] that is about a folder.
    pub fn create_child(&self, name: &str) -> Result<Self, FolderError> {
        check_name(name)?;
        Ok(Self(match &self.0 {
            Backing::Disk(folder) => {
                let name = child_name(name, caseless::FILE_SYSTEMS);
                Backing::Disk(Arc::new(folder.create_child(&name)?))
            }
            Backing::Memory(folder) => Backing::Memory(folder.create_child(name)),
        }))
    }

    /// Opens a folder in this folder; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// Every [`FolderError`] that is about a folder.
    pub fn open_child(&self, name: &str) -> Result<Option<Self>, FolderError> {
        check_name(name)?;
        Ok(match &self.0 {
            Backing::Disk(folder) => folder
                .open_child(&child_name(name, caseless::FILE_SYSTEMS))?
                .map(|child| Self(Backing::Disk(Arc::new(child)))),
            Backing::Memory(folder) => folder.child(name).map(|child| Self(Backing::Memory(child))),
        })
    }

    /// Lists the folders in this folder, sorted.
    ///
    /// # Errors
    ///
    /// [`FolderError::Io`] and its like when listing fails.
    pub fn children(&self) -> Result<Vec<String>, FolderError> {
        match &self.0 {
            Backing::Disk(folder) => {
                let folders = folder.entries()?.into_iter().filter(|entry| entry.1);
                let mut names: Vec<String> = folders
                    .filter_map(|(folder, _)| name_of_child(folder, caseless::FILE_SYSTEMS))
                    .collect();
                names.sort_unstable();
                Ok(names)
            }
            Backing::Memory(folder) => Ok(folder.children()),
        }
    }

    /// Lists the files in this folder, sorted, without temporary ones and
    /// without names that are not Unicode.
    ///
    /// # Errors
    ///
    /// [`FolderError::Io`] and its like when listing fails.
    pub fn names(&self) -> Result<Vec<String>, FolderError> {
        match &self.0 {
            Backing::Disk(folder) => {
                let files = folder.entries()?.into_iter().filter(|entry| !entry.1);
                let mut names: Vec<String> = files
                    .map(|(name, _)| name)
                    .filter(|name| !name.starts_with(TEMPORARY))
                    .collect();
                names.sort_unstable();
                Ok(names)
            }
            Backing::Memory(folder) => Ok(folder.names()),
        }
    }

    /// Removes an empty folder in this folder; false when it was not there.
    ///
    /// # Errors
    ///
    /// [`FolderError::Io`] and its like, also when it is not empty.
    pub fn remove_child(&self, name: &str) -> Result<bool, FolderError> {
        check_name(name)?;
        match &self.0 {
            Backing::Disk(folder) => folder.remove_child(&child_name(name, caseless::FILE_SYSTEMS)),
            Backing::Memory(folder) => Ok(folder.remove_child(name)),
        }
    }

    /// Reads a whole file of at most `limit` bytes; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// [`FolderError::TooLarge`]; [`FolderError::Link`],
    /// [`FolderError::NotFile`], [`FolderError::NotOwner`],
    /// [`FolderError::NotPrivate`] when it is not the user's own regular file;
    /// [`FolderError::Io`] and its like.
    pub fn read(&self, name: &str, limit: usize) -> Result<Option<SecretBytes>, FolderError> {
        check_name(name)?;
        let folder = match &self.0 {
            Backing::Disk(folder) => folder,
            Backing::Memory(folder) => return folder.read(name, limit),
        };
        let Some(mut file) = folder.open_file(name, Access::Read)? else {
            return Ok(None);
        };
        let path = folder.path().join(name);
        let failed = |source| FolderError::from_io("read", &path, source);
        let expected = file.metadata().map_err(failed)?.len();
        let expected = usize::try_from(expected).unwrap_or(usize::MAX);
        // One byte more than the limit tells a file that is too long.
        let mut contents =
            SecretBuffer::with_capacity(limit.saturating_add(1), expected.saturating_add(1));
        let mut chunk = [0_u8; 4096];
        loop {
            let read = match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => &mut chunk[..length],
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            let pushed = contents.push(read);
            read.zeroize();
            if pushed.is_err() || contents.as_slice().len() > limit {
                return Err(FolderError::TooLarge { path, limit });
            }
        }
        Ok(Some(contents.finish()))
    }

    /// Replaces or creates a file, atomically and durably.
    ///
    /// # Errors
    ///
    /// [`FolderError::Full`], [`FolderError::Unwritable`], [`FolderError::Io`].
    pub fn replace(&self, name: &str, contents: &[u8]) -> Result<(), FolderError> {
        self.prepare(name, 0)?.commit(contents)
    }

    /// Reserves the space for a later replacement of a file.
    ///
    /// A temporary file of `size` random bytes is written and fsynced.
    ///
    /// # Errors
    ///
    /// [`FolderError::Full`], [`FolderError::Unwritable`], [`FolderError::Io`].
    pub fn prepare(&self, name: &str, size: usize) -> Result<PreparedFile, FolderError> {
        check_name(name)?;
        PreparedFile::new(self.0.clone(), name, size)
    }

    /// Creates a file with its contents at once, unless it is there.
    ///
    /// Returns false, and changes nothing, when it was there. Of several
    /// processes one creates it, and nobody sees it half written.
    ///
    /// # Errors
    ///
    /// [`FolderError::Full`], [`FolderError::Unwritable`], [`FolderError::Io`].
    pub fn create_new(&self, name: &str, contents: &[u8]) -> Result<bool, FolderError> {
        check_name(name)?;
        let folder = match &self.0 {
            Backing::Disk(folder) => folder,
            Backing::Memory(folder) => return Ok(folder.create_new(name, contents)),
        };
        let mut tries = 0;
        loop {
            let (temporary, file) = new_temporary(folder, contents)?;
            drop(file);
            let linked = folder.link_new(&temporary, name);
            fault::file_point(name, "linked");
            folder.unlink(&temporary)?;
            fault::file_point(name, "unlinked-temporary");
            match linked {
                // A sweep took the temporary file away.
                Err(error) if error.is_not_found() && tries < SWEPT_TRIES => tries += 1,
                Err(error) => return Err(error),
                Ok(created) => {
                    folder.sync()?;
                    fault::file_point(name, "durable");
                    return Ok(created);
                }
            }
        }
    }

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    ///
    /// [`FolderError::Unwritable`], [`FolderError::Io`].
    pub fn remove(&self, name: &str) -> Result<(), FolderError> {
        check_name(name)?;
        match &self.0 {
            Backing::Disk(folder) => {
                if folder.unlink(name)? {
                    fault::file_point(name, "removed");
                    folder.sync()?;
                    fault::file_point(name, "removed-durably");
                }
            }
            Backing::Memory(folder) => folder.remove(name),
        }
        Ok(())
    }

    /// Renames a damaged file out of the way and returns its new name.
    ///
    /// # Errors
    ///
    /// [`FolderError::Unwritable`], [`FolderError::Io`], also when the file is
    /// not there.
    pub fn set_aside(&self, name: &str) -> Result<String, FolderError> {
        check_name(name)?;
        let aside = format!("{name}.corrupt-{}", random_name());
        match &self.0 {
            Backing::Disk(folder) => {
                folder.rename(name, &aside)?;
                fault::file_point(name, "set-aside");
                folder.sync()?;
            }
            Backing::Memory(folder) => folder.rename(name, &aside)?,
        }
        Ok(aside)
    }

    /// Appends one line, by one write; the line end is added.
    ///
    /// Lines of several processes do not mix. The line is not fsynced.
    ///
    /// # Errors
    ///
    /// [`FolderError::Full`], [`FolderError::Unwritable`], [`FolderError::Io`].
    pub fn append(&self, name: &str, line: &[u8]) -> Result<(), FolderError> {
        check_name(name)?;
        let line = [line, b"\n"].concat();
        let folder = match &self.0 {
            Backing::Disk(folder) => folder,
            Backing::Memory(folder) => {
                folder.append(name, &line);
                return Ok(());
            }
        };
        let path = folder.path().join(name);
        let failed = |source| FolderError::from_io("append to", &path, source);
        let Some(mut file) = folder.open_file(name, Access::Append)? else {
            return Err(failed(std::io::ErrorKind::NotFound.into()));
        };
        let written = file.write(&line);
        fault::file_point(name, "appended");
        match written {
            Ok(written) if written == line.len() => Ok(()),
            // A short write to a file means that the space ran out.
            Ok(_) => Err(failed(std::io::ErrorKind::StorageFull.into())),
            Err(error) => Err(failed(error)),
        }
    }

    /// Removes the temporary files that dead processes left.
    ///
    /// A process that writes at this moment makes its temporary file again.
    /// Where there is a lock for the folder, the caller better holds it, so
    /// that nobody has to.
    ///
    /// # Errors
    ///
    /// [`FolderError::Unwritable`], [`FolderError::Io`].
    pub fn sweep_temporaries(&self) -> Result<(), FolderError> {
        let Backing::Disk(folder) = &self.0 else {
            return Ok(());
        };
        for (name, is_folder) in folder.entries()? {
            if !is_folder && name.starts_with(TEMPORARY) {
                folder.unlink_abandoned(&name)?;
            }
        }
        Ok(())
    }

    pub(crate) fn backing(&self) -> &Backing {
        &self.0
    }

    /// Where a file is or, in memory, would be: for errors.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        match &self.0 {
            Backing::Disk(folder) => folder.path().join(name),
            Backing::Memory(_) => Path::new("memory").join(name),
        }
    }
}

/// Refuses names that would leave the folder.
fn check_name(name: &str) -> Result<(), FolderError> {
    let reserved = matches!(name, "" | "." | "..");
    let separator = |c: char| matches!(c, '/' | '\\' | '\0');
    if reserved || name.contains(separator) || (cfg!(windows) && means_another(name)) {
        return Err(FolderError::BadName {
            name: name.to_owned(),
        });
    }
    Ok(())
}

/// Gives the name on disk of a folder in a folder.
fn child_name(name: &str, caseless: bool) -> Cow<'_, str> {
    if caseless {
        caseless::encode(name).into()
    } else {
        name.into()
    }
}

/// Gives the path on disk of a folder in folders.
fn below(root: PathBuf, names: &[&str], caseless: bool) -> PathBuf {
    let step = |path: PathBuf, name: &&str| path.join(&*child_name(name, caseless));
    names.iter().fold(root, step)
}

/// Gives the name of a folder that has this one on disk; `None` for a folder
/// that was not made here.
fn name_of_child(folder: String, caseless: bool) -> Option<String> {
    if caseless {
        caseless::decode(&folder)
    } else {
        Some(folder)
    }
}

/// Tells whether Windows takes a name for a device, a stream or a pattern, or
/// cuts it. Such a name is refused there, whatever the case of its letters.
#[must_use]
pub fn means_another(name: &str) -> bool {
    let device = name.split('.').next().unwrap_or_default().trim_end();
    let numbered = |prefix: &str| {
        let (head, digit) = device.split_at_checked(3).unwrap_or_default();
        head.eq_ignore_ascii_case(prefix) && matches!(digit.as_bytes(), [b'0'..=b'9'])
    };
    let is_device = ["CON", "PRN", "AUX", "NUL"]
        .iter()
        .any(|reserved| device.eq_ignore_ascii_case(reserved));
    is_device
        || numbered("COM")
        || numbered("LPT")
        || name.ends_with(['.', ' '])
        || name.contains(|c: char| c.is_control() || "<>:\"|?*".contains(c))
}

pub(crate) fn random_name() -> String {
    data_encoding::HEXLOWER.encode(&random::bytes::<8>())
}

/// Makes a file's contents durable.
fn sync_file(file: &File, path: &Path) -> std::io::Result<()> {
    if fault::is_injected(fault::SKIP_FILE_SYNC) {
        return Ok(());
    }
    file.sync_all()?;
    #[cfg(feature = "fault-points")]
    fault::file_event(fault::FileEvent::FileSynced(path));
    let _ = path;
    Ok(())
}

/// Makes a temporary file with its contents, fsynced.
fn new_temporary(folder: &DiskFolder, contents: &[u8]) -> Result<(String, File), FolderError> {
    let name = format!("{TEMPORARY}{}", random_name());
    let path = folder.path().join(&name);
    let failed = |source| FolderError::from_io("write", &path, source);
    let Some(mut file) = folder.open_file(&name, Access::CreateNew)? else {
        return Err(failed(std::io::ErrorKind::NotFound.into()));
    };
    fault::point("temporary:created");
    let written = file.write_all(contents).and_then(|()| {
        fault::point("temporary:written");
        sync_file(&file, &path)
    });
    fault::point("temporary:fsynced");
    if let Err(error) = written {
        drop(file);
        // The write's error is the one to tell; a sweep removes what is left.
        folder.unlink(&name).ok();
        return Err(failed(error));
    }
    Ok((name, file))
}
