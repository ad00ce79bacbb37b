//! Counters that processes share.
//!
//! One page of 64-bit words, mapped from a file of the state folder. A process
//! that holds a cached token looks at a word or two to learn whether anything
//! changed: nanoseconds, no system call. What the words mean is the callers'.
//!
//! The file is created at full size in one step and never truncated, reset or
//! recreated here. Others may do so: when it is removed or replaced, processes
//! that have it mapped go on with the old page, and when it is cut, a look at a
//! word ends them by a signal. [`SharedWords::is_in_place`] notices both, and
//! who opens the words anew makes the file, or makes it whole. The words are
//! hints: they are not fsynced, and any process of the user can write to them.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::folder::{Access, Backing, FolderError, StateFolder, Words};
use crate::sys::{MAPPING_BYTES, SharedMapping, long_enough};

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
    /// Maps the file `name`, creating it with zeros if needed, or what is
    /// missing at its end.
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
            grow(&file).map_err(failed)?;
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

    /// Maps what the name leads to by now.
    ///
    /// # Errors
    ///
    /// As [`SharedWords::open`].
    pub fn reopen(&self) -> Result<Self, FolderError> {
        Self::open(&self.folder, &self.name)
    }

    /// Gives a word. Stores to it are lost when the mapping is not
    /// [writable](SharedWords::writable). An access to it ends the process by a
    /// signal while the file is not [whole](SharedWords::is_whole).
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

    /// Tells whether the mapped file is as long as what is mapped of it.
    ///
    /// This costs a system call; it is not for every look.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        match &self.place {
            // Windows lets nobody cut a file that is mapped.
            Place::Mapped { file, .. } => cfg!(windows) || long_enough(file).is_ok(),
            Place::Memory(_) => true,
        }
    }

    /// Tells whether the file's name still leads to the mapped file, and the
    /// folder's path to its folder, and whether the file is
    /// [whole](SharedWords::is_whole).
    ///
    /// This costs a few system calls; it is not for every look.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        match (&self.place, self.folder.backing()) {
            (Place::Mapped { file, .. }, Backing::Disk(disk)) => {
                self.is_whole() && disk.is_same_file(file, &self.name)
            }
            _ => true,
        }
    }
}

/// Makes a file long enough. What others have grown and written meanwhile stays.
fn grow(file: &File) -> io::Result<()> {
    // A store to a page that the disk has no room for is a signal, not an error.
    // A file system that can't reserve room is left to chance.
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};

        let reserved = fallocate(file, FallocateFlags::empty(), 0, MAPPING_BYTES as u64);
        if let Err(error) = reserved.map_err(io::Error::from)
            && matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            )
        {
            return Err(error);
        }
    }
    file.set_len(MAPPING_BYTES as u64)
}
