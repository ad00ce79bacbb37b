//! What the server counted.
//!
//! The proof that many processes made one refresh is made here, where a client can't get it
//! wrong: every request is counted once it has been read to its end, whether or not it is then
//! answered.

use std::time::Duration;

use serde::Serialize;

use super::Endpoint;

/// Requests per endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Requests {
    /// `/.well-known/oauth-authorization-server` (RFC 8414).
    pub oauth_metadata: u64,
    /// `/.well-known/openid-configuration`.
    pub openid_metadata: u64,
    /// `/authorize`.
    pub authorize: u64,
    /// `/device_authorization`.
    pub device_authorization: u64,
    /// `/device`, the page a person would open.
    pub device_page: u64,
    /// `/token`, every grant.
    pub token: u64,
    /// `/revoke`.
    pub revoke: u64,
    /// `/introspect`.
    pub introspect: u64,
    /// `/userinfo`.
    pub user_info: u64,
    /// `/par`.
    pub pushed: u64,
    /// `/jwks`.
    pub keys: u64,
    /// Everything else.
    pub other: u64,
}

impl Requests {
    /// The requests to one endpoint.
    pub fn to(&self, endpoint: Endpoint) -> u64 {
        let mut copy = *self;
        *copy.slot(endpoint)
    }

    /// The requests to all endpoints.
    pub fn total(&self) -> u64 {
        Endpoint::ALL
            .iter()
            .map(|&endpoint| self.to(endpoint))
            .sum()
    }

    pub(super) fn count(&mut self, endpoint: Endpoint) {
        *self.slot(endpoint) += 1;
    }

    fn slot(&mut self, endpoint: Endpoint) -> &mut u64 {
        match endpoint {
            Endpoint::OAuthMetadata => &mut self.oauth_metadata,
            Endpoint::OpenIdMetadata => &mut self.openid_metadata,
            Endpoint::Authorize => &mut self.authorize,
            Endpoint::DeviceAuthorization => &mut self.device_authorization,
            Endpoint::DevicePage => &mut self.device_page,
            Endpoint::Token => &mut self.token,
            Endpoint::Revoke => &mut self.revoke,
            Endpoint::Introspect => &mut self.introspect,
            Endpoint::UserInfo => &mut self.user_info,
            Endpoint::Pushed => &mut self.pushed,
            Endpoint::Keys => &mut self.keys,
            Endpoint::Other => &mut self.other,
        }
    }
}

/// Everything the server counted since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Requests per endpoint, answered or not.
    pub requests: Requests,
    /// Logins that ended in tokens: redeemed codes, approved device codes, issued by hand.
    pub logins: u64,
    /// Refresh requests that reached the token endpoint, those met by a fault included.
    pub refresh_requests: u64,
    /// Refresh grants that made new tokens, even if the answer was lost on purpose.
    pub refreshes_ok: u64,
    /// Refresh grants that were refused.
    pub refreshes_refused: u64,
    /// Uses of a refresh token that had been consumed, outside any grace.
    pub reuse_detected: u64,
    /// Uses of a refresh token that had been consumed, within the grace.
    pub grace_replays: u64,
    /// Families that died, by reuse or by revocation.
    pub families_revoked: u64,
    /// Revocation requests that were granted, for unknown tokens too (RFC 7009 section 2.2).
    pub revocations: u64,
    /// Polls for a device code.
    pub device_polls: u64,
    /// Requests that met a fault.
    pub faults_served: u64,
    /// Refresh requests that are being worked on.
    pub refreshes_in_flight: u64,
    /// The most refresh requests that were worked on at one moment.
    pub peak_concurrent_refreshes: u64,
}

/// One refresh request, for the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RefreshRecord {
    /// When it was acted on, since the server started.
    pub at: Duration,
    /// The [`fingerprint`](super::fingerprint) of the refresh token that was sent.
    pub fingerprint: String,
    /// Which login it belongs to, counted from 1; none for a token the server never issued.
    pub family: Option<u64>,
    /// How many rotations came before this token in its login; none as above.
    pub generation: Option<u64>,
    /// The client that sent it.
    pub client_id: String,
    /// What became of it.
    pub outcome: RefreshOutcome,
}

/// What became of a refresh request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefreshOutcome {
    /// New tokens, and the old refresh token is consumed.
    Rotated,
    /// A new access token; the refresh token stays.
    NotRotated,
    /// New tokens for a consumed refresh token, within the grace.
    Replayed,
    /// The token had been consumed: its family is dead.
    ReuseDetected,
    /// The family had died before.
    FamilyRevoked,
    /// Never issued, or to another client.
    Unknown,
    /// Another reason: the client's authentication, a scope, a resource, the form.
    Refused,
    /// A fault met it before it was acted on.
    NotProcessed,
}
