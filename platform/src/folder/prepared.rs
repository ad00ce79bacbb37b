//! A file whose space is reserved before its contents are known.

use std::fmt;
use std::fs::File;
use std::io::{Seek, Write};
use std::sync::Arc;

use super::disk::DiskFolder;
use super::memory::MemoryFolder;
use super::{Backing, FolderError, SWEPT_TRIES, new_temporary, sync_file};
use crate::fault;
use crate::random;

/// A temporary file that will become a file of the folder.
///
/// Dropped before [`PreparedFile::commit`] has succeeded, it leaves nothing.
pub struct PreparedFile {
    place: Place,
    name: String,
}

enum Place {
    Disk {
        folder: Arc<DiskFolder>,
        temporary: String,
        /// `None` once it is in its place: Windows before 10 replaces no file
        /// that anybody has open.
        file: Option<File>,
    },
    Memory(Arc<MemoryFolder>),
}

impl PreparedFile {
    pub(super) fn new(backing: Backing, name: &str, size: usize) -> Result<Self, FolderError> {
        let place = match backing {
            Backing::Disk(folder) => {
                // Random bytes: a compressing file system would make nothing
                // of zeros, and reserve nothing.
                let mut filler = vec![0; size];
                random::fill(&mut filler);
                let (temporary, file) = new_temporary(&folder, &filler)?;
                if size > 0
                    && let Err(error) = folder.sync()
                {
                    folder.unlink(&temporary).ok();
                    return Err(error);
                }
                fault::file_point(name, "prepared");
                Place::Disk {
                    folder,
                    temporary,
                    file: Some(file),
                }
            }
            Backing::Memory(folder) => Place::Memory(folder),
        };
        Ok(Self {
            place,
            name: name.to_owned(),
        })
    }

    /// Writes the contents and puts the file in its place, atomically and
    /// durably.
    ///
    /// May be called again after an error, with the same or other contents
    /// (with the same ones, if the error came after the rename).
    ///
    /// # Errors
    ///
    /// [`FolderError::Full`], [`FolderError::Unwritable`], [`FolderError::Io`];
    /// on Windows [`FolderError::is_busy`] while another program has the old
    /// file open.
    pub fn commit(&mut self, contents: &[u8]) -> Result<(), FolderError> {
        let (folder, temporary, open) = match &mut self.place {
            Place::Memory(folder) => {
                folder.replace(&self.name, contents);
                return Ok(());
            }
            Place::Disk {
                folder,
                temporary,
                file,
            } => (folder, temporary, file),
        };
        let mut tries = 0;
        while let Some(file) = open {
            // All is written again on each try: after a failed fsync the
            // kernel may have dropped what was written before.
            let path = folder.path().join(&*temporary);
            overwrite(file, contents)
                .and_then(|()| {
                    fault::file_point(&self.name, "written");
                    sync_file(file, &path)
                })
                .map_err(|source| FolderError::from_io("write", &path, source))?;
            fault::file_point(&self.name, "fsynced");
            match folder.rename(temporary, &self.name) {
                Ok(()) => {
                    *open = None;
                    fault::file_point(&self.name, "renamed");
                }
                // A sweep took it away; the file is still open, its name gone.
                Err(error) if error.is_not_found() && tries < SWEPT_TRIES => {
                    tries += 1;
                    (*temporary, *file) = new_temporary(folder, contents)?;
                }
                Err(error) => return Err(error),
            }
        }
        folder.sync()?;
        fault::file_point(&self.name, "durable");
        Ok(())
    }
}

fn overwrite(file: &mut File, contents: &[u8]) -> std::io::Result<()> {
    file.rewind()?;
    file.write_all(contents)?;
    file.set_len(contents.len() as u64)
}

impl Drop for PreparedFile {
    fn drop(&mut self) {
        if let Place::Disk {
            folder,
            temporary,
            file,
        } = &mut self.place
            && file.take().is_some()
        {
            // Nobody is left to tell; a sweep removes what stays behind.
            folder.unlink(temporary).ok();
        }
    }
}

impl fmt::Debug for PreparedFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PreparedFile")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
