//! The way to the lock: looks, tries, waits.

use std::time::Duration;

use vault_platform::lock::LockError;

use super::Driver;
use crate::fault;
use crate::profile::{Look, Waiting, access_facts, serving};
use crate::refresh::endpoints::{BEFORE_THE_LOCK, ask_again};
use crate::refresh::protocol::{Event, Failure, Sight};

impl Driver {
    pub(super) async fn look(&mut self) -> Event {
        let waiting = if self.request.ahead {
            Waiting::Nobody
        } else {
            Waiting::Task
        };
        let look = self.profile.look(waiting).await;
        self.storage = match self.profile.storage() {
            Ok(storage) => storage,
            Err(error) => return self.failed(error),
        };
        if let Some(storage) = &self.storage {
            self.seen = storage.shared.version();
            self.waiting_since
                .get_or_insert_with(|| storage.shared.attempts());
        }
        match look {
            Ok(Look::NotLoggedIn) => Event::Looked(Sight::None(Failure::NotLoggedIn)),
            Ok(Look::LoggedOut) => Event::Looked(Sight::None(Failure::LoggedOut)),
            // Whoever gets the lock deletes what is left. A holder that is
            // stopped must not keep anyone from learning of the logout.
            Ok(Look::Ended(_)) if self.is_locked() => {
                Event::Looked(Sight::None(Failure::LoggedOut))
            }
            Ok(Look::Ended(_)) => Event::Looked(Sight::Damaged),
            Ok(Look::Damaged) => Event::Looked(Sight::Damaged),
            Ok(Look::Login(login)) => {
                let asked = &self.request.asked;
                let now = self.profile.now();
                let access = access_facts(&login.record, asked, &now);
                let left_alone = self
                    .storage
                    .as_ref()
                    .and_then(|storage| storage.left_alone(&login.key, &asked.key, &now));
                let backing_off = left_alone.map(|(failure, pause)| {
                    self.retry_after = Some(pause);
                    failure
                });
                self.token = serving(login.record.tokens(), asked, &now).cloned();
                let settings = &login.record.settings;
                let described = settings.described.as_ref();
                if described.is_some_and(|described| described.is_old(&now)) {
                    self.outdated = Some(settings.clone());
                }
                if fault::is_injected(fault::SKIP_READ_UNDER_LOCK) {
                    self.looked.get_or_insert(login.record);
                }
                Event::Looked(Sight::Login {
                    access,
                    refused: login.refused.is_some(),
                    backing_off,
                })
            }
            Err(error) => self.failed(error),
        }
    }

    /// Before the lock, and by one process of those that are about to refresh:
    /// what is known of the server has grown old. It serves on if the server
    /// does not answer.
    pub(super) async fn ask_for_description(&mut self) {
        let now = self.profile.now();
        if let (Some(settings), Some(storage)) = (self.outdated.take(), &self.storage)
            && storage.shared.takes_description(&now)
            && let Ok(http) = self.profile.http(&settings.ca_certificates)
        {
            match ask_again(&http, &settings, BEFORE_THE_LOCK).await {
                Ok(found) => self.description = Some(found),
                Err(error) => tracing::debug!(?error, "what is known of the server serves on"),
            }
        }
    }

    pub(super) fn is_locked(&self) -> bool {
        let attempt = self.storage.as_ref().map(|storage| storage.lock.try_lock());
        matches!(attempt, Some(Ok(None)))
    }

    pub(super) fn try_lock(&mut self) -> Event {
        let storage = match self.storage() {
            Ok(storage) => storage,
            Err(error) => return self.failed(error),
        };
        match storage.lock.try_lock() {
            Ok(Some(lock)) => match storage.is_pinned() {
                Ok(true) => {
                    self.lock = Some(lock);
                    Event::Locked
                }
                // The profile has moved to another store since the look.
                Ok(false) => {
                    self.moved = true;
                    Event::Busy
                }
                Err(error) => self.failed(error),
            },
            // The folder was removed, or is being replaced: who waits notices.
            Ok(None) | Err(LockError::Replaced { .. }) => Event::Busy,
            Err(error) => self.failed(error.into()),
        }
    }

    pub(super) async fn wait(&mut self) -> Event {
        let [jitter] = vault_platform::random::bytes();
        let pause = Duration::from_micros(1000 + u64::from(jitter) * 7000 / 255);
        tokio::time::sleep(pause).await;
        let Some(storage) = &self.storage else {
            return Event::Waited {
                moved: true,
                failed: None,
                late: true,
            };
        };
        let version = storage.shared.version();
        Event::Waited {
            moved: (version.is_some() && version != self.seen)
                || std::mem::take(&mut self.moved)
                || !storage.is_in_place(),
            failed: storage
                .shared
                .failed_since(self.waiting_since.unwrap_or(u64::MAX)),
            late: self.patience.is_over(version),
        }
    }
}
