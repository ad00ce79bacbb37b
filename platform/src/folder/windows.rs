//! A folder on disk, where there are access lists and no modes.
//!
//! A folder is made with a list of its own, for the user and the system; files
//! inherit it. What others may write to is refused, and a folder that they may
//! read, for then they may read its files. The lists of a share name accounts
//! of the server's: where shares are allowed, they are not judged. Files are
//! opened so that others may rename and delete them meanwhile, which is what
//! makes atomic replacement work. A program that opens them otherwise (a virus
//! scanner), and a system that does not replace open files at all (Windows
//! before 10), stand in the way for a moment: what they refuse is tried again
//! for seconds, and only then told, as [`FolderError::is_busy`].
//!
//! Names are looked up by path, so that before each change it is checked that
//! the path still leads to the folder that was opened.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf, Prefix};
use std::sync::OnceLock;
use std::time::Duration;

use super::error::is_in_use;
use super::{Access, Exposure, FolderError, FolderOptions, access_list};
use crate::{fault, random, sys};

/// How long a change is tried again that somebody's open file forbids.
const PATIENCE: Duration = Duration::from_secs(4);

/// The same for opening a file, which rarely has to wait.
const PATIENCE_TO_OPEN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct DiskFolder {
    path: PathBuf,
    handle: File,
    options: FolderOptions,
    is_remote: bool,
}

impl DiskFolder {
    pub(super) fn create(path: &Path, options: FolderOptions) -> Result<Self, FolderError> {
        let path = plain(path)?;
        // What stands there as something else is told as what it is.
        if let Some(folder) = Self::open_path(path.clone(), options)? {
            return Ok(folder);
        }
        me().and_then(|me| make(&path, &access_list::private(me)))
            .map_err(|error| FolderError::from_io("create", &path, error))?;
        match Self::open_path(path.clone(), options)? {
            Some(folder) => Ok(folder),
            None => Err(FolderError::from_io(
                "open",
                &path,
                io::ErrorKind::NotFound.into(),
            )),
        }
    }

    pub(super) fn open(path: &Path, options: FolderOptions) -> Result<Option<Self>, FolderError> {
        Self::open_path(plain(path)?, options)
    }

    pub(super) fn create_child(&self, name: &str) -> Result<Self, FolderError> {
        Self::create(&self.path.join(name), self.options)
    }

    pub(super) fn open_child(&self, name: &str) -> Result<Option<Self>, FolderError> {
        Self::open_path(self.path.join(name), self.options)
    }

    pub(super) fn remove_child(&self, name: &str) -> Result<bool, FolderError> {
        match std::fs::remove_dir(self.path.join(name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    fn open_path(path: PathBuf, options: FolderOptions) -> Result<Option<Self>, FolderError> {
        let metadata = match std::fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FolderError::from_io("open", &path, error)),
        };
        if metadata.is_symlink() {
            return Err(FolderError::Link { path });
        }
        if !metadata.is_dir() {
            return Err(FolderError::NotFolder { path });
        }
        let is_remote = is_remote(&path);
        if !options.allow_network_file_system && is_remote {
            return Err(FolderError::NetworkFileSystem {
                path,
                file_system: "network share".to_owned(),
            });
        }
        let handle =
            sys::open_folder(&path).map_err(|error| FolderError::from_io("open", &path, error))?;
        let folder = Self {
            path,
            handle,
            options,
            is_remote,
        };
        match folder.exposure(&folder.handle, &folder.path)? {
            Some(why) => Err(FolderError::NotPrivate {
                path: folder.path,
                why,
            }),
            None => Ok(Some(folder)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_in_place(&self) -> bool {
        let there = sys::open_folder(&self.path).and_then(|folder| sys::file_id(&folder));
        let here = sys::file_id(&self.handle);
        matches!((there, here), (Ok(there), Ok(here)) if there == here)
    }

    /// Opens a regular file; `None` when it is not there.
    pub(crate) fn open_file(
        &self,
        name: &str,
        access: Access,
    ) -> Result<Option<File>, FolderError> {
        let path = self.path.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => return Err(FolderError::Link { path }),
            Ok(metadata) if !metadata.is_file() => return Err(FolderError::NotFile { path }),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let creates = match access {
            Access::Read => {
                options.read(true);
                false
            }
            Access::ReadWrite => {
                options.read(true).write(true);
                false
            }
            Access::ReadWriteCreate => {
                options.read(true).write(true).create(true);
                true
            }
            Access::Append => {
                options.append(true).create(true);
                true
            }
            Access::CreateNew => {
                options.read(true).write(true).create_new(true);
                true
            }
        };
        if creates {
            self.check_place("open", name)?;
        }
        match persist(PATIENCE_TO_OPEN, || options.open(&path)) {
            Ok(file) => match self.exposure(&file, &path)? {
                // Readable by others is the user's own doing: it is so by no inheritance.
                None | Some(Exposure::OthersRead) => Ok(Some(file)),
                Some(why) => Err(FolderError::NotPrivate { path, why }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound && !creates => Ok(None),
            Err(error) => Err(self.failed("open", name, error)),
        }
    }

    /// Tells what others may do with something of the user's.
    fn exposure(&self, open: &File, path: &Path) -> Result<Option<Exposure>, FolderError> {
        if self.is_remote {
            return Ok(None);
        }
        let failed = |error| FolderError::from_io("read the access list of", path, error);
        let me = me().map_err(failed)?;
        let access = super::sys::security_of(open).map_err(failed)?;
        let access = access_list::Access::parse(&access)
            .ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
        let not_owner = |access_list::NotOwner| FolderError::NotOwner {
            path: path.to_owned(),
        };
        access.judge(me).map_err(not_owner)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), FolderError> {
        self.check_place("rename to", to)?;
        let (source, target) = (self.path.join(from), self.path.join(to));
        let rename = || std::fs::rename(&source, &target);
        // What is no file can't be replaced, however long one waits.
        let renamed = match std::fs::symlink_metadata(&target) {
            Ok(there) if !there.is_file() && !there.is_symlink() => rename(),
            _ => persist(PATIENCE, rename),
        };
        renamed.map_err(|error| self.failed("rename to", to, error))
    }

    /// Gives a file a second name; false when that name is taken.
    pub(super) fn link_new(&self, from: &str, to: &str) -> Result<bool, FolderError> {
        self.check_place("create", to)?;
        let (source, target) = (self.path.join(from), self.path.join(to));
        match persist(PATIENCE, || std::fs::hard_link(&source, &target)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.failed("create", to, error)),
        }
    }

    /// Removes a name; false when it was not there.
    pub(super) fn unlink(&self, name: &str) -> Result<bool, FolderError> {
        self.check_place("remove", name)?;
        let path = self.path.join(name);
        match persist(PATIENCE, || std::fs::remove_file(&path)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    /// Removes a file that nobody has open: whoever made it is dead.
    pub(super) fn unlink_abandoned(&self, name: &str) -> Result<bool, FolderError> {
        let alone = OpenOptions::new()
            .read(true)
            .share_mode(0)
            .open(self.path.join(name));
        match alone {
            Ok(file) => {
                drop(file);
                self.unlink(name)
            }
            Err(error) if is_in_use(&error) || error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    /// Lists names, and whether each is a folder.
    pub(super) fn entries(&self) -> Result<Vec<(String, bool)>, FolderError> {
        let failed = |error| FolderError::from_io("list", &self.path, error);
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_folder = entry.file_type().map_err(failed)?.is_dir();
            if let Ok(name) = entry.file_name().into_string() {
                entries.push((name, is_folder));
            }
        }
        Ok(entries)
    }

    /// Does nothing: NTFS journals names, and a folder can't be flushed.
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the same shape as on unix"
    )]
    pub(super) fn sync(&self) -> Result<(), FolderError> {
        Ok(())
    }

    /// Tells whether the name still leads to the open file, and the path to
    /// this folder.
    pub(crate) fn is_same_file(&self, file: &File, name: &str) -> bool {
        let there = File::open(self.path.join(name)).and_then(|file| sys::file_id(&file));
        let here = sys::file_id(file);
        matches!((there, here), (Ok(there), Ok(here)) if there == here) && self.is_in_place()
    }

    /// Fails as if the file were not there, when the folder is not.
    fn check_place(&self, operation: &'static str, name: &str) -> Result<(), FolderError> {
        match self.is_in_place() {
            true => Ok(()),
            false => Err(self.failed(operation, name, io::ErrorKind::NotFound.into())),
        }
    }

    fn failed(&self, operation: &'static str, name: &str, error: io::Error) -> FolderError {
        FolderError::from_io(operation, &self.path.join(name), error)
    }
}

pub(super) fn plain(path: &Path) -> Result<PathBuf, FolderError> {
    let path =
        std::path::absolute(path).map_err(|error| FolderError::from_io("find", path, error))?;
    Ok(path.components().collect())
}

/// Makes a folder and those above it.
fn make(path: &Path, list: &str) -> io::Result<()> {
    match super::sys::create_folder(path, list) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path.parent().ok_or(error)?, list)?;
            match super::sys::create_folder(path, list) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => Ok(()),
            }
        }
        // A drive may refuse before it looks.
        Err(_) if path.is_dir() => Ok(()),
        made => made,
    }
}

/// The user that this process runs as.
fn me() -> io::Result<&'static str> {
    static ME: OnceLock<String> = OnceLock::new();
    if let Some(me) = ME.get() {
        return Ok(me);
    }
    let me = access_list::sid(&super::sys::user()?).ok_or(io::ErrorKind::InvalidData)?;
    Ok(ME.get_or_init(|| me))
}

/// A share by its name, `\\server\share`, or by the letter that it is mapped to.
fn is_remote(path: &Path) -> bool {
    let Some(Component::Prefix(prefix)) = path.components().next() else {
        return false;
    };
    match prefix.kind() {
        Prefix::UNC(..) | Prefix::VerbatimUNC(..) => true,
        Prefix::Disk(letter) | Prefix::VerbatimDisk(letter) => sys::is_remote_drive(letter),
        _ => false,
    }
}

/// Tries again, with jitter, what somebody's open file forbids.
fn persist<T>(patience: Duration, mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut waited = Duration::ZERO;
    let mut pause = Duration::from_millis(1);
    loop {
        match act() {
            Err(error) if is_in_use(&error) && waited < patience => {
                if fault::is_injected(fault::SKIP_BUSY_RETRY) {
                    return Err(error);
                }
                let [random] = random::bytes();
                let pause_now = pause + pause.mul_f64(f64::from(random) / 255.0);
                #[expect(
                    clippy::disallowed_methods,
                    reason = "the file is free in a moment, and nothing tells when"
                )]
                std::thread::sleep(pause_now);
                waited += pause_now;
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
