//! What a token endpoint's answer means.
//!
//! A refresh token can be spent once, so the question behind every row is
//! *could the server have acted on the request?* A pure function of the
//! answer's status, headers and bytes gives the meaning; what to do about it is
//! left to the refresh protocol and the login flows.
//!
//! | answer | meaning |
//! |---|---|
//! | 2xx with an access token of the type asked for | [`Answer::Granted`] |
//! | 2xx without one, but with a refresh token | [`Answer::Unusable`]: the new token is kept |
//! | 2xx with an OAuth error, as some servers say no | [`Answer::Refused`] |
//! | 2xx with anything else: HTML, truncated JSON, nothing | [`Answer::Unknown`] |
//! | 408, 425, 429, 503; the error `temporarily_unavailable` | [`Answer::Unavailable`] |
//! | 4xx with an OAuth error | [`Answer::Refused`] |
//! | 4xx without one; a redirect, which is not followed | [`Answer::RefusedWithoutReason`] |
//! | 5xx; the error `server_error` | [`Answer::Unknown`] |

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Deserialize;
use vault_platform::secret::SecretString;

use super::text::clean;
use super::trouble::Trouble;
use super::{jwt, lenient};
use crate::http::Response;
use crate::token::{AccessToken, IdToken, RefreshToken};

/// The meaning of an answer, or of its absence.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Tokens.
    Granted(TokenResponse),
    /// The server said no, and why.
    Refused {
        /// The code of RFC 6749, section 5.2, or of an extension; cleaned.
        error: String,
        /// The server's words, cleaned and cut.
        description: Option<String>,
    },
    /// The server said no, and did not say why.
    RefusedWithoutReason {
        /// The status it came with.
        status: u16,
    },
    /// The server did not act: it is busy, or was not reached.
    Unavailable {
        /// The status; none if there was no answer.
        status: Option<u16>,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// What was wrong.
        reason: Trouble,
    },
    /// Nobody was there: no such host, or no connection. Nothing was sent.
    Unreached {
        /// What was wrong.
        reason: Trouble,
    },
    /// The server may have acted, and the answer does not tell.
    Unknown {
        /// What was wrong.
        reason: Trouble,
        /// The status; none if there was no answer.
        status: Option<u16>,
    },
    /// The server did act, but what it gave can't be used, except for the next
    /// refresh token.
    Unusable {
        /// Replaces the one that was sent.
        refresh_token: RefreshToken,
        /// What was wrong.
        reason: String,
    },
}

/// The tokens of a successful answer (RFC 6749, section 5.1).
#[derive(Debug)]
pub(crate) struct TokenResponse {
    pub(crate) access_token: AccessToken,
    /// Absent if the server does not rotate: the old one stays good.
    pub(crate) refresh_token: Option<RefreshToken>,
    pub(crate) id_token: Option<IdToken>,
    /// The access token's lifetime, counted from when the request was sent.
    pub(crate) expires_in: Option<Duration>,
    /// The scopes granted; absent if they are those asked for.
    pub(crate) scope: Option<Vec<String>>,
    /// The server's clock, since the UNIX epoch.
    pub(crate) date: Option<Duration>,
}

/// Everything that an answer may hold, good or bad.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(deserialize_with = "lenient::secret")]
    access_token: Option<SecretString>,
    #[serde(deserialize_with = "lenient::secret")]
    refresh_token: Option<SecretString>,
    #[serde(deserialize_with = "lenient::secret")]
    id_token: Option<SecretString>,
    #[serde(deserialize_with = "lenient::word")]
    token_type: Option<String>,
    #[serde(deserialize_with = "lenient::seconds")]
    expires_in: Option<Duration>,
    #[serde(deserialize_with = "lenient::words")]
    scope: Option<Vec<String>>,
    // Secret until it is known not to repeat one.
    #[serde(deserialize_with = "lenient::secret")]
    error: Option<SecretString>,
    #[serde(deserialize_with = "lenient::secret")]
    error_description: Option<SecretString>,
}

/// Tells what an answer means. `sent` are the secrets of the request: a
/// description that repeats one is not shown. `jkt` names the key that tokens
/// were to be bound to (RFC 9449, section 5); without it they are bearer
/// tokens.
pub(crate) fn classify(response: &Response, sent: &[&str], jkt: Option<&str>) -> Answer {
    let status = response.status;
    let fields: Option<Fields> = lenient::object(response.body.expose());
    let error = fields
        .as_ref()
        .and_then(|fields| OAuthError::of(fields, sent));
    let code = error.as_ref().map_or("", |error| error.code.as_str());
    let unavailable = |reason: Trouble| Answer::Unavailable {
        status: Some(status),
        retry_after: response.retry_after,
        reason,
    };
    match status {
        _ if code == "temporarily_unavailable" => {
            unavailable("the server says that it is temporarily unavailable".into())
        }
        // Some servers send the device flow's "not yet" with 429.
        429 if matches!(code, "slow_down" | "authorization_pending") => refused(error, status),
        408 | 425 | 429 | 503 => {
            unavailable(format!("the server answered with status {status}").into())
        }
        200..300 if error.is_none() => match fields {
            Some(fields) => granted(fields, response.date, status, sent, jkt),
            None => Answer::Unknown {
                reason: not_json(response).into(),
                status: Some(status),
            },
        },
        _ if code == "server_error" => Answer::Unknown {
            reason: "the server reports an error of its own".into(),
            status: Some(status),
        },
        200..300 | 400..500 => refused(error, status),
        300..400 => Answer::RefusedWithoutReason { status },
        _ => Answer::Unknown {
            reason: format!("the server answered with status {status}").into(),
            status: Some(status),
        },
    }
}

/// Says what a body is that should have been JSON.
pub(crate) fn not_json(response: &Response) -> String {
    let body = response.body.expose().trim_ascii_start();
    let content_type = response.content_type.as_deref().unwrap_or_default();
    if body.is_empty() {
        "the server's answer is empty".to_owned()
    } else if body.starts_with(b"<") || content_type.starts_with("text/html") {
        "the server answered with a web page".to_owned()
    } else if body.starts_with(b"{") {
        "the server's answer is truncated or malformed JSON".to_owned()
    } else {
        "the server's answer is not JSON".to_owned()
    }
}

/// A server's refusal (RFC 6749, section 5.2), fit to be shown.
pub(crate) struct OAuthError {
    pub(crate) code: String,
    pub(crate) description: Option<String>,
}

impl OAuthError {
    /// Finds the refusal in a body, if it is one.
    pub(crate) fn in_body(response: &Response, sent: &[&str]) -> Option<Self> {
        Self::of(&lenient::object(response.body.expose())?, sent)
    }

    fn of(fields: &Fields, sent: &[&str]) -> Option<Self> {
        // A token beside an error is a token: it was issued.
        if present(fields.access_token.as_ref()) || present(fields.refresh_token.as_ref()) {
            return None;
        }
        let code = shown(fields.error.as_ref()?.expose(), sent)?;
        let description = fields.error_description.as_ref();
        Some(Self {
            code,
            description: description.and_then(|text| shown(text.expose(), sent)),
        })
    }

    /// The refusal as part of a message.
    pub(crate) fn describe(&self) -> String {
        match &self.description {
            Some(description) => format!("{} ({description})", self.code),
            None => self.code.clone(),
        }
    }
}

fn refused(error: Option<OAuthError>, status: u16) -> Answer {
    match error {
        Some(error) => Answer::Refused {
            error: error.code,
            description: error.description,
        },
        None => Answer::RefusedWithoutReason { status },
    }
}

fn granted(
    fields: Fields,
    date: Option<Duration>,
    status: u16,
    sent: &[&str],
    jkt: Option<&str>,
) -> Answer {
    let refresh_token = fields.refresh_token.filter(|token| !token.is_empty());
    if !refresh_token.as_ref().is_none_or(is_token) {
        return Answer::Unknown {
            reason: "the server's refresh token has characters that no token may have".into(),
            status: Some(status),
        };
    }
    let refresh_token = refresh_token.map(RefreshToken::new);
    // A missing type is taken for Bearer: servers that leave it out mean that.
    let kind = fields.token_type.as_deref().unwrap_or("Bearer");
    let wanted = if jkt.is_some() { "DPoP" } else { "Bearer" };
    let is_bearer = kind.eq_ignore_ascii_case("bearer");
    let is_wanted = kind.eq_ignore_ascii_case(wanted);
    let reason = match fields.access_token.filter(|token| !token.is_empty()) {
        None => "the server's answer has no access token".to_owned(),
        Some(_) if !is_wanted && is_bearer => {
            "the server gave a bearer token, though one bound to the login's DPoP key was asked for"
                .to_owned()
        }
        Some(_) if !is_wanted => {
            let kind = shown(kind, sent).unwrap_or_default();
            format!("the server's token type is not known: {kind}")
        }
        Some(token) if jkt.is_some_and(|jkt| is_bound_to_another(&token, jkt)) => {
            "the server's access token is bound to another DPoP key".to_owned()
        }
        Some(token) if !is_token(&token) => {
            "the server's access token has characters that no token may have".to_owned()
        }
        Some(token) => {
            return Answer::Granted(TokenResponse {
                access_token: AccessToken::new(token),
                refresh_token,
                id_token: fields
                    .id_token
                    .filter(|token| !token.is_empty())
                    .map(IdToken::new),
                // Nothing or less would be dead on arrival, and each caller
                // would cost a rotation: taken for not said.
                expires_in: fields.expires_in.filter(|life| !life.is_zero()),
                scope: fields.scope,
                date,
            });
        }
    };
    match refresh_token {
        Some(refresh_token) => Answer::Unusable {
            refresh_token,
            reason,
        },
        None => Answer::Unknown {
            reason: reason.into(),
            status: Some(status),
        },
    }
}

/// RFC 9449, section 6.1, as far as the token is a JWT that can be read.
fn is_bound_to_another(token: &SecretString, jkt: &str) -> bool {
    jwt::claims(token.expose())
        .and_then(|claims| claims.jkt())
        .is_some_and(|bound_to| bound_to != jkt)
}

fn present(token: Option<&SecretString>) -> bool {
    token.is_some_and(|token| !token.is_empty())
}

/// RFC 6749, appendix A.12 and A.17: visible ASCII and space. Anything else
/// could end a header line or a stored line.
fn is_token(token: &SecretString) -> bool {
    token.expose().bytes().all(|b| (0x20..=0x7e).contains(&b))
}

/// A server's words, unless they repeat (the beginning of) a secret.
fn shown(text: &str, sent: &[&str]) -> Option<String> {
    const TELLING: usize = 12;
    // Hidden characters between those of a secret are gone by now.
    let cleaned = clean(text);
    let repeats = |secret: &&str| {
        let beginning = secret.get(..TELLING).unwrap_or(secret);
        !beginning.is_empty() && (text.contains(beginning) || cleaned.contains(beginning))
    };
    if cleaned.is_empty() || sent.iter().any(repeats) {
        return None;
    }
    Some(cleaned)
}
