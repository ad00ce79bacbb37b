//! HTTP to the authorization server: the one place that configures reqwest.
//!
//! Requests here spend tokens that can be spent once. So nothing happens
//! twice or elsewhere on its own: no redirects, no retries, no connection that
//! is used again (a server that closes an idle one makes clients repeat the
//! request). Connections go by https, or by plain http to a loopback host,
//! which then also bypasses every proxy.
//!
//! A failure says whether the server [could have acted](CouldHaveActed) on the
//! request: what the refresh protocol may do next depends on nothing else.
//!
//! Bodies, both ways, are wiped from memory; what hyper and rustls copy while
//! they work is left to a zeroizing allocator. What an answer means is left to
//! [`crate::oauth`].

mod client;
mod failure;
pub(crate) mod freshness;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use url::{Host, Url};
use vault_platform::secret::{SecretBuffer, SecretBytes, SecretString};

use crate::error::{Error, ErrorKind};

pub(crate) use failure::{CouldHaveActed, SendFailure, SendFailureKind, is_about_tls};

/// The longest answer that is read, in bytes.
const BODY_LIMIT: usize = 1 << 20;

/// The longest `Retry-After` that is believed.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Headers of one request. Their values are taken for secret.
pub(crate) type Headers = Vec<(HeaderName, SecretString)>;

/// The proof that goes with a request, and the nonce that comes with an answer
/// (RFC 9449, sections 4.1 and 8.1).
pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// How to reach servers.
#[derive(Clone)]
pub(crate) struct HttpOptions {
    /// Certificates to trust beside the system's, each a PEM text of one or
    /// more.
    pub(crate) ca_certificates: Vec<Vec<u8>>,
    /// The `User-Agent` header.
    pub(crate) user_agent: String,
    /// Bounds name resolution, TCP, proxy and TLS together; kept shorter than
    /// the total, so that running out of it always means *not sent*.
    pub(crate) connect_timeout: Duration,
    /// Bounds a request up to the last byte of its answer. A refresh holds the
    /// lock meanwhile, so it is shorter than others wait for the lock.
    pub(crate) total_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            ca_certificates: Vec::new(),
            user_agent: concat!("vault-core/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_secs(20),
        }
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpOptions")
            .field("ca_certificates", &self.ca_certificates.len())
            .field("user_agent", &self.user_agent)
            .field("connect_timeout", &self.connect_timeout)
            .field("total_timeout", &self.total_timeout)
            .finish()
    }
}

/// Sends requests. Making one is cheap: certificates are loaded, and clients
/// built, at the first request that needs them.
pub(crate) struct Http {
    options: HttpOptions,
    roots: Vec<CertificateDer<'static>>,
    clients: [OnceLock<reqwest::Client>; Route::COUNT],
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    /// The server's clock when it answered, since the UNIX epoch.
    pub(crate) date: Option<Duration>,
    /// How long the server asks to wait.
    pub(crate) retry_after: Option<Duration>,
    /// The nonce for the next proof (RFC 9449, section 8).
    pub(crate) dpop_nonce: Option<String>,
    /// For how long it may be used again, where the server says so.
    pub(crate) fresh_for: Option<Duration>,
    pub(crate) body: SecretBytes,
}

impl Http {
    /// Checks the options.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a certificate or user agent that can't
    /// be used.
    pub(crate) fn new(options: HttpOptions) -> Result<Self, Error> {
        let mut roots = Vec::new();
        for text in &options.ca_certificates {
            let before = roots.len();
            for certificate in CertificateDer::pem_slice_iter(text) {
                roots.push(certificate.map_err(|cause| {
                    Error::new(ErrorKind::InvalidInput, "a CA certificate can't be read")
                        .because(cause)
                })?);
            }
            if roots.len() == before {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "a CA certificate file holds no PEM certificate",
                ));
            }
        }
        if reqwest::header::HeaderValue::from_str(&options.user_agent).is_err() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the user agent can't be sent in a header",
            ));
        }
        Ok(Self {
            options,
            roots,
            clients: Default::default(),
        })
    }

    /// Posts a form. Sent once: the outcome of a failure is the caller's to
    /// judge.
    pub(crate) async fn post_form(
        &self,
        url: &Url,
        headers: Headers,
        form: SecretBytes,
    ) -> Result<Response, SendFailure> {
        let request = self
            .client(url)?
            .post(url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from_owner(WipedOnDrop(form)));
        receive(with(headers, request), url).await
    }

    /// Fetches a document.
    pub(crate) async fn get_json(&self, url: &Url) -> Result<Response, SendFailure> {
        self.get_json_with(url, Headers::new()).await
    }

    /// Fetches a document, with what these headers prove.
    pub(crate) async fn get_json_with(
        &self,
        url: &Url,
        headers: Headers,
    ) -> Result<Response, SendFailure> {
        let request = self.client(url)?.get(url.clone());
        receive(with(headers, request), url).await
    }

    /// A client for an API at this address.
    #[cfg(feature = "client")]
    pub(crate) fn for_api(
        &self,
        api: &Url,
        redirects: reqwest::redirect::Policy,
    ) -> Result<reqwest::Client, Error> {
        Route::of(api)
            .ok_or_else(SendFailure::insecure)
            .and_then(|route| client::build_for_api(route, &self.options, &self.roots, redirects))
            .map_err(|failure| failure.into_error(api))
    }

    fn client(&self, url: &Url) -> Result<&reqwest::Client, SendFailure> {
        let route = Route::of(url).ok_or_else(SendFailure::insecure)?;
        let slot = &self.clients[route as usize];
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = client::build(route, &self.options, &self.roots)?;
        Ok(slot.get_or_init(|| client))
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(formatter)
    }
}

/// Tells whether a token may travel to this address: https, or plain http
/// that does not leave the machine.
pub(crate) fn is_secure(url: &Url) -> bool {
    Route::of(url).is_some()
}

/// The ways to a server; each has its own client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// https, through the system's proxy if there is one.
    Remote,
    /// https to this machine: never through a proxy.
    LoopbackTls,
    /// http to this machine: never through a proxy, which would see the tokens.
    LoopbackPlain,
}

impl Route {
    const COUNT: usize = 3;

    fn of(url: &Url) -> Option<Self> {
        let loopback = match url.host()? {
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
            // The clients resolve this name themselves, see `client::build`.
            Host::Domain(name) => name == "localhost",
        };
        match (url.scheme(), loopback) {
            ("https", false) => Some(Self::Remote),
            ("https", true) => Some(Self::LoopbackTls),
            ("http", true) => Some(Self::LoopbackPlain),
            _ => None,
        }
    }
}

struct WipedOnDrop(SecretBytes);

impl AsRef<[u8]> for WipedOnDrop {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

fn with(headers: Headers, mut request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    for (name, value) in headers {
        let bytes = Bytes::from_owner(WipedOnDrop(value.into_bytes()));
        // A value that no header can hold fails the request unsent.
        request = match HeaderValue::from_maybe_shared(bytes) {
            Ok(mut value) => {
                value.set_sensitive(true);
                request.header(name, value)
            }
            Err(_) => request.header(name, "\n"),
        };
    }
    request
}

async fn receive(request: reqwest::RequestBuilder, url: &Url) -> Result<Response, SendFailure> {
    let request = request.header(ACCEPT, "application/json");
    let sent = request.send().await;
    let mut response = sent.map_err(|error| SendFailure::new(error, None))?;
    let status = response.status().as_u16();
    tracing::debug!(
        host = url.host_str(),
        path = url.path(),
        status,
        "the server answered"
    );

    let expected = response.content_length().unwrap_or(4096);
    let expected = usize::try_from(expected).unwrap_or(usize::MAX);
    if expected > BODY_LIMIT {
        return Err(SendFailure::too_large(status));
    }
    let mut body = SecretBuffer::with_capacity(BODY_LIMIT, expected);
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| SendFailure::new(error, Some(status)))?
    {
        body.push(&chunk)
            .map_err(|_| SendFailure::too_large(status))?;
    }

    let headers = response.headers();
    let date = text(headers, DATE).and_then(since_epoch);
    Ok(Response {
        status,
        content_type: text(headers, CONTENT_TYPE).map(str::to_owned),
        date,
        retry_after: text(headers, RETRY_AFTER).and_then(|value| retry_after(value, date)),
        dpop_nonce: text(headers, DPOP_NONCE).map(str::to_owned),
        fresh_for: freshness::lifetime(headers, date),
        body: body.finish(),
    })
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

pub(crate) fn since_epoch(date: &str) -> Option<Duration> {
    let date = httpdate::parse_http_date(date).ok()?;
    date.duration_since(UNIX_EPOCH).ok()
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3). A date is taken relative to
/// the server's own clock, so that a wrong clock here does not matter.
pub(crate) fn retry_after(value: &str, server_clock: Option<Duration>) -> Option<Duration> {
    let wait = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => since_epoch(value.trim())?.saturating_sub(server_clock?),
    };
    Some(wait.min(RETRY_AFTER_LIMIT))
}
