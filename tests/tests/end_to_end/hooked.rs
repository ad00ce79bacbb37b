//! Items in this process's memory, as another store, which does something
//! before it gives one, and may be locked.

use vault_core::platform::secret::SecretBytes;
use vault_core::platform::store::memory::MemoryStore;
use vault_core::platform::store::{
    Capabilities, Interaction, ItemName, SecretStore, StoreError, StoreErrorKind, StoreKind,
};

#[derive(Debug)]
pub(crate) struct Hooked {
    pub(crate) kind: StoreKind,
    pub(crate) items: &'static MemoryStore,
    pub(crate) before_get: fn(),
    pub(crate) is_locked: fn() -> bool,
    pub(crate) unlock: fn(Interaction),
}

impl Hooked {
    /// One that is always open.
    pub(crate) fn open(kind: StoreKind, items: &'static MemoryStore, before_get: fn()) -> Self {
        Self {
            kind,
            items,
            before_get,
            is_locked: || false,
            unlock: |_| {},
        }
    }

    fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        if (self.is_locked)() {
            return Err(StoreError::new(
                StoreErrorKind::Locked,
                self.kind,
                operation,
            ));
        }
        Ok(())
    }
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

    fn unlock(&self, interaction: Interaction) -> Result<(), StoreError> {
        (self.unlock)(interaction);
        self.check("unlock")
    }

    fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
        (self.before_get)();
        self.check("read")?;
        self.items.get(item)
    }

    fn set(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), StoreError> {
        self.check("write")?;
        self.items.set(item, secret)
    }

    fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
        self.items.delete(item)
    }

    fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
        self.items.list(application)
    }
}
