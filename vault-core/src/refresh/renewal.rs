//! From a server's answer to the record that is to be committed.

use std::time::Duration;

use vault_platform::clock::Now;

use crate::life::{Life, Stamp, milliseconds};
use crate::oauth::token_endpoint::TokenResponse;
use crate::oauth::{ClientCredential, jwt};
use crate::record::{CacheKey, CachedToken, LoginRecord};
use crate::token::RefreshToken;

/// How many access tokens of one login are kept side by side.
const KEPT_TOKENS: usize = 64;

/// The record that follows when the server has answered.
pub(crate) fn next_record(
    before: &LoginRecord,
    key: &CacheKey,
    response: TokenResponse,
    sent_at: Stamp,
    now: &Now,
) -> LoginRecord {
    let token = CachedToken {
        key: key.clone(),
        life: life(&response, sent_at.clone(), now),
        token: response.access_token,
        granted_scope: response.scope,
    };
    let still_alive = |cached: &&CachedToken| {
        cached.key != *key && cached.life.left(now).is_none_or(|left| !left.is_zero())
    };
    let mut access_tokens: Vec<_> = before
        .access_tokens
        .iter()
        .filter(still_alive)
        .cloned()
        .collect();
    access_tokens.truncate(KEPT_TOKENS - 1);
    access_tokens.insert(0, token);
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
    }
}

/// How long an access token lives: as the server says, else as the token says
/// if it is a JWT, counted from the moment the request was sent.
pub(crate) fn life(response: &TokenResponse, since: Stamp, now: &Now) -> Life {
    let server_now = response.date.unwrap_or(now.wall);
    let by_claim = || {
        let expires_at = jwt::claims(response.access_token.expose())?.exp?;
        Some(expires_at.saturating_sub(server_now))
    };
    let offset = |date: Duration| {
        let date = i64::try_from(date.as_millis()).ok()?;
        date.checked_sub(i64::try_from(now.wall.as_millis()).ok()?)
    };
    Life {
        since,
        lifetime_ms: response.expires_in.or_else(by_claim).map(milliseconds),
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
    }
}
