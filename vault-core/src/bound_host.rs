//! Hosts that a login is bound to: the only ones whose tools a credential
//! helper may give its token. Exact host and port, https only; who knows one
//! host knows nothing of its neighbours.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use url::Url;

use crate::error::{Error, ErrorKind};

/// A login is bound to no more.
pub(crate) const MOST_HOSTS: usize = 100;

/// The port of https.
const HTTPS: u16 = 443;

/// One host and its port, as `https` knows them: in lower case, a name of
/// another script in its ASCII form (RFC 5891), an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BoundHost {
    host: String,
    port: u16,
}

impl BoundHost {
    /// The host that a request to this address asks, if that is one by https.
    /// What else the address says is not looked at.
    #[must_use]
    pub fn of(url: &Url) -> Option<Self> {
        if url.scheme() != "https" {
            return None;
        }
        let host = url.host_str()?.to_owned();
        let is_exact = |character: char| {
            character.is_ascii_alphanumeric()
                || matches!(character, '.' | '-' | '_' | '[' | ']' | ':')
        };
        let port = url.port_or_known_default()?;
        (!host.is_empty() && host.chars().all(is_exact)).then_some(Self { host, port })
    }

    /// The name or address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// `git.example.com`, or `git.example.com:8443` where the port is not that of
/// https.
impl fmt::Display for BoundHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.host)?;
        match self.port {
            HTTPS => Ok(()),
            port => write!(formatter, ":{port}"),
        }
    }
}

/// Reads `HOST`, `HOST:PORT` or `https://HOST[:PORT]`.
impl FromStr for BoundHost {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refused = |why: &str| {
            let text = text.escape_default();
            let message = format!("`{text}` can't be bound: {why}");
            Error::new(ErrorKind::InvalidInput, message)
        };
        let rest = match text.split_once("://") {
            Some(("https", rest)) => rest.strip_suffix('/').unwrap_or(rest),
            Some(_) => return Err(refused("only https keeps a token from others")),
            None => text,
        };
        let is_more = |character: char| {
            matches!(character, '/' | '\\' | '?' | '#' | '@' | '%')
                || character.is_whitespace()
                || character.is_control()
        };
        if rest.contains(is_more) {
            return Err(refused("name a host and, if it has its own, a port, alone"));
        }
        if rest.contains('*') {
            return Err(refused("each host is named by itself"));
        }
        Url::parse(&format!("https://{rest}/"))
            .ok()
            .as_ref()
            .and_then(Self::of)
            .ok_or_else(|| refused("it is no name of a host, nor an address"))
    }
}

impl Serialize for BoundHost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The hosts that these texts name; what is none of them is left out: it must
/// not make a login unreadable.
pub(crate) fn read_all(texts: &[String]) -> Vec<BoundHost> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> String {
        text.parse::<BoundHost>().unwrap().to_string()
    }

    #[test]
    fn a_host_is_written_in_one_way_only() {
        assert_eq!(host("Git.Example.COM"), "git.example.com");
        assert_eq!(host("git.example.com:443"), "git.example.com");
        assert_eq!(host("https://git.example.com/"), "git.example.com");
        assert_eq!(host("git.example.com:8443"), "git.example.com:8443");
        assert_eq!(host("bücher.example"), "xn--bcher-kva.example");
        assert_eq!(host("[::1]:8443"), "[::1]:8443");
        assert_eq!(host("127.1:8443"), "127.0.0.1:8443");
        for text in ["git.example.com", "[::1]:8443"] {
            assert_eq!(host(&host(text)), text);
        }
    }

    #[test]
    fn what_is_more_or_less_than_a_host_is_refused() {
        for text in [
            "",
            ":443",
            "http://git.example.com",
            "ssh://git.example.com",
            "*.example.com",
            "git.example.com/path",
            "user@git.example.com",
            "git.example.com?x",
            "a b",
            "git.example.com#x",
            "git.example.com\n",
            "git.example.com:99999",
            "a%2eb",
            "[::1",
            "https://",
            "a,b",
        ] {
            let error = text.parse::<BoundHost>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?}");
        }
    }

    #[test]
    fn an_address_by_anything_but_https_asks_no_bound_host() {
        let of = |text: &str| BoundHost::of(&text.parse().unwrap()).map(|host| host.to_string());
        assert_eq!(
            of("https://u:p@Git.example.com/a/b.git?x#y").as_deref(),
            Some("git.example.com")
        );
        assert_eq!(of("https://h:8443/").as_deref(), Some("h:8443"));
        assert_eq!(of("http://git.example.com/"), None);
        assert_eq!(of("file:///git.example.com"), None);
        assert_eq!(
            of("https://git.example.com./").as_deref(),
            Some("git.example.com.")
        );
    }

    #[test]
    fn a_stored_text_that_is_no_host_is_left_out() {
        let texts = ["git.example.com".to_owned(), "no host".to_owned()];
        assert_eq!(read_all(&texts).len(), 1);
    }
}
