//! Check 1: the state folder is the user's alone, and has room for what a
//! refresh writes.

use std::path::Path;

use vault_platform::folder::{FolderError, StateFolder};

use super::{Code, Report, folder_error, told};
use crate::error::Error;
use crate::profile::Profile;

/// What a refresh reserves before it sends anything, at least, in bytes.
const ROOM: usize = 128 * 1024;

/// No file of a profile is longer.
const LIMIT: usize = 16 << 20;

/// Files that are looked at through their locks alone: on Windows nobody reads
/// a locked file.
const LOCKS: [&str; 2] = ["lock", "login.lock"];

/// Gives the folder if it can be used.
pub(super) fn examine(profile: &Profile, report: &mut Report) -> Option<StateFolder> {
    let folder = match profile.existing_folder() {
        Ok(Some(folder)) => folder,
        Ok(None) => {
            report.skipped(Code::Folder, "not there yet; a login makes it");
            return None;
        }
        Err(error) => {
            report.failed(code(&error), &error);
            return None;
        }
    };
    if let Err(error) = files(&folder) {
        let error = Error::from(error);
        report.failed(code(&error), &error);
    } else if let Err(error) = room(&folder) {
        // What could not be written has a name that nobody knows.
        let error = Error::from(error);
        let path = folder.path().map(Path::to_owned);
        report.found_at(code(&error), path, told(&error));
    } else {
        let message = match folder.path() {
            Some(path) => format!("{} is private and has room", path.display()),
            None => "in memory".to_owned(),
        };
        report.found(Code::Folder, message);
    }
    Some(folder)
}

/// Each file is a regular one, and the user's alone.
fn files(folder: &StateFolder) -> Result<(), FolderError> {
    for name in folder.names()? {
        if LOCKS.contains(&name.as_str()) {
            continue;
        }
        match folder.read(&name, LIMIT) {
            // Too long for us, or gone by now.
            Ok(_) | Err(FolderError::TooLarge { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reserves what a refresh would, and gives it back.
fn room(folder: &StateFolder) -> Result<(), FolderError> {
    folder.prepare("probe", ROOM).map(drop)
}

/// The code of an error about a folder.
pub(super) fn code(error: &Error) -> Code {
    match folder_error(error) {
        Some(FolderError::NotPrivate { .. }) => Code::FolderNotPrivate,
        Some(FolderError::NotOwner { .. }) => Code::FolderNotOwned,
        Some(
            FolderError::Link { .. } | FolderError::NotFolder { .. } | FolderError::NotFile { .. },
        ) => Code::FolderReplaced,
        Some(FolderError::NetworkFileSystem { .. }) => Code::FolderRemote,
        Some(FolderError::Full { .. }) => Code::DiskFull,
        _ => Code::FolderUnwritable,
    }
}
