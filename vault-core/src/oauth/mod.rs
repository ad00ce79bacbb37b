//! The OAuth client: what is sent to an authorization server and what its
//! answers mean.
//!
//! For native applications as RFC 8252 describes them: public clients as a
//! rule, confidential ones where an installation has a credential of its own
//! (the module `client`). Nothing here decides when to send something, keeps
//! anything, or tries again; that is left to the refresh protocol and to the
//! login flows.

pub(crate) mod answer;
pub mod challenge;
pub(crate) mod client;
pub(crate) mod discovery;
pub(crate) mod dpop;
pub(crate) mod form;
#[cfg(feature = "openid")]
pub(crate) mod id_token;
pub(crate) mod introspection;
pub(crate) mod jwt;
pub(crate) mod lenient;
pub(crate) mod revocation;
pub(crate) mod text;
pub(crate) mod token_endpoint;
pub(crate) mod trouble;

use serde::{Deserialize, Serialize};
use url::Url;

pub use client::{AssertionAudience, ClientAuthentication, ClientCredential};

use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;

/// Where an authorization server takes which request.
///
/// Kept in the sealed file: what decides where a token is sent is
/// authenticated with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Endpoints {
    /// The server's name for itself (RFC 8414, section 2), compared character
    /// by character.
    pub issuer: String,
    /// Takes grants, gives tokens (RFC 6749, section 3.2).
    pub token_endpoint: Url,
    /// Where a user's browser is sent (RFC 6749, section 3.1).
    #[serde(default)]
    pub authorization_endpoint: Option<Url>,
    /// Gives device codes (RFC 8628).
    #[serde(default)]
    pub device_authorization_endpoint: Option<Url>,
    /// Takes back tokens (RFC 7009).
    #[serde(default)]
    pub revocation_endpoint: Option<Url>,
    /// Tells whether a token is good (RFC 7662).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<Url>,
    /// Tells who logged in (OpenID Connect Core, section 5.3).
    #[serde(default)]
    pub userinfo_endpoint: Option<Url>,
    /// Where a browser ends the person's login at the server itself (OpenID
    /// Connect RP-Initiated Logout 1.0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_session_endpoint: Option<Url>,
    /// Whether each redirect back names the issuer (RFC 9207): one that does
    /// not is then refused.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// The server lists the PKCE methods it takes, and S256 is not among them:
    /// no login with a browser. A server that lists nothing is tried.
    #[serde(default)]
    pub lacks_pkce_s256: bool,
    /// How clients may authenticate (RFC 8414, section 2); absent where the
    /// server does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_methods: Option<Vec<String>>,
    /// Takes authorization requests before the browser is sent (RFC 9126).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_authorization_request_endpoint: Option<Url>,
    /// The server takes no authorization request that was not pushed.
    #[serde(default)]
    pub requires_pushed_authorization_requests: bool,
    /// Where the keys are that ID tokens are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<Url>,
    /// How the server signs ID tokens; absent where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token_signing_algs: Option<Vec<String>>,
    /// The server lists the algorithms of the proofs it takes (RFC 9449,
    /// section 5.1), and ES256 is not among them: no login with DPoP. A server
    /// that lists nothing is tried.
    #[serde(default)]
    pub lacks_dpop_es256: bool,
}

impl Endpoints {
    /// Describes a server of which only the token endpoint is known, as for an
    /// imported token.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InsecureUrl`] for plain http to another machine.
    pub fn for_token_endpoint(issuer: String, token_endpoint: Url) -> Result<Self, Error> {
        discovery::secure("the token endpoint", &token_endpoint)?;
        Ok(Self {
            issuer,
            token_endpoint,
            authorization_endpoint: None,
            device_authorization_endpoint: None,
            revocation_endpoint: None,
            introspection_endpoint: None,
            userinfo_endpoint: None,
            end_session_endpoint: None,
            authorization_response_iss_parameter_supported: false,
            lacks_pkce_s256: false,
            token_endpoint_auth_methods: None,
            pushed_authorization_request_endpoint: None,
            requires_pushed_authorization_requests: false,
            jwks_uri: None,
            id_token_signing_algs: None,
            lacks_dpop_es256: false,
        })
    }

    /// The page that ends the person's login at the server itself (OpenID
    /// Connect RP-Initiated Logout 1.0, section 2); `None` where the server
    /// names none. It carries no secret: the ID token that could go with it is
    /// not kept, so the server may ask the person.
    pub(crate) fn end_session(&self, client_id: &str) -> Option<Url> {
        let mut url = self.end_session_endpoint.clone()?;
        url.query_pairs_mut().append_pair("client_id", client_id);
        Some(url)
    }
}
