//! A folder on disk, where there are no modes.
//!
//! Owners and access lists are inherited from the user's profile. Files are
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
use std::time::Duration;

use super::error::is_in_use;
use super::{Access, FolderError, FolderOptions};
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
}

impl DiskFolder {
    pub(super) fn create(path: &Path, options: FolderOptions) -> Result<Self, FolderError> {
        let path = plain(path)?;
        // What stands there as something else is told as what it is.
        if let Some(folder) = Self::open_path(path.clone(), options)? {
            return Ok(folder);
        }
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
        if creates {
            self.check_place("open", name)?;
        }
        match persist(PATIENCE_TO_OPEN, || options.open(&path)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !creates => Ok(None),
            Err(error) => Err(self.failed("open", name, error)),
        }
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

fn plain(path: &Path) -> Result<PathBuf, FolderError> {
    let path =
        std::path::absolute(path).map_err(|error| FolderError::from_io("find", path, error))?;
    Ok(path.components().collect())
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
mod tests {
    use crate::folder::{FolderError, FolderOptions, StateFolder};

    use super::*;

    fn folder_in(place: &tempfile::TempDir) -> StateFolder {
        StateFolder::create(&place.path().join("state"), FolderOptions::default())
            .expect("a folder")
    }

    /// Opens a file as programs do that let nobody else touch it.
    fn open_alone(folder: &StateFolder, name: &str) -> File {
        OpenOptions::new()
            .read(true)
            .share_mode(0)
            .open(folder.path().expect("on disk").join(name))
            .expect("opens")
    }

    #[test]
    fn a_file_that_a_scanner_has_open_is_replaced_and_read_when_it_is_closed() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = folder_in(&place);
        folder.replace("a", b"old").expect("writes");
        let scanned = open_alone(&folder, "a");
        std::thread::scope(|scope| {
            let replacing = scope.spawn(|| folder.replace("a", b"new"));
            let mut prepared = folder.prepare("b", 10).expect("prepares");
            prepared.commit(b"another file").expect("is not in the way");
            assert!(!replacing.is_finished(), "waits for the scanner");
            drop(scanned);
            replacing.join().expect("no panic").expect("replaces");
        });
        let read = folder.read("a", 10).expect("reads").expect("there");
        assert_eq!(read.expose(), b"new");
    }

    #[test]
    fn a_file_that_stays_open_is_told_as_busy_and_keeps_its_contents() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = folder_in(&place);
        folder.replace("a", b"old").expect("writes");
        let scanned = open_alone(&folder, "a");
        let error = folder.replace("a", b"new").expect_err("in use");
        assert!(error.is_busy(), "{error:?}");
        assert!(folder.read("a", 10).expect_err("in use").is_busy());
        drop(scanned);
        let read = folder.read("a", 10).expect("reads").expect("there");
        assert_eq!(read.expose(), b"old");
    }

    #[test]
    fn a_file_is_replaced_while_readers_of_ours_have_it_open() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = folder_in(&place);
        folder.replace("a", &[1; 5000]).expect("writes");
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| {
                for round in 2..40 {
                    folder.replace("a", &[round; 5000]).expect("replaces");
                }
            });
            while !writing.is_finished() {
                let read = folder.read("a", 5000).expect("reads").expect("there");
                let bytes = read.expose();
                assert_eq!(bytes.len(), 5000);
                assert!(bytes.iter().all(|byte| *byte == bytes[0]), "half written");
                // Else the writer has no chance where no open file is replaced.
                std::thread::park_timeout(Duration::from_millis(2));
            }
        });
    }

    #[test]
    fn names_that_mean_something_else_to_windows_are_refused() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = folder_in(&place);
        for name in [
            "con", "NUL", "aux.txt", "COM1", "lpt9.x", "a.", "a ", "a:b", "a?",
        ] {
            let error = folder.create_child(name).expect_err("refused");
            assert!(matches!(error, FolderError::BadName { .. }), "{name}");
        }
        for name in ["console", "nul-1", "com", "com10", "a.b"] {
            folder.create_child(name).expect(name);
        }
    }

    #[test]
    fn a_share_is_remote_and_the_system_drive_is_not() {
        assert!(is_remote(Path::new(r"\\server\share\folder")));
        assert!(is_remote(Path::new(r"\\?\UNC\server\share")));
        assert!(!is_remote(Path::new(r"C:\users")));
        let error = StateFolder::create(
            Path::new(r"\\localhost\share\state"),
            FolderOptions::default(),
        );
        error.expect_err("no such share, or a network file system");
    }
}
