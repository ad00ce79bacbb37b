//! Why a request has no answer, and whether the server could have acted on it.

use std::error::Error as StdError;

use url::Url;

use crate::error::{Error, ErrorKind};
use crate::oauth::text::without_query;

/// Whether a request that failed may have had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CouldHaveActed {
    /// It never left: sending it again is no repetition.
    No,
    /// It was sent, at least in part, as far as can be known.
    Maybe,
}

/// What went wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendFailureKind {
    /// Plain http to another machine.
    Insecure,
    /// No such host, or no name service.
    Dns,
    /// No connection.
    Connect,
    /// The TLS handshake failed, or the system has no certificates.
    Tls,
    /// The proxy did not let it through.
    Proxy,
    /// A deadline passed.
    Timeout,
    /// The connection ended before the answer did.
    Reset,
    /// The answer is too long.
    TooLarge,
}

/// A request without an answer.
#[derive(Debug)]
pub(crate) struct SendFailure {
    pub(crate) acted: CouldHaveActed,
    pub(crate) kind: SendFailureKind,
    /// The answer's status, where it got that far.
    pub(crate) status: Option<u16>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl SendFailure {
    pub(super) fn new(error: reqwest::Error, status: Option<u16>) -> Self {
        // The caller names the server; an address may hold what is not to be
        // shown.
        let error = error.without_url();
        let unsent = status.is_none() && (error.is_connect() || error.is_builder());
        let kind = if error.is_dns() {
            SendFailureKind::Dns
        } else if chain_has(&error, is_tls) {
            SendFailureKind::Tls
        } else if chain_has(&error, is_tunnel) {
            SendFailureKind::Proxy
        } else if error.is_timeout() {
            SendFailureKind::Timeout
        } else if unsent {
            SendFailureKind::Connect
        } else {
            SendFailureKind::Reset
        };
        Self {
            acted: if unsent {
                CouldHaveActed::No
            } else {
                CouldHaveActed::Maybe
            },
            kind,
            status,
            source: Some(error.into()),
        }
    }

    pub(super) fn insecure() -> Self {
        Self {
            acted: CouldHaveActed::No,
            kind: SendFailureKind::Insecure,
            status: None,
            source: None,
        }
    }

    pub(super) fn no_certificates(error: rustls::Error) -> Self {
        Self {
            acted: CouldHaveActed::No,
            kind: SendFailureKind::Tls,
            status: None,
            source: Some(error.into()),
        }
    }

    pub(super) fn too_large(status: u16) -> Self {
        Self {
            acted: CouldHaveActed::Maybe,
            kind: SendFailureKind::TooLarge,
            status: Some(status),
            source: None,
        }
    }

    /// Says what failed, for a request where a repetition does no harm.
    pub(crate) fn into_error(self, url: &Url) -> Error {
        let kind = match (self.kind, self.acted) {
            (SendFailureKind::Insecure, _) => ErrorKind::InsecureUrl,
            (SendFailureKind::TooLarge, _) => ErrorKind::ServerAnswerInvalid,
            (_, CouldHaveActed::No) => ErrorKind::NetworkUnavailable,
            (_, CouldHaveActed::Maybe) => ErrorKind::ServerUnavailable,
        };
        let error = Error::new(kind, self.describe(url));
        match self.source {
            Some(source) => error.because(source),
            None => error,
        }
    }

    /// Says what failed, naming the server.
    pub(super) fn describe(&self, url: &Url) -> String {
        let host = url.host_str().unwrap_or("the server");
        let address = without_query(url);
        match (self.kind, self.acted) {
            (SendFailureKind::Insecure, _) => format!(
                "{address} is plain http to another machine, which anyone on the way can read"
            ),
            (SendFailureKind::Dns, _) => format!("the host {host} was not found"),
            (SendFailureKind::Connect, _) => format!("no connection to {address}"),
            (SendFailureKind::Tls, CouldHaveActed::No) => {
                format!("no secure connection to {host} could be made")
            }
            (SendFailureKind::Proxy, _) => format!("the proxy did not connect to {host}"),
            (SendFailureKind::Timeout, CouldHaveActed::No) => {
                format!("no connection to {address} in time")
            }
            (SendFailureKind::Timeout, CouldHaveActed::Maybe) => {
                format!("{address} did not answer in time")
            }
            (SendFailureKind::Reset | SendFailureKind::Tls, _) => {
                format!("the connection to {address} ended before the answer did")
            }
            (SendFailureKind::TooLarge, _) => format!("{address} answered with more than 1 MiB"),
        }
    }
}

/// Looks through the causes. `io::Error` hides the error it wraps from
/// `source`, so that one is asked too.
fn chain_has(
    error: &(dyn StdError + 'static),
    wanted: fn(&(dyn StdError + 'static)) -> bool,
) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if wanted(error) {
            return true;
        }
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// Whether an error that [`SendFailure::into_error`] made came of TLS.
pub(crate) fn is_about_tls(error: &Error) -> bool {
    chain_has(error, is_tls)
}

fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    error.is::<rustls::Error>()
}

/// hyper-util does not name this type's module in reqwest's API, so the text
/// decides. It only chooses a message: that nothing was sent is known before.
fn is_tunnel(error: &(dyn StdError + 'static)) -> bool {
    error.to_string().starts_with("tunnel error")
}
