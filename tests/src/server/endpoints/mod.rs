//! The endpoints: from a request that was read to the answer.
//!
//! Plain functions over the server's state, without sockets; one file per endpoint.

mod authorize;
mod client;
mod device;
mod introspect;
mod metadata;
mod pushed;
mod revoke;
mod token;
mod user_info;

use std::time::Duration;

use axum::http::{Method, header};

use super::config::PushedRequests;
use super::dispatch::Incoming;
use super::form::Parameters;
use super::reply::Reply;
use super::signer::Signer;
use super::state::Refusal;
use super::{Endpoint, Inner};

/// What an endpoint needs beside the request and the state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) issuer: &'a str,
    pub(super) now: Duration,
    pub(super) signer: &'a Signer,
    /// Whether a refresh repeats its refresh token this once.
    pub(super) keeps_refresh_token: bool,
}

/// The endpoint at a path, for an issuer with this path.
///
/// RFC 8414 puts the well-known part before the issuer's path, OpenID Connect behind it; both
/// documents are found at both places.
pub(super) fn at(path: &str, issuer_path: &str) -> Endpoint {
    let well_known = path
        .strip_suffix(issuer_path)
        .into_iter()
        .chain(path.strip_prefix(issuer_path))
        .find_map(|path| match path {
            "/.well-known/oauth-authorization-server" => Some(Endpoint::OAuthMetadata),
            "/.well-known/openid-configuration" => Some(Endpoint::OpenIdMetadata),
            _ => None,
        });
    well_known.unwrap_or_else(|| match path.strip_prefix(issuer_path) {
        Some("/authorize") => Endpoint::Authorize,
        Some("/device_authorization") => Endpoint::DeviceAuthorization,
        Some("/device") => Endpoint::DevicePage,
        Some("/token") => Endpoint::Token,
        Some("/revoke") => Endpoint::Revoke,
        Some("/introspect") => Endpoint::Introspect,
        Some("/userinfo") => Endpoint::UserInfo,
        Some("/par") => Endpoint::Pushed,
        Some("/jwks") => Endpoint::Keys,
        _ => Endpoint::Other,
    })
}

/// Acts on a request and makes its answer.
pub(super) fn answer(
    endpoint: Endpoint,
    inner: &mut Inner,
    request: &Incoming,
    call: Call<'_>,
) -> Reply {
    let methods: &[Method] = match endpoint {
        Endpoint::OAuthMetadata
        | Endpoint::OpenIdMetadata
        | Endpoint::DevicePage
        | Endpoint::Keys => &[Method::GET],
        Endpoint::Introspect if !inner.config.introspection => {
            return Reply::html(404, "Not Found");
        }
        Endpoint::Pushed if inner.config.pushed_requests == PushedRequests::None => {
            return Reply::html(404, "Not Found");
        }
        Endpoint::Authorize | Endpoint::UserInfo => &[Method::GET, Method::POST],
        Endpoint::DeviceAuthorization
        | Endpoint::Token
        | Endpoint::Revoke
        | Endpoint::Introspect
        | Endpoint::Pushed => &[Method::POST],
        Endpoint::Other => return Reply::html(404, "Not Found"),
    };
    if !methods.contains(&request.method) {
        let allow: Vec<&str> = methods.iter().map(Method::as_str).collect();
        return Reply::html(405, "Method Not Allowed").header("Allow", &allow.join(", "));
    }
    match endpoint {
        Endpoint::OAuthMetadata => metadata::answer(inner, call, false),
        Endpoint::OpenIdMetadata => metadata::answer(inner, call, true),
        Endpoint::Authorize => authorize::answer(inner, request, call),
        Endpoint::DeviceAuthorization => device::answer(inner, request, call),
        Endpoint::DevicePage => device::page(inner, request, call),
        Endpoint::Token => token::answer(inner, request, call),
        Endpoint::Revoke => revoke::answer(inner, request, call),
        Endpoint::Introspect => introspect::answer(inner, request, call),
        Endpoint::UserInfo => user_info::answer(inner, request, call),
        Endpoint::Pushed => pushed::answer(inner, request, call),
        Endpoint::Keys => Reply::json(200, &call.signer.keys()),
        Endpoint::Other => Reply::html(404, "Not Found"),
    }
}

/// The parameters of a form body; a query is refused, because secrets in URLs end up in logs.
fn form(request: &Incoming) -> Result<Parameters, Refusal> {
    let media_type = request.header(header::CONTENT_TYPE).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Refusal::new("invalid_request", "the body is not a form"));
    }
    if !request.query.is_empty() {
        return Err(Refusal::new("invalid_request", "parameters in the URL"));
    }
    Parameters::parse(&request.body)
}

/// The answer to a refusal (RFC 6749 section 5.2).
fn refused(refusal: Refusal) -> Reply {
    let status = if refusal.code == "invalid_client" {
        401
    } else {
        400
    };
    Reply::oauth_error_with(status, refusal.code, refusal.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_with_a_path_has_its_documents_before_and_behind_it() {
        for path in [
            "/.well-known/openid-configuration/tenant",
            "/tenant/.well-known/openid-configuration",
        ] {
            assert_eq!(at(path, "/tenant"), Endpoint::OpenIdMetadata);
        }
        let path = "/.well-known/oauth-authorization-server/tenant";
        assert_eq!(at(path, "/tenant"), Endpoint::OAuthMetadata);
        assert_eq!(
            at("/.well-known/oauth-authorization-server", "/tenant"),
            Endpoint::Other
        );
        assert_eq!(
            at("/.well-known/oauth-authorization-server", ""),
            Endpoint::OAuthMetadata
        );
        assert_eq!(at("/tenant/token", "/tenant"), Endpoint::Token);
        assert_eq!(at("/token", "/tenant"), Endpoint::Other);
    }
}
