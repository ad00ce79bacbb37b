//! Counters that processes share.
//!
//! One page of 64-bit words, mapped from a file of the state folder. A process
//! that holds a cached token looks at a word or two to learn whether anything
//! changed: nanoseconds, no system call. What the words mean is the callers'.
//!
//! The file is created at full size in one step and never truncated, reset or
//! recreated. When it is removed, processes that have it mapped go on with the
//! old page; [`crate::folder::StateFolder::is_in_place`] and
//! [`SharedWords::is_in_place`] notice. The words are hints: they are not
//! fsynced, and any process of the user can write to them.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::folder::{Access, Backing, FolderError, StateFolder, Words};
use crate::sys::{MAPPING_BYTES, SharedMapping};

/// How many words there are.
pub const WORDS: usize = MAPPING_BYTES / size_of::<u64>();

/// The shared words of a folder.
#[derive(Debug)]
pub struct SharedWords {
    place: Place,
    folder: StateFolder,
    name: String,
}

#[derive(Debug)]
enum Place {
    Mapped {
        mapping: SharedMapping,
        file: File,
        writable: bool,
    },
    Memory(Arc<Words>),
}

impl SharedWords {
    /// Maps the file `name`, creating it with zeros if needed.
    ///
    /// In a folder that can't be written to, an existing file is mapped for
    /// reading; see [`SharedWords::writable`].
    ///
    /// # Errors
    ///
    /// Every [`FolderError`]; [`FolderError::Unwritable`] when the file is not
    /// there and can't be created.
    pub fn open(folder: &StateFolder, name: &str) -> Result<Self, FolderError> {
        let made = |place| Self {
            place,
            folder: folder.clone(),
            name: name.to_owned(),
        };
        let disk = match folder.backing() {
            Backing::Memory(memory) => return Ok(made(Place::Memory(memory.words(name)))),
            Backing::Disk(disk) => disk,
        };
        let failed = |error| FolderError::from_io("map", &folder.path_of(name), error);

        let file = match disk.open_file(name, Access::ReadWrite) {
            Ok(Some(file)) => file,
            Ok(None) => {
                folder.create_new(name, &[0; MAPPING_BYTES])?;
                disk.open_file(name, Access::ReadWrite)?
                    .ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?
            }
            Err(error) if error.is_unwritable() => {
                let Some(file) = disk.open_file(name, Access::Read)? else {
                    return Err(error);
                };
                let mapping = SharedMapping::read_only(&file).map_err(failed)?;
                return Ok(made(Place::Mapped {
                    mapping,
                    file,
                    writable: false,
                }));
            }
            Err(error) => return Err(error),
        };
        if file.metadata().map_err(failed)?.len() < MAPPING_BYTES as u64 {
            // Somebody cut it, or it is a foreign file; growing harms nobody.
            file.set_len(MAPPING_BYTES as u64).map_err(failed)?;
        }
        let mapping = SharedMapping::shared(&file).map_err(failed)?;
        Ok(made(Place::Mapped {
            mapping,
            file,
            writable: true,
        }))
    }

    /// Maps the file `name` for reading, if it is there: for who only looks.
    ///
    /// # Errors
    ///
    /// Every [`FolderError`]; also for a file that is too short.
    pub fn look(folder: &StateFolder, name: &str) -> Result<Option<Self>, FolderError> {
        let place = match folder.backing() {
            Backing::Memory(memory) => Place::Memory(memory.words(name)),
            Backing::Disk(disk) => {
                let Some(file) = disk.open_file(name, Access::Read)? else {
                    return Ok(None);
                };
                let failed = |error| FolderError::from_io("map", &folder.path_of(name), error);
                Place::Mapped {
                    mapping: SharedMapping::read_only(&file).map_err(failed)?,
                    file,
                    writable: false,
                }
            }
        };
        Ok(Some(Self {
            place,
            folder: folder.clone(),
            name: name.to_owned(),
        }))
    }

    /// Gives a word. Stores to it are lost when the mapping is not
    /// [writable](SharedWords::writable).
    ///
    /// # Panics
    ///
    /// When the index is [`WORDS`] or more.
    #[must_use]
    pub fn word(&self, index: usize) -> &AtomicU64 {
        match &self.place {
            Place::Mapped { mapping, .. } => mapping.word(index).expect("an index below WORDS"),
            Place::Memory(words) => &words[index],
        }
    }

    /// Tells whether other processes see what is stored here.
    #[must_use]
    pub fn writable(&self) -> bool {
        match &self.place {
            Place::Mapped { writable, .. } => *writable,
            Place::Memory(_) => true,
        }
    }

    /// Tells whether the file's name still leads to the mapped file.
    ///
    /// This costs two system calls or three; it is not for every look.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        match (&self.place, self.folder.backing()) {
            (Place::Mapped { file, .. }, Backing::Disk(disk)) => {
                disk.is_same_file(file, &self.name)
            }
            _ => true,
        }
    }
}
