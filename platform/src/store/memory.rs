//! The memory store: secrets that end with the process.
//!
//! For tests, and for programs that must leave nothing behind. It touches no
//! folder and can't be locked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::{Capabilities, Interaction, ItemName, Persistence, SecretStore, StoreError, StoreKind};
use crate::secret::SecretBytes;

/// A store in this process's memory.
#[derive(Default)]
pub struct MemoryStore(Mutex<BTreeMap<ItemName, SecretBytes>>);

impl MemoryStore {
    /// Makes an empty store that shares nothing with others.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the one store that everything in this process shares.
    #[must_use]
    pub fn of_this_process() -> Arc<Self> {
        static STORE: OnceLock<Arc<MemoryStore>> = OnceLock::new();
        Arc::clone(STORE.get_or_init(Arc::default))
    }

    fn items(&self) -> MutexGuard<'_, BTreeMap<ItemName, SecretBytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MemoryStore")
    }
}

impl SecretStore for MemoryStore {
    fn kind(&self) -> StoreKind {
        StoreKind::Memory
    }

    fn provider(&self) -> String {
        "this process's memory".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            size_limit: None,
            persistence: Persistence::Process,
            may_prompt: false,
        }
    }

    /// It waits for nobody.
    fn keeps_deadlines(&self) -> bool {
        true
    }

    fn unlock(&self, _interaction: Interaction) -> Result<(), StoreError> {
        Ok(())
    }

    fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
        Ok(self
            .items()
            .get(item)
            .map(SecretBytes::duplicate)
            .into_iter()
            .collect())
    }

    fn set(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), StoreError> {
        self.items().insert(item.clone(), secret.duplicate());
        Ok(())
    }

    fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
        self.items().remove(item);
        Ok(())
    }

    fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
        Ok(self
            .items()
            .keys()
            .filter(|item| item.application() == application)
            .cloned()
            .collect())
    }
}
