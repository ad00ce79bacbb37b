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
use crate::profile::{Look, Profile, Waiting};
use crate::record::{Asked, CacheKey, CachedToken};

/// No sleep is longer: the runtime's timers stand still while the machine
/// sleeps. tokio wakes three times for each.
const LONGEST_SLEEP: Duration = Duration::from_secs(120);

/// After a refresh that failed, at least this long.
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
    loop {
        let pause = match current(&profile, &key).await {
            Some(cached) => due_in(&cached, jitter, &profile),
            // Nobody is logged in, or the store can't be read: look again.
            None => LONGEST_SLEEP,
        };
        if !pause.is_zero() {
            tokio::select! {
                _ = &mut stopped => return,
                () = tokio::time::sleep(pause.min(LONGEST_SLEEP)) => continue,
            }
        }
        let failed = refresh(&profile, &key).await;
        if failed {
            tokio::select! {
                _ = &mut stopped => return,
                () = tokio::time::sleep(SHORTEST_RETRY) => {}
            }
        }
        if !matches!(stopped.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
            return;
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
    match profile.look(Waiting::Task).await {
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

/// Whether the refresh failed.
async fn refresh(profile: &Arc<Profile>, key: &CacheKey) -> bool {
    let Some(cached) = current(profile, key).await else {
        return true;
    };
    let request = Request {
        asked: Asked {
            key: key.clone(),
            min_valid: cached.life.lifetime().map(policy::advisory_window),
            allow_wider: false,
        },
        ..Request::default()
    };
    let turn = profile.turn();
    let _turn = turn.lock_owned().await;
    let (reply, answer) = oneshot::channel();
    let patience = Patience::new(profile.settings.lock_timeout);
    driver::refresh(profile.clone(), request, patience, reply).await;
    match answer.await {
        Ok(Ok(supplied)) => supplied.failure.is_some(),
        _ => true,
    }
}
