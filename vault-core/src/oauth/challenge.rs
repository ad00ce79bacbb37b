//! What a resource says when it does not take an access token: the header
//! `WWW-Authenticate` (RFC 9110, section 11.6.1; RFC 6750, section 3), and what
//! it means for whoever holds the token.
//!
//! Pure functions of the answer's status and headers, for callers with any HTTP
//! client. Reading is lenient and never fails: servers leave out quotes and
//! commas, and what can't be read must not hide the challenge beside it. What
//! to do about a [`Verdict`] is done by
//! [`Session::refused`](crate::Session::refused).
//!
//! ```
//! use vault_core::oauth::challenge::Verdict;
//!
//! let header = r#"Bearer error="insufficient_scope", scope="orders:write""#;
//! let verdict = Verdict::of(403, [header]);
//! assert_eq!(verdict, Verdict::NeedsScope { scope: vec!["orders:write".to_owned()] });
//! ```

mod parse;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::text::clean;
use crate::error::{Error, ErrorKind};

/// One challenge of a `WWW-Authenticate` header.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Challenge {
    /// The authentication scheme, in lower case: `bearer`, `dpop`, `basic`.
    pub scheme: String,
    /// Name, in lower case, and value of each parameter, in the order of the
    /// header. A value is as the server wrote it: not fit to be shown.
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The challenges of a response, from the values of its `WWW-Authenticate`
    /// headers, of which each may hold several.
    pub fn from_headers<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Vec<Self> {
        let mut challenges = Vec::new();
        for value in values {
            parse::challenges(value.as_ref(), &mut challenges);
        }
        challenges
    }

    /// A parameter's value; of one that is repeated, the first.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut parameters = self.parameters.iter();
        let (_, value) = parameters.find(|(known, _)| known == name)?;
        Some(value)
    }

    /// Whether an OAuth access token answers it.
    fn is_ours(&self) -> bool {
        matches!(self.scheme.as_str(), "bearer" | "dpop")
    }

    fn words(&self, name: &str) -> Vec<String> {
        let value = self.parameter(name).unwrap_or_default();
        let words = value.split_ascii_whitespace();
        words.filter(|word| is_word(word)).map(clean).collect()
    }
}

/// RFC 6749, section 3.3: what a scope is made of.
fn is_word(word: &str) -> bool {
    word.bytes()
        .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// What a resource's refusal asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The token is expired, revoked or otherwise of no use: another one, and
    /// the request once more. Once: a resource that refuses a new token, too,
    /// refuses something else.
    RefreshAndRepeat,
    /// The token's scope does not suffice (RFC 6750, `insufficient_scope`). No
    /// refresh helps.
    NeedsScope {
        /// What is wanted, where the resource says so.
        scope: Vec<String>,
    },
    /// The user must log in again, or more strongly (RFC 9470,
    /// `insufficient_user_authentication`).
    NeedsLogin {
        /// One of these authentication contexts, in order of preference; empty
        /// where the resource names none.
        acr_values: Vec<String>,
        /// How long ago the login may be at most.
        max_age: Option<Duration>,
    },
    /// The token is good; the proof must carry the nonce of the header
    /// `DPoP-Nonce` (RFC 9449, section 9).
    DpopNonce,
    /// Nothing that another token would change: no OAuth token is asked for,
    /// the request is malformed, or access is denied.
    NotOurs,
}

impl Verdict {
    /// Judges a response by its status and the values of its
    /// `WWW-Authenticate` headers.
    ///
    /// A 401 without any challenge, though the standard wants one, is taken
    /// for a token that is of no use.
    pub fn of<V: AsRef<[u8]>>(status: u16, values: impl IntoIterator<Item = V>) -> Self {
        let challenges = Challenge::from_headers(values);
        if !matches!(status, 401 | 403) {
            return Self::NotOurs;
        }
        let is_bare = challenges.is_empty() && status == 401;
        let verdicts = challenges.iter().filter(|challenge| challenge.is_ours());
        let verdict = verdicts
            .map(|challenge| Self::of_challenge(status, challenge))
            .min_by_key(Self::rank);
        match verdict {
            Some(verdict) => verdict,
            None if is_bare => Self::RefreshAndRepeat,
            None => Self::NotOurs,
        }
    }

    /// The error of a caller that another token would not help.
    pub(crate) fn error(&self) -> Error {
        match self {
            Self::NeedsScope { scope } => {
                let wanted = match scope.is_empty() {
                    true => "another scope".to_owned(),
                    false => format!("the scope `{}`", clean(&scope.join(" "))),
                };
                let message = format!("the API wants an access token with {wanted}");
                Error::new(ErrorKind::ScopeInsufficient, message).needing(scope)
            }
            Self::NeedsLogin {
                acr_values,
                max_age,
            } => {
                let mut message = "the API wants a newer or stronger login".to_owned();
                if !acr_values.is_empty() {
                    let contexts = clean(&acr_values.join(" "));
                    message = format!("{message} (acr_values: {contexts})");
                }
                if let Some(age) = max_age {
                    message = format!("{message} (max_age: {} s)", age.as_secs());
                }
                Error::new(ErrorKind::StepUpRequired, message)
            }
            Self::RefreshAndRepeat | Self::DpopNonce | Self::NotOurs => Error::new(
                ErrorKind::AccessRefused,
                "the API refuses the request, not the access token",
            ),
        }
    }

    fn of_challenge(status: u16, challenge: &Challenge) -> Self {
        match challenge.parameter("error").unwrap_or_default() {
            "use_dpop_nonce" => Self::DpopNonce,
            "insufficient_user_authentication" => Self::NeedsLogin {
                acr_values: challenge.words("acr_values"),
                max_age: challenge
                    .parameter("max_age")
                    .and_then(|age| age.trim().parse().ok())
                    .map(Duration::from_secs),
            },
            "insufficient_scope" => Self::NeedsScope {
                scope: challenge.words("scope"),
            },
            "invalid_request" | "invalid_dpop_proof" => Self::NotOurs,
            // Without an error, or with one of the server's own.
            _ if status == 401 => Self::RefreshAndRepeat,
            _ => Self::NotOurs,
        }
    }

    /// Of several challenges, the one that says most decides.
    fn rank(&self) -> u8 {
        match self {
            Self::DpopNonce => 0,
            Self::NeedsLogin { .. } => 1,
            Self::NeedsScope { .. } => 2,
            Self::RefreshAndRepeat => 3,
            Self::NotOurs => 4,
        }
    }
}
