//! From a server's answer to the record that is to be committed.

use std::time::Duration;

use vault_platform::clock::Now;

use crate::life::{Life, Stamp, milliseconds};
use crate::oauth::token_endpoint::TokenResponse;
use crate::oauth::{ClientCredential, jwt};
use crate::record::{CacheKey, CachedToken, LoginRecord};
use crate::token::{IdToken, RefreshToken};

/// How many access tokens of one login are kept side by side, besides the
/// login's own.
const KEPT_TOKENS: usize = 64;

/// And how much they may be together, in bytes, of which the newest counts in
/// any case: a sealed file that grows without end could not be read some day.
const KEPT_BYTES: usize = 1 << 20;

/// The record that follows when the server has answered.
pub(crate) fn next_record(
    before: &LoginRecord,
    key: &CacheKey,
    response: TokenResponse,
    sent_at: Stamp,
    now: &Now,
    dpop_nonce: Option<String>,
) -> LoginRecord {
    let token = CachedToken {
        key: key.bound_to(before.settings.jkt.as_deref()),
        life: life(&response, sent_at.clone(), now),
        token: response.access_token,
        granted_scope: response.scope,
        refused: false,
    };
    let access_tokens = side_by_side(token, &before.access_tokens, now);
    LoginRecord {
        generation: before.generation.next(),
        // A server that does not rotate sends none: the old one goes on.
        refresh_token: response
            .refresh_token
            .unwrap_or_else(|| before.refresh_token.duplicate()),
        access_tokens,
        settings: before.settings.clone(),
        refreshed: sent_at,
        credential: before.credential.as_ref().map(ClientCredential::duplicate),
        dpop_nonce,
        id_token: before.id_token.as_ref().map(IdToken::duplicate),
    }
}

/// The new token, and of the others what is still good: the login's own in any
/// case, then the newest.
fn side_by_side(new: CachedToken, others: &[CachedToken], now: &Now) -> Vec<CachedToken> {
    let (mut count, mut bytes) = (0, 0);
    let mut is_kept = |cached: &CachedToken| {
        if cached.key.is_the_logins_own() {
            return true;
        }
        count += 1;
        bytes += cached.token.expose().len();
        count <= KEPT_TOKENS && (bytes <= KEPT_BYTES || count == 1)
    };
    // The login's own is shown to people even when it has expired.
    let is_alive = |cached: &CachedToken| {
        let left = cached.life.left(now);
        cached.key.is_the_logins_own() || left.is_none_or(|left| !left.is_zero())
    };
    let key = new.key.clone();
    let others = others.iter().filter(|cached| cached.key != key);
    let alive = others.filter(|cached| is_alive(cached)).cloned();
    let all = std::iter::once(new).chain(alive);
    all.filter(|cached| is_kept(cached)).collect()
}

/// How long an access token lives: as the server says, else as the token says
/// if it is a JWT, counted from the moment the request was sent. `now` is when
/// the answer came.
///
/// A life of nothing counts as not said, whoever says it: each caller would
/// cost a rotation. A JWT has one if its server's clocks disagree, and what is
/// less than a millisecond is stored as nothing.
pub(crate) fn life(response: &TokenResponse, since: Stamp, now: &Now) -> Life {
    let server_now = response.date.unwrap_or(now.wall);
    let said = |life: Duration| Some(milliseconds(life)).filter(|life| *life > 0);
    let by_claim = || {
        let expires_at = jwt::claims(response.access_token.expose())?.exp?;
        said(expires_at.saturating_sub(server_now))
    };
    let offset = |date: Duration| {
        let date = i64::try_from(date.as_millis()).ok()?;
        date.checked_sub(i64::try_from(now.wall.as_millis()).ok()?)
    };
    Life {
        since,
        lifetime_ms: response.expires_in.and_then(said).or_else(by_claim),
        clock_offset_ms: response.date.and_then(offset),
    }
}

/// The record that follows when only the new refresh token can be used.
pub(crate) fn record_without_access_token(
    before: &LoginRecord,
    refresh_token: RefreshToken,
    sent_at: Stamp,
) -> LoginRecord {
    LoginRecord {
        generation: before.generation.next(),
        refresh_token,
        access_tokens: before.access_tokens.clone(),
        settings: before.settings.clone(),
        refreshed: sent_at,
        credential: before.credential.as_ref().map(ClientCredential::duplicate),
        dpop_nonce: before.dpop_nonce.clone(),
        id_token: before.id_token.as_ref().map(IdToken::duplicate),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use vault_platform::clock::{Clock, ManualClock};

    use super::*;
    use crate::token::AccessToken;

    fn cached(clock: &ManualClock, scope: &str, length: usize) -> CachedToken {
        let scope = (!scope.is_empty()).then(|| scope.to_owned());
        CachedToken {
            key: CacheKey::new(None, None, scope),
            token: AccessToken::new("t".repeat(length).into()),
            life: Life {
                since: Stamp::from(&clock.now()),
                lifetime_ms: Some(60_000),
                clock_offset_ms: None,
            },
            granted_scope: None,
            refused: false,
        }
    }

    fn scopes(tokens: &[CachedToken]) -> Vec<&str> {
        let words = tokens.iter().map(|token| token.key.scope.first());
        words.map(|word| word.map_or("", String::as_str)).collect()
    }

    /// The life of a token that says `exp`, of a server that says the rest.
    fn lifetime(
        exp: Option<u64>,
        expires_in: Option<Duration>,
        date: Option<u64>,
        clock: &ManualClock,
    ) -> Option<u64> {
        let claims = exp.map_or_else(|| "{}".to_owned(), |exp| format!("{{\"exp\":{exp}}}"));
        let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(claims);
        let response = TokenResponse {
            access_token: AccessToken::new(format!("e30.{claims}.c2ln").into()),
            refresh_token: None,
            id_token: None,
            expires_in,
            scope: None,
            date: date.map(Duration::from_secs),
        };
        let now = clock.now();
        life(&response, Stamp::from(&now), &now).lifetime_ms
    }

    #[test]
    fn a_life_of_nothing_counts_as_not_said_by_whomever() {
        let clock = ManualClock::new();
        let now = clock.now().wall.as_secs();
        let by_claim = |exp, date| lifetime(Some(exp), None, date, &clock);
        assert_eq!(by_claim(now + 300, None), Some(300_000));
        assert_eq!(by_claim(now, None), None);
        assert_eq!(by_claim(now - 1, None), None);
        // The server's own clock decides, where it tells it.
        assert_eq!(by_claim(now, Some(now - 60)), Some(60_000));
        for date in [now + 300, now + 301] {
            assert_eq!(by_claim(now + 300, Some(date)), None);
        }

        let minute = Some(Duration::from_secs(60));
        assert_eq!(lifetime(Some(now), minute, None, &clock), Some(60_000));
        // Less than can be stored.
        let moment = Some(Duration::from_micros(400));
        assert_eq!(lifetime(None, moment, None, &clock), None);
        assert_eq!(
            lifetime(Some(now + 300), moment, None, &clock),
            Some(300_000)
        );
    }

    #[test]
    fn narrow_tokens_never_push_the_logins_own_out() {
        let clock = ManualClock::new();
        let mut kept = vec![cached(&clock, "", 10)];
        for number in 0..200 {
            let new = cached(&clock, &format!("s{number}"), 10);
            kept = side_by_side(new, &kept, &clock.now());
        }
        assert_eq!(kept.len(), KEPT_TOKENS + 1);
        assert_eq!(kept[0].key.scope, ["s199"]);
        assert!(kept.iter().any(|token| token.key.is_the_logins_own()));
    }

    #[test]
    fn large_tokens_are_fewer() {
        let clock = ManualClock::new();
        let mut kept = vec![cached(&clock, "", 10)];
        for number in 0..20 {
            let new = cached(&clock, &format!("s{number}"), 300_000);
            kept = side_by_side(new, &kept, &clock.now());
        }
        assert_eq!(scopes(&kept), ["s19", "s18", "s17", ""]);
        let new = cached(&clock, "huge", 2 * KEPT_BYTES);
        let kept = side_by_side(new, &kept, &clock.now());
        assert_eq!(scopes(&kept), ["huge", ""]);
    }

    #[test]
    fn what_has_expired_goes_and_the_same_request_replaces() {
        let clock = ManualClock::new();
        let kept = vec![cached(&clock, "old", 10), cached(&clock, "", 10)];
        clock.advance(Duration::from_secs(61));
        let kept = side_by_side(cached(&clock, "new", 10), &kept, &clock.now());
        assert_eq!(scopes(&kept), ["new", ""]);
        let kept = side_by_side(cached(&clock, "", 11), &kept, &clock.now());
        assert_eq!(scopes(&kept), ["", "new"]);
        assert_eq!(kept[0].token.expose().len(), 11);
    }
}
