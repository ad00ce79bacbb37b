//! The key of a profile's sealed file: known once it was read, held by the
//! kernel where that was asked for, and else asked of the store, on its thread.

use std::sync::Arc;

use vault_platform::store::{Interaction, ItemName, SecretStore, StoreError, StoreWorker};

use super::{Cache, Profile, lock};
use crate::error::Result;
use crate::record::{KeyItem, rehearse};
use crate::storage::items::{InTurn, KeyItems};
use crate::storage::{self, Storage};

type StoreResult<T> = std::result::Result<T, StoreError>;

/// Who waits while the store is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// A task of the refresher.
    Task,
    /// A thread of the application.
    Thread,
    /// Nobody, and so nobody is asked to unlock it.
    Nobody,
}

impl Profile {
    /// The key, once it was read; a child of `fork` reads it again.
    pub(crate) fn known_key(&self) -> Option<Arc<KeyItem>> {
        let known = lock(&self.key).clone();
        known.filter(|item| !item.key.is_wiped())
    }

    pub(crate) fn know_key(&self, key: KeyItem) -> Arc<KeyItem> {
        let key = Arc::new(key);
        *lock(&self.key) = Some(key.clone());
        key
    }

    pub(crate) fn forget(&self) {
        *lock(&self.key) = None;
        *lock(&self.cache) = Cache::default();
    }

    /// Reads the key item from a store that may have to be unlocked first.
    pub(crate) async fn read_key(
        &self,
        worker: &StoreWorker,
        storage: Option<&Storage>,
        waiting: Waiting,
    ) -> Result<Option<KeyItem>> {
        let read = |store: &dyn SecretStore, key: &ItemName, token: &ItemName, interaction| {
            KeyItems::unlock_and_read(store, key, token, interaction, &mut || {})
        };
        let items = self.ask(worker, waiting, read).await?;
        match storage {
            Some(storage) => storage.choose_key_item(items),
            None => {
                let here = self.folder_path()?;
                items.choose(|item, _| item.path == here)
            }
        }
    }

    /// The same without the choice, and in turn with other processes that want it at
    /// this moment, where the store is slow to ask.
    pub(super) async fn read_key_in_turn(
        &self,
        storage: &Storage,
        waiting: Waiting,
    ) -> Result<InTurn> {
        let place = storage.meeting_place();
        let clock = self.settings.clock.clone();
        // What comes next needs the time too, and the first reading takes longer.
        let mut meanwhile = move || {
            clock.now();
            rehearse();
        };
        let read = move |store: &dyn SecretStore, key: &ItemName, token: &ItemName, interaction| {
            let place = place.as_ref();
            KeyItems::read_in_turn(store, key, token, interaction, place, &mut meanwhile)
        };
        self.ask(&storage.store, waiting, read).await
    }

    /// Asks a store, on its thread, about the profile's two items.
    async fn ask<T: Send + 'static>(
        &self,
        worker: &StoreWorker,
        waiting: Waiting,
        ask: impl FnOnce(&dyn SecretStore, &ItemName, &ItemName, Interaction) -> StoreResult<T>
        + Send
        + 'static,
    ) -> Result<T> {
        let interaction = match waiting {
            Waiting::Nobody => Interaction::Forbidden,
            _ => self.settings.interaction,
        };
        let deadline = self.settings.call_deadline(interaction);
        let key = storage::key_item_name(&self.names)?;
        let token = storage::token_item_name(&self.names)?;
        let read = move |store: &dyn SecretStore| ask(store, &key, &token, interaction);
        match waiting {
            Waiting::Thread => Ok(worker.call_here_within(deadline, "read", read)?),
            Waiting::Task | Waiting::Nobody => {
                match tokio::time::timeout(deadline, worker.call(read)).await {
                    Ok(answer) => Ok(answer?),
                    Err(_) => Err(storage::hung(worker.store().as_ref(), "read")),
                }
            }
        }
    }

    /// The key that the kernel holds, where that was asked for.
    pub(super) fn held_key(&self, storage: &Storage) -> Option<KeyItem> {
        self.settings.remember?;
        storage.held_key()
    }

    /// Has the kernel hold the key that is known now, where that was asked for.
    pub(super) fn hold_key(&self, storage: &Storage) {
        if let (Some(time), Some(key)) = (self.settings.remember, self.known_key()) {
            storage.hold_key(&key, time);
        }
    }
}
