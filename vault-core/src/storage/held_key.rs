//! A login's key by a shorter way than its store, for stores that are slow to
//! ask: held by the kernel for a while, only where the vault was opened so
//! ([`VaultBuilder::remember_key`]); or handed over by another process that asks
//! the store at this moment ([`vault_platform::handover`]).
//!
//! Either way it is the key item as the store gave it. The kernel holds it under
//! the id of the profile's folder: another profile, and another folder of the
//! same name, have another. It is believed as far as it shows a login: its
//! login's sealed file must lie in the folder, be under this very key, and have
//! no tombstone. So a logout and a new login make it useless at once, whether or
//! not it is still held; and whatever it does not show is asked of the store.
//! Refreshes always ask the store.
//!
//! [`VaultBuilder::remember_key`]: crate::VaultBuilder::remember_key

use std::time::Duration;

use vault_platform::folder::StateFolder;
use vault_platform::secret::SecretBytes;
use vault_platform::store::{StoreKind, held};

use super::Storage;
use crate::record::KeyItem;

impl Storage {
    /// Gives the key that is held for this profile.
    pub(crate) fn held_key(&self) -> Option<KeyItem> {
        if !self.is_slow() {
            return None;
        }
        let item = KeyItem::read(&held::held(&self.held_name()?)?).ok()?;
        self.kept_elsewhere(&item).is_none().then_some(item)
    }

    /// Reads a key item that did not come from the store; nothing if it can't be
    /// this folder's.
    pub(crate) fn readable_key(&self, item: &SecretBytes) -> Option<KeyItem> {
        let item = KeyItem::read(item).ok()?;
        self.check_folder(&item).ok()?;
        Some(item)
    }

    /// Where processes that want the key at one moment find each other, if they
    /// had better.
    pub(crate) fn meeting_place(&self) -> Option<StateFolder> {
        self.is_slow().then(|| self.folder.clone())
    }

    /// Holds the key that the store gave, from now on for this long. Where that
    /// can't be, the store is asked each time.
    pub(crate) fn hold_key(&self, key: &KeyItem, time: Duration) {
        if !self.is_slow() {
            return;
        }
        if let Some(name) = self.held_name()
            && let Err(error) = held::hold(&name, key.write().expose(), time)
        {
            tracing::warn!(%error, "the kernel can't hold the login's key");
        }
    }

    /// Holds the key no longer: the store is about to have another, or none.
    pub(super) fn release_key(&self) {
        if let Some(name) = self.held_name()
            && let Err(error) = held::release(&name)
        {
            tracing::warn!(%error, "the kernel goes on holding a login's key");
        }
    }

    /// Not the encrypted-file store: that one holds a key of its own.
    fn is_slow(&self) -> bool {
        self.kind() == StoreKind::SecretService
    }

    fn held_name(&self) -> Option<String> {
        let mark = self.folder_mark().ok()??;
        Some(format!("login:{}", mark.id))
    }
}
