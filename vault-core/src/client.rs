//! A ready HTTP client for an API: its requests carry the session's token, and
//! an answer that the token is of no use leads to another token and one more
//! try.
//!
//! Only with the feature `client`: reqwest's types are part of it.

use std::fmt;

use reqwest::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Request, RequestBuilder, Response};
use url::Url;

/// The very reqwest whose types stand here, for who would not keep the version in step.
pub use reqwest;

use crate::error::{Error, ErrorKind};
use crate::http::{DPOP, DPOP_NONCE};
use crate::oauth::challenge::Verdict;
use crate::oauth::text::without_query;
use crate::session::{Session, Token, TokenOptions};

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
/// request carries the new token.
///
/// The token goes to the API's origin (scheme, host and port) and nowhere else:
/// a request to another fails. A redirect to another origin is followed without
/// the token; with DPoP none is followed, since a proof is for one address.
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
    following: Client,
    /// For proofs, which are for one address.
    staying: Client,
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
            following: http.for_api(api, Policy::default())?,
            staying: http.for_api(api, Policy::none())?,
        })
    }

    /// Uses this client of reqwest's instead, with its own time-outs, proxies
    /// and redirects.
    #[must_use]
    pub fn with_client(mut self, client: Client) -> Self {
        self.following = client.clone();
        self.staying = client;
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
        loop {
            let again = request.try_clone();
            let (url, response) = self.make(request, &token).await?;
            let headers = response.headers();
            if let Some(nonce) = headers.get(DPOP_NONCE).and_then(|text| text.to_str().ok()) {
                self.session.learn_nonce(&url, nonce);
            }
            let challenges = headers.get_all(WWW_AUTHENTICATE).iter();
            let verdict = Verdict::of(response.status().as_u16(), challenges);
            let is_first = match verdict {
                Verdict::NotOurs => return Ok(response),
                Verdict::RefreshAndRepeat => !std::mem::replace(&mut refreshed, true),
                Verdict::DpopNonce => !std::mem::replace(&mut retold, true),
                _ => true,
            };
            if !is_first {
                return Ok(response);
            }
            let refused = &token.access_token;
            let other = self.session.refused(refused, &verdict, &self.options);
            token = other.await?;
            match again {
                Some(again) => request = again,
                None => return Ok(response),
            }
        }
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
    /// As [`Session::access_token`] and [`Session::authorization`].
    pub async fn authorize(
        &self,
        request: &mut Request,
        options: &TokenOptions,
    ) -> crate::Result<Token> {
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
