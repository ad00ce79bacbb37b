//! Carries out a refresh: does to the world what the machine of
//! [`protocol::refresh`](super::protocol::refresh) says, one effect at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use vault_platform::folder::PreparedFile;
use vault_platform::lock::{LockError, LockGuard};

use super::claim::{Claim, Exchanged, Held, token_item};
use super::description::describe;
use super::endpoints::{BEFORE_THE_LOCK, ask_again};
use super::farewell::{delete_remains, revoke_now};
use super::meaning::understand;
use super::protocol::refresh::{Refresh, Want};
use super::protocol::{Answer, Claimed, Effect, Event, Failure, Outcome, Sight};
use super::renewal::{next_record, record_without_access_token};
use super::revocations;
use crate::display::{HistoryEntry, LoginState, ProfileSummary};
use crate::error::{Error, ErrorKind, Result};
use crate::exit::InFlight;
use crate::fault;
use crate::identity::Fingerprint;
use crate::life::Stamp;
use crate::oauth::discovery::Description;
use crate::profile::{Look, Profile, Waiting, access_facts, serving};
use crate::record::{Asked, CachedToken, KeyItem, LoginRecord, LoginSettings};
use crate::shared::refusals::Reason;
use crate::storage::Storage;

/// How often the mark of a token that was not spent is put back once more.
const UNMARK_RETRIES: u32 = 3;

/// The next sealed file is prepared with this much room for what the server
/// may answer; more is written all the same, if the disk has it.
const ROOM: usize = 64 * 1024;

/// What a caller asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) asked: Asked,
    /// The access token that a resource refused.
    pub(crate) refused: Option<Fingerprint>,
    /// A person asks: see [`Want::insist`].
    pub(crate) insist: bool,
}

/// A token for the caller, and how it came.
#[derive(Clone, Debug)]
pub(crate) struct Supplied {
    pub(crate) token: CachedToken,
    pub(crate) refreshed: bool,
    /// The refresh that was due and failed, while the token is still valid.
    pub(crate) failure: Option<ErrorKind>,
}

/// Makes or finds an access token. `reply` gets it as soon as it is committed;
/// what is left to do is done afterwards.
pub(crate) async fn refresh(
    profile: Arc<Profile>,
    request: Request,
    deadline: Instant,
    reply: oneshot::Sender<Result<Supplied>>,
) {
    let mut driver = Driver::new(profile, request, deadline, reply);
    let want = Want {
        refused: driver.request.refused,
        insist: driver.request.insist,
    };
    let mut machine = Refresh::new(want);
    let mut event = Event::Start;
    loop {
        let effect;
        (machine, effect) = machine.next(event);
        tracing::trace!(profile = %driver.profile.names.profile, ?effect, "refresh");
        let point = fault::Around::new("refresh", &effect);
        point.before();
        match effect {
            Effect::Finish(outcome) => {
                let profile = driver.profile.clone();
                driver.finish(outcome);
                point.after();
                if outcome == Outcome::Refreshed {
                    revoke_what_waits(profile);
                }
                return;
            }
            effect => event = driver.perform(effect).await,
        }
        point.after();
    }
}

/// The server can be reached. Detached: no caller waits for this.
fn revoke_what_waits(profile: Arc<Profile>) {
    let refresher = profile.clone();
    let work = async move {
        revocations::retry(&profile, false).await;
    };
    drop(refresher.settings.refresher.spawn(work));
}

struct Driver {
    profile: Arc<Profile>,
    request: Request,
    deadline: Instant,
    reply: Option<oneshot::Sender<Result<Supplied>>>,
    storage: Option<Arc<Storage>>,
    /// The version of the stored state at the last look.
    seen: Option<u64>,
    /// The profile is pinned to another store than at the last look.
    moved: bool,
    /// How many attempts had begun when the wait began.
    waiting_since: Option<u64>,
    /// The lock until something is read under it, then the claim, and the lock
    /// again once the token is spent.
    lock: Option<LockGuard>,
    claim: Option<Claim>,
    held: Option<Held>,
    prepared: Option<PreparedFile>,
    /// What is to be committed.
    received: Option<LoginRecord>,
    /// Whether a new access token is in it.
    usable: bool,
    committed: bool,
    /// The settings of a login whose server is to describe itself again.
    outdated: Option<LoginSettings>,
    /// What it said.
    description: Option<Description>,
    /// What the last look read, kept only for tests that skip the read under the lock.
    looked: Option<LoginRecord>,
    /// The token for the caller, as it was last read or received.
    token: Option<CachedToken>,
    /// What a person would read about the failure.
    error: Option<Error>,
    retry_after: Option<Duration>,
    failure: Option<Failure>,
    refusal: Option<String>,
    first_sent: Option<Stamp>,
    commit_pause: Duration,
    /// Keeps the process from ending between send and commit, and before the
    /// copies are written.
    in_flight: Option<InFlight>,
}

impl Driver {
    fn new(
        profile: Arc<Profile>,
        request: Request,
        deadline: Instant,
        reply: oneshot::Sender<Result<Supplied>>,
    ) -> Self {
        Self {
            profile,
            request,
            deadline,
            reply: Some(reply),
            storage: None,
            seen: None,
            moved: false,
            waiting_since: None,
            lock: None,
            claim: None,
            held: None,
            prepared: None,
            received: None,
            usable: false,
            committed: false,
            outdated: None,
            description: None,
            looked: None,
            token: None,
            error: None,
            retry_after: None,
            failure: None,
            refusal: None,
            first_sent: None,
            commit_pause: Duration::from_millis(100),
            in_flight: None,
        }
    }

    async fn perform(&mut self, effect: Effect) -> Event {
        match effect {
            Effect::Look => self.look().await,
            Effect::TryLock => {
                if fault::is_injected(fault::PAUSE_BEFORE_LOCK) {
                    let [jitter] = vault_platform::random::bytes();
                    // Long enough for all to have looked, then one after the
                    // other.
                    let pause = Duration::from_millis(300 + u64::from(jitter));
                    tokio::time::sleep(pause).await;
                }
                self.ask_for_description().await;
                self.try_lock()
            }
            Effect::Wait => self.wait().await,
            Effect::Claim => self.take_claim().await,
            Effect::SetAside => {
                let result = self.with_claim(|claim, storage| claim.set_aside(storage));
                if let Ok(name) = &result {
                    tracing::warn!(%name, "a damaged sealed file was set aside");
                }
                self.done(result)
            }
            Effect::RepairSealed => {
                let now = self.stamp();
                let policy = self.profile.settings.policy.unwrap_or_default();
                let result =
                    self.with_claim(|claim, storage| claim.repair_sealed(storage, now, policy));
                self.done(result)
            }
            Effect::RepairItem => {
                let result = match (&self.claim, &self.storage) {
                    (Some(claim), Some(storage)) => claim.repair_item(storage).await,
                    _ => Ok(()),
                };
                self.done(result)
            }
            Effect::Prepare => self.prepare(),
            Effect::Discard => {
                self.prepared = None;
                Event::Done
            }
            Effect::Mark { .. } if fault::is_injected(fault::SKIP_MARK) => Event::Done,
            Effect::Mark { attempts } => {
                let now = self.stamp();
                let result = self.with_claim(|claim, storage| claim.mark(storage, attempts, now));
                let result = result.map(|first_sent| self.first_sent = Some(first_sent));
                self.done(result)
            }
            Effect::Unmark => {
                // A mark that stays would be taken for an answer that was lost.
                let mut result = self.with_claim(|claim, storage| claim.unmark(storage));
                for _ in 0..UNMARK_RETRIES {
                    if result.is_ok() {
                        break;
                    }
                    tokio::time::sleep(self.commit_pause).await;
                    result = self.with_claim(|claim, storage| claim.unmark(storage));
                }
                self.done(result)
            }
            Effect::ClearMark => {
                let result = self.storage().and_then(|storage| storage.remove_mark());
                self.done(result)
            }
            Effect::MarkRefused => {
                let reason = self.refusal.clone().unwrap_or_default();
                let result = self.with_claim(|claim, storage| claim.mark_refused(storage, &reason));
                self.done(result)
            }
            Effect::CountAttempt => self.with_shared(|shared| shared.count_attempt()),
            Effect::Send => self.send().await,
            Effect::CheckTombstone => self.check_tombstone(),
            Effect::RevokeReceived => self.revoke_received().await,
            Effect::BeginChange => self.with_shared(|shared| shared.begin_change()),
            Effect::EndChange => self.with_shared(|shared| shared.end_change()),
            Effect::Commit => self.commit(),
            Effect::CommitToItem => {
                let result = self.commit_to_item().await;
                self.done(result)
            }
            Effect::WaitToCommit => {
                tokio::time::sleep(self.commit_pause).await;
                self.commit_pause = (self.commit_pause * 2).min(Duration::from_secs(2));
                Event::Done
            }
            Effect::HandOut => self.hand_out(),
            Effect::CopyToItem => {
                let result = self.copy_to_item().await;
                if let Err(error) = &result {
                    tracing::warn!(?error, "the copy in the store could not be written");
                }
                self.done(result)
            }
            Effect::DeleteRemains => self.delete_remains().await,
            Effect::ShareFailure(failure) => self.share_failure(failure),
            Effect::Record => {
                if let Err(error) = self.write_display() {
                    tracing::debug!(?error, "the display copy could not be written");
                }
                Event::Done
            }
            Effect::Unlock => {
                self.lock = None;
                self.claim = None;
                self.held = None;
                self.in_flight = None;
                Event::Done
            }
            effect => {
                self.error = Some(Error::new(
                    ErrorKind::Internal,
                    format!("a refresh was asked to do {effect:?}"),
                ));
                Event::Failed(Failure::Local)
            }
        }
    }

    // Without the lock.

    async fn look(&mut self) -> Event {
        let look = self.profile.look(Waiting::Task).await;
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
    async fn ask_for_description(&mut self) {
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

    fn is_locked(&self) -> bool {
        let attempt = self.storage.as_ref().map(|storage| storage.lock.try_lock());
        matches!(attempt, Some(Ok(None)))
    }

    fn try_lock(&mut self) -> Event {
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

    async fn wait(&mut self) -> Event {
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
                || !storage.folder.is_in_place(),
            failed: storage
                .shared
                .failed_since(self.waiting_since.unwrap_or(u64::MAX)),
            late: Instant::now() >= self.deadline,
        }
    }

    // Under the lock.

    async fn take_claim(&mut self) -> Event {
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
    fn unless_skipped(&mut self, mut claim: Claim, mut claimed: Claimed) -> (Claim, Claimed) {
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
    fn complete_history(&self, storage: &Storage, claim: &Claim, claimed: &Claimed) -> Result<()> {
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

    fn prepare(&mut self) -> Event {
        let result = self.with_claim(|claim, storage| {
            let login = claim.key.login;
            storage.prepare_sealed(login, storage.sealed_size(login) + ROOM)
        });
        let result = result.map(|prepared| self.prepared = Some(prepared));
        self.done(result)
    }

    async fn send(&mut self) -> Event {
        let Some(claim) = self.claim.take() else {
            return self.failed(Error::new(ErrorKind::Internal, "a send without a claim"));
        };
        self.in_flight = Some(InFlight::begin());
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

    fn answered(&self, answer: Answer) -> Event {
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

    fn check_tombstone(&mut self) -> Event {
        let result = self
            .storage()
            .and_then(|storage| storage.is_buried(self.key()?.login));
        match result {
            Ok(buried) => Event::Tombstone(buried),
            Err(error) => self.failed(error),
        }
    }

    fn commit(&mut self) -> Event {
        let result = self.commit_to_file();
        if let Err(error) = &result {
            tracing::warn!(?error, "the new refresh token could not be committed yet");
        }
        self.done(result)
    }

    fn commit_to_file(&mut self) -> Result<()> {
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

    async fn commit_to_item(&mut self) -> Result<()> {
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

    async fn copy_to_item(&self) -> Result<()> {
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
    fn hand_out(&mut self) -> Event {
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
        // An answer without a usable access token is told at the end. A failure
        // on the way, of an earlier send or of the first try to commit, is past.
        if self.usable
            && let Some(token) = self.token.clone()
        {
            self.answer(Ok(Supplied {
                token,
                refreshed: true,
                failure: None,
            }));
        }
        Event::Done
    }

    async fn revoke_received(&mut self) -> Event {
        let result = match &self.received {
            Some(received) => {
                let key = self.key().ok();
                revoke_now(&self.profile, received, key.as_deref()).await
            }
            None => Ok(()),
        };
        self.done(result)
    }

    async fn delete_remains(&mut self) -> Event {
        let result = match (self.storage(), self.key()) {
            (Ok(storage), Ok(key)) => delete_remains(&self.profile, &storage, key.login).await,
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        self.profile.forget();
        self.done(result)
    }

    fn share_failure(&mut self, failure: Failure) -> Event {
        self.failure = Some(failure);
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
    fn request_name(&self) -> Result<u64> {
        let boot = self.profile.now().boot;
        Ok(self.request.asked.key.name(&self.key()?.key, boot))
    }

    /// Writes what people read. A failure that changed nothing leaves no trace.
    fn write_display(&self) -> Result<()> {
        let storage = self.storage()?;
        let now = self.stamp();
        let key = self.key()?;
        let entry = |outcome, generation| {
            HistoryEntry::new(now.wall_ms, "refresh", outcome, key.login, generation)
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

    // The end.

    fn finish(mut self, outcome: Outcome) {
        let supplied = match (outcome, self.token.take()) {
            (Outcome::Adopted, Some(token)) => Ok(Supplied {
                token,
                refreshed: false,
                failure: None,
            }),
            (Outcome::Refreshed, Some(token)) => Ok(Supplied {
                token,
                refreshed: true,
                failure: None,
            }),
            (Outcome::ServedValid(failure), Some(token)) => Ok(Supplied {
                token,
                refreshed: false,
                failure: Some(self.describe(failure).kind()),
            }),
            (Outcome::Failed(failure), _) => Err(self.describe(failure)),
            _ => Err(Error::new(
                ErrorKind::Internal,
                "a refresh ended without a token",
            )),
        };
        self.answer(supplied);
    }

    fn describe(&mut self, failure: Failure) -> Error {
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
    fn refused_before(&self) -> Error {
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
                Error::new(error.kind(), message).after(self.retry_after)
            }
            None => error,
        }
    }

    fn answer(&mut self, supplied: Result<Supplied>) {
        if let Some(reply) = self.reply.take() {
            // A caller that went away takes nothing back.
            drop(reply.send(supplied));
        }
    }

    // Small change.

    fn stamp(&self) -> Stamp {
        Stamp::from(&self.profile.now())
    }

    fn storage(&self) -> Result<Arc<Storage>> {
        self.storage
            .clone()
            .ok_or_else(|| Error::new(ErrorKind::NotLoggedIn, "the profile has no folder"))
    }

    fn key(&self) -> Result<Arc<KeyItem>> {
        let held = self.held.as_ref().map(|held| &held.key);
        held.or(self.claim.as_ref().map(|claim| &claim.key))
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "nothing was claimed"))
    }

    fn with_claim<T>(&mut self, act: impl FnOnce(&mut Claim, &Storage) -> Result<T>) -> Result<T> {
        let storage = self.storage()?;
        match &mut self.claim {
            Some(claim) => act(claim, &storage),
            None => Err(Error::new(ErrorKind::Internal, "nothing was claimed")),
        }
    }

    fn with_shared(&self, act: impl FnOnce(&crate::shared::Shared)) -> Event {
        if let Some(storage) = &self.storage {
            act(&storage.shared);
        }
        Event::Done
    }

    fn done<T>(&mut self, result: Result<T>) -> Event {
        match result {
            Ok(_) => Event::Done,
            Err(error) => self.failed(error),
        }
    }

    fn failed(&mut self, error: Error) -> Event {
        let failure = match error.kind() {
            ErrorKind::NewerVersion => Failure::NewerVersion,
            ErrorKind::Corrupted => Failure::Corrupted,
            _ => Failure::Local,
        };
        // The first failure is the one that a person should read.
        self.error.get_or_insert(error);
        Event::Failed(failure)
    }
}
