//! Requests to the token endpoint (RFC 6749, section 3.2).
//!
//! One call sends one request, once. It returns no error: that nothing came
//! back is an [`Answer`] too, because what it means for the token that was sent
//! is the same question.

use url::Url;
use vault_platform::secret::SecretString;

use super::Endpoints;
use super::answer::classify;
use super::client::Client;
use crate::http::{CouldHaveActed, Http, SendFailure};
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

/// Sends one token request and tells what came of it.
pub(crate) async fn request_tokens(
    http: &Http,
    endpoints: &Endpoints,
    client: &Client<'_>,
    grant: Grant<'_>,
) -> Answer {
    let url = &endpoints.token_endpoint;
    let (form, headers) = match client.begin(endpoints) {
        Ok(begun) => begun,
        Err(error) => {
            return Answer::Unavailable {
                status: None,
                retry_after: None,
                reason: error.to_string(),
            };
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
    match http.post_form(url, headers, form.finish()).await {
        Ok(response) => classify(&response, &sent),
        Err(failure) => unanswered(&failure, url),
    }
}

fn unanswered(failure: &SendFailure, url: &Url) -> Answer {
    let reason = failure.describe(url);
    let status = failure.status;
    match (failure.acted, status) {
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
