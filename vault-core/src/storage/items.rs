//! The items that a store holds under a login's names. There is one of each as a rule; a backup
//! or another machine's copy may have put others beside them, and which one a store lists first
//! says nothing.

use std::time::Duration;

use vault_platform::folder::StateFolder;
use vault_platform::handover::{Turn, take_turn};
use vault_platform::secret::SecretBytes;
use vault_platform::store::{Interaction, ItemName, SecretStore, StoreError};

use crate::error::Result;
use crate::identity::{Generation, LoginId};
use crate::record::{KeyItem, TokenItem};

/// How long another process that asks the store is waited for: many times what one takes that asks
/// nobody, and little to who has to ask all the same.
const PATIENCE: Duration = Duration::from_millis(250);

/// What was read to find the key.
#[derive(Debug)]
pub(crate) struct KeyItems {
    keys: Vec<SecretBytes>,
    /// Read only where there are several keys.
    tokens: Vec<SecretBytes>,
}

/// What a process learns that reads in turn with others.
#[derive(Debug)]
pub(crate) enum InTurn {
    /// The key item as another process read it just now.
    Given(SecretBytes),
    /// What the store has.
    Read(KeyItems),
}

/// What speaks for a key item of several, the weightiest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claims {
    /// The folder holds this login's sealed file, and it has not ended.
    pub(crate) is_sealed_here: bool,
    /// It names the folder.
    pub(crate) is_of_this_folder: bool,
    pub(crate) left: Left,
}

/// What is left of a login without its sealed file, the weightiest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Left {
    /// A key, which opens nothing.
    Nothing,
    /// That it was logged out here.
    Tombstone,
    /// It has not ended, and its token is in the store: the sealed file can be made again.
    Token,
}

impl KeyItems {
    /// Reads them. Blocks; runs on the store's thread.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(crate) fn read(
        store: &dyn SecretStore,
        key: &ItemName,
        token: &ItemName,
    ) -> Result<Self, StoreError> {
        Self::beside(store.get(key)?, store, token)
    }

    /// The same of a store that is made usable first, asking a person if that is allowed.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(crate) fn unlock_and_read(
        store: &dyn SecretStore,
        key: &ItemName,
        token: &ItemName,
        interaction: Interaction,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Self, StoreError> {
        let keys = store.unlock_and_get(key, interaction, meanwhile)?;
        Self::beside(keys, store, token)
    }

    fn beside(
        keys: Vec<SecretBytes>,
        store: &dyn SecretStore,
        token: &ItemName,
    ) -> Result<Self, StoreError> {
        let tokens = match keys.len() {
            0 | 1 => Vec::new(),
            _ => store.get(token)?,
        };
        Ok(Self { keys, tokens })
    }

    /// The same, once for all processes that want it at this moment, if told the folder by which
    /// they find each other: one of them asks the store and hands what it is told to the others.
    ///
    /// # Errors
    ///
    /// The store's.
    pub(crate) fn read_in_turn(
        store: &dyn SecretStore,
        key: &ItemName,
        token: &ItemName,
        interaction: Interaction,
        folder: Option<&StateFolder>,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<InTurn, StoreError> {
        let turn = folder.map_or(Turn::Alone, |folder| take_turn(folder, PATIENCE));
        let asker = match turn {
            Turn::Given(key) => return Ok(InTurn::Given(key)),
            Turn::Ask(asker) => Some(asker),
            Turn::Alone => None,
        };
        let items = Self::unlock_and_read(store, key, token, interaction, meanwhile)?;
        // Which of several is the right one each finds out for itself.
        if let (Some(asker), [key]) = (asker, &items.keys[..]) {
            asker.hand_over(key);
        }
        Ok(InTurn::Read(items))
    }

    /// Of several, the one with the greatest claims, which are told whether there is a token item of
    /// its login; of equals, the one with the newest token item; then the first.
    ///
    /// # Errors
    ///
    /// If none can be read.
    pub(crate) fn choose<C: Ord>(
        self,
        claims: impl Fn(&KeyItem, bool) -> C,
    ) -> Result<Option<KeyItem>> {
        let (mut items, mut error) = (Vec::new(), None);
        for key in &self.keys {
            match KeyItem::read(key) {
                Ok(item) => items.push(item),
                Err(reason) => error = Some(reason),
            }
        }
        let best = match items.len() {
            0 | 1 => items.pop(),
            // Of the greatest the last is given.
            _ => items.into_iter().rev().max_by_key(|item| {
                let newest = self.newest_token(item.login);
                (claims(item, newest.is_some()), newest)
            }),
        };
        match (best, error) {
            (Some(item), _) => Ok(Some(item)),
            (None, Some(error)) => Err(error.into()),
            (None, None) => Ok(None),
        }
    }

    /// What can't be read speaks for nobody.
    fn newest_token(&self, login: LoginId) -> Option<Generation> {
        let tokens = self
            .tokens
            .iter()
            .filter_map(|token| TokenItem::read(token).ok());
        let of_login = tokens.filter(|token| token.login == login);
        of_login.map(|token| token.generation).max()
    }
}
