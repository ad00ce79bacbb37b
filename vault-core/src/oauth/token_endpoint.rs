//! Requests to the token endpoint (RFC 6749, section 3.2).
//!
//! One call sends one request, once. It returns no error: that nothing came
//! back is an [`Answer`] too, because what it means for the token that was sent
//! is the same question.
//!
//! With a [`Prover`], a request whose proof was refused is sent once more if
//! the refusal told what a better one needs: a nonce (RFC 9449, section 8), or
//! the time. The server looks at the proof before it acts on the grant, so
//! nothing was spent by then; a caller that counts what may have been spent
//! counts one. Whoever dies between the two leaves behind what he would have
//! left before the first.

use url::Url;
use vault_platform::secret::SecretString;

use super::Endpoints;
use super::answer::classify;
use super::client::Client;
use super::dpop::{News, Prover};
use crate::http::{CouldHaveActed, DPOP, Http, SendFailure, SendFailureKind};
use crate::token::RefreshToken;

pub(crate) use super::answer::{Answer, TokenResponse};

/// What is given for tokens.
#[derive(Clone, Copy)]
pub(crate) enum Grant<'a> {
    /// RFC 6749, section 6.
    RefreshToken {
        refresh_token: &'a RefreshToken,
        /// Narrows the access token; empty means all that was granted.
        scope: &'a [String],
        /// RFC 8707.
        resource: &'a [Url],
        /// The same, as some servers name it.
        audience: Option<&'a str>,
    },
    /// RFC 6749, section 4.1.3, with RFC 7636.
    AuthorizationCode {
        code: &'a SecretString,
        redirect_uri: &'a Url,
        code_verifier: &'a SecretString,
        /// RFC 8707.
        resource: &'a [Url],
    },
    /// RFC 8628, section 3.4.
    DeviceCode {
        device_code: &'a SecretString,
        /// RFC 8707.
        resource: &'a [Url],
    },
}

/// Sends one token request and tells what came of it. With a prover it asks
/// for tokens that are bound to its key, and takes no others.
pub(crate) async fn request_tokens(
    http: &Http,
    endpoints: &Endpoints,
    client: &Client<'_>,
    grant: Grant<'_>,
    prover: Option<&Prover<'_>>,
) -> Answer {
    let (first, news) = request_once(http, endpoints, client, grant, prover).await;
    if !is_about_the_proof(&first, news) {
        return first;
    }
    let (second, _) = request_once(http, endpoints, client, grant, prover).await;
    second
}

/// Whether a refusal was the proof's fault, and a better one can be made. A
/// proof of another time is `invalid_grant` to some servers.
fn is_about_the_proof(answer: &Answer, news: News) -> bool {
    let Answer::Refused { error, .. } = answer else {
        return false;
    };
    match error.as_str() {
        "use_dpop_nonce" => news.nonce,
        "invalid_dpop_proof" => news.nonce || news.clock,
        "invalid_grant" => news.clock,
        _ => false,
    }
}

async fn request_once(
    http: &Http,
    endpoints: &Endpoints,
    client: &Client<'_>,
    grant: Grant<'_>,
    prover: Option<&Prover<'_>>,
) -> (Answer, News) {
    let url = &endpoints.token_endpoint;
    let (form, mut headers) = match client.begin(endpoints) {
        Ok(begun) => begun,
        Err(error) => {
            let answer = Answer::Unavailable {
                status: None,
                retry_after: None,
                reason: error.into(),
            };
            return (answer, News::default());
        }
    };
    let (form, mut sent) = match grant {
        Grant::RefreshToken {
            refresh_token,
            scope,
            resource,
            audience,
        } => {
            let form = form
                .field("grant_type", "refresh_token")
                .field("refresh_token", refresh_token.expose())
                .words("scope", scope)
                .addresses("resource", resource);
            let form = match audience {
                Some(audience) => form.field("audience", audience),
                None => form,
            };
            (form, vec![refresh_token.expose()])
        }
        Grant::AuthorizationCode {
            code,
            redirect_uri,
            code_verifier,
            resource,
        } => {
            let form = form
                .field("grant_type", "authorization_code")
                .field("code", code.expose())
                .field("redirect_uri", redirect_uri.as_str())
                .field("code_verifier", code_verifier.expose())
                .addresses("resource", resource);
            (form, vec![code.expose(), code_verifier.expose()])
        }
        Grant::DeviceCode {
            device_code,
            resource,
        } => {
            let form = form
                .field("grant_type", "urn:ietf:params:oauth:grant-type:device_code")
                .field("device_code", device_code.expose())
                .addresses("resource", resource);
            (form, vec![device_code.expose()])
        }
    };
    sent.extend(client.sent());
    if let Some(prover) = prover {
        let proof = prover.prove("POST", url, None);
        headers.push((DPOP, SecretString::from(proof)));
    }
    match http.post_form(url, headers, form.finish()).await {
        Ok(response) => {
            let news = prover.map(|prover| prover.learn(url, &response));
            let answer = classify(&response, &sent, prover.map(Prover::thumbprint));
            (answer, news.unwrap_or_default())
        }
        Err(failure) => (unanswered(failure, url), News::default()),
    }
}

fn unanswered(failure: SendFailure, url: &Url) -> Answer {
    let (acted, kind, status) = (failure.acted, failure.kind, failure.status);
    let reason = failure.into_error(url).into();
    match (acted, status) {
        (CouldHaveActed::No, _)
            if matches!(kind, SendFailureKind::Dns | SendFailureKind::Connect) =>
        {
            Answer::Unreached { reason }
        }
        (CouldHaveActed::No, _) | (CouldHaveActed::Maybe, Some(408 | 425 | 429 | 503)) => {
            Answer::Unavailable {
                status,
                retry_after: None,
                reason,
            }
        }
        // The status is an answer, even if the words were lost on the way.
        (CouldHaveActed::Maybe, Some(status @ 300..500)) => Answer::RefusedWithoutReason { status },
        (CouldHaveActed::Maybe, _) => Answer::Unknown { reason, status },
    }
}
