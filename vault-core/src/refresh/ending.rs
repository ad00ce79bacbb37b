//! Ends a login: does what the machine of
//! [`protocol::logout`](super::protocol::logout) says.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use url::Url;
use vault_platform::lock::LockGuard;

use super::farewell::{delete_copies, delete_remains, revoke_now};
use super::protocol::logout::Logout;
use super::protocol::{Effect, Event, Failure, Outcome};
use super::revocations;
use crate::display::{HistoryEntry, LoginState, ProfileSummary};
use crate::error::{Error, ErrorKind, Result};
use crate::fault;
use crate::identity::LoginId;
use crate::life::Stamp;
use crate::profile::Profile;
use crate::record::{KeyItem, LoginRecord};
use crate::storage::{SealedReading, Storage};

/// How long a logout waits for the lock before it does without.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// What a logout did.
#[derive(Debug)]
#[non_exhaustive]
pub struct LogoutReport {
    /// Whether the server revoked the refresh token, or why it did not;
    /// `Ok(false)` where that was not asked for.
    pub revoked: Result<bool>,
    /// The refresh token is kept in the store, to be revoked when the server
    /// can be reached.
    pub queued: bool,
    /// Something of the login is left in the store or the folder; the next
    /// process that comes by deletes it. No process uses it any more.
    pub remains: bool,
    /// The page that also ends the person's login at the server, in a browser
    /// (OpenID Connect RP-Initiated Logout 1.0); `None` where the server names
    /// none, or the login could not be read. Opening it is left to the caller.
    pub end_session: Option<Url>,
}

/// Ends a login for good.
pub(crate) async fn log_out(
    profile: &Profile,
    storage: &Arc<Storage>,
    login: LoginId,
    revoke: bool,
) -> Result<LogoutReport> {
    let mut driver = Driver {
        profile,
        storage: storage.clone(),
        login,
        revoke,
        deadline: Instant::now() + LOCK_PATIENCE,
        lock: None,
        record: None,
        key: None,
        revoked: Ok(false),
        queued: false,
        error: None,
    };
    let mut machine = Logout::default();
    let mut event = Event::Start;
    loop {
        let effect;
        (machine, effect) = machine.next(event);
        tracing::trace!(profile = %profile.names.profile, ?effect, "logout");
        let point = fault::Around::new("logout", &effect);
        point.before();
        match effect {
            Effect::Finish(Outcome::LoggedOut { remains }) => {
                profile.forget();
                let settings = driver.record.as_ref().map(|record| &record.settings);
                let end_session = settings.and_then(|settings| {
                    let endpoints = settings.endpoints.as_ref()?;
                    endpoints.end_session(&settings.client_id)
                });
                return Ok(LogoutReport {
                    revoked: driver.revoked,
                    queued: driver.queued,
                    remains,
                    end_session,
                });
            }
            Effect::Finish(_) => {
                return Err(driver.error.unwrap_or_else(|| {
                    Error::new(ErrorKind::Internal, "a logout ended without an outcome")
                }));
            }
            effect => event = driver.perform(effect).await,
        }
        point.after();
    }
}

struct Driver<'a> {
    profile: &'a Profile,
    storage: Arc<Storage>,
    login: LoginId,
    revoke: bool,
    deadline: Instant,
    lock: Option<LockGuard>,
    /// The newest token, for its revocation.
    record: Option<LoginRecord>,
    /// The key that it was read with.
    key: Option<KeyItem>,
    revoked: Result<bool>,
    queued: bool,
    error: Option<Error>,
}

impl Driver<'_> {
    async fn perform(&mut self, effect: Effect) -> Event {
        let storage = self.storage.clone();
        let result = match effect {
            Effect::WriteTombstone => storage.bury(self.login),
            Effect::BeginChange => {
                storage.shared.begin_change();
                Ok(())
            }
            Effect::EndChange => {
                storage.shared.end_change();
                Ok(())
            }
            Effect::TryLock => match storage.lock.try_lock() {
                Ok(Some(lock)) => {
                    self.lock = Some(lock);
                    self.follow();
                    return Event::Locked;
                }
                Ok(None) => return Event::Busy,
                Err(error) => Err(error.into()),
            },
            Effect::Wait => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let late = Instant::now() >= self.deadline;
                return Event::Waited {
                    moved: false,
                    failed: None,
                    late,
                };
            }
            Effect::ReadForRevocation => self.read_newest().await,
            Effect::DeleteRemains => delete_remains(self.profile, &storage, self.login).await,
            Effect::DeleteRemainsUnlocked => self.delete_unlocked().await,
            Effect::Record => self
                .record_logout()
                .and_then(|()| ProfileSummary::restate(&storage.folder, LoginState::LoggedOut)),
            Effect::Unlock => {
                self.lock = None;
                Ok(())
            }
            Effect::Revoke => {
                if self.revoke {
                    self.revoked = match &self.record {
                        Some(record) => revoke_now(self.profile, record, self.key.as_ref())
                            .await
                            .map(|()| true),
                        None => Err(self.error.take().unwrap_or_else(|| {
                            Error::new(
                                ErrorKind::Corrupted,
                                "the refresh token could not be read, so it was not revoked",
                            )
                        })),
                    };
                    self.queue().await;
                }
                Ok(())
            }
            effect => Err(Error::new(
                ErrorKind::Internal,
                format!("a logout was asked to do {effect:?}"),
            )),
        };
        match result {
            Ok(()) => Event::Done,
            Err(error) => {
                tracing::debug!(?error, "a step of the logout failed");
                self.error.get_or_insert(error);
                Event::Failed(Failure::Local)
            }
        }
    }

    /// Keeps the token for later, if it is only for now that it could not be
    /// revoked.
    async fn queue(&mut self) {
        let is_for_now = self.revoked.as_ref().is_err_and(Error::is_transient);
        if !is_for_now || !self.profile.settings.queue_revocations {
            return;
        }
        if let Some(record) = &self.record {
            let (profile, key) = (self.profile, self.key.as_ref());
            let queued = revocations::queue(profile, &self.storage, self.login, record, key).await;
            if let Err(error) = &queued {
                tracing::warn!(?error, "the revocation could not be kept for later");
            }
            self.queued = queued.is_ok();
        }
    }

    /// Goes where the profile is pinned now: it may have moved while this
    /// waited for a lock.
    fn follow(&mut self) {
        if let Ok(Some(storage)) = self.profile.pinned_storage() {
            self.storage = storage;
        }
    }

    /// Ends the login's chain in the history.
    fn record_logout(&self) -> Result<()> {
        let folder = &self.storage.folder;
        let at = Stamp::from(&self.profile.now()).wall_ms;
        let record = self.record.as_ref();
        if let (Some(record), Some(_lock)) = (record, &self.lock) {
            let came_at = record.refreshed.wall_ms;
            HistoryEntry::complete(folder, self.login, record.generation, came_at)?;
        }
        let generation = record.map(|record| record.generation).unwrap_or_default();
        HistoryEntry::new(at, "logout", "ok", self.login, generation)
            .append(folder, self.lock.is_some())
    }

    /// The newest of the two copies, in memory before both are deleted.
    async fn read_newest(&mut self) -> Result<()> {
        let storage = self.storage.clone();
        let Some(key) = storage.key_item_of(self.login).await? else {
            return Ok(());
        };
        if let SealedReading::Present(record) = storage.sealed(&key)? {
            self.record = Some(*record);
        }
        if let (Some(record), Some(item)) =
            (&mut self.record, storage.token_item(self.login).await?)
            && item.generation > record.generation
        {
            record.refresh_token = item.refresh_token;
        }
        self.key = Some(key);
        Ok(())
    }

    /// Without the refresh lock only while no login can be under way: its new
    /// items must not be taken for what is left of this one.
    async fn delete_unlocked(&mut self) -> Result<()> {
        let lock = self.storage.login_lock.try_lock()?;
        self.follow();
        match lock {
            Some(_no_login) => delete_copies(self.profile, &self.storage, self.login).await,
            None => Err(Error::new(
                ErrorKind::LockTimeout,
                "another process holds the locks; what is left is deleted later",
            )),
        }
    }
}
