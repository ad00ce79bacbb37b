//! What an access token was asked for: the key of the cache.
//!
//! All access tokens of a login come from one refresh token and are kept side
//! by side. A token serves the request that it was made for, and no other: one
//! for less would be refused, and one for more would tell a resource more than
//! it should know.

use serde::{Deserialize, Serialize};

/// What an access token was asked for. Empty is what the login itself asked
/// for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct CacheKey {
    /// RFC 8707; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) resource: Vec<String>,
    /// The parameter `audience`, as Auth0 and others name what RFC 8707 calls
    /// a resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audience: Option<String>,
    /// Sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) scope: Vec<String>,
    /// The thumbprint of the key that a DPoP token is bound to (RFC 9449,
    /// section 6.1); absent for a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jkt: Option<String>,
}

impl CacheKey {
    pub(crate) fn new(
        resource: impl IntoIterator<Item = String>,
        audience: Option<String>,
        scope: impl IntoIterator<Item = String>,
    ) -> Self {
        let sorted = |mut values: Vec<String>| {
            values.sort();
            values.dedup();
            values
        };
        Self {
            resource: sorted(resource.into_iter().collect()),
            audience,
            scope: sorted(scope.into_iter().collect()),
            jkt: None,
        }
    }

    /// Whether it asks for what the login asked for. Which key the token is
    /// bound to does not matter here: that too is the login's.
    pub(crate) fn is_the_logins_own(&self) -> bool {
        self.resource.is_empty() && self.audience.is_none() && self.scope.is_empty()
    }
}
