//! Refreshing ahead: while a process runs, its token is renewed before anyone
//! has to wait for it.
//!
//! There are two windows before a token's end. In the first, one process among
//! all refreshes, each at its own moment, while everyone is still served from
//! memory; in the second, callers wait. Who comes second in the first window
//! finds the other's token and does nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::driver::{self, Request};
use super::patience::Patience;
use super::policy;
use crate::error::ErrorKind;
use crate::profile::{Look, Profile, Waiting};
use crate::record::{Asked, CacheKey, CachedToken};

/// No sleep is longer: the runtime's timers stand still while the machine
/// sleeps. tokio wakes three times for each.
const LONGEST_SLEEP: Duration = Duration::from_secs(120);

/// After a refresh, at least this long: a token may be due as soon as it comes.
/// After each that failed, twice as long as before.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);

/// Keeps a session's token fresh for as long as it lives; see
/// [`Session::keep_fresh`](crate::Session::keep_fresh).
#[derive(Debug)]
#[must_use = "dropping it ends the refreshing"]
pub struct KeepFresh {
    /// Dropped with this, which the task sees.
    _stop: oneshot::Sender<()>,
}

impl KeepFresh {
    pub(crate) fn new() -> (Self, oneshot::Receiver<()>) {
        let (stop, stopped) = oneshot::channel();
        (Self { _stop: stop }, stopped)
    }
}

pub(crate) async fn keep_fresh(
    profile: Arc<Profile>,
    key: CacheKey,
    mut stopped: oneshot::Receiver<()>,
) {
    let [jitter] = vault_platform::random::bytes();
    let mut retry = SHORTEST_RETRY;
    loop {
        let due = match current(&profile, &key).await {
            Some(cached) => due_in(&cached, jitter, &profile),
            // Nobody is logged in, or the store can't be read: look again.
            None => LONGEST_SLEEP,
        };
        let pause = if due.is_zero() {
            match refresh(&profile, &key).await {
                Ok(()) => {
                    retry = SHORTEST_RETRY;
                    retry
                }
                Err(Failed::ForNow(after)) => {
                    let pause = retry.max(after.unwrap_or_default());
                    retry = (retry * 2).min(LONGEST_SLEEP);
                    pause
                }
                Err(Failed::ForGood) => LONGEST_SLEEP,
            }
        } else {
            retry = SHORTEST_RETRY;
            due
        };
        tokio::select! {
            _ = &mut stopped => return,
            () = tokio::time::sleep(pause.min(LONGEST_SLEEP)) => {}
        }
    }
}

/// A refresh that failed.
enum Failed {
    /// It may go well after this time, if that was told.
    ForNow(Option<Duration>),
    /// Somebody has to do something first.
    ForGood,
}

impl Failed {
    fn new(kind: ErrorKind, retry_after: Option<Duration>) -> Self {
        if kind.is_transient() {
            Self::ForNow(retry_after)
        } else {
            Self::ForGood
        }
    }
}

async fn current(profile: &Profile, key: &CacheKey) -> Option<CachedToken> {
    let asked = Asked {
        key: key.clone(),
        ..Asked::default()
    };
    if let Some(cached) = profile.cached(&asked, CachedToken::clone) {
        return Some(cached);
    }
    match profile.look(Waiting::Nobody).await {
        Ok(Look::Login(login)) if login.refused.is_none() => login.record.access(key).cloned(),
        _ => None,
    }
}

/// How long until this process refreshes ahead: some time within the first
/// window, so that not all come at once.
fn due_in(cached: &CachedToken, jitter: u8, profile: &Profile) -> Duration {
    let (Some(left), Some(lifetime)) = (cached.life.left(&profile.now()), cached.life.lifetime())
    else {
        return LONGEST_SLEEP;
    };
    let window = policy::advisory_window(lifetime);
    let spread = window.saturating_sub(policy::mandatory_window(lifetime)) / 2;
    let into_window = spread.mul_f64(f64::from(jitter) / 256.0);
    left.saturating_sub(window.saturating_sub(into_window))
}

async fn refresh(profile: &Arc<Profile>, key: &CacheKey) -> Result<(), Failed> {
    let Some(cached) = current(profile, key).await else {
        return Err(Failed::ForNow(None));
    };
    let request = Request {
        asked: Asked {
            key: key.clone(),
            min_valid: cached.life.lifetime().map(policy::advisory_window),
            allow_wider: false,
        },
        ahead: true,
        ..Request::default()
    };
    let turn = profile.turn();
    let _turn = turn.lock_owned().await;
    let (reply, answer) = oneshot::channel();
    let patience = Patience::new(profile.settings.lock_timeout);
    driver::refresh(profile.clone(), request, patience, reply).await;
    match answer.await {
        Ok(Ok(supplied)) => match supplied.failure {
            Some(kind) => Err(Failed::new(kind, supplied.retry_after)),
            None => Ok(()),
        },
        Ok(Err(error)) => Err(Failed::new(error.kind(), error.retry_after())),
        Err(_) => Err(Failed::ForNow(None)),
    }
}
