//! Finding an authorization server's endpoints from its issuer name (RFC 8414
//! and OpenID Connect Discovery).
//!
//! The document decides where tokens are sent, so it is believed only if it
//! comes over TLS (or from this machine), names exactly the issuer that was
//! asked for, and sends nothing over an open line.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::Endpoints;
use super::answer::not_json;
use super::lenient;
use super::text::{clean, without_query};
use crate::error::{Error, ErrorKind};
use crate::http::{Http, Response, is_secure};

/// A description is used for at least this long, whatever its headers say...
const SHORTEST_LIFE: Duration = Duration::from_secs(5 * 60);

/// ... and for at most this long; also where they say nothing.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How a server describes itself.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) endpoints: Endpoints,
    /// For how long it is good, by HTTP's rules and within bounds.
    pub(crate) good_for: Duration,
    /// The server's clock, or that of the cache it came from, since the epoch.
    pub(crate) date: Option<Duration>,
}

/// Asks the issuer for its endpoints.
///
/// # Errors
///
/// - [`ErrorKind::InvalidInput`]: the issuer is not an address.
/// - [`ErrorKind::InsecureUrl`]: the issuer, or one of its endpoints, is plain
///   http to another machine.
/// - [`ErrorKind::IssuerUnknown`]: the server is there and describes nothing.
/// - [`ErrorKind::IssuerMismatch`]: it describes another issuer.
/// - [`ErrorKind::ServerAnswerInvalid`]: it answers with something else than a
///   description.
/// - [`ErrorKind::NetworkUnavailable`], [`ErrorKind::ServerUnavailable`]: it
///   can't be reached, or is failing. A host that does not exist is among the
///   first: without a network, names are not found either.
pub(crate) async fn discover(http: &Http, issuer: &str) -> Result<Description, Error> {
    let base = issuer_url(issuer)?;
    let mut told: Option<Error> = None;
    for url in addresses(&base) {
        let response = http
            .get_json(&url)
            .await
            .map_err(|failure| failure.into_error(&url))?;
        match read(&response, issuer, &url) {
            Ok(endpoints) => {
                return Ok(Description {
                    endpoints,
                    good_for: good_for(&response),
                    date: response.date,
                });
            }
            // An address of another convention that is not there says little.
            Err(error)
                if told
                    .as_ref()
                    .is_none_or(|told| weight(told) < weight(&error)) =>
            {
                told = Some(error);
            }
            Err(_) => {}
        }
    }
    Err(told.expect("there is always an address to ask"))
}

pub(crate) fn good_for(response: &Response) -> Duration {
    let said = response.fresh_for.unwrap_or(LONGEST_LIFE);
    said.clamp(SHORTEST_LIFE, LONGEST_LIFE)
}

fn weight(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::IssuerUnknown => 0,
        ErrorKind::ServerUnavailable => 1,
        ErrorKind::ServerAnswerInvalid => 2,
        _ => 3,
    }
}

/// Checks an issuer name (RFC 8414, section 2): https, or http to this
/// machine; no query, no fragment, no user.
fn issuer_url(issuer: &str) -> Result<Url, Error> {
    let invalid = |what: &str| {
        let message = format!("the issuer {:?} {what}", clean(issuer));
        Error::new(ErrorKind::InvalidInput, message)
    };
    let url = Url::parse(issuer).map_err(|cause| invalid("is not a URL").because(cause))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return Err(invalid("is not an https URL"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("has a query or a fragment"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("has a user in it"));
    }
    // The parser forgives what a comparison by character would not.
    if issuer.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(invalid("has white space in it"));
    }
    secure("the issuer", &url)?;
    Ok(url)
}

/// The documents' addresses, the most usual first.
fn addresses(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut paths = vec![
        // OpenID Connect Discovery, section 4: behind the issuer.
        format!("{path}/.well-known/openid-configuration"),
        // RFC 8414, section 3: before the issuer's path.
        format!("/.well-known/oauth-authorization-server{path}"),
    ];
    if !path.is_empty() {
        // RFC 8414, section 5: the first in the manner of the second.
        paths.push(format!("/.well-known/openid-configuration{path}"));
    }
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url
    };
    paths.into_iter().map(at).collect()
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default, deserialize_with = "lenient::string")]
    issuer: Option<String>,
    #[serde(default, deserialize_with = "lenient::string")]
    token_endpoint: Option<String>,
    #[serde(default, deserialize_with = "lenient::string")]
    authorization_endpoint: Option<String>,
    #[serde(default, deserialize_with = "lenient::string")]
    device_authorization_endpoint: Option<String>,
    #[serde(default, deserialize_with = "lenient::string")]
    revocation_endpoint: Option<String>,
    #[serde(default, deserialize_with = "lenient::string")]
    introspection_endpoint: Option<String>,
    #[serde(default, deserialize_with = "lenient::string")]
    userinfo_endpoint: Option<String>,
    #[serde(default, deserialize_with = "lenient::string")]
    end_session_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: Option<bool>,
    #[serde(default, deserialize_with = "lenient::words")]
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default, deserialize_with = "lenient::words")]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default, deserialize_with = "lenient::string")]
    pushed_authorization_request_endpoint: Option<String>,
    #[serde(default)]
    require_pushed_authorization_requests: Option<bool>,
    #[serde(default, deserialize_with = "lenient::string")]
    jwks_uri: Option<String>,
    #[serde(default, deserialize_with = "lenient::words")]
    id_token_signing_alg_values_supported: Option<Vec<String>>,
    #[serde(default, deserialize_with = "lenient::words")]
    dpop_signing_alg_values_supported: Option<Vec<String>>,
}

pub(crate) fn read(response: &Response, issuer: &str, url: &Url) -> Result<Endpoints, Error> {
    let at = without_query(url);
    match response.status {
        200 => {}
        300..400 => {
            let message = format!("{at} answers with a redirect, which is not followed");
            return Err(Error::new(ErrorKind::ServerAnswerInvalid, message));
        }
        status @ (408 | 425 | 429 | 500..) => {
            let message = format!("{at} answers with status {status}");
            return Err(
                Error::new(ErrorKind::ServerUnavailable, message).after(response.retry_after)
            );
        }
        status => {
            let message = format!(
                "no authorization server describes itself at {}: {at} answers with status {status}",
                clean(issuer)
            );
            return Err(Error::new(ErrorKind::IssuerUnknown, message));
        }
    }
    let invalid =
        |what: String| Error::new(ErrorKind::ServerAnswerInvalid, format!("{at}: {what}"));
    let metadata: Metadata =
        lenient::object(response.body.expose()).ok_or_else(|| invalid(not_json(response)))?;

    let named = metadata
        .issuer
        .ok_or_else(|| invalid("the description names no issuer".to_owned()))?;
    if named != issuer {
        let message = format!(
            "{at} describes the issuer {:?}, not {:?}",
            clean(&named),
            clean(issuer)
        );
        return Err(Error::new(ErrorKind::IssuerMismatch, message));
    }

    let endpoint = |name: &str, value: Option<String>| -> Result<Option<Url>, Error> {
        let Some(value) = value else { return Ok(None) };
        let url = Url::parse(&value)
            .map_err(|cause| invalid(format!("{name} is not a URL")).because(cause))?;
        secure(name, &url)?;
        if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(invalid(format!("{name} has a fragment or a user in it")));
        }
        Ok(Some(url))
    };
    let lacks = |listed: Option<Vec<String>>, name: &str| {
        listed.is_some_and(|listed| !listed.iter().any(|listed| listed == name))
    };
    Ok(Endpoints {
        issuer: named,
        token_endpoint: endpoint("token_endpoint", metadata.token_endpoint)?
            .ok_or_else(|| invalid("the description has no token_endpoint".to_owned()))?,
        authorization_endpoint: endpoint(
            "authorization_endpoint",
            metadata.authorization_endpoint,
        )?,
        device_authorization_endpoint: endpoint(
            "device_authorization_endpoint",
            metadata.device_authorization_endpoint,
        )?,
        revocation_endpoint: endpoint("revocation_endpoint", metadata.revocation_endpoint)?,
        introspection_endpoint: endpoint(
            "introspection_endpoint",
            metadata.introspection_endpoint,
        )?,
        userinfo_endpoint: endpoint("userinfo_endpoint", metadata.userinfo_endpoint)?,
        // No token goes there: one that can't be used keeps nobody from a login.
        end_session_endpoint: endpoint("end_session_endpoint", metadata.end_session_endpoint)
            .unwrap_or_default(),
        authorization_response_iss_parameter_supported: metadata
            .authorization_response_iss_parameter_supported
            .unwrap_or(false),
        lacks_pkce_s256: lacks(metadata.code_challenge_methods_supported, "S256"),
        lacks_dpop_es256: lacks(metadata.dpop_signing_alg_values_supported, "ES256"),
        token_endpoint_auth_methods: metadata.token_endpoint_auth_methods_supported,
        pushed_authorization_request_endpoint: endpoint(
            "pushed_authorization_request_endpoint",
            metadata.pushed_authorization_request_endpoint,
        )?,
        requires_pushed_authorization_requests: metadata
            .require_pushed_authorization_requests
            .unwrap_or(false),
        jwks_uri: endpoint("jwks_uri", metadata.jwks_uri)?,
        id_token_signing_algs: metadata.id_token_signing_alg_values_supported,
    })
}

/// Refuses an address that a token must not travel to.
pub(super) fn secure(name: &str, url: &Url) -> Result<(), Error> {
    if is_secure(url) {
        return Ok(());
    }
    let message = format!(
        "{name} is {}: tokens travel by https, or by http to this machine only",
        without_query(url)
    );
    Err(Error::new(ErrorKind::InsecureUrl, message))
}
