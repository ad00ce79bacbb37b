//! Step 2 of the protocol: what is stored, read without the lock.

use std::sync::Arc;
use std::time::Duration;

use super::{Profile, Waiting, lock};
use crate::error::{Error, ErrorKind, Result};
use crate::identity::LoginId;
use crate::record::{KeyItem, LoginRecord, fingerprint};
use crate::refresh::protocol::Failure;
use crate::storage::items::InTurn;
use crate::storage::{SealedReading, Storage};

/// What a look without the lock shows.
#[derive(Debug)]
pub(crate) enum Look {
    NotLoggedIn,
    LoggedOut,
    /// Logged out, and the store still names the login: who logged out is not
    /// done with it, or died.
    Ended(LoginId),
    Damaged,
    Login(Box<LookedLogin>),
}

#[derive(Debug)]
pub(crate) struct LookedLogin {
    pub(crate) key: Arc<KeyItem>,
    pub(crate) record: LoginRecord,
    /// The server refused the stored refresh token, for this reason.
    pub(crate) refused: Option<String>,
    /// A rotation was sent and nothing is known of its answer.
    pub(crate) unconfirmed: bool,
    pub(crate) backing_off: Option<(Failure, Duration)>,
    /// The server refused the client when it was asked last.
    pub(crate) client_refused: bool,
}

impl Profile {
    /// Step 2 of the protocol: reads what is stored, without the lock. The
    /// cache holds what it read.
    pub(crate) async fn look(&self, waiting: Waiting) -> Result<Look> {
        let look = self.look_once(waiting).await;
        // The item was gone because the profile has moved meanwhile.
        match look {
            Err(_) | Ok(Look::NotLoggedIn | Look::LoggedOut) if self.has_moved() => {
                self.look_once(waiting).await
            }
            look => look,
        }
    }

    async fn look_once(&self, waiting: Waiting) -> Result<Look> {
        let storage = match self.storage()? {
            Some(storage) => storage,
            None => match self.find_without_folder(waiting).await? {
                Some(storage) => storage,
                None => return Ok(Look::NotLoggedIn),
            },
        };
        if let Some(key) = self.known_key()
            && let Some(look) = self.look_with(&storage, &key)?
        {
            return Ok(look);
        }
        if let Some(key) = self.held_key(&storage)
            && let Some(look) = self.login_shown_by(&storage, key)
        {
            return Ok(look);
        }
        let key = match self.read_key_in_turn(&storage, waiting).await? {
            InTurn::Read(items) => storage.choose_key_item(items)?,
            InTurn::Given(key) => {
                if let Some(key) = storage.readable_key(&key)
                    && let Some(look) = self.login_shown_by(&storage, key)
                {
                    self.hold_key(&storage);
                    return Ok(look);
                }
                self.read_key(&storage.store, Some(&storage), waiting)
                    .await?
            }
        };
        let Some(key) = key else {
            self.forget();
            return self.look_without_key(&storage);
        };
        storage.check_folder(&key)?;
        let key = self.know_key(key);
        match self.look_with(&storage, &key)? {
            Some(look) => {
                if let Look::Login(_) = &look {
                    self.hold_key(&storage);
                }
                Ok(look)
            }
            None if storage.is_buried(key.login)? => Ok(Look::Ended(key.login)),
            None => Ok(Look::Damaged),
        }
    }

    /// The login that a key shows which did not come from the store.
    fn login_shown_by(&self, storage: &Arc<Storage>, key: KeyItem) -> Option<Look> {
        let key = Arc::new(key);
        match self.look_with(storage, &key) {
            Ok(Some(look @ Look::Login(_))) => {
                *lock(&self.key) = Some(key);
                Some(look)
            }
            _ => None,
        }
    }

    /// Without a folder there may still be a login: the folder was wiped.
    async fn find_without_folder(&self, waiting: Waiting) -> Result<Option<Arc<Storage>>> {
        let worker = self.store(None, false)?;
        match self.read_key(&worker, None, waiting).await? {
            None => Ok(None),
            Some(key) => {
                let here = self.folder_path()?;
                match key.path {
                    Some(elsewhere) if Some(&elsewhere) != here.as_ref() => Err(Error::new(
                        ErrorKind::KeptElsewhere,
                        format!("the login is kept in another folder: {elsewhere}"),
                    )),
                    _ => {
                        let folder = self.create_folder()?;
                        self.open_storage(folder, false).map(Some)
                    }
                }
            }
        }
    }

    pub(crate) fn look_without_key(&self, storage: &Storage) -> Result<Look> {
        let mut left = false;
        for login in storage.sealed_logins()? {
            left |= !storage.is_buried(login)?;
        }
        if !left {
            return Ok(if storage.has_any_tombstone()? {
                Look::LoggedOut
            } else {
                Look::NotLoggedIn
            });
        }
        Err(Error::new(
            ErrorKind::ItemMissing,
            format!(
                "the {} store holds no item for this login, though nobody logged out",
                storage.store.store().kind()
            ),
        ))
    }

    /// Reads with a known key; `None` where the key is of no use any more.
    fn look_with(&self, storage: &Arc<Storage>, key: &Arc<KeyItem>) -> Result<Option<Look>> {
        // The version first: what is read afterwards is at least as new.
        let version = storage.shared.version();
        if storage.is_buried(key.login)? {
            self.forget();
            // Another login may have come since.
            return Ok(if storage.has_any_sealed()? {
                None
            } else {
                Some(Look::LoggedOut)
            });
        }
        let record = match storage.sealed(key)? {
            SealedReading::Present(record) => *record,
            SealedReading::Absent => return Ok(None),
            SealedReading::Unreadable => return Ok(Some(Look::Damaged)),
            SealedReading::Foreign(error) => return Err(error),
        };
        if key.dpop_key(record.settings.jkt.as_deref())?.is_some() {
            self.learnt.recall_clock(record.server_clock());
        }
        self.remember(storage, version, &record);
        let mark = storage.mark()?.filter(|mark| {
            mark.login == key.login
                && mark.generation == record.generation
                && mark.refresh == fingerprint(&key.key, record.refresh_token.expose())
        });
        Ok(Some(Look::Login(Box::new(LookedLogin {
            key: key.clone(),
            unconfirmed: mark.as_ref().is_some_and(|mark| mark.refused.is_none()),
            refused: mark.and_then(|mark| mark.refused),
            backing_off: storage.shared.backing_off(&self.now()),
            client_refused: storage.shared.failure() == Some(Failure::ClientRefused),
            record,
        }))))
    }
}
