//! A ready HTTP client for an API: its requests carry the session's token, and
//! an answer that the token is of no use leads to another token and one more
//! try.
//!
//! Only with the feature `client`: reqwest's types are part of it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderValue, LOCATION,
    PROXY_AUTHORIZATION, TRANSFER_ENCODING, WWW_AUTHENTICATE,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Request, RequestBuilder, Response, StatusCode};
use url::{Origin, Url};

/// The very reqwest whose types stand here, for who would not keep the version in step.
pub use reqwest;

use crate::authorization::check_secure;
use crate::error::{Error, ErrorKind};
use crate::http::{DPOP, DPOP_NONCE};
use crate::oauth::challenge::Verdict;
use crate::oauth::text::without_query;
use crate::session::{Session, Token, TokenOptions};

/// For so long no token is replaced, after one that replaced another was
/// refused too: the API's reason is not the token, and each try is a rotation.
const FRUITLESS_PAUSE: Duration = Duration::from_secs(60);

/// What a request through [`AuthorizedClient`] fails with. An answer that says
/// no is not an error, unless a person must do something about the login.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// There is no token for the request, or none that the API would take.
    #[error(transparent)]
    Vault(#[from] Error),
    /// The request was not made, or has no answer.
    #[error("the API can't be reached, or broke off")]
    Http(#[from] reqwest::Error),
}

/// An HTTP client for one API. Cheap to clone; clones share their connections.
///
/// Each request carries `Authorization: Bearer` and the token, or DPoP's two
/// headers. If the API refuses the token, one refresh is made across all
/// processes and the request is made again, if its body can be: one that is
/// streamed can't, and the API's answer is then given as it is. The next
/// request carries the new token. Where the new one is refused as well, no other
/// is asked for within a minute: the API's answers are given as they are.
///
/// The token goes to the API's origin (scheme, host and port) and nowhere else:
/// a request to another fails. A redirect to another origin is followed without
/// the token if it is to be read there (`GET`, `HEAD`), and what is answered
/// there is given as it is; else the redirect is. With DPoP none is followed,
/// since a proof is for one address.
///
/// Needs a tokio runtime, as reqwest does. For another client there is
/// [`Session::authorization`].
///
/// ```no_run
/// use vault_core::client::AuthorizedClient;
///
/// # async fn example(session: vault_core::Session) -> Result<(), vault_core::client::RequestError> {
/// let api = "https://api.example.com/v1/".parse().expect("an address");
/// let client = AuthorizedClient::new(&session, &api)?;
/// let orders = client.send(client.get("orders?open=true")?).await?;
/// println!("{}", orders.status());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct AuthorizedClient {
    session: Session,
    api: Url,
    options: TokenOptions,
    /// Follows redirects at the API's origin.
    following: Client,
    /// For proofs, which are for one address.
    staying: Client,
    /// For redirects to other origins. Never sees a token. None where the
    /// application has brought a client, which has its own redirects.
    leaving: Option<Client>,
    /// When a token that replaced another was refused last, since boot.
    fruitless: Arc<Mutex<Option<Duration>>>,
}

impl AuthorizedClient {
    /// A client for the API at this address. It trusts what the system and the
    /// vault trust.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InsecureUrl`] for an address that a token must not travel
    /// to: plain http, unless it is a loopback address.
    pub fn new(session: &Session, api: &Url) -> Result<Self, RequestError> {
        let http = session.profile.settings.http(&[])?;
        Ok(Self {
            session: session.clone(),
            api: api.clone(),
            options: TokenOptions::default(),
            following: http.for_api(api, within(api.origin()))?,
            staying: http.for_api(api, Policy::none())?,
            leaving: Some(http.for_api(api, Policy::default())?),
            fruitless: Arc::default(),
        })
    }

    /// Uses this client of reqwest's instead, with its own time-outs, proxies
    /// and redirects. Have it follow none to other origins: of several on the
    /// way, reqwest (0.13) takes the token off the first only.
    #[must_use]
    pub fn with_client(mut self, client: Client) -> Self {
        self.following = client.clone();
        self.staying = client;
        self.leaving = None;
        self
    }

    /// Asks for tokens like this, instead of the login's own.
    #[must_use]
    pub fn with_options(mut self, options: TokenOptions) -> Self {
        self.options = options;
        self
    }

    /// Begins a request to an address that is relative to the API's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if it is no address of the API's origin.
    pub fn request(&self, method: Method, address: &str) -> Result<RequestBuilder, RequestError> {
        let url = self.api.join(address).map_err(|error| {
            let message = "this can't be an address of the API";
            Error::new(ErrorKind::InvalidInput, message).because(error)
        })?;
        self.check_origin(&url)?;
        Ok(self.following.request(method, url))
    }

    /// Begins a `GET` request; see [`AuthorizedClient::request`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn get(&self, address: &str) -> Result<RequestBuilder, RequestError> {
        self.request(Method::GET, address)
    }

    /// Begins a `POST` request; see [`AuthorizedClient::request`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn post(&self, address: &str) -> Result<RequestBuilder, RequestError> {
        self.request(Method::POST, address)
    }

    /// Makes the request, and a second time with another token if the API says
    /// that the first is of no use.
    ///
    /// # Errors
    ///
    /// [`RequestError::Vault`] as [`Session::access_token`], and with
    /// [`ErrorKind::ScopeInsufficient`] or [`ErrorKind::StepUpRequired`] if
    /// the API wants a login that can do more; [`RequestError::Http`].
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, RequestError> {
        let mut request = request.build()?;
        self.check_origin(request.url())?;
        let mut token = self.session.token(&self.options).await?;
        let (mut refreshed, mut retold) = (false, false);
        let asked = Asked::of(&request);
        loop {
            let again = request.try_clone();
            let (url, response) = self.make(request, &token).await?;
            // What others say is not about the token, which they have not seen.
            if response.url().origin() != self.api.origin() {
                return Ok(response);
            }
            if token.jkt.is_none()
                && let Some(leaving) = &self.leaving
                && let Some(elsewhere) = asked.elsewhere(&response)
            {
                return Ok(leaving.execute(elsewhere).await?);
            }
            let headers = response.headers();
            if let Some(nonce) = headers.get(DPOP_NONCE).and_then(|text| text.to_str().ok()) {
                self.session.learn_nonce(&url, nonce);
            }
            let challenges = headers.get_all(WWW_AUTHENTICATE).iter();
            let verdict = Verdict::of(response.status().as_u16(), challenges);
            let is_first = match verdict {
                Verdict::NotOurs => return Ok(response),
                Verdict::RefreshAndRepeat if refreshed => {
                    self.note_fruitless();
                    false
                }
                Verdict::RefreshAndRepeat => {
                    refreshed = true;
                    !self.was_fruitless()
                }
                Verdict::DpopNonce => !std::mem::replace(&mut retold, true),
                _ => true,
            };
            if !is_first {
                return Ok(response);
            }
            let refused = &token.access_token;
            let other = self.session.refused(refused, &verdict, &self.options);
            match (again, other.await) {
                (Some(again), other) => (request, token) = (again, other?),
                // No token would help. Else the next request will tell what is the matter.
                (None, Err(error))
                    if !matches!(verdict, Verdict::RefreshAndRepeat | Verdict::DpopNonce) =>
                {
                    return Err(error.into());
                }
                (None, _) => return Ok(response),
            }
        }
    }

    fn note_fruitless(&self) {
        let now = self.session.profile.now().since_boot;
        *self
            .fruitless
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    fn was_fruitless(&self) -> bool {
        let now = self.session.profile.now().since_boot;
        let last = *self
            .fruitless
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| now.saturating_sub(last) < FRUITLESS_PAUSE)
    }

    async fn make(
        &self,
        mut request: Request,
        token: &Token,
    ) -> Result<(Url, Response), RequestError> {
        let url = request.url().clone();
        self.session.sign(&mut request, token).await?;
        let client = match token.jkt {
            Some(_) => &self.staying,
            None => &self.following,
        };
        Ok((url, client.execute(request).await?))
    }

    fn check_origin(&self, url: &Url) -> Result<(), Error> {
        if url.origin() == self.api.origin() {
            return Ok(());
        }
        let message = format!(
            "{} is not at {}, which the token is for",
            without_query(url),
            self.api.origin().ascii_serialization()
        );
        Err(Error::new(ErrorKind::InvalidInput, message))
    }
}

/// Of a request what is needed to make it at another origin.
struct Asked {
    method: Method,
    headers: HeaderMap,
    timeout: Option<Duration>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        Self {
            method: request.method().clone(),
            headers: request.headers().clone(),
            timeout: request.timeout().copied(),
        }
    }

    /// The request that a redirect to another origin asks for, without a token
    /// and without a body; none if it would not be one that only reads.
    fn elsewhere(&self, response: &Response) -> Option<Request> {
        let method = match (response.status(), &self.method) {
            (StatusCode::SEE_OTHER, &Method::HEAD) => Method::HEAD,
            (StatusCode::SEE_OTHER, _) => Method::GET,
            (StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND, &Method::POST) => Method::GET,
            (
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT,
                method @ (&Method::GET | &Method::HEAD),
            ) => method.clone(),
            _ => return None,
        };
        let location = response.headers().get(LOCATION)?.to_str().ok()?;
        let url = response.url().join(location).ok()?;
        if url.origin() == response.url().origin() {
            return None;
        }
        let mut request = Request::new(method, url);
        *request.headers_mut() = self.headers.clone();
        for name in [
            AUTHORIZATION,
            PROXY_AUTHORIZATION,
            COOKIE,
            HOST,
            CONTENT_LENGTH,
            CONTENT_TYPE,
            TRANSFER_ENCODING,
        ] {
            request.headers_mut().remove(name);
        }
        request.headers_mut().remove(DPOP);
        *request.timeout_mut() = self.timeout;
        Some(request)
    }
}

/// Follows redirects at one origin, and leaves others to [`Asked::elsewhere`]:
/// reqwest takes the token off the request that crosses over, and the next one
/// has it again.
fn within(origin: Origin) -> Policy {
    Policy::custom(move |attempt| {
        if attempt.url().origin() == origin {
            Policy::default().redirect(attempt)
        } else {
            attempt.stop()
        }
    })
}

impl fmt::Debug for AuthorizedClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AuthorizedClient")
            .field("session", &self.session)
            .field("api", &self.api.as_str())
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Adds a token to a request of reqwest's: `Authorization`, and `DPoP`
    /// where the login is bound to a key. Make the request at once, and only to
    /// the API that the token is for. Gives the token, to be
    /// [refused](Session::refused) if the API does.
    ///
    /// # Errors
    ///
    /// As [`Session::access_token`] and [`Session::authorization`], and
    /// [`ErrorKind::InsecureUrl`] for plain http to another machine.
    pub async fn authorize(
        &self,
        request: &mut Request,
        options: &TokenOptions,
    ) -> crate::Result<Token> {
        check_secure(request.url())?;
        let token = self.token(options).await?;
        self.sign(request, &token).await?;
        Ok(token)
    }

    async fn sign(&self, request: &mut Request, token: &Token) -> crate::Result<()> {
        let (method, url) = (request.method().clone(), request.url().clone());
        let shown = self.authorization(token, method.as_str(), &url).await?;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, secret_header(shown.authorization())?);
        match shown.dpop() {
            Some(proof) => headers.insert(DPOP, secret_header(proof)?),
            None => headers.remove(DPOP),
        };
        Ok(())
    }
}

/// Not shown by `Debug`, and not indexed by HTTP/2's compression.
fn secret_header(text: &str) -> crate::Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        let message = "the access token can't stand in a header";
        Error::new(ErrorKind::ServerAnswerInvalid, message)
    })?;
    value.set_sensitive(true);
    Ok(value)
}
