//! What others are told of a refresh: the caller, those who wait, and people.

use std::time::Duration;

use super::{Driver, Supplied};
use crate::display::{HistoryEntry, LoginState, ProfileSummary};
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventKind;
use crate::metrics::count;
use crate::refresh::claim::Claim;
use crate::refresh::description::describe;
use crate::refresh::meaning::kind_of_refusal;
use crate::refresh::protocol::{Event, Failure, Outcome};
use crate::shared::refusals::Reason;

impl Driver {
    pub(super) fn share_failure(&mut self, failure: Failure) -> Event {
        self.failure = Some(failure);
        if self.ending {
            // Nothing has failed that others need to know of: who waits is next.
            return Event::Done;
        }
        let (Some(storage), Ok(name)) = (&self.storage, self.request_name()) else {
            return Event::Done;
        };
        let (shared, now) = (&storage.shared, self.profile.now());
        let pause = match failure {
            // What was refused to this request may be granted to another.
            Failure::RequestRefused => {
                let reason = Reason::of_code(self.refusal.as_deref().unwrap_or_default());
                shared.share_refusal(name, reason, self.retry_after, &now)
            }
            failure => shared.share_failure(failure, self.retry_after, &now),
        };
        self.retry_after = Some(pause).filter(|pause| !pause.is_zero());
        Event::Done
    }

    /// What the request is called among processes.
    pub(super) fn request_name(&self) -> Result<u64> {
        let boot = self.profile.now().boot;
        Ok(self.request.asked.key.name(&self.key()?.key, boot))
    }

    /// Writes what people read. A failure that changed nothing leaves no trace.
    pub(super) fn write_display(&self) -> Result<()> {
        let storage = self.storage()?;
        let now = self.stamp();
        let key = self.key()?;
        let marked = self.marked.as_ref();
        let took = marked.and_then(|marked| marked.elapsed(&self.profile.now()));
        let entry = |outcome, generation| {
            HistoryEntry::new(now.wall_ms, "refresh", outcome, key.login, generation).taking(took)
        };
        if self.committed
            && let Some(received) = &self.received
        {
            entry("ok", received.generation).append(&storage.folder, true)?;
            return ProfileSummary::of(&storage, received, LoginState::LoggedIn)
                .write(&storage.folder);
        }
        let generation = self
            .claim
            .as_ref()
            .and_then(Claim::record)
            .map(|record| record.generation);
        let generation = generation.unwrap_or_default();
        match self.failure {
            Some(Failure::LoginRequired) => {
                entry("refused", generation).append(&storage.folder, true)?;
                ProfileSummary::restate(&storage.folder, LoginState::LoginRequired)
            }
            Some(Failure::RotationUnconfirmed) => {
                entry("unconfirmed", generation).append(&storage.folder, true)?;
                ProfileSummary::restate(&storage.folder, LoginState::RotationUnconfirmed)
            }
            Some(Failure::ClientRefused) => {
                ProfileSummary::restate(&storage.folder, LoginState::ClientRefused)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn finish(mut self, outcome: Outcome) {
        let retry_after = self.retry_after;
        let supplied = match (outcome, self.token.take()) {
            (Outcome::Adopted, Some(token)) => Ok(Supplied::new(token, false)),
            (Outcome::Refreshed, Some(token)) => Ok(Supplied::new(token, true)),
            // It may have ended while others were waited for.
            (Outcome::ServedValid(failure), Some(token))
                if token.life.left(&self.profile.now()) == Some(Duration::ZERO) =>
            {
                Err(self.describe(failure))
            }
            (Outcome::ServedValid(failure), Some(token)) => Ok(Supplied {
                token,
                refreshed: false,
                failure: Some(self.describe(failure).kind()),
                retry_after,
            }),
            (Outcome::Failed(failure), _) => Err(self.describe(failure)),
            _ => Err(Error::new(
                ErrorKind::Internal,
                "a refresh ended without a token",
            )),
        };
        match (outcome, &supplied) {
            (Outcome::Adopted, Ok(supplied)) => self.profile.has_read(&supplied.token),
            (Outcome::Refreshed, _) => {}
            (_, supplied) => self.tell(supplied, retry_after),
        }
        self.answer(supplied);
    }

    /// Counts a failure and tells who listens. What went well was told when it
    /// did.
    fn tell(&self, supplied: &Result<Supplied>, retry_after: Option<Duration>) {
        let counts = &self.profile.counts;
        let (kind, served, counter) = match supplied {
            Ok(supplied) => match supplied.failure {
                Some(kind) => (kind, true, &counts.served_despite),
                None => return,
            },
            Err(error) => (error.kind(), false, &counts.failed),
        };
        count(counter);
        self.profile.tell(EventKind::Failed {
            kind,
            served,
            retry_after,
        });
    }

    pub(super) fn describe(&mut self, failure: Failure) -> Error {
        match self.error.take() {
            Some(error) if failure != Failure::LockTimeout => match failure {
                Failure::RotationUnconfirmed => {
                    describe(failure, &self.profile.names, None).because(error)
                }
                _ => error.after(self.retry_after),
            },
            _ if failure == Failure::RequestRefused => self.refused_before(),
            _ => describe(failure, &self.profile.names, self.retry_after),
        }
    }

    /// The server refused this very request a while ago.
    pub(super) fn refused_before(&self) -> Error {
        let error = describe(
            Failure::RequestRefused,
            &self.profile.names,
            self.retry_after,
        );
        let now = self.profile.now();
        let known = self.profile.known_key().and_then(|key| {
            let name = self.request.asked.key.name(&key.key, now.boot);
            self.storage.as_ref()?.shared.refusal_of(name, &now)
        });
        match known.and_then(|(reason, _)| reason.code()) {
            Some(code) => {
                let message = format!("{error}; it said {code}");
                Error::new(kind_of_refusal(code), message).after(self.retry_after)
            }
            None => error,
        }
    }

    pub(super) fn answer(&mut self, supplied: Result<Supplied>) {
        if let Some(reply) = self.reply.take() {
            // A caller that went away takes nothing back.
            drop(reply.send(supplied));
        }
    }
}
