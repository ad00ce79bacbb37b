//! The ground that a row stands on: a folder, or a small file system of its
//! own that can be filled up or made read-only.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Stop;

/// What kind of ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    /// A temporary folder.
    Folder,
    /// A file system in memory of 512 KiB.
    Small,
}

/// The size of the small file system, in bytes: a few sealed files and what a
/// refresh reserves.
#[cfg(target_os = "linux")]
const SMALL: &std::ffi::CStr = c"size=512k,mode=700";

/// A row's folder and, in it, the state folders. Removed when dropped.
#[derive(Debug)]
pub(super) struct Place {
    folder: TempDir,
    mounted: Option<PathBuf>,
}

impl Place {
    pub(super) fn new(ground: Ground) -> Result<Self, Stop> {
        let folder = tempfile::Builder::new().prefix("vault-faults-").tempdir()?;
        let mut place = Self {
            folder,
            mounted: None,
        };
        fs::create_dir(place.base())?;
        if ground == Ground::Small {
            mount(&place.base())?;
            place.mounted = Some(place.base());
        }
        Ok(place)
    }

    /// The root of the ground; what fills it up lies here.
    pub(super) fn base(&self) -> PathBuf {
        self.folder.path().join("ground")
    }

    /// Where the state folders lie.
    pub(super) fn state_root(&self) -> PathBuf {
        self.base().join("state")
    }

    /// The key file, which never lies on the small file system.
    pub(super) fn key_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// Makes the small file system read-only, or writable again.
    pub(super) fn set_read_only(&self, read_only: bool) -> Result<(), Stop> {
        remount(&self.base(), read_only)
    }

    /// Takes all the space that is left, but for so many bytes.
    pub(super) fn fill(&self, but: u64) -> Result<(), Stop> {
        use std::io::Write;

        let mut file = fs::File::create(self.filler())?;
        for size in [4096, 512, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        let taken = file.metadata()?.len();
        Ok(file.set_len(taken.saturating_sub(but))?)
    }

    /// Gives the space back.
    pub(super) fn empty(&self) -> Result<(), Stop> {
        Ok(fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.base().join("filler")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(path) = &self.mounted {
            unmount(path);
        }
    }
}

#[cfg(target_os = "linux")]
fn mount(path: &Path) -> Result<(), Stop> {
    use rustix::mount::MountFlags;

    rustix::mount::mount("vault-faults", path, "tmpfs", MountFlags::empty(), SMALL)
        .map_err(|error| Stop::Skip(format!("no file system can be mounted here: {error}")))
}

#[cfg(target_os = "linux")]
fn remount(path: &Path, read_only: bool) -> Result<(), Stop> {
    use rustix::mount::MountFlags;

    let flags = if read_only {
        MountFlags::RDONLY
    } else {
        MountFlags::empty()
    };
    Ok(rustix::mount::mount_remount(path, flags, SMALL)?)
}

#[cfg(target_os = "linux")]
fn unmount(path: &Path) {
    use rustix::mount::UnmountFlags;

    // Detached: a thread of the row may still have a file open in it.
    rustix::mount::unmount(path, UnmountFlags::DETACH).ok();
}

#[cfg(not(target_os = "linux"))]
fn mount(_path: &Path) -> Result<(), Stop> {
    Err(Stop::Skip("file systems are mounted on Linux only".into()))
}

#[cfg(not(target_os = "linux"))]
fn remount(path: &Path, _read_only: bool) -> Result<(), Stop> {
    mount(path)
}

#[cfg(not(target_os = "linux"))]
fn unmount(_path: &Path) {}
