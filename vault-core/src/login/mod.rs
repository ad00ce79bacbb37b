//! Logging in: from a person to the first tokens.
//!
//! Two flows: a browser on this machine that is sent back to a loopback
//! address ([`Flow::Browser`], RFC 8252), or a code that is typed in elsewhere
//! ([`Flow::Device`], RFC 8628). How the person is reached is a parameter, the
//! [`LoginInteraction`]; nothing here prints, prompts, or opens a window.
//!
//! A login is one future: dropping it closes the listener and forgets all of
//! it. What is done with the tokens is left to the vault.

mod authorization_code;
mod browser;
mod device_code;
mod loopback;
mod page;
mod pkce;
mod redirect;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub use browser::SystemBrowser;
pub use device_code::DeviceAuthorization;

use crate::error::{Error, ErrorKind};
use crate::http::Http;
use crate::oauth::Endpoints;
use crate::oauth::client::{Client, ClientCredential};
use crate::oauth::token_endpoint::{Answer, TokenResponse};

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
    pub(crate) timeout: Option<Duration>,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) credential: Option<Arc<ClientCredential>>,
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
            timeout: None,
            parameters: Vec::new(),
            credential: None,
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

    /// Fixes the port of the loopback redirect, for servers that do not take
    /// any port as RFC 8252, section 7.3, says. The redirect address is then
    /// `http://127.0.0.1:PORT/callback`.
    #[must_use]
    pub fn redirect_port(mut self, port: u16) -> Self {
        self.redirect_port = Some(port);
        self
    }

    /// Bounds the time a person has: five minutes for a browser by default,
    /// and what the server gives for a device code.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
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
    /// beyond the standards (`audience`, `access_type`) or in special cases
    /// (`prompt`). Those that the flow sets itself are refused.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }
}

/// How a login reaches the person.
///
/// The methods are called on the thread that serves the login, and should
/// return soon.
pub trait LoginInteraction: Send + Sync {
    /// Opens or shows the address to log in at.
    ///
    /// # Errors
    ///
    /// Any error ends the login.
    ///
    /// # Security
    ///
    /// The address carries the login's `state`. It does not belong where other
    /// users could see it, such as a command line.
    fn open_url(&self, url: &Url) -> Result<(), Error>;

    /// Shows the code, and the address to type it in at.
    fn show_device_code(&self, code: &DeviceAuthorization);

    /// Is told what the login waits for.
    fn waiting(&self, what: &str) {
        let _unused = what;
    }

    /// Asks whether a profile that belongs to the account `stored` may be
    /// taken over by the account `new`. The default says no.
    fn confirm_other_account(&self, stored: &str, new: &str) -> bool {
        let _unused = (stored, new);
        false
    }

    /// Is told that the login ended, well or not, or was dropped: what was
    /// opened for it can go.
    fn finished(&self) {}
}

/// Runs a login and gives its tokens.
///
/// # Errors
///
/// - [`ErrorKind::NotOffered`]: the server lacks the flow, or PKCE with S256.
/// - [`ErrorKind::InvalidInput`]: the request can't be made so, or the port is
///   taken.
/// - [`ErrorKind::StateMismatch`], [`ErrorKind::IssuerMismatch`]: a redirect
///   came that does not belong to this login, or not from this server.
/// - [`ErrorKind::AccessDenied`], [`ErrorKind::LoginExpired`]: the person or
///   the server said no, or nobody came in time.
/// - [`ErrorKind::RequestRefused`], [`ErrorKind::ServerAnswerInvalid`],
///   [`ErrorKind::ServerUnavailable`], [`ErrorKind::NetworkUnavailable`].
pub(crate) async fn run(
    http: &Http,
    endpoints: &Endpoints,
    request: &LoginRequest,
    client: &Client<'_>,
    interaction: &dyn LoginInteraction,
) -> Result<TokenResponse, Error> {
    let _finished = Finished(interaction);
    if client.id.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "the client id is empty",
        ));
    }
    match request.flow {
        Flow::Browser => {
            authorization_code::login(http, endpoints, request, client, interaction).await
        }
        Flow::Device => device_code::login(http, endpoints, request, client, interaction).await,
    }
}

/// Tells the interaction about the end, also when the login is dropped.
struct Finished<'a>(&'a dyn LoginInteraction);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        self.0.finished();
    }
}

impl fmt::Debug for Finished<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Finished")
    }
}

/// Takes the tokens out of the answer that ends a login.
fn tokens(answer: Answer, endpoints: &Endpoints) -> Result<TokenResponse, Error> {
    let host = endpoints.token_endpoint.host_str().unwrap_or("the server");
    Err(match answer {
        Answer::Granted(tokens) => return Ok(tokens),
        Answer::Refused { error, description } => {
            let kind = match error.as_str() {
                "access_denied" => ErrorKind::AccessDenied,
                "expired_token" => ErrorKind::LoginExpired,
                _ => ErrorKind::RequestRefused,
            };
            let more = description
                .map(|text| format!(" ({text})"))
                .unwrap_or_default();
            Error::new(kind, format!("{host} refused the login: {error}{more}"))
        }
        Answer::RefusedWithoutReason { status } => Error::new(
            ErrorKind::RequestRefused,
            format!("{host} refused the login with status {status} and without a reason"),
        ),
        Answer::Unavailable {
            status,
            retry_after,
            reason,
        } => {
            let kind = match status {
                Some(_) => ErrorKind::ServerUnavailable,
                None => ErrorKind::NetworkUnavailable,
            };
            Error::new(kind, format!("the login did not reach {host}: {reason}")).after(retry_after)
        }
        Answer::Unknown { reason, status } => {
            let kind = match status {
                Some(200..300) => ErrorKind::ServerAnswerInvalid,
                _ => ErrorKind::ServerUnavailable,
            };
            Error::new(kind, format!("{host} did not finish the login: {reason}"))
        }
        Answer::Unusable { reason, .. } => Error::new(
            ErrorKind::ServerAnswerInvalid,
            format!("{host} did not finish the login: {reason}"),
        ),
    })
}

/// The resource to name in a token request: that of the login if there is one
/// only. Servers refuse a token that would be for several (RFC 8707, section
/// 2.2).
fn single_resource(request: &LoginRequest) -> &[Url] {
    match request.resources.as_slice() {
        [resource] => std::slice::from_ref(resource),
        _ => &[],
    }
}
