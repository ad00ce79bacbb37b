//! The account's name where the ID token has none (OpenID Connect Core,
//! section 5.3).
//!
//! For display only, so nothing hangs on it: the answer is asked for once,
//! within bounds, and one that can't be used leaves the login as it is. It
//! counts only if it is about whom the checked ID token names.

use std::time::Duration;

use reqwest::header::AUTHORIZATION;
use url::Url;
use vault_platform::secret::SecretString;

use super::{Context, single_resource};
use crate::http::{DPOP, Headers, Response};
use crate::oauth::dpop::Prover;
use crate::oauth::jwt::Claims;
use crate::oauth::lenient;
use crate::token::AccessToken;

/// How long the server may take. A person waits.
const LIMIT: Duration = Duration::from_secs(5);

/// Gives the claims of a checked ID token, with a name if the server tells one.
pub(super) async fn named(flow: &Context<'_>, token: &AccessToken, claims: Claims) -> Claims {
    let Some(url) = &flow.endpoints.userinfo_endpoint else {
        return claims;
    };
    // A token for an API is not for the server's own.
    if claims.has_name() || !single_resource(flow.request).is_empty() {
        return claims;
    }
    let told = tokio::time::timeout(LIMIT, ask(flow, url, token)).await;
    match told.unwrap_or_default() {
        Some(told) if told.sub.is_some() && told.sub == claims.sub => claims.named_by(told),
        _ => {
            tracing::debug!("the server did not tell the account's name");
            claims
        }
    }
}

async fn ask(flow: &Context<'_>, url: &Url, token: &AccessToken) -> Option<Claims> {
    let Some(prover) = flow.prover else {
        let response = get(flow, url, headers("Bearer ", token, None)).await?;
        return read(&response);
    };
    // As of an API: its nonces are its own, also at the same origin.
    let learnt = prover.learnt.for_an_api();
    let prover = Prover {
        learnt: &learnt,
        ..*prover
    };
    let proved = || headers("DPoP ", token, Some(prover.prove("GET", url, Some(token))));
    let mut response = get(flow, url, proved()).await?;
    if response.status == 401 && prover.learn(url, &response).nonce {
        response = get(flow, url, proved()).await?;
    }
    read(&response)
}

async fn get(flow: &Context<'_>, url: &Url, headers: Headers) -> Option<Response> {
    let asked = flow.http.get_json_with(url, headers).await;
    asked
        .map_err(|failure| {
            let error = failure.into_error(url);
            tracing::debug!(
                ?error,
                "the server could not be asked for the account's name"
            );
        })
        .ok()
}

fn headers(scheme: &str, token: &AccessToken, proof: Option<String>) -> Headers {
    let mut value = String::with_capacity(scheme.len() + token.expose().len());
    value.push_str(scheme);
    value.push_str(token.expose());
    let mut headers = vec![(AUTHORIZATION, SecretString::from(value))];
    headers.extend(proof.map(|proof| (DPOP, SecretString::from(proof))));
    headers
}

fn read(response: &Response) -> Option<Claims> {
    match response.status {
        200 => lenient::object(response.body.expose()),
        _ => None,
    }
}
