//! What to log in to, and how.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::error::{Error, ErrorKind};
use crate::oauth::ClientCredential;
use crate::oauth::text::clean;
use crate::waits::LONGEST_WAIT;

/// How a person logs in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flow {
    /// With a browser on this machine (authorization code with PKCE).
    #[default]
    Browser,
    /// With any browser, by a code that the person types in.
    Device,
}

/// What to log in to, and how.
///
/// ```
/// # use vault_core::login::{Flow, LoginRequest};
/// let request = LoginRequest::new("https://login.example", "my-client")
///     .scope("openid")
///     .scope("offline_access")
///     .flow(Flow::Browser);
/// ```
#[derive(Clone, Debug)]
pub struct LoginRequest {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) resources: Vec<Url>,
    pub(crate) flow: Flow,
    pub(crate) redirect_port: Option<u16>,
    pub(crate) redirect_uri: Option<Url>,
    pub(crate) prompt: Option<String>,
    pub(crate) login_hint: Option<String>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) credential: Option<Arc<ClientCredential>>,
    pub(crate) quirks: Quirks,
    pub(crate) dpop: bool,
}

impl LoginRequest {
    /// The time a person has for a login with a browser, unless
    /// [`timeout`](Self::timeout) says otherwise.
    pub const BROWSER_TIMEOUT: Duration = Duration::from_secs(5 * 60);

    /// Starts a request: the issuer exactly as the server names itself, and
    /// the client's id there.
    #[must_use]
    pub fn new(issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            issuer: issuer.into(),
            client_id: client_id.into(),
            scopes: Vec::new(),
            resources: Vec::new(),
            flow: Flow::default(),
            redirect_port: None,
            redirect_uri: None,
            prompt: None,
            login_hint: None,
            max_age: None,
            timeout: None,
            parameters: Vec::new(),
            credential: None,
            quirks: Quirks::default(),
            dpop: false,
        }
    }

    /// Asks for a scope. It is sent as it is given: several in one text,
    /// separated by spaces, are several scopes.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Names an API that the tokens are for (RFC 8707).
    #[must_use]
    pub fn resource(mut self, resource: Url) -> Self {
        self.resources.push(resource);
        self
    }

    /// Chooses the flow; the browser's is the default.
    #[must_use]
    pub fn flow(mut self, flow: Flow) -> Self {
        self.flow = flow;
        self
    }

    /// Binds the login's tokens to a key of its own (DPoP, RFC 9449), which
    /// lies in the store: a token that is taken out of it alone opens nothing.
    /// A server that does not bind them fails the login.
    #[must_use]
    pub fn dpop(mut self, dpop: bool) -> Self {
        self.dpop = dpop;
        self
    }

    /// Fixes the port of the loopback redirect, for servers that do not take
    /// any port as RFC 8252, section 7.3, says. The redirect address is then
    /// `http://127.0.0.1:PORT/callback`.
    #[must_use]
    pub fn redirect_port(mut self, port: u16) -> Self {
        self.redirect_port = Some(port);
        self
    }

    /// Fixes the whole address of the loopback redirect, for servers that want
    /// it as it was registered: `http://localhost:8080/cb`, or
    /// `http://[::1]/callback` to use IPv6. Without a port a free one is taken.
    /// Only addresses of this machine are taken.
    #[must_use]
    pub fn redirect_uri(mut self, uri: Url) -> Self {
        self.redirect_uri = Some(uri);
        self
    }

    /// Says what the server shall ask the person, such as `login`, `consent`
    /// or `select_account` (OpenID Connect Core, section 3.1.2.1).
    #[must_use]
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = Some(prompt.into());
        self
    }

    /// Names the account that is meant, as the person would.
    #[must_use]
    pub fn login_hint(mut self, hint: impl Into<String>) -> Self {
        self.login_hint = Some(hint.into());
        self
    }

    /// Wants a person who proved who they are no longer ago than this. With
    /// the scope `openid` it is checked that the server obeyed.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Bounds the time a person has: five minutes for a browser by default,
    /// and what the server gives for a device code. More than a day counts as a
    /// day.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout.min(LONGEST_WAIT));
        self
    }

    /// Gives what a confidential client proves itself with. It is kept with
    /// the login, in the store.
    #[must_use]
    pub fn credential(mut self, credential: ClientCredential) -> Self {
        self.credential = Some(Arc::new(credential));
        self
    }

    /// Adds a parameter to the authorization request, for what a server wants
    /// beyond the standards (`audience`, `access_type`). Those that the flow
    /// sets itself are refused.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }
}

impl LoginRequest {
    /// Every scope, one by one.
    pub(crate) fn each_scope(&self) -> impl Iterator<Item = &str> {
        let scopes = self.scopes.iter();
        scopes.flat_map(|scope| scope.split(' ').filter(|word| !word.is_empty()))
    }

    /// Whether it asks who logs in (OpenID Connect Core, section 3.1.2.1).
    pub(crate) fn asks_openid(&self) -> bool {
        self.each_scope().any(|scope| scope == "openid")
    }

    /// The caller's own parameters, after a look at their names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for one that the login sets itself.
    pub(crate) fn own_parameters(&self) -> Result<&[(String, String)], Error> {
        let set_twice = |name: &str| {
            RESERVED.contains(&name)
                || (name == "prompt" && self.prompt.is_some())
                || (name == "login_hint" && self.login_hint.is_some())
                || (name == "max_age" && self.max_age.is_some())
                || (name == "audience" && !self.audiences().is_empty())
        };
        match self.parameters.iter().find(|(name, _)| set_twice(name)) {
            None => Ok(&self.parameters),
            Some((name, _)) => Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the parameter {} is set by the login itself", clean(name)),
            )),
        }
    }

    /// The APIs, where they are named as RFC 8707 says.
    pub(crate) fn resources(&self) -> &[Url] {
        if self.quirks.audience_parameter {
            &[]
        } else {
            &self.resources
        }
    }

    /// The APIs, where the server wants them as `audience`.
    pub(crate) fn audiences(&self) -> &[Url] {
        if self.quirks.audience_parameter {
            &self.resources
        } else {
            &[]
        }
    }
}

/// Parameters that the flow sets itself.
const RESERVED: [&str; 18] = [
    "dpop_jkt",
    "response_type",
    "response_mode",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "resource",
    "request",
    "request_uri",
    "grant_type",
    "device_code",
];

/// What a known server wants otherwise than the standards say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quirks {
    /// APIs are named by `audience` instead of `resource`.
    pub(crate) audience_parameter: bool,
    /// Asking for consent would shut people out.
    pub(crate) no_consent_prompt: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_own_parameter_replaces_one_of_the_flow() {
        let request = LoginRequest::new("https://login.example", "c");
        for name in RESERVED {
            let request = request.clone().parameter(name, "x");
            let refused = request.own_parameters().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{name}");
        }
        let twice = request.clone().prompt("login").parameter("prompt", "none");
        assert!(twice.own_parameters().is_err());
        let once = request.parameter("prompt", "none");
        assert_eq!(once.own_parameters().unwrap().len(), 1);
    }
}
