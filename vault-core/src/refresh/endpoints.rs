//! Where a login's server takes tokens: asked again when what is known of it
//! has grown old, or is of no use.
//!
//! The answer decides where a refresh token is sent, so it is taken only from
//! the issuer that the login was made at, as [`discover`] checks, and another
//! machine only where nobody else can give that answer: over https. It is
//! stored with the tokens that it led to, never on its own.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::http::Http;
use crate::oauth::Endpoints;
use crate::oauth::discovery::{Description, discover};
use crate::record::LoginSettings;

/// How long a server may take to describe itself while the lock is held.
pub(crate) const UNDER_THE_LOCK: Duration = Duration::from_secs(8);

/// And before it: what is known serves as well, most of the time.
pub(crate) const BEFORE_THE_LOCK: Duration = Duration::from_secs(3);

/// Asks a login's server to describe itself again.
///
/// # Errors
///
/// As [`discover`], and where it takes too long or must not be believed.
pub(crate) async fn ask_again(
    http: &Http,
    settings: &LoginSettings,
    limit: Duration,
) -> Result<Description> {
    let issuer = &settings.issuer;
    let asked = tokio::time::timeout(limit, discover(http, issuer)).await;
    let found = asked.unwrap_or_else(|_| {
        let message = format!("{issuer} did not describe itself in time");
        Err(Error::new(ErrorKind::NetworkUnavailable, message))
    })?;
    if is_believed(settings.endpoints.as_ref(), &found.endpoints) {
        return Ok(found);
    }
    let message = format!("{issuer} names another machine, over plain http");
    Err(Error::new(ErrorKind::InsecureUrl, message))
}

/// Plain http to this machine is anyone's who has the port by now.
fn is_believed(known: Option<&Endpoints>, found: &Endpoints) -> bool {
    let host = |endpoints: &Endpoints| endpoints.token_endpoint.host_str().map(str::to_owned);
    found.issuer.starts_with("https://") || known.is_none_or(|known| host(known) == host(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(issuer: &str, token_endpoint: &str) -> Endpoints {
        let token_endpoint = token_endpoint.parse().unwrap();
        Endpoints::for_token_endpoint(issuer.to_owned(), token_endpoint).unwrap()
    }

    #[test]
    fn another_host_is_believed_over_https_only() {
        for (issuer, host, believed) in [
            ("https://login.example", "https://login.example/new", true),
            ("https://login.example", "https://tokens.example/", true),
            ("http://127.0.0.1:1", "http://127.0.0.1:2/new", true),
            ("http://127.0.0.1:1", "https://tokens.example/", false),
            ("http://127.0.0.1:1", "http://localhost:1/", false),
        ] {
            let known = at(issuer, &format!("{issuer}/token"));
            let found = at(issuer, host);
            assert_eq!(is_believed(Some(&known), &found), believed, "{host}");
            assert!(is_believed(None, &found));
        }
    }
}
