//! Logging in: from a person to the first tokens.
//!
//! Two flows: a browser on this machine that is sent back to a loopback
//! address ([`Flow::Browser`], RFC 8252), or a code that is typed in elsewhere
//! ([`Flow::Device`], RFC 8628). How the person is reached is a parameter, the
//! [`LoginInteraction`]; nothing here prints, prompts, or opens a window.
//!
//! A login is one future, which ends early where nobody waits for it while it
//! waits for a person. What is done with the tokens is left to the vault.

mod aside;
mod authorization_code;
mod browser;
mod caller;
pub(crate) mod device_code;
pub(crate) mod loopback;
pub(crate) mod page;
mod pkce;
pub(crate) mod pushed;
pub(crate) mod redirect;
mod request;
#[cfg(test)]
mod tests;
#[cfg(feature = "openid")]
mod user_info;

use std::fmt;

use url::Url;
use vault_platform::clock::Now;
use vault_platform::secret::SecretString;

pub(crate) use aside::Aside;
pub use browser::SystemBrowser;
pub(crate) use caller::Caller;
pub use device_code::DeviceAuthorization;
pub use request::{Flow, LoginRequest};

use crate::error::{Error, ErrorKind};
use crate::http::Http;
use crate::oauth::Endpoints;
use crate::oauth::client::Client;
use crate::oauth::dpop::Prover;
#[cfg(feature = "openid")]
use crate::oauth::id_token::{self, Expected};
use crate::oauth::jwt::Claims;
use crate::oauth::revocation::{revoke, revoke_access_token};
use crate::oauth::text::clean;
use crate::oauth::token_endpoint::{Answer, TokenResponse};
use crate::token::RefreshToken;

/// How a login reaches the person.
///
/// Each call has a thread of its own, on which no runtime runs: it may take its
/// time, block, and ask for tokens. The redirect is answered when `open_url` has returned.
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
/// - [`ErrorKind::NotOffered`]: the server lacks the flow, or PKCE with S256,
///   or gave no refresh token.
/// - [`ErrorKind::InvalidInput`]: the request can't be made so, or the port is
///   taken, or the scope `openid` is asked for and the feature is not built.
/// - [`ErrorKind::StateMismatch`], [`ErrorKind::IssuerMismatch`]: a redirect
///   came that does not belong to this login, or not from this server.
/// - [`ErrorKind::AccessDenied`], [`ErrorKind::LoginExpired`]: the person or
///   the server said no, or nobody came in time.
/// - [`ErrorKind::IdTokenRefused`]: the ID token is not for this login, or
///   there is none.
/// - [`ErrorKind::ClientRefused`]: the server does not know the client, or not
///   by what it proved itself with.
/// - [`ErrorKind::RequestRefused`], [`ErrorKind::ServerAnswerInvalid`],
///   [`ErrorKind::ServerUnavailable`], [`ErrorKind::NetworkUnavailable`].
pub(crate) async fn run(flow: &Context<'_>) -> Result<LoggedIn, Error> {
    let Context {
        endpoints,
        request,
        client,
        prover,
        ..
    } = *flow;
    let _finished = Finished(flow.interaction);
    if client.id.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "the client id is empty",
        ));
    }
    if prover.is_some() && endpoints.lacks_dpop_es256 {
        let issuer = clean(&endpoints.issuer);
        let message = format!("{issuer} does not offer DPoP with ES256");
        return Err(Error::new(ErrorKind::NotOffered, message));
    }
    request.own_parameters()?;
    if cfg!(not(feature = "openid")) && request.asks_openid() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "this program was built without the feature `openid` of vault-core, so it can't check \
             who logs in: ask for other scopes than `openid`",
        ));
    }
    match request.flow {
        Flow::Browser => authorization_code::login(flow).await,
        Flow::Device => device_code::login(flow).await,
    }
}

/// What a login came to.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    /// All but the refresh token, which is taken out.
    pub(crate) tokens: TokenResponse,
    pub(crate) refresh_token: RefreshToken,
    /// When the request for the tokens was sent: their life counts from here.
    pub(crate) sent: Now,
    /// When they came: the server's clock is compared with ours of this moment.
    pub(crate) answered: Now,
    /// Who logged in, where that was asked for: of a checked ID token, but for
    /// the name.
    pub(crate) claims: Option<Claims>,
}

/// The parameters of an authorization request, in order.
type Parameters = Vec<(String, SecretString)>;

/// What a flow works with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) http: &'a Http,
    pub(crate) endpoints: &'a Endpoints,
    pub(crate) request: &'a LoginRequest,
    pub(crate) client: &'a Client<'a>,
    pub(crate) interaction: &'a dyn LoginInteraction,
    /// Makes the proofs, where the tokens are to be bound to a key.
    pub(crate) prover: Option<&'a Prover<'a>>,
    pub(crate) caller: &'a Caller,
    /// Whether the tokens of a login that is refused are revoked, asked then:
    /// not where that could end another login.
    pub(crate) gives_back: &'a (dyn Fn() -> bool + Sync),
}

impl Context<'_> {
    /// Takes the tokens out of the last answer, which has just come, and looks
    /// who logged in. `sent` is when it was asked for. Tokens of a login that is
    /// refused are given back, where that ends no other.
    async fn conclude(
        &self,
        answer: Answer,
        sent: Now,
        nonce: Option<&SecretString>,
    ) -> Result<LoggedIn, Error> {
        // Before the server is asked who it is, which takes its own time.
        let answered = self.client.clock.now();
        if let Answer::Unusable { refresh_token, .. } = &answer {
            self.give_back(refresh_token).await;
        }
        let mut tokens = tokens(answer, self.endpoints)?;
        let Some(refresh_token) = tokens.refresh_token.take() else {
            let token = &tokens.access_token;
            if (self.gives_back)()
                && let Err(error) =
                    revoke_access_token(self.http, self.endpoints, self.client, token).await
            {
                tracing::debug!(%error, "the token of a refused login was not revoked");
            }
            return Err(Error::new(
                ErrorKind::NotOffered,
                "the authorization server gave no refresh token; many want the scope \
                 `offline_access`",
            ));
        };
        match self.who(&tokens, &answered, nonce).await {
            Ok(claims) => Ok(LoggedIn {
                tokens,
                refresh_token,
                sent,
                answered,
                claims,
            }),
            Err(error) => {
                self.give_back(&refresh_token).await;
                Err(error)
            }
        }
    }

    /// See [`give_back`].
    async fn give_back(&self, token: &RefreshToken) {
        if (self.gives_back)() {
            give_back(self.http, self.endpoints, self.client, token).await;
        }
    }

    /// Nobody was asked: see [`run`].
    #[cfg(not(feature = "openid"))]
    async fn who(
        &self,
        _tokens: &TokenResponse,
        _answered: &Now,
        _nonce: Option<&SecretString>,
    ) -> Result<Option<Claims>, Error> {
        Ok(None)
    }

    #[cfg(feature = "openid")]
    async fn who(
        &self,
        tokens: &TokenResponse,
        answered: &Now,
        nonce: Option<&SecretString>,
    ) -> Result<Option<Claims>, Error> {
        if !self.request.asks_openid() {
            return Ok(None);
        }
        // A server that granted less says so (RFC 6749, section 5.1), which
        // excuses an ID token that is missing and no other: Entra ID leaves
        // `openid` out of the scopes of an API, and gives an ID token.
        let names_openid = |scopes: &Vec<String>| scopes.iter().any(|scope| scope == "openid");
        let granted = tokens.scope.as_ref().is_none_or(names_openid);
        let token = match &tokens.id_token {
            Some(token) => token,
            None if !granted => return Ok(None),
            None => {
                let message = format!(
                    "{} gave no ID token, though `openid` was asked for",
                    clean(&self.endpoints.issuer)
                );
                return Err(Error::new(ErrorKind::IdTokenRefused, message));
            }
        };
        let expected = Expected {
            client_id: self.client.id,
            nonce,
            max_age: self.request.max_age,
            now: tokens.date.unwrap_or(answered.wall),
        };
        let claims = id_token::verify(self.http, self.endpoints, token, &expected).await?;
        if !granted {
            // The access token is for an API, and not to be shown to another.
            return Ok(Some(claims));
        }
        Ok(Some(
            user_info::named(self, &tokens.access_token, claims).await,
        ))
    }
}

/// Revokes the refresh token of a login that is refused, and so the login: what
/// nobody keeps must not live on at the server. The refusal is what is told,
/// however this ends.
pub(crate) async fn give_back(
    http: &Http,
    endpoints: &Endpoints,
    client: &Client<'_>,
    token: &RefreshToken,
) {
    if let Err(error) = revoke(http, endpoints, client, token).await {
        tracing::debug!(%error, "the tokens of a refused login were not revoked");
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

/// What a refusal is about: the client, or what it asked for.
fn refusal(code: &str) -> ErrorKind {
    match code {
        "invalid_client" | "unauthorized_client" | "incorrect_client_credentials" => {
            ErrorKind::ClientRefused
        }
        _ => ErrorKind::RequestRefused,
    }
}

/// Takes the tokens out of the answer that ends a login.
fn tokens(answer: Answer, endpoints: &Endpoints) -> Result<TokenResponse, Error> {
    let host = endpoints.token_endpoint.host_str().unwrap_or("the server");
    let unreached = format!("the login did not reach {host}");
    let unfinished = format!("{host} did not finish the login");
    Err(match answer {
        Answer::Granted(tokens) => return Ok(tokens),
        Answer::Refused { error, description } => {
            let kind = match error.as_str() {
                // The second is what Entra ID says of a device code.
                "access_denied" | "authorization_declined" => ErrorKind::AccessDenied,
                "expired_token" => ErrorKind::LoginExpired,
                code => refusal(code),
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
            reason.into_error(kind, &unreached).after(retry_after)
        }
        Answer::Unreached { reason } => {
            reason.into_error(ErrorKind::NetworkUnavailable, &unreached)
        }
        Answer::Unknown { reason, status } => {
            let kind = match status {
                Some(200..300) => ErrorKind::ServerAnswerInvalid,
                _ => ErrorKind::ServerUnavailable,
            };
            reason.into_error(kind, &unfinished)
        }
        Answer::Unusable { reason, .. } => Error::new(
            ErrorKind::ServerAnswerInvalid,
            format!("{unfinished}: {reason}"),
        ),
    })
}

/// The resource to name in a token request: that of the login if there is one
/// only. Servers refuse a token that would be for several (RFC 8707, section
/// 2.2).
fn single_resource(request: &LoginRequest) -> &[Url] {
    match request.resources() {
        [resource] => std::slice::from_ref(resource),
        _ => &[],
    }
}
