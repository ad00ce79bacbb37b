//! Logins and their tokens: the rules, without HTTP and without a clock.
//!
//! A *family* is one login with all the tokens that came from it. Whatever needs the time is
//! given it, counted from the server's start, so that every rule can be tested at any moment.
//! Tokens and codes are kept as SHA-256 digests only: nothing here can leak one.

mod codes;
mod devices;
mod jwt;
mod lookup;
mod mint;
mod pushed;
mod tokens;

use std::collections::HashMap;

pub(super) use codes::{CodeGrant, CodeRequest, is_challenge};
pub(super) use devices::DeviceGrant;
pub(super) use lookup::Revoked;
pub(super) use mint::{fingerprint, random_text};
pub(super) use tokens::{Issued, RefreshRequest, Refreshed};

use codes::Code;
use devices::Device;
use mint::Digest;
use pushed::Pushed;
use tokens::{AccessEntry, RefreshEntry};

/// A refusal: an OAuth error code and the reason in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) reason: &'static str,
}

impl Refusal {
    pub(super) const fn new(code: &'static str, reason: &'static str) -> Self {
        Self { code, reason }
    }

    pub(super) const fn invalid_grant(reason: &'static str) -> Self {
        Self::new("invalid_grant", reason)
    }
}

/// What a login was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) client_id: String,
    pub(super) subject: String,
    pub(super) scopes: Vec<String>,
    pub(super) resources: Vec<String>,
    /// The thumbprint of the key that the tokens are bound to.
    pub(super) jkt: Option<String>,
}

/// One login.
#[derive(Debug)]
struct Family {
    granted: Granted,
    alive: bool,
}

/// Every login, token and code of a server.
#[derive(Debug, Default)]
pub(super) struct Grants {
    families: HashMap<u64, Family>,
    refresh_tokens: HashMap<Digest, RefreshEntry>,
    access_tokens: HashMap<Digest, AccessEntry>,
    codes: HashMap<Digest, Code>,
    devices: HashMap<Digest, Device>,
    pushed: HashMap<Digest, Pushed>,
    last_family: u64,
    families_revoked: u64,
}

impl Grants {
    /// How many families have died.
    pub(super) fn families_revoked(&self) -> u64 {
        self.families_revoked
    }

    fn found_family(&mut self, granted: Granted) -> u64 {
        self.last_family += 1;
        self.families.insert(
            self.last_family,
            Family {
                granted,
                alive: true,
            },
        );
        self.last_family
    }

    /// Kills a family and all its tokens; whether it was alive.
    fn revoke_family(&mut self, family: u64) -> bool {
        let Some(family) = self.families.get_mut(&family).filter(|family| family.alive) else {
            return false;
        };
        family.alive = false;
        self.families_revoked += 1;
        true
    }

    fn is_alive(&self, family: u64) -> bool {
        self.families
            .get(&family)
            .is_some_and(|family| family.alive)
    }
}

/// The scopes of a request (RFC 6749 section 3.3), all of `allowed` if it names none.
pub(super) fn scopes_within(
    requested: Option<&str>,
    allowed: &[String],
) -> Result<Vec<String>, Refusal> {
    const REFUSED: Refusal = Refusal::new("invalid_scope", "a scope that is not granted");
    let Some(requested) = requested else {
        return Ok(allowed.to_vec());
    };
    let scopes: Vec<String> = requested.split(' ').map(str::to_owned).collect();
    if scopes.iter().all(|scope| allowed.contains(scope)) {
        Ok(scopes)
    } else {
        Err(REFUSED)
    }
}

/// The resources of a request (RFC 8707 section 2), all of `allowed` if it names none; an empty
/// `allowed` means every absolute URI without a fragment.
pub(super) fn resources_within(
    requested: &[String],
    allowed: &[String],
) -> Result<Vec<String>, Refusal> {
    const REFUSED: Refusal = Refusal::new("invalid_target", "a resource that is not granted");
    if requested.is_empty() {
        return Ok(allowed.to_vec());
    }
    let known = |resource: &String| {
        if allowed.is_empty() {
            url::Url::parse(resource).is_ok_and(|url| url.fragment().is_none())
        } else {
            allowed.contains(resource)
        }
    };
    if requested.iter().all(known) {
        Ok(requested.to_vec())
    } else {
        Err(REFUSED)
    }
}

/// Now, `seconds` after the start: for the tests of this folder.
#[cfg(test)]
fn at(seconds: u64) -> std::time::Duration {
    std::time::Duration::from_secs(seconds)
}

/// What the tests of this folder log in with.
#[cfg(test)]
fn granted() -> Granted {
    Granted {
        client_id: "app".to_owned(),
        subject: "alice".to_owned(),
        scopes: vec!["read".to_owned(), "write".to_owned()],
        resources: Vec::new(),
        jkt: None,
    }
}
