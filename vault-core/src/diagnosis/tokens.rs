//! Check 7: what servers say of the tokens. The refresh token is shown to
//! nobody but an introspection endpoint (RFC 7662), which does not spend it;
//! else what is known of it is what was noted when it was sent.

use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use vault_platform::clock::Now;
use vault_platform::secret::SecretString;

use super::login::Found;
use super::{Code, Report};
use crate::http::{DPOP, Http};
use crate::oauth::discovery::Description;
use crate::oauth::dpop::Prover;
use crate::oauth::introspection::is_active;
use crate::oauth::text::without_query;
use crate::profile::Profile;
use crate::record::{CacheKey, CachedToken, fingerprint};
use crate::refresh::protocol::Failure;

/// A server's time and ours, both since the epoch.
type Times = (Duration, Duration);

/// Gives the server's time, if it told one, with ours of that moment.
pub(super) async fn examine(
    profile: &Profile,
    found: &Found,
    described: Option<&Description>,
    report: &mut Report,
) -> Option<Times> {
    noted(profile, found, report);
    let mut said = Vec::new();
    let mut times = None;
    if let Some(description) = described
        && let Ok(http) = profile.http(&found.record.settings.ca_certificates)
    {
        introspect(profile, found, &http, description, report, &mut said).await;
        times = show_access_token(profile, found, &http, description, report, &mut said).await;
    }
    if !report.is_faulty(Code::Tokens) {
        said.insert(0, "the refresh token was not refused".to_owned());
        report.found(Code::Tokens, said.join("; "));
    }
    times
}

/// What processes have noted of the refresh token and of the server.
fn noted(profile: &Profile, found: &Found, report: &mut Report) {
    let Found {
        storage,
        key,
        record,
    } = found;
    let now = profile.now();
    let refresh = fingerprint(&key.key, record.refresh_token.expose());
    let mark = storage.mark().ok().flatten().filter(|mark| {
        mark.login == key.login && mark.generation == record.generation && mark.refresh == refresh
    });
    let backing_off = storage.shared.backing_off(&now);
    match mark.map(|mark| mark.refused) {
        Some(Some(reason)) => {
            let message = format!("the refresh token is of no use any more: {reason}");
            report.found(Code::RefreshRefused, message);
        }
        Some(None) if record.settings.policy.strict => {
            let message = "a rotation was sent and its answer never came; the server's policy \
                           forbids to send that token again";
            report.found(Code::AnswerLost, message);
        }
        Some(None) => {
            let message = "a refresh is in flight, or its answer was lost";
            report.found(Code::AnswerPending, message);
        }
        None => {}
    }
    if storage.shared.failure() == Some(Failure::ClientRefused) {
        let message = "the authorization server refuses this client";
        report.found(Code::ClientRefused, message);
    } else if let Some((_, left)) = backing_off {
        let message = format!(
            "the last refresh failed, and no process asks for {} s",
            left.as_secs().max(1)
        );
        report.found(Code::BackingOff, message);
    }
}

/// Asks whether the refresh token is still good, where the server tells this
/// client.
async fn introspect(
    profile: &Profile,
    found: &Found,
    http: &Http,
    description: &Description,
    report: &mut Report,
    said: &mut Vec<String>,
) {
    let clock = profile.settings.clock.as_ref();
    let client = found.record.client(Some(&found.key), clock);
    let token = &found.record.refresh_token;
    match is_active(http, &description.endpoints, &client, token).await {
        Some(true) => said.push("introspection calls it active".to_owned()),
        Some(false) => report.found(
            Code::RefreshEnded,
            "the introspection endpoint calls the refresh token inactive",
        ),
        None => {}
    }
}

/// Shows the access token to the userinfo endpoint (OpenID Connect Core,
/// section 5.3), which takes any that has the scope `openid`.
async fn show_access_token(
    profile: &Profile,
    found: &Found,
    http: &Http,
    description: &Description,
    report: &mut Report,
    said: &mut Vec<String>,
) -> Option<Times> {
    let url = description.endpoints.userinfo_endpoint.as_ref()?;
    let record = &found.record;
    let own = CacheKey::default().bound_to(record.settings.jkt.as_deref());
    let cached = record.access(&own)?;
    if !is_for_userinfo(cached, &record.settings.scope, &profile.now()) {
        return None;
    }
    let key = found.key.dpop_key(record.settings.jkt.as_deref()).ok()?;
    let prover = key.map(|key| Prover {
        key,
        learnt: &profile.learnt,
        clock: profile.settings.clock.as_ref(),
    });
    let scheme = if prover.is_some() { "DPoP" } else { "Bearer" };
    // A proof may want a nonce that only the answer tells.
    for _ in 0..2 {
        let mut headers = vec![(AUTHORIZATION, authorization(scheme, cached.token.expose()))];
        if let Some(prover) = &prover {
            let proof = prover.prove("GET", url, Some(&cached.token));
            headers.push((DPOP, SecretString::from(proof)));
        }
        let response = http.get_json_with(url, headers).await.ok()?;
        let times = response.date.map(|date| (date, profile.now().wall));
        let address = without_query(url);
        match response.status {
            200..300 => {
                said.push(format!("{address} takes the access token"));
                return times;
            }
            401 => {
                let news = prover.as_ref().map(|prover| prover.learn(url, &response));
                if news.is_some_and(|news| news.nonce) {
                    continue;
                }
                // With a login that has ended its tokens have, too.
                if !report.is_faulty(Code::Tokens) {
                    let message = format!("{address} refuses the access token");
                    report.found(Code::AccessRefused, message);
                }
                return times;
            }
            // It says nothing of the token.
            _ => return times,
        }
    }
    None
}

/// Whether the endpoint would have to take it: it lives, and has the scope.
fn is_for_userinfo(cached: &CachedToken, asked: &[String], now: &Now) -> bool {
    let scope = cached.granted_scope.as_deref().unwrap_or(asked);
    let lives = cached.life.left(now).is_none_or(|left| !left.is_zero());
    lives && scope.iter().any(|scope| scope == "openid")
}

fn authorization(scheme: &str, token: &str) -> SecretString {
    // Room from the start: growing would leave a copy behind.
    let mut text = String::with_capacity(scheme.len() + 1 + token.len());
    for part in [scheme, " ", token] {
        text.push_str(part);
    }
    SecretString::from(text)
}
