//! Step 1 of the protocol: access tokens that may be handed out without asking
//! anyone, and which of several serves a request.
//!
//! A valid token costs a mutex, two words of the mapped counters and the clock
//! that counts sleep. What can be worked out when a token is read is worked out
//! then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vault_platform::clock::{Clock, Now};

use crate::fault;
use crate::identity::Fingerprint;
use crate::record::{Asked, CacheKey, CachedToken, LoginRecord};
use crate::refresh::policy;
use crate::refresh::protocol::Access;
use crate::storage::Storage;

/// How often folder and counters are compared with their paths: those that were
/// removed or replaced never move again. And how often the counters' length is
/// asked for: a word of a file that was cut ends the process by a signal.
const PLACE_CHECK: Duration = Duration::from_secs(1);

/// Access tokens as read at one version of the stored state.
#[derive(Debug, Default)]
pub(super) struct Cache {
    source: Option<(Arc<Storage>, u64)>,
    tokens: BTreeMap<CacheKey, Ready>,
    place_checked: Duration,
}

#[derive(Debug)]
struct Ready {
    cached: CachedToken,
    /// Until when by the clock since boot the token is fresh for whoever asks
    /// for no more; zero where only the wall clock can tell.
    fresh_until: Duration,
}

impl Cache {
    pub(super) fn new(
        storage: &Arc<Storage>,
        version: Option<u64>,
        record: &LoginRecord,
        now: &Now,
    ) -> Self {
        let ready = |cached: &CachedToken| Ready {
            fresh_until: fresh_until(cached, now),
            cached: cached.clone(),
        };
        Self {
            source: version.map(|version| (storage.clone(), version)),
            tokens: record
                .tokens()
                .map(|cached| (cached.key.bound_to(None), ready(cached)))
                .collect(),
            place_checked: now.since_boot,
        }
    }

    /// A fresh token, if nothing has moved.
    pub(super) fn fresh(&mut self, asked: &Asked, clock: &dyn Clock) -> Option<&CachedToken> {
        let (storage, version) = self.source.as_ref()?;
        let since_boot = clock.since_boot();
        // Before the first word is looked at: whoever was idle while the file
        // was cut lives on.
        if since_boot.saturating_sub(self.place_checked) > PLACE_CHECK {
            if !storage.is_in_place() {
                self.source = None;
                return None;
            }
            self.place_checked = since_boot;
        }
        if storage.shared.mapped_version() != Some(*version) {
            return None;
        }
        if asked.min_valid.is_none()
            && !fault::is_injected(fault::ADOPT_ANOTHER_KEY)
            && let Some(ready) = self.tokens.get(&asked.key)
            && since_boot < ready.fresh_until
        {
            return Some(&ready.cached);
        }
        let now = clock.now();
        self.serving(asked, &now)
            .filter(|cached| is_fresh(cached, asked.min_valid, &now))
    }

    /// A token that has not expired, however little is left of it, if nothing
    /// has moved.
    pub(super) fn valid(&self, asked: &Asked, now: &Now) -> Option<&CachedToken> {
        let (storage, version) = self.source.as_ref()?;
        if storage.shared.version() != Some(*version) {
            return None;
        }
        let left = |cached: &CachedToken| cached.life.left(now);
        self.serving(asked, now)
            .filter(|cached| left(cached).is_none_or(|left| !left.is_zero()))
    }

    fn serving(&self, asked: &Asked, now: &Now) -> Option<&CachedToken> {
        serving(self.tokens.values().map(|ready| &ready.cached), asked, now)
    }
}

fn fresh_until(cached: &CachedToken, now: &Now) -> Duration {
    let Some(lifetime) = cached.life.lifetime() else {
        return Duration::MAX;
    };
    let fresh_for = lifetime.saturating_sub(policy::mandatory_window(lifetime));
    match cached.life.since.since_boot(now) {
        Some(since) => since.saturating_add(fresh_for),
        None => Duration::ZERO,
    }
}

/// Whether enough of a token's life is left: what the caller asks for, as far
/// as a token of this lifetime can give it.
pub(crate) fn is_fresh(cached: &CachedToken, min_valid: Option<Duration>, now: &Now) -> bool {
    let (Some(left), Some(lifetime)) = (cached.life.left(now), cached.life.lifetime()) else {
        return true;
    };
    let mandatory = policy::mandatory_window(lifetime);
    let asked = min_valid
        .unwrap_or_default()
        .min(lifetime.saturating_sub(mandatory));
    left > mandatory.max(asked)
}

/// Of several tokens the one for the caller: what was made for this request;
/// where the caller allows it and that one is not fresh, one for more. The
/// tokens are all bound to the login's key, of which a request says nothing.
pub(crate) fn serving<'a>(
    tokens: impl Iterator<Item = &'a CachedToken> + Clone,
    asked: &Asked,
    now: &Now,
) -> Option<&'a CachedToken> {
    if fault::is_injected(fault::ADOPT_ANOTHER_KEY) {
        return tokens.max_by_key(|cached| cached.life.left(now));
    }
    let exact = tokens
        .clone()
        .find(|cached| cached.key.asks_the_same(&asked.key));
    let is_fresh = |cached: &&CachedToken| is_fresh(cached, asked.min_valid, now);
    if !asked.allow_wider || exact.as_ref().is_some_and(is_fresh) {
        return exact;
    }
    let covers = |cached: &&CachedToken| {
        let granted = cached.granted_scope.as_deref();
        asked.key.is_covered_by(&cached.key.bound_to(None), granted)
    };
    tokens.filter(covers).find(is_fresh).or(exact)
}

/// The facts about a cached token that the protocol decides by.
pub(crate) fn access_facts(record: &LoginRecord, asked: &Asked, now: &Now) -> Option<Access> {
    let cached = serving(record.tokens(), asked, now)?;
    Some(Access {
        fingerprint: Fingerprint::of(cached.token.expose()),
        fresh: is_fresh(cached, asked.min_valid, now),
        valid: cached.life.left(now).is_none_or(|left| !left.is_zero()),
    })
}

#[cfg(test)]
mod tests {
    use vault_platform::clock::ManualClock;
    use vault_platform::secret::SecretString;

    use super::*;
    use crate::life::{Life, Stamp, milliseconds};
    use crate::token::AccessToken;

    const SECOND: Duration = Duration::from_secs(1);

    fn cached(clock: &ManualClock, lifetime: Option<Duration>) -> CachedToken {
        CachedToken {
            key: CacheKey::default(),
            token: AccessToken::new(SecretString::from("token".to_owned())),
            life: Life {
                since: Stamp::from(&clock.now()),
                lifetime_ms: lifetime.map(milliseconds),
                clock_offset_ms: None,
            },
            granted_scope: None,
            refused: false,
        }
    }

    #[test]
    fn what_was_worked_out_before_ends_when_the_token_does() {
        let clock = ManualClock::new();
        for lifetime in [2 * SECOND, 60 * SECOND, 3600 * SECOND] {
            let token = cached(&clock, Some(lifetime));
            // Read some time after it was issued.
            clock.advance(SECOND / 2);
            let until = fresh_until(&token, &clock.now());
            for _ in 0..40 {
                let now = clock.now();
                assert_eq!(now.since_boot < until, is_fresh(&token, None, &now));
                clock.advance(lifetime / 30);
            }
        }
        let endless = cached(&clock, None);
        assert_eq!(fresh_until(&endless, &clock.now()), Duration::MAX);
    }

    #[test]
    fn of_a_token_of_another_boot_nothing_is_worked_out_before() {
        let clock = ManualClock::new();
        let token = cached(&clock, Some(3600 * SECOND));
        clock.reboot(SECOND);
        let now = clock.now();
        assert_eq!(fresh_until(&token, &now), Duration::ZERO);
        assert!(is_fresh(&token, None, &now), "the wall clock tells");
    }
}
