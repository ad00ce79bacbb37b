//! Taking a token back (RFC 7009).
//!
//! One try. Whether there is another one is left to
//! [`revocations`](crate::refresh::revocations).

use super::Endpoints;
use super::answer::OAuthError;
use super::client::Client;
use crate::error::{Error, ErrorKind};
use crate::http::Http;
use crate::oauth::text::without_query;
use crate::token::{AccessToken, RefreshToken};

/// What became of a revocation that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// The server no longer takes the token.
    Done,
    /// The server has no revocation endpoint: the token lives until it
    /// expires there.
    NotOffered,
}

/// Asks the server to revoke the refresh token, and with it the login.
///
/// # Errors
///
/// [`ErrorKind::RequestRefused`] where the server says no (some do not let
/// public clients revoke), [`ErrorKind::ServerUnavailable`] where it fails, or
/// the kinds of a request that could not be sent.
pub(crate) async fn revoke(
    http: &Http,
    endpoints: &Endpoints,
    client: &Client<'_>,
    token: &RefreshToken,
) -> Result<Revoked, Error> {
    ask(http, endpoints, client, token.expose(), "refresh_token").await
}

/// Asks the server to revoke an access token, where there is nothing else of
/// the login. Servers need not be able to (section 2).
///
/// # Errors
///
/// As [`revoke`].
pub(crate) async fn revoke_access_token(
    http: &Http,
    endpoints: &Endpoints,
    client: &Client<'_>,
    token: &AccessToken,
) -> Result<Revoked, Error> {
    ask(http, endpoints, client, token.expose(), "access_token").await
}

async fn ask(
    http: &Http,
    endpoints: &Endpoints,
    client: &Client<'_>,
    token: &str,
    kind: &str,
) -> Result<Revoked, Error> {
    let Some(url) = &endpoints.revocation_endpoint else {
        return Ok(Revoked::NotOffered);
    };
    let (form, headers) = client.begin(endpoints)?;
    let form = form.field("token", token).field("token_type_hint", kind);
    let mut sent = vec![token];
    sent.extend(client.sent());
    let response = http
        .post_form(url, headers, form.finish())
        .await
        .map_err(|failure| failure.into_error(url))?;
    let address = without_query(url);
    match response.status {
        // Also for a token that the server does not know (section 2.2).
        200..300 => Ok(Revoked::Done),
        300..500 if !matches!(response.status, 408 | 425 | 429) => {
            let reason = match OAuthError::in_body(&response, &sent) {
                Some(error) => error.describe(),
                None => format!("status {}", response.status),
            };
            Err(Error::new(
                ErrorKind::RequestRefused,
                format!("{address} refused to revoke the token: {reason}"),
            ))
        }
        status => Err(Error::new(
            ErrorKind::ServerUnavailable,
            format!("{address} did not revoke the token: status {status}"),
        )
        .after(response.retry_after)),
    }
}
