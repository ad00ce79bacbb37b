//! A ledger of what a power failure would take away.
//!
//! It is told what state folders do to their files and remembers what is durable: a file's
//! contents as of its last fsync, a folder's names as of the folder's. When the power fails, each
//! thing that is not durable is lost, or, as disks do, perhaps not: a bit of chance decides for
//! each name and each file's contents by itself. So a name may be kept whose contents are not,
//! which is the empty file that a rename without fsync leaves behind.
//!
//! Folders themselves count as durable. The mapped counters are never fsynced, so what they held
//! before comes back.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use vault_core::fault::{self, FileEvent};

/// Names a file's contents over all its names.
type Id = u64;

/// The ledger of everything below one folder.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    root: PathBuf,
    ids: HashMap<u64, Id>,
    next: Id,
    contents: HashMap<Id, Vec<u8>>,
    names: BTreeMap<PathBuf, BTreeMap<String, Id>>,
}

impl Ledger {
    /// Opens the ledger: all that is there is durable. From now on it is told what this process
    /// does.
    ///
    /// # Errors
    ///
    /// If the folder can't be read.
    pub fn begin(root: &Path) -> io::Result<Self> {
        let mut books = Books {
            root: root.to_owned(),
            ..Books::default()
        };
        for folder in folders(root)? {
            books.folder_synced(&folder)?;
            for name in listing(&folder)? {
                books.file_synced(&folder.join(name))?;
            }
        }
        let ledger = Self(Arc::new(Mutex::new(books)));
        let told = ledger.clone();
        fault::observe_files(move |event| {
            let mut books = told.0.lock().unwrap_or_else(PoisonError::into_inner);
            let noted = match event {
                FileEvent::Created(path) => books.created(path),
                FileEvent::FileSynced(path) => books.file_synced(path),
                FileEvent::FolderSynced(path) => books.folder_synced(path),
                _ => Ok(()),
            };
            // A file that another name has taken over is noted under that.
            drop(noted);
        });
        Ok(ledger)
    }

    /// Takes away what is not durable and kills this process.
    pub fn fail_power(&self, kept: u64) {
        let books = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if books.lose(&mut Chance(kept)).is_err() {
            std::process::abort();
        }
        fault::arm("power:failed", 1, fault::Action::Kill);
        fault::point("power:failed");
    }
}

impl Books {
    fn id(&mut self, path: &Path) -> io::Result<Id> {
        let number = inode(path)?;
        Ok(match self.ids.get(&number) {
            Some(id) => *id,
            None => self.new_id(number),
        })
    }

    fn new_id(&mut self, number: u64) -> Id {
        self.next += 1;
        self.ids.insert(number, self.next);
        self.next
    }

    fn created(&mut self, path: &Path) -> io::Result<()> {
        // The system may use a number again.
        let number = inode(path)?;
        self.new_id(number);
        Ok(())
    }

    fn file_synced(&mut self, path: &Path) -> io::Result<()> {
        let id = self.id(path)?;
        self.contents.insert(id, fs::read(path)?);
        Ok(())
    }

    fn folder_synced(&mut self, folder: &Path) -> io::Result<()> {
        let names = self.present(folder)?;
        self.names.insert(folder.to_owned(), names);
        Ok(())
    }

    fn present(&mut self, folder: &Path) -> io::Result<BTreeMap<String, Id>> {
        let mut names = BTreeMap::new();
        for name in listing(folder)? {
            let id = self.id(&folder.join(&name))?;
            names.insert(name, id);
        }
        Ok(names)
    }

    fn lose(&self, chance: &mut Chance) -> io::Result<()> {
        let mut books = Self {
            ids: self.ids.clone(),
            next: self.next,
            ..Self::default()
        };
        for folder in folders(&self.root)? {
            let durable = self.names.get(&folder).cloned().unwrap_or_default();
            let present = books.present(&folder)?;
            let mut left: BTreeMap<String, Vec<u8>> = BTreeMap::new();
            let mut names: Vec<&String> = durable.keys().chain(present.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let (before, after) = (durable.get(name), present.get(name));
                let keep = before == after || chance.kept();
                let Some(id) = (if keep { after } else { before }) else {
                    continue;
                };
                let holder = present.iter().find(|(_, present)| *present == id);
                let written = match holder {
                    Some((name, _)) => Some(fs::read(folder.join(name))?),
                    None => None,
                };
                let synced = self.contents.get(id).cloned().unwrap_or_default();
                let contents = match written {
                    Some(written) if written == synced || chance.kept() => written,
                    _ => synced,
                };
                left.insert(name.clone(), contents);
            }
            for name in present.keys() {
                fs::remove_file(folder.join(name))?;
            }
            for (name, contents) in left {
                write_private(&folder.join(name), &contents)?;
            }
        }
        Ok(())
    }
}

/// A number's bits, stirred; zero keeps nothing.
struct Chance(u64);

impl Chance {
    fn kept(&mut self) -> bool {
        // xorshift64 (Marsaglia 2003).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 63 == 1
    }
}

fn folders(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![root.to_owned()];
    let mut next = 0;
    while let Some(folder) = found.get(next).cloned() {
        next += 1;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

fn listing(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(unix)]
fn inode(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;

    Ok(fs::symlink_metadata(path)?.ino())
}

#[cfg(not(unix))]
fn inode(_path: &Path) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    fs::write(path, contents)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books(root: &Path) -> Books {
        let mut books = Books {
            root: root.to_owned(),
            ..Books::default()
        };
        books.folder_synced(root).unwrap();
        for name in listing(root).unwrap() {
            books.file_synced(&root.join(name)).unwrap();
        }
        books
    }

    /// Replaces `a`, with the steps of the list that are made durable.
    fn replace(books: &mut Books, sync_file: bool, sync_folder: bool) {
        let root = books.root.clone();
        fs::write(root.join("t"), "new").unwrap();
        books.created(&root.join("t")).unwrap();
        if sync_file {
            books.file_synced(&root.join("t")).unwrap();
        }
        fs::rename(root.join("t"), root.join("a")).unwrap();
        if sync_folder {
            books.folder_synced(&root).unwrap();
        }
    }

    fn after(sync_file: bool, sync_folder: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "old").unwrap();
        let mut books = books(folder.path());
        replace(&mut books, sync_file, sync_folder);
        books.lose(&mut Chance(0)).unwrap();
        assert_eq!(listing(folder.path()).unwrap(), ["a"]);
        fs::read_to_string(folder.path().join("a")).unwrap()
    }

    #[test]
    fn what_was_made_durable_stays() {
        assert_eq!(after(true, true), "new");
    }

    #[test]
    fn a_rename_without_fsync_of_the_folder_is_lost() {
        assert_eq!(after(true, false), "old");
    }

    #[test]
    fn a_rename_without_fsync_of_the_file_leaves_an_empty_one() {
        assert_eq!(after(false, true), "");
    }
}
