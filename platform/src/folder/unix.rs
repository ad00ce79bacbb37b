//! A folder on disk, where there are owners, modes and `openat`.
//!
//! Everything is done relative to the folder's descriptor, so that a path that
//! is changed meanwhile leads nowhere else.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Access, Exposure, FolderError, FolderOptions, network};
use crate::fault;

const FOLDER_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// What is said where a file can't have two names. Android forbids it to apps,
/// FAT has no place for it.
const NO_LINKS: [Errno; 6] = [
    Errno::ACCESS,
    Errno::PERM,
    Errno::NOTSUP,
    Errno::OPNOTSUPP,
    Errno::NOSYS,
    Errno::MLINK,
];

#[derive(Debug)]
pub(crate) struct DiskFolder {
    path: PathBuf,
    descriptor: OwnedFd,
    options: FolderOptions,
}

impl DiskFolder {
    pub(super) fn create(path: &Path, options: FolderOptions) -> Result<Self, FolderError> {
        let path = plain(path)?;
        make(&path).map_err(|error| FolderError::from_io("create", &path, error.into()))?;
        match Self::open_at(CWD.as_fd(), &path, path.clone(), options)? {
            Some(folder) => Ok(folder),
            None => Err(gone("open", &path)),
        }
    }

    pub(super) fn open(path: &Path, options: FolderOptions) -> Result<Option<Self>, FolderError> {
        let path = plain(path)?;
        Self::open_at(CWD.as_fd(), &path, path.clone(), options)
    }

    pub(super) fn create_child(&self, name: &str) -> Result<Self, FolderError> {
        let path = self.path.join(name);
        match rustix::fs::mkdirat(&self.descriptor, name, FOLDER_MODE) {
            Ok(()) => {
                // The umask may have taken bits away; nobody else can have put
                // something else here, in a folder that only we write to.
                rustix::fs::chmodat(&self.descriptor, name, FOLDER_MODE, AtFlags::empty())
                    .map_err(|error| FolderError::from_io("create", &path, error.into()))?;
                self.sync()?;
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(FolderError::from_io("create", &path, error.into())),
        }
        match self.open_child(name)? {
            Some(folder) => Ok(folder),
            None => Err(gone("open", &path)),
        }
    }

    pub(super) fn open_child(&self, name: &str) -> Result<Option<Self>, FolderError> {
        let path = self.path.join(name);
        Self::open_at(self.descriptor.as_fd(), Path::new(name), path, self.options)
    }

    pub(super) fn remove_child(&self, name: &str) -> Result<bool, FolderError> {
        match rustix::fs::unlinkat(&self.descriptor, name, AtFlags::REMOVEDIR) {
            Ok(()) => self.sync().map(|()| true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    fn open_at(
        parent: rustix::fd::BorrowedFd<'_>,
        name: &Path,
        path: PathBuf,
        options: FolderOptions,
    ) -> Result<Option<Self>, FolderError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
            Ok(descriptor) => descriptor,
            Err(Errno::NOENT) => return Ok(None),
            // A link that isn't followed is "not a directory" to Linux and a
            // "loop" to others.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
                return Err(if stat.is_ok_and(|stat| kind(&stat).is_symlink()) {
                    FolderError::Link { path }
                } else {
                    FolderError::NotFolder { path }
                });
            }
            Err(error) => return Err(FolderError::from_io("open", &path, error.into())),
        };
        let stat = rustix::fs::fstat(&descriptor)
            .map_err(|error| FolderError::from_io("open", &path, error.into()))?;
        check_private(&stat, &path)?;
        if !options.allow_network_file_system
            && let Some(file_system) = network::remote_file_system(&descriptor, &stat)
        {
            return Err(FolderError::NetworkFileSystem { path, file_system });
        }
        Ok(Some(Self {
            path,
            descriptor,
            options,
        }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A path to something in this very folder, however long the folder's own is
    /// and wherever it leads by now.
    #[cfg(target_os = "linux")]
    pub(crate) fn by_descriptor(&self, name: &str) -> PathBuf {
        let folder = std::os::fd::AsRawFd::as_raw_fd(&self.descriptor);
        format!("/proc/self/fd/{folder}/{name}").into()
    }

    pub(super) fn is_in_place(&self) -> bool {
        let there = rustix::fs::statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW);
        let here = rustix::fs::fstat(&self.descriptor);
        matches!((there, here), (Ok(there), Ok(here)) if same(&there, &here))
    }

    /// Opens a regular file of the user's own; `None` when it is not there.
    pub(crate) fn open_file(
        &self,
        name: &str,
        access: Access,
    ) -> Result<Option<File>, FolderError> {
        // NONBLOCK: opening a pipe that somebody put here must not hang.
        let common = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
            Access::ReadWriteCreate => OFlags::RDWR | OFlags::CREATE,
            Access::Append => OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE,
            Access::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        let path = self.path.join(name);
        let opened = rustix::fs::openat(&self.descriptor, name, flags | common, FILE_MODE);
        let descriptor = match opened {
            Ok(descriptor) => descriptor,
            Err(Errno::NOENT) if !flags.contains(OFlags::CREATE) => return Ok(None),
            Err(Errno::LOOP | Errno::MLINK) => return Err(FolderError::Link { path }),
            Err(Errno::ISDIR | Errno::NXIO) => return Err(FolderError::NotFile { path }),
            Err(error) => return Err(self.failed("open", name, error)),
        };
        let stat = rustix::fs::fstat(&descriptor).map_err(|e| self.failed("open", name, e))?;
        if !kind(&stat).is_file() {
            return Err(FolderError::NotFile { path });
        }
        check_private(&stat, &path)?;
        if flags.contains(OFlags::CREATE) && !mode(&stat).contains(FILE_MODE) {
            // The umask took the owner's own bits away.
            rustix::fs::fchmod(&descriptor, FILE_MODE)
                .map_err(|error| self.failed("open", name, error))?;
        }
        #[cfg(feature = "fault-points")]
        if access == Access::CreateNew {
            fault::file_event(fault::FileEvent::Created(&path));
        }
        Ok(Some(descriptor.into()))
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), FolderError> {
        rustix::fs::renameat(&self.descriptor, from, &self.descriptor, to)
            .map_err(|error| self.failed("rename to", to, error))
    }

    /// Gives a file a name that nothing has; false when it is taken. The old
    /// name stays where a file can have two.
    pub(super) fn link_new(&self, from: &str, to: &str) -> Result<bool, FolderError> {
        let folder = &self.descriptor;
        let linked = if fault::is_injected(fault::REFUSE_LINKS) {
            Err(Errno::PERM)
        } else {
            rustix::fs::linkat(folder, from, folder, to, AtFlags::empty())
        };
        let named = match linked {
            Err(error) if NO_LINKS.contains(&error) => move_new(folder, from, to, error),
            linked => linked,
        };
        match named {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(self.failed("create", to, error)),
        }
    }

    /// Removes a name; false when it was not there.
    pub(super) fn unlink(&self, name: &str) -> Result<bool, FolderError> {
        match rustix::fs::unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    /// Removes a file of a dead process. Whether it is dead can't be seen here;
    /// one that lives makes its file again.
    pub(super) fn unlink_abandoned(&self, name: &str) -> Result<bool, FolderError> {
        self.unlink(name)
    }

    /// Lists names, and whether each is a folder.
    pub(crate) fn entries(&self) -> Result<Vec<(String, bool)>, FolderError> {
        let failed = |error: Errno| FolderError::from_io("list", &self.path, error.into());
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.descriptor).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if matches!(name, "." | "..") {
                continue;
            }
            let is_folder = match entry.file_type() {
                FileType::Unknown => {
                    rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW)
                        .is_ok_and(|stat| kind(&stat).is_dir())
                }
                known => known.is_dir(),
            };
            entries.push((name.to_owned(), is_folder));
        }
        Ok(entries)
    }

    /// Makes the names durable.
    pub(super) fn sync(&self) -> Result<(), FolderError> {
        if fault::is_injected(fault::SKIP_FOLDER_SYNC) {
            return Ok(());
        }
        match rustix::fs::fsync(&self.descriptor) {
            // Some file systems can't sync a folder and need not.
            Ok(()) | Err(Errno::INVAL) => {
                #[cfg(feature = "fault-points")]
                fault::file_event(fault::FileEvent::FolderSynced(&self.path));
                Ok(())
            }
            Err(error) => Err(FolderError::from_io("sync", &self.path, error.into())),
        }
    }

    /// Tells whether the name still leads to the open file, and the path to
    /// this folder.
    pub(crate) fn is_same_file(&self, file: &File, name: &str) -> bool {
        let there = rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW);
        let here = rustix::fs::fstat(file);
        matches!((there, here), (Ok(there), Ok(here)) if same(&there, &here)) && self.is_in_place()
    }

    fn failed(&self, operation: &'static str, name: &str, error: Errno) -> FolderError {
        FolderError::from_io(operation, &self.path.join(name), error.into())
    }
}

/// Moves a file to a name that nothing has. `no_link` is why it was not linked.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn move_new(folder: &OwnedFd, from: &str, to: &str, no_link: Errno) -> Result<(), Errno> {
    let only_new = rustix::fs::RenameFlags::NOREPLACE;
    match rustix::fs::renameat_with(folder, from, folder, to, only_new) {
        // This can't be done here either.
        Err(error) if [Errno::NOSYS, Errno::INVAL, Errno::NOTSUP].contains(&error) => Err(no_link),
        moved => moved,
    }
}

/// Other systems have no move that leaves alone what is there.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn move_new(_folder: &OwnedFd, _from: &str, _to: &str, no_link: Errno) -> Result<(), Errno> {
    Err(no_link)
}

/// Makes the path absolute, without a slash at its end: with one, a link at
/// the end would be followed.
pub(super) fn plain(path: &Path) -> Result<PathBuf, FolderError> {
    let path =
        std::path::absolute(path).map_err(|error| FolderError::from_io("find", path, error))?;
    Ok(path.components().collect())
}

/// Makes a folder and those above it.
fn make(path: &Path) -> Result<(), Errno> {
    match make_one(path) {
        // Tried once more and no oftener: a link above may be there and lead
        // nowhere, and nothing can be made behind it.
        Err(Errno::NOENT) => {
            make(path.parent().ok_or(Errno::NOENT)?)?;
            make_one(path)
        }
        made => made,
    }
}

/// Makes a folder in one that is there.
fn make_one(path: &Path) -> Result<(), Errno> {
    match rustix::fs::mkdir(path, FOLDER_MODE) {
        Ok(()) => {
            // Only a strange umask takes the owner's own bits away. Otherwise nothing is
            // changed by its name: where others may write, the name may be a link by now.
            let made = rustix::fs::lstat(path)?;
            if !kind(&made).is_symlink() && mode(&made) != FOLDER_MODE {
                rustix::fs::chmod(path, FOLDER_MODE)?;
            }
            if let Some(parent) = path.parent() {
                // A folder above may be readable by nobody; then it is not
                // synced, and a power failure may take the new folder away.
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                if let Ok(parent) = rustix::fs::open(parent, flags, Mode::empty()) {
                    rustix::fs::fsync(&parent).ok();
                }
            }
            Ok(())
        }
        Err(Errno::EXIST) => Ok(()),
        // A read-only file system may say so before it looks.
        Err(_) if rustix::fs::lstat(path).is_ok() => Ok(()),
        Err(error) => Err(error),
    }
}

fn check_private(stat: &Stat, path: &Path) -> Result<(), FolderError> {
    let path = || path.to_owned();
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(FolderError::NotOwner { path: path() });
    }
    let mode = mode(stat);
    let why = if mode.contains(Mode::WOTH) {
        Exposure::OthersWrite
    } else if mode.contains(Mode::WGRP) {
        Exposure::GroupWrites
    } else {
        return Ok(());
    };
    Err(FolderError::NotPrivate { path: path(), why })
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode)
}

fn same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn gone(operation: &'static str, path: &Path) -> FolderError {
    FolderError::from_io(operation, path, io::ErrorKind::NotFound.into())
}
