//! What is known of authorization servers that many people use, as data: how
//! they rotate, and what they want otherwise than the standards say.
//!
//! Chosen by issuer at login, where the caller has not said otherwise. A file
//! of the same form extends the list, and comes first ([`KnownServers::and`]).
//! What is not known is left out: the defaults are safe with every server.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::login::LoginRequest;
use crate::oauth::AssertionAudience;
use crate::oauth::text::clean;
use crate::refresh::policy::RotationPolicy;

const BUILT_IN: &str = include_str!("known_servers.json");

/// The version of the list's format.
const VERSION: u32 = 1;

/// What is known of one kind of authorization server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct KnownServer {
    /// Its name, for people and scripts.
    pub name: String,
    /// Its name as its makers write it.
    pub title: String,
    /// The hosts of its issuers; `*` stands for one or more labels, or a part
    /// of one.
    pub hosts: Vec<String>,
    /// What its issuers look like: in braces stands what a person has to say.
    /// Absent where it describes itself to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// What the path of its issuers has in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What it does with a refresh token that comes again; absent where that
    /// is a setting that nobody outside can know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationPolicy>,
    /// It takes the parameter `audience` for what RFC 8707 calls a resource.
    #[serde(default, skip_serializing_if = "is_default")]
    pub audience_parameter: bool,
    /// The scope without which it gives no refresh token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_scope: Option<String>,
    /// It refuses the scope `offline_access`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub drops_offline_access: bool,
    /// Whether `offline_access` comes with `prompt=consent`.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub consent_prompt: bool,
    /// Parameters that each authorization request needs.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub parameters: std::collections::BTreeMap<String, String>,
    /// Whom a client's signed assertion is for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub assertion_audience: AssertionAudience,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// Where this is written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn is_yes(value: &bool) -> bool {
    *value
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Deserialize)]
struct List {
    v: u32,
    servers: Vec<KnownServer>,
}

/// A list of known servers.
#[derive(Clone)]
pub struct KnownServers(Vec<KnownServer>);

impl Default for KnownServers {
    fn default() -> Self {
        Self::built_in()
    }
}

impl fmt::Debug for KnownServers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|server| &server.name);
        formatter.debug_list().entries(names).finish()
    }
}

impl KnownServers {
    /// The list that this library brings.
    ///
    /// # Panics
    ///
    /// Never: a test reads the list.
    #[must_use]
    pub fn built_in() -> Self {
        Self::read(BUILT_IN).expect("the built-in list is well-formed")
    }

    /// Reads a list: JSON, `{"v": 1, "servers": […]}`, each server as
    /// [`KnownServer`] has its fields.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: it is not such a list.
    /// - [`ErrorKind::NewerVersion`]: it is a list of a later form.
    pub fn read(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let invalid = |cause: serde_json::Error| {
            Error::new(
                ErrorKind::InvalidInput,
                "this is no list of known authorization servers",
            )
            // It repeats what stands in the file.
            .because(clean(&cause.to_string()))
        };
        let Version { v } = serde_json::from_str(text).map_err(invalid)?;
        if v > VERSION {
            return Err(Error::new(
                ErrorKind::NewerVersion,
                format!("the list of known servers was written for a newer version (format {v})"),
            ));
        }
        let list: List = serde_json::from_str(text).map_err(invalid)?;
        debug_assert_eq!(list.v, v);
        Ok(Self(list.servers))
    }

    /// Adds another list behind this one: what this one knows counts.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// What is known of the server of this name, if anything.
    #[must_use]
    pub fn find(&self, issuer: &str) -> Option<&KnownServer> {
        let issuer = Url::parse(issuer).ok()?;
        self.0.iter().find(|server| server.is_at(&issuer))
    }

    /// All of them, the first that fits is the one that counts.
    pub fn iter(&self) -> impl Iterator<Item = &KnownServer> {
        self.0.iter()
    }
}

impl KnownServer {
    /// What a person has to say for its issuer, in the order in which it stands
    /// there: `tenant`.
    pub fn issuer_blanks(&self) -> impl Iterator<Item = &str> {
        let issuer = self.issuer.as_deref().unwrap_or_default();
        let parts = issuer.split('{').skip(1);
        parts.filter_map(|part| Some(part.split_once('}')?.0))
    }

    /// Its issuer with these values in [`KnownServer::issuer_blanks`], if what
    /// its issuers look like is known.
    #[must_use]
    pub fn issuer_with(&self, values: &[String]) -> Option<String> {
        let issuer = self.issuer.as_ref()?;
        let fill = |issuer: String, (blank, value): (&str, &String)| {
            issuer.replacen(&format!("{{{blank}}}"), value, 1)
        };
        Some(self.issuer_blanks().zip(values).fold(issuer.clone(), fill))
    }

    fn is_at(&self, issuer: &Url) -> bool {
        let Some(host) = issuer.host_str() else {
            return false;
        };
        let path = self.path.as_deref().unwrap_or_default();
        issuer.path().contains(path) && self.hosts.iter().any(|pattern| fits(pattern, host))
    }

    /// The request as this server wants it. What the caller said stays.
    pub(crate) fn adapt(&self, request: &LoginRequest) -> LoginRequest {
        let mut request = request.clone();
        if self.drops_offline_access {
            for scope in &mut request.scopes {
                let kept: Vec<_> = scope
                    .split(' ')
                    .filter(|word| *word != "offline_access")
                    .collect();
                *scope = kept.join(" ");
            }
            request.scopes.retain(|scope| !scope.is_empty());
        }
        if let Some(wanted) = &self.offline_scope
            && !request.each_scope().any(|scope| scope == wanted)
        {
            request.scopes.push(wanted.clone());
        }
        for (name, value) in &self.parameters {
            let said = request.parameters.iter().any(|(known, _)| known == name)
                || (name == "prompt" && request.prompt.is_some());
            if !said {
                request.parameters.push((name.clone(), value.clone()));
            }
        }
        let own_audience = request
            .parameters
            .iter()
            .any(|(name, _)| name == "audience");
        request.quirks.audience_parameter = self.audience_parameter && !own_audience;
        request.quirks.no_consent_prompt = !self.consent_prompt;
        tracing::debug!(server = %clean(&self.name), "the server is a known one");
        request
    }
}

/// Whether a host fits a pattern, whose `*` stands for anything but nothing.
fn fits(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.as_bytes(), host.as_bytes());
    // Whether the pattern so far fits so much of the host: one pass for each
    // of its characters, however many stars there are.
    let mut fitting = vec![false; host.len() + 1];
    fitting[0] = true;
    for wanted in pattern {
        let mut next = vec![false; host.len() + 1];
        for (at, found) in host.iter().enumerate() {
            next[at + 1] = match wanted {
                b'*' => fitting[at] || next[at],
                wanted => fitting[at] && wanted.eq_ignore_ascii_case(found),
            };
        }
        fitting = next;
    }
    fitting[host.len()]
}

#[cfg(test)]
mod tests;
