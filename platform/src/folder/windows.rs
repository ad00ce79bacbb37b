//! A folder on disk, where there are no modes.
//!
//! Owners and access lists are inherited from the user's profile. Files are
//! opened so that others may rename and delete them meanwhile, which is what
//! makes atomic replacement work; a program that opens them otherwise (a virus
//! scanner) causes [`FolderError::is_busy`], and the caller tries again.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::{Access, FolderError, FolderOptions};
use crate::sys;

#[derive(Debug)]
pub(crate) struct DiskFolder {
    path: PathBuf,
    handle: File,
    options: FolderOptions,
}

impl DiskFolder {
    pub(super) fn create(path: &Path, options: FolderOptions) -> Result<Self, FolderError> {
        let path = plain(path)?;
        std::fs::create_dir_all(&path)
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
        if !options.allow_network_file_system && is_remote(&path) {
            return Err(FolderError::NetworkFileSystem {
                path,
                file_system: "network share".to_owned(),
            });
        }
        let handle =
            sys::open_folder(&path).map_err(|error| FolderError::from_io("open", &path, error))?;
        Ok(Some(Self {
            path,
            handle,
            options,
        }))
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
        match options.open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !creates => Ok(None),
            Err(error) => Err(self.failed("open", name, error)),
        }
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), FolderError> {
        std::fs::rename(self.path.join(from), self.path.join(to))
            .map_err(|error| self.failed("rename to", to, error))
    }

    /// Gives a file a second name; false when that name is taken.
    pub(super) fn link_new(&self, from: &str, to: &str) -> Result<bool, FolderError> {
        match std::fs::hard_link(self.path.join(from), self.path.join(to)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.failed("create", to, error)),
        }
    }

    /// Removes a name; false when it was not there.
    pub(super) fn unlink(&self, name: &str) -> Result<bool, FolderError> {
        match std::fs::remove_file(self.path.join(name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
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

    fn failed(&self, operation: &'static str, name: &str, error: io::Error) -> FolderError {
        FolderError::from_io(operation, &self.path.join(name), error)
    }
}

fn plain(path: &Path) -> Result<PathBuf, FolderError> {
    let path =
        std::path::absolute(path).map_err(|error| FolderError::from_io("find", path, error))?;
    Ok(path.components().collect())
}

/// A share by its name, `\\server\share`. A letter mapped to a share is not
/// seen through.
fn is_remote(path: &Path) -> bool {
    use std::path::{Component, Prefix};

    matches!(
        path.components().next(),
        Some(Component::Prefix(prefix))
            if matches!(prefix.kind(), Prefix::UNC(..) | Prefix::VerbatimUNC(..))
    )
}
