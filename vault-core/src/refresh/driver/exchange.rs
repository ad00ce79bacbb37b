//! Under the lock: from the claim to the commit and the copies.

use super::{Driver, Supplied};
use crate::display::HistoryEntry;
use crate::error::{Error, ErrorKind, Result};
use crate::exit::InFlight;
use crate::fault;
use crate::profile::{access_facts, serving};
use crate::refresh::claim::{Claim, Exchanged, token_item};
use crate::refresh::farewell::{delete_leftovers, delete_remains, revoke_now};
use crate::refresh::meaning::understand;
use crate::refresh::protocol::{Answer, Claimed, Event, Failure};
use crate::refresh::renewal::{next_record, record_without_access_token};
use crate::refresh::revocations;
use crate::storage::Storage;

/// The next sealed file is prepared with this much room for what the server
/// may answer; more is written all the same, if the disk has it.
const ROOM: usize = 64 * 1024;

impl Driver {
    pub(super) async fn take_claim(&mut self) -> Event {
        let (Some(lock), Some(storage)) = (self.lock.take(), self.storage.clone()) else {
            return self.failed(Error::new(ErrorKind::Internal, "a claim without the lock"));
        };
        let asked = &self.request.asked;
        match Claim::take(lock, &self.profile, &storage, asked).await {
            Ok((claim, claimed)) => {
                let (mut claim, claimed) = self.unless_skipped(claim, claimed);
                if let Some(found) = self.description.take() {
                    claim.describe(found, &self.profile.now());
                }
                if let Err(error) = storage.folder.sweep_temporaries() {
                    tracing::debug!(?error, "what dead processes left could not be swept");
                }
                if let Err(error) = self.complete_history(&storage, &claim, &claimed) {
                    tracing::debug!(?error, "the history could not be completed");
                }
                let (asked, now) = (&self.request.asked, self.profile.now());
                self.token = claim
                    .record()
                    .and_then(|record| serving(record.tokens(), asked, &now))
                    .cloned();
                self.retry_after = storage
                    .left_alone(&claim.key, &asked.key, &now)
                    .map(|(_, pause)| pause);
                self.claim = Some(claim);
                Event::Claimed(claimed)
            }
            Err(error) => self.failed(error),
        }
    }

    /// What was read under the lock; or, where a test has that skipped, what
    /// was read before.
    pub(super) fn unless_skipped(
        &mut self,
        mut claim: Claim,
        mut claimed: Claimed,
    ) -> (Claim, Claimed) {
        if fault::is_injected(fault::SKIP_READ_UNDER_LOCK)
            && let Some(looked) = self.looked.take()
        {
            claimed.access = None;
            claimed.mark = None;
            claimed.backing_off = None;
            claimed.item = None;
            claim.forget_what_was_read(looked);
        }
        (claim, claimed)
    }

    /// Writes down what a dead process committed and did not record.
    pub(super) fn complete_history(
        &self,
        storage: &Storage,
        claim: &Claim,
        claimed: &Claimed,
    ) -> Result<()> {
        let sealed = claim.record();
        let newest = sealed.map(|record| record.generation);
        let item = claimed.item.map(|item| item.generation);
        let Some(generation) = newest.max(item) else {
            return Ok(());
        };
        let at_ms = sealed
            .filter(|record| record.generation == generation)
            .map_or_else(|| self.stamp().wall_ms, |record| record.refreshed.wall_ms);
        HistoryEntry::complete(&storage.folder, claimed.login, generation, at_ms)
    }

    /// Makes the next sealed file. A move between stores that died has left a
    /// copy of this token, which must not outlive it: once the state folder is
    /// gone, it could be found.
    pub(super) async fn prepare(&mut self) -> Event {
        if let Some(storage) = &self.storage
            && let Err(error) = delete_leftovers(&self.profile, storage).await
        {
            tracing::warn!(?error, "another store still holds what the login has left");
        }
        if let Some(error) = self.beyond_the_grant() {
            return self.failed(error);
        }
        // Before the mark: one that a process leaves behind says of a token that
        // it was sent, and a strict server's login would be given up for it.
        let Some(in_flight) = InFlight::begin() else {
            return self.failed(ending());
        };
        self.in_flight = Some(in_flight);
        let result = self.with_claim(|claim, storage| {
            let login = claim.key.login;
            storage.prepare_sealed(login, storage.sealed_size(login) + ROOM)
        });
        let result = result.map(|prepared| self.prepared = Some(prepared));
        self.done(result)
    }

    /// Why a request is not sent that names a resource which the login did not
    /// name: it is for the grant's own only (RFC 8707, section 2.2), and there
    /// are servers that spend the refresh token before they refuse it.
    fn beyond_the_grant(&self) -> Option<Error> {
        let settings = &self.claim.as_ref()?.record()?.settings;
        if settings.resource.is_empty() || settings.audience_parameter {
            return None;
        }
        let mut asked = self.request.asked.key.resource.iter();
        let beyond = asked.find(|resource| !settings.resource.contains(resource))?;
        Some(Error::new(
            ErrorKind::RequestRefused,
            format!(
                "the login was not made for {beyond}, but for {}: log in for it, too",
                settings.resource.join(" ")
            ),
        ))
    }

    pub(super) async fn send(&mut self) -> Event {
        if !self.in_flight.as_ref().is_some_and(InFlight::may_send) {
            self.ending = true;
            self.error = Some(ending());
            return self.answered(Answer::NotActed(Failure::Local));
        }
        let Some(claim) = self.claim.take() else {
            return self.failed(Error::new(ErrorKind::Internal, "a send without a claim"));
        };
        let trusted = claim
            .record()
            .map(|record| record.settings.ca_certificates.clone());
        let http = match self.profile.http(&trusted.unwrap_or_default()) {
            Ok(http) => http,
            Err(error) => {
                self.claim = Some(claim);
                self.error = Some(error);
                return self.answered(Answer::NotActed(Failure::Local));
            }
        };
        let sent_at = self.stamp();
        // A proof that was refused for its nonce is made again within the
        // exchange: nothing was spent by then, so the mark counts one send.
        let learnt = &self.profile.learnt;
        let clock = self.profile.settings.clock.as_ref();
        let exchanged = claim
            .exchange(&http, &self.request.asked.key, learnt, clock)
            .await;
        let answer = match exchanged {
            Exchanged::Granted(held, response) => {
                self.received = Some(next_record(
                    &held.before,
                    &self.request.asked.key,
                    response,
                    sent_at,
                    &self.profile.now(),
                    self.profile.learnt.to_keep(&held.before.settings),
                ));
                self.held = Some(held);
                self.usable = true;
                Answer::Granted { usable: true }
            }
            Exchanged::RefreshTokenOnly(held, refresh_token, reason) => {
                self.error = Some(Error::new(
                    ErrorKind::ServerAnswerInvalid,
                    format!(
                        "the authorization server's answer holds no usable access token: {reason}"
                    ),
                ));
                self.received = Some(record_without_access_token(
                    &held.before,
                    refresh_token,
                    sent_at,
                ));
                self.held = Some(held);
                Answer::Granted { usable: false }
            }
            Exchanged::Unspent(claim, answer) => {
                let understood = understand(answer, self.request.asked.key.is_the_logins_own());
                self.retry_after = understood.retry_after;
                self.refusal = understood.refusal;
                self.error = Some(understood.error);
                self.claim = Some(claim);
                understood.meaning
            }
        };
        if answer == Answer::Unknown
            && let (Some(claim), Some(storage)) = (&mut self.claim, &self.storage)
        {
            claim.keep_mark(storage);
        }
        self.answered(answer)
    }

    pub(super) fn answered(&self, answer: Answer) -> Event {
        let now = self.profile.now();
        Event::Answered {
            answer,
            since_first_send: self
                .first_sent
                .as_ref()
                .and_then(|first| first.elapsed(&now)),
            access: self
                .received
                .as_ref()
                .or(self.claim.as_ref().and_then(Claim::record))
                .and_then(|record| access_facts(record, &self.request.asked, &now)),
        }
    }

    pub(super) fn check_tombstone(&mut self) -> Event {
        let result = self
            .storage()
            .and_then(|storage| storage.is_buried(self.key()?.login));
        match result {
            Ok(buried) => Event::Tombstone(buried),
            Err(error) => self.failed(error),
        }
    }

    pub(super) fn commit(&mut self) -> Event {
        let result = self.commit_to_file();
        if let Err(error) = &result {
            tracing::warn!(?error, "the new refresh token could not be committed yet");
        }
        self.done(result)
    }

    pub(super) fn commit_to_file(&mut self) -> Result<()> {
        let storage = self.storage()?;
        let (Some(held), Some(received), Some(prepared)) =
            (&self.held, &self.received, &mut self.prepared)
        else {
            return Err(Error::new(ErrorKind::Internal, "a commit without tokens"));
        };
        prepared.commit(&storage.seal(&held.key, received))?;
        self.committed = true;
        Ok(())
    }

    pub(super) async fn commit_to_item(&mut self) -> Result<()> {
        let storage = self.storage()?;
        let (Some(held), Some(received)) = (&self.held, &self.received) else {
            return Err(Error::new(ErrorKind::Internal, "a commit without tokens"));
        };
        let item = token_item(&held.key, received);
        if !storage.store_can_hold(&item.write()) {
            return Err(Error::new(
                ErrorKind::StoreFailed,
                "the token is too large for the store",
            ));
        }
        storage.write_token_item(&item).await?;
        self.committed = true;
        Ok(())
    }

    pub(super) async fn copy_to_item(&self) -> Result<()> {
        match (&self.held, &self.received, &self.storage) {
            (Some(held), Some(received), Some(storage)) => {
                storage
                    .write_token_item(&token_item(&held.key, received))
                    .await
            }
            _ => Ok(()),
        }
    }

    /// Lets the caller go. The process still waits for what is left to do: one
    /// that ends with its token would else never write the second copy.
    pub(super) fn hand_out(&mut self) -> Event {
        if self.usable
            && let Some(storage) = &self.storage
        {
            storage.shared.share_success();
            if let Ok(name) = self.request_name() {
                storage.shared.forget_refusal(name);
            }
        }
        self.token = self
            .received
            .as_ref()
            .and_then(|record| record.access(&self.request.asked.key))
            .cloned();
        self.profile
            .has_made(self.token.as_ref(), self.began.elapsed());
        // An answer without a usable access token is told at the end. A failure
        // on the way, of an earlier send or of the first try to commit, is past.
        if self.usable
            && let Some(token) = self.token.clone()
        {
            self.answer(Ok(Supplied::new(token, true)));
        }
        Event::Done
    }

    pub(super) async fn revoke_received(&mut self) -> Event {
        let (Some(received), Ok(key)) = (&self.received, self.key()) else {
            return Event::Done;
        };
        let revoked = revoke_now(&self.profile, received, Some(&key)).await;
        let is_for_now = revoked.as_ref().is_err_and(Error::is_transient);
        if is_for_now
            && self.profile.settings.queue_revocations
            && let Some(storage) = &self.storage
        {
            let (profile, login) = (&self.profile, key.login);
            let queued = revocations::queue(profile, storage, login, received, Some(&key)).await;
            if let Err(error) = queued {
                tracing::warn!(?error, "the revocation could not be kept for later");
            }
        }
        if let Err(error) = revoked {
            // What the caller is told is that the login has ended.
            tracing::warn!(?error, "a token of a login that has ended was not revoked");
        }
        Event::Done
    }

    pub(super) async fn delete_remains(&mut self) -> Event {
        let result = match (self.storage(), self.key()) {
            (Ok(storage), Ok(key)) => delete_remains(&self.profile, &storage, key.login).await,
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        self.profile.forget();
        self.done(result)
    }
}

/// The error of a refresh that was due when the process had begun to end.
fn ending() -> Error {
    Error::new(
        ErrorKind::Closed,
        "this process is ending and sends no refresh any more",
    )
}
