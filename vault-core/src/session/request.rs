//! What a caller asks of an access token, and what it is given.

use std::time::Duration;

use url::Url;

use crate::error::ErrorKind;
use crate::record::{Asked, CacheKey};
use crate::token::AccessToken;

/// What a caller wants of an access token; the default is what the login
/// itself asked for.
#[derive(Clone, Debug, Default)]
pub struct TokenOptions {
    scope: Vec<String>,
    resource: Vec<String>,
    audience: Option<String>,
    min_valid: Option<Duration>,
    allow_wider: bool,
}

impl TokenOptions {
    /// Asks for a narrower scope (RFC 6749, section 6).
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope.push(scope.into());
        self
    }

    /// Asks for a token for this resource (RFC 8707).
    #[must_use]
    pub fn resource(mut self, resource: &Url) -> Self {
        self.resource.push(resource.to_string());
        self
    }

    /// Asks for a token for this audience, by the parameter `audience` that
    /// Auth0 and others take instead of RFC 8707's `resource`.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Asks for a token that is still valid for this long, as far as the
    /// server's tokens live long enough.
    #[must_use]
    pub fn min_valid(mut self, min_valid: Duration) -> Self {
        self.min_valid = Some(min_valid);
        self
    }

    /// Takes a token for more, too, if one is at hand: for the same resource
    /// and audience, and of a scope that the server said to hold all that is
    /// asked for. Saves a refresh; tells the resource a token that can do more
    /// than it needs.
    #[must_use]
    pub fn allow_wider(mut self, allow: bool) -> Self {
        self.allow_wider = allow;
        self
    }

    pub(super) fn cache_key(&self) -> CacheKey {
        CacheKey::new(
            self.resource.iter().cloned(),
            self.audience.clone(),
            self.scope.iter().cloned(),
        )
    }

    pub(super) fn asked(&self) -> Asked {
        Asked {
            key: self.cache_key(),
            min_valid: self.min_valid,
            allow_wider: self.allow_wider,
        }
    }
}

/// An access token and what is known of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Token {
    /// The token itself.
    pub access_token: AccessToken,
    /// What is left of its life; `None` if the server sets it no end.
    pub expires_in: Option<Duration>,
    /// For how long it is given without a refresh: whoever keeps it should ask
    /// again after that. `None` if the server sets it no end.
    pub fresh_for: Option<Duration>,
    /// When it expires by the wall clock, in milliseconds since the Unix
    /// epoch.
    pub expires_at_ms: Option<u64>,
    /// What the server granted, where it says so.
    pub scope: Option<Vec<String>>,
    /// The thumbprint of the login's DPoP key, which the token is bound to;
    /// `None` for a bearer token. See [`Session::authorization`](super::Session::authorization).
    pub jkt: Option<String>,
    /// Whether this call made the refresh it came from.
    pub refreshed: bool,
    /// Why the refresh that was due failed, while this token is still valid.
    pub served_despite: Option<ErrorKind>,
}
