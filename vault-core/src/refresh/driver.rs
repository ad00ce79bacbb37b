//! Carries out a refresh: does to the world what the machine of
//! [`protocol::refresh`](super::protocol::refresh) says, one effect at a time.

mod approach;
mod exchange;
mod telling;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Instrument;
use vault_platform::folder::PreparedFile;
use vault_platform::lock::LockGuard;

use super::claim::{Claim, Held};
use super::patience::Patience;
use super::protocol::refresh::{Refresh, Want};
use super::protocol::{Effect, Event, Failure, Outcome};
use super::revocations;
use crate::error::{Error, ErrorKind, Result};
use crate::exit::InFlight;
use crate::fault;
use crate::identity::Fingerprint;
use crate::life::Stamp;
use crate::oauth::discovery::Description;
use crate::profile::Profile;
use crate::record::{Asked, CachedToken, KeyItem, LoginRecord, LoginSettings};
use crate::storage::Storage;

/// How often the mark of a token that was not spent is put back once more.
const UNMARK_RETRIES: u32 = 3;

/// What a caller asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) asked: Asked,
    /// The access token that a resource refused.
    pub(crate) refused: Option<Fingerprint>,
    /// A person asks: see [`Want::insist`].
    pub(crate) insist: bool,
    /// Nobody waits for it, so nobody is asked to unlock a store.
    pub(crate) ahead: bool,
}

/// A token for the caller, and how it came.
#[derive(Clone, Debug)]
pub(crate) struct Supplied {
    pub(crate) token: CachedToken,
    pub(crate) refreshed: bool,
    /// The refresh that was due and failed, while the token is still valid.
    pub(crate) failure: Option<ErrorKind>,
    /// When that may be tried again.
    pub(crate) retry_after: Option<Duration>,
}

impl Supplied {
    pub(crate) fn new(token: CachedToken, refreshed: bool) -> Self {
        Self {
            token,
            refreshed,
            failure: None,
            retry_after: None,
        }
    }
}

/// Makes or finds an access token. `reply` gets it as soon as it is committed;
/// what is left to do is done afterwards.
pub(crate) async fn refresh(
    profile: Arc<Profile>,
    request: Request,
    patience: Patience,
    reply: oneshot::Sender<Result<Supplied>>,
) {
    let names = &profile.names;
    let span = tracing::info_span!(
        "refresh",
        application = names.application,
        profile = names.profile
    );
    run(Driver::new(profile, request, patience, reply))
        .instrument(span)
        .await;
}

async fn run(mut driver: Driver) {
    let want = Want {
        refused: driver.request.refused,
        insist: driver.request.insist,
    };
    let mut machine = Refresh::new(want);
    let mut event = Event::Start;
    loop {
        let effect;
        (machine, effect) = machine.next(event);
        tracing::trace!(?effect);
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
    began: Instant,
    patience: Patience,
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
    /// When this process wrote its mark.
    marked: Option<Stamp>,
    commit_pause: Duration,
    /// Keeps the process from ending between mark, send and commit, and before
    /// the copies are written.
    in_flight: Option<InFlight>,
    /// The token was not sent, because the process is ending.
    ending: bool,
}

impl Driver {
    fn new(
        profile: Arc<Profile>,
        request: Request,
        patience: Patience,
        reply: oneshot::Sender<Result<Supplied>>,
    ) -> Self {
        Self {
            profile,
            request,
            began: Instant::now(),
            patience,
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
            marked: None,
            commit_pause: Duration::from_millis(100),
            in_flight: None,
            ending: false,
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
            Effect::Prepare => self.prepare().await,
            Effect::Discard => {
                self.prepared = None;
                Event::Done
            }
            Effect::Mark { .. } if fault::is_injected(fault::SKIP_MARK) => Event::Done,
            Effect::Mark { attempts } => {
                let now = self.stamp();
                self.marked = Some(now.clone());
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
