//! Proof of possession (RFC 9449): each request shows that its sender holds
//! the login's key, so that a token alone opens nothing.
//!
//! A proof is for one request: its method, its address, its moment. Servers
//! may want a nonce of theirs in it and tell it in the header `DPoP-Nonce` of
//! any answer; and they compare the proof's time with their own clock, which
//! is learnt from their `Date`. What was [`Learnt`] is this process's; the
//! newest nonce of the authorization server goes with each rotation into the
//! sealed file, where other processes find it.
//!
//! Whether to send something again is left to the token endpoint and to
//! callers.

mod key;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use sha2::{Digest, Sha256};
use url::Url;
use vault_platform::clock::{Clock, Now};

pub(crate) use key::DpopKey;

use crate::http::Response;
use crate::life::{Stamp, milliseconds};
use crate::record::{LoginRecord, LoginSettings};
use crate::token::AccessToken;

/// The longest nonce that is believed, in bytes.
const LONGEST_NONCE: usize = 4096;

/// How far the time of a refused proof may be off before a right one is worth
/// a second try.
const CLOCK_LEEWAY: Duration = Duration::from_secs(5);

/// What servers have told this process.
#[derive(Debug, Default)]
pub(crate) struct Learnt(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By origin (RFC 9449, sections 8 and 9).
    nonces: HashMap<String, String>,
    /// The authorization server's: where it and ours differ, ours is wrong.
    clock: Option<ServerClock>,
}

/// A server's clock at a moment of ours.
#[derive(Clone, Debug)]
pub(crate) struct ServerClock {
    /// The moment, by our clocks.
    pub(crate) at: Stamp,
    /// The server's wall clock then, in milliseconds since the epoch.
    pub(crate) server_ms: u64,
}

impl ServerClock {
    fn now(&self, now: &Now) -> Option<Duration> {
        let elapsed = self.at.elapsed(now)?;
        Some(Duration::from_millis(self.server_ms).saturating_add(elapsed))
    }
}

/// What is new in an answer, and could make another proof a better one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// The server told another nonce.
    pub(crate) nonce: bool,
    /// Its clock is not what was thought.
    pub(crate) clock: bool,
}

impl Learnt {
    /// The newest nonce of the server at this address.
    pub(crate) fn nonce(&self, url: &Url) -> Option<String> {
        self.known().nonces.get(&origin(url)).cloned()
    }

    /// Takes a server's nonce. Tells whether it is another than before; what
    /// can't be one is left out.
    pub(crate) fn learn_nonce(&self, url: &Url, nonce: &str) -> bool {
        if !is_nonce(nonce) {
            return false;
        }
        let before = self.known().nonces.insert(origin(url), nonce.to_owned());
        before.as_deref() != Some(nonce)
    }

    /// What is known of time, without nonces: of another server they are other
    /// ones.
    #[cfg(feature = "openid")]
    pub(crate) fn for_an_api(&self) -> Self {
        Self(Mutex::new(Known {
            nonces: HashMap::new(),
            clock: self.known().clock.clone(),
        }))
    }

    /// Takes what was stored with a login. The nonce is as new as the newest
    /// rotation of any process; the clock counts only where this process has
    /// not heard it itself.
    pub(crate) fn recall(&self, token_endpoint: &Url, record: &LoginRecord) {
        if let Some(nonce) = &record.dpop_nonce {
            self.learn_nonce(token_endpoint, nonce);
        }
        self.recall_clock(record.server_clock());
    }

    pub(crate) fn recall_clock(&self, clock: Option<ServerClock>) {
        let mut known = self.known();
        if known.clock.is_none() {
            known.clock = clock;
        }
    }

    /// The nonce that is to be stored with a login.
    pub(crate) fn to_keep(&self, settings: &LoginSettings) -> Option<String> {
        settings.jkt.as_ref()?;
        self.nonce(&settings.endpoints.as_ref()?.token_endpoint)
    }

    /// Takes what an answer of the authorization server tells.
    fn learn(&self, url: &Url, response: &Response, now: &Now) -> News {
        let nonce = response.dpop_nonce.as_deref();
        let nonce = nonce.is_some_and(|nonce| self.learn_nonce(url, nonce));
        let Some(date) = response.date else {
            return News {
                nonce,
                clock: false,
            };
        };
        let thought = self.server_now(now);
        self.known().clock = Some(ServerClock {
            at: Stamp::from(now),
            server_ms: milliseconds(date),
        });
        News {
            nonce,
            clock: thought.abs_diff(date) > CLOCK_LEEWAY,
        }
    }

    /// The authorization server's time, or ours if it is not known.
    fn server_now(&self, now: &Now) -> Duration {
        let clock = self.known().clock.clone();
        clock.and_then(|clock| clock.now(now)).unwrap_or(now.wall)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the proofs of one login.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prover<'a> {
    pub(crate) key: &'a DpopKey,
    pub(crate) learnt: &'a Learnt,
    pub(crate) clock: &'a dyn Clock,
}

/// RFC 9449, section 4.2.
#[derive(Serialize)]
struct Claims<'a> {
    jti: String,
    htm: &'a str,
    htu: String,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
}

impl Prover<'_> {
    /// The thumbprint of the key.
    pub(crate) fn thumbprint(&self) -> &str {
        self.key.thumbprint()
    }

    /// Makes the proof for one request. `token` is the access token that it
    /// carries, if it carries one.
    pub(crate) fn prove(&self, method: &str, url: &Url, token: Option<&AccessToken>) -> String {
        let digest = |token: &AccessToken| {
            BASE64URL_NOPAD.encode(&Sha256::digest(token.expose().as_bytes()))
        };
        let jti: [u8; 16] = vault_platform::random::bytes();
        self.key.sign(&Claims {
            jti: BASE64URL_NOPAD.encode(&jti),
            htm: method,
            htu: without_query_and_fragment(url),
            iat: self.learnt.server_now(&self.clock.now()).as_secs(),
            ath: token.map(digest),
            nonce: self.learnt.nonce(url),
        })
    }

    /// Takes what the authorization server's answer tells.
    pub(crate) fn learn(&self, url: &Url, response: &Response) -> News {
        self.learnt.learn(url, response, &self.clock.now())
    }
}

/// `htu`: the request's address without query and fragment.
fn without_query_and_fragment(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// RFC 9449, section 8.1: what RFC 6749 calls NQCHAR.
fn is_nonce(text: &str) -> bool {
    let is_plain = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    (1..=LONGEST_NONCE).contains(&text.len()) && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests;
