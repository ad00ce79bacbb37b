//! What an access token was asked for: the key of the cache.
//!
//! All access tokens of a login come from one refresh token and are kept side
//! by side. A token serves the request that it was made for, and no other: one
//! for less would be refused, and one for more would tell a resource more than
//! it should know.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vault_platform::clock::BootId;
use vault_platform::sealed_file::{SealingKey, keyed_fingerprint};

/// What a caller asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) key: CacheKey,
    pub(crate) min_valid: Option<Duration>,
    /// A token for more will do.
    pub(crate) allow_wider: bool,
}

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

    /// The same request for tokens that are bound to this key. A request says
    /// nothing about the key: that is the login's affair.
    pub(crate) fn bound_to(&self, jkt: Option<&str>) -> Self {
        Self {
            jkt: jkt.map(str::to_owned),
            ..self.clone()
        }
    }

    /// Whether it asks for the same as `other`, whatever key the tokens are
    /// bound to.
    pub(crate) fn asks_the_same(&self, other: &Self) -> bool {
        self.resource == other.resource
            && self.audience == other.audience
            && self.scope == other.scope
    }

    /// Whether it asks for what the login asked for. Which key the token is
    /// bound to does not matter here: that too is the login's.
    pub(crate) fn is_the_logins_own(&self) -> bool {
        self.resource.is_empty() && self.audience.is_none() && self.scope.is_empty()
    }

    /// Whether a token for `wider`, with what is known to be granted to it,
    /// can do what one for this can: for the same resource, bound to the same
    /// key, and with every scope. What nobody has said was granted was not.
    pub(crate) fn is_covered_by(&self, wider: &Self, granted: Option<&[String]>) -> bool {
        // RFC 6749, section 5.1: the server tells the scope that it granted,
        // if it is not the one that was asked for.
        let granted = granted.unwrap_or(&wider.scope);
        !self.scope.is_empty()
            && self.resource == wider.resource
            && self.audience == wider.audience
            && self.jkt == wider.jkt
            && self.scope.iter().all(|scope| granted.contains(scope))
    }

    /// A name for the request, by which processes tell each other of it until
    /// the machine is started again. Only the key's holders can make it.
    pub(crate) fn name(&self, key: &SealingKey, boot: BootId) -> u64 {
        let mut bytes = boot.0.to_vec();
        let parts = [&self.resource, &self.scope];
        let lists = parts.map(|words| words.iter().map(String::as_str).collect());
        let optional = [&self.audience, &self.jkt];
        let single = optional.map(|word| word.iter().map(String::as_str).collect());
        for words in lists.into_iter().chain(single) {
            let words: Vec<&str> = words;
            // No scope and no address has a line end.
            bytes.extend_from_slice(words.join("\n").as_bytes());
            bytes.extend_from_slice(b"\n\n");
        }
        let fingerprint = keyed_fingerprint(key, "request", &bytes);
        let (number, _) = fingerprint.split_at(8);
        let fold = |number, byte: &u8| number << 8 | u64::from(*byte);
        number.iter().fold(0, fold).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn key(resource: &[&str], scope: &[&str]) -> CacheKey {
        CacheKey::new(words(resource), None, words(scope))
    }

    #[test]
    fn what_is_asked_for_in_another_order_is_the_same() {
        let one = key(&["https://b", "https://a"], &["x", "y", "x"]);
        assert_eq!(one, key(&["https://a", "https://b"], &["y", "x"]));
    }

    #[test]
    fn only_what_is_known_to_be_granted_covers() {
        let narrow = key(&[], &["read"]);
        let own = CacheKey::default();
        let (all, other) = (words(&["read", "write"]), words(&["write"]));
        assert!(narrow.is_covered_by(&own, Some(&all)));
        assert!(!narrow.is_covered_by(&own, Some(&other)));
        assert!(!narrow.is_covered_by(&own, None));
        assert!(narrow.is_covered_by(&key(&[], &["read", "write"]), None));
        assert!(!own.is_covered_by(&narrow, Some(&all)), "less is not more");
    }

    #[test]
    fn another_resource_audience_or_key_covers_nothing() {
        let all = words(&["read", "write"]);
        let narrow = key(&["https://a"], &["read"]);
        let wider = key(&["https://a"], &["read", "write"]);
        assert!(narrow.is_covered_by(&wider, Some(&all)));
        let elsewhere = key(&["https://a", "https://b"], &["read", "write"]);
        assert!(!narrow.is_covered_by(&elsewhere, Some(&all)));
        let audience = CacheKey {
            audience: Some("api".to_owned()),
            ..wider.clone()
        };
        assert!(!narrow.is_covered_by(&audience, Some(&all)));
        let bound = CacheKey {
            jkt: Some("thumbprint".to_owned()),
            ..wider
        };
        assert!(!narrow.is_covered_by(&bound, Some(&all)));
    }

    #[test]
    fn different_requests_have_different_names() {
        let sealing = SealingKey::generate();
        let boot = BootId([1; 16]);
        let mut keys = vec![
            key(&[], &[]),
            key(&["a"], &[]),
            key(&[], &["a"]),
            key(&["a", "b"], &[]),
            key(&["a"], &["b"]),
        ];
        for word in ["audience", "jkt"] {
            let mut key = CacheKey::default();
            match word {
                "jkt" => key.jkt = Some("a".to_owned()),
                _ => key.audience = Some("a".to_owned()),
            }
            keys.push(key);
        }
        let mut names: Vec<_> = keys.iter().map(|key| key.name(&sealing, boot)).collect();
        names.push(keys[0].name(&sealing, BootId([2; 16])));
        names.push(keys[0].name(&SealingKey::generate(), boot));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), keys.len() + 2);
    }

    #[test]
    fn a_key_of_an_older_version_reads() {
        let read: CacheKey = serde_json::from_str(r#"{"scope":["a"]}"#).unwrap();
        assert_eq!(read, key(&[], &["a"]));
    }
}
