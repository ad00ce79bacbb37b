//! A folder in this process's memory.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use super::FolderError;
use crate::counters::WORDS;
use crate::secret::SecretBytes;

/// The counters of an in-memory folder.
pub(crate) type Words = [AtomicU64; WORDS];

#[derive(Default)]
pub(crate) struct MemoryFolder(Mutex<Contents>);

#[derive(Default)]
struct Contents {
    files: BTreeMap<String, Zeroizing<Vec<u8>>>,
    children: BTreeMap<String, Arc<MemoryFolder>>,
    locks: BTreeMap<String, Arc<AtomicBool>>,
    words: BTreeMap<String, Arc<Words>>,
}

impl MemoryFolder {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn create_child(&self, name: &str) -> Arc<Self> {
        Arc::clone(self.contents().children.entry(name.to_owned()).or_default())
    }

    pub(super) fn child(&self, name: &str) -> Option<Arc<Self>> {
        self.contents().children.get(name).map(Arc::clone)
    }

    pub(super) fn remove_child(&self, name: &str) -> bool {
        self.contents().children.remove(name).is_some()
    }

    pub(super) fn children(&self) -> Vec<String> {
        self.contents().children.keys().cloned().collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.contents().files.keys().cloned().collect()
    }

    pub(super) fn read(
        &self,
        name: &str,
        limit: usize,
    ) -> Result<Option<SecretBytes>, FolderError> {
        let contents = self.contents();
        let Some(file) = contents.files.get(name) else {
            return Ok(None);
        };
        if file.len() > limit {
            return Err(FolderError::TooLarge {
                path: Path::new("memory").join(name),
                limit,
            });
        }
        Ok(Some(file.to_vec().into()))
    }

    pub(super) fn replace(&self, name: &str, bytes: &[u8]) {
        self.contents()
            .files
            .insert(name.to_owned(), Zeroizing::new(bytes.to_vec()));
    }

    pub(super) fn create_new(&self, name: &str, bytes: &[u8]) -> bool {
        let mut contents = self.contents();
        if contents.files.contains_key(name) {
            return false;
        }
        contents
            .files
            .insert(name.to_owned(), Zeroizing::new(bytes.to_vec()));
        true
    }

    pub(super) fn append(&self, name: &str, bytes: &[u8]) {
        self.contents()
            .files
            .entry(name.to_owned())
            .or_default()
            .extend_from_slice(bytes);
    }

    pub(super) fn remove(&self, name: &str) {
        self.contents().files.remove(name);
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Result<(), FolderError> {
        let mut contents = self.contents();
        let Some(file) = contents.files.remove(from) else {
            return Err(FolderError::from_io(
                "rename",
                &Path::new("memory").join(from),
                std::io::ErrorKind::NotFound.into(),
            ));
        };
        contents.files.insert(to.to_owned(), file);
        Ok(())
    }

    pub(crate) fn lock_flag(&self, name: &str) -> Arc<AtomicBool> {
        Arc::clone(self.contents().locks.entry(name.to_owned()).or_default())
    }

    pub(crate) fn words(&self, name: &str) -> Arc<Words> {
        Arc::clone(
            self.contents()
                .words
                .entry(name.to_owned())
                .or_insert_with(|| Arc::new([const { AtomicU64::new(0) }; WORDS])),
        )
    }
}

impl fmt::Debug for MemoryFolder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MemoryFolder")
    }
}
