//! Items in this process's memory, as another store, which does something
//! before it gives one.

use vault_core::platform::secret::SecretBytes;
use vault_core::platform::store::memory::MemoryStore;
use vault_core::platform::store::{
    Capabilities, Interaction, ItemName, SecretStore, StoreError, StoreKind,
};

#[derive(Debug)]
pub(crate) struct Hooked {
    pub(crate) kind: StoreKind,
    pub(crate) items: &'static MemoryStore,
    pub(crate) before_get: fn(),
}

impl SecretStore for Hooked {
    fn kind(&self) -> StoreKind {
        self.kind
    }

    fn provider(&self) -> String {
        "hooked".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        self.items.capabilities()
    }

    fn unlock(&self, _interaction: Interaction) -> Result<(), StoreError> {
        Ok(())
    }

    fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
        (self.before_get)();
        self.items.get(item)
    }

    fn set(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), StoreError> {
        self.items.set(item, secret)
    }

    fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
        self.items.delete(item)
    }

    fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
        self.items.list(application)
    }
}
