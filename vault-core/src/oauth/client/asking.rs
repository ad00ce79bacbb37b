//! What a client says of itself in a request.

use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use reqwest::header::AUTHORIZATION;
use serde_json::json;
use url::form_urlencoded::byte_serialize;
use vault_platform::clock::Clock;
use vault_platform::random;
use vault_platform::secret::{SecretBuffer, SecretString};

use super::signing::{RsaPadding, SigningKey};
use super::{AssertionAudience, ClientAuthentication, ClientCredential, Proof};
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::http::Headers;
use crate::oauth::Endpoints;
use crate::oauth::form::Form;

/// How long an assertion is good for. It is used at once; the rest is for
/// clocks that differ.
const ASSERTION_LIFE: Duration = Duration::from_secs(60);

/// A client that is about to ask an authorization server for something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'a> {
    pub(crate) id: &'a str,
    /// Absent for a public client.
    pub(crate) credential: Option<&'a ClientCredential>,
    /// Read for each assertion: a person may take longer over a login than one
    /// is good for.
    pub(crate) clock: &'a dyn Clock,
}

impl Client<'_> {
    /// Begins a form with what says who asks.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`] if the stored key can't sign.
    pub(crate) fn begin(&self, endpoints: &Endpoints) -> Result<(Form, Headers), Error> {
        let form = Form::new();
        let Some(credential) = self.credential else {
            return Ok((form.field("client_id", self.id), Headers::new()));
        };
        Ok(match &credential.proof {
            Proof::Secret { secret, .. } => match credential.method() {
                ClientAuthentication::ClientSecretPost => {
                    let form = form
                        .field("client_id", self.id)
                        .field("client_secret", secret.expose());
                    (form, Headers::new())
                }
                _ => (form, vec![(AUTHORIZATION, basic(self.id, secret))]),
            },
            Proof::Key {
                der,
                kid,
                x5t,
                audience,
            } => {
                let audience = match audience.unwrap_or_default() {
                    AssertionAudience::Issuer => endpoints.issuer.as_str(),
                    AssertionAudience::TokenEndpoint => endpoints.token_endpoint.as_str(),
                };
                let key = SigningKey::read(der.expose())?;
                let assertion = self.assertion(&key, kid.as_deref(), x5t.as_deref(), audience)?;
                let form = form
                    .field("client_id", self.id)
                    .field(
                        "client_assertion_type",
                        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    )
                    .field("client_assertion", assertion.expose());
                (form, Headers::new())
            }
        })
    }

    /// What of the credential must not come back in a server's words.
    pub(crate) fn sent(&self) -> Option<&str> {
        match &self.credential?.proof {
            Proof::Secret { secret, .. } => Some(secret.expose()),
            Proof::Key { .. } => None,
        }
    }

    /// RFC 7523, section 3, with the claims of OpenID Connect Core, section 9.
    fn assertion(
        &self,
        key: &SigningKey,
        kid: Option<&str>,
        x5t: Option<&str>,
        audience: &str,
    ) -> Result<SecretString, Error> {
        let padding = match x5t {
            Some(_) => RsaPadding::Pss,
            None => RsaPadding::Pkcs1,
        };
        let mut header = json!({ "alg": key.algorithm(padding), "typ": "JWT" });
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        let now = self.clock.now().wall;
        let mut claims = json!({
            "iss": self.id, "sub": self.id, "aud": audience,
            "jti": BASE64URL_NOPAD.encode(&random::bytes::<16>()),
            "iat": now.as_secs(), "exp": (now + ASSERTION_LIFE).as_secs(),
        });
        if let Some(x5t) = x5t {
            header["x5t#S256"] = x5t.into();
            claims["nbf"] = claims["iat"].clone();
        }
        let encode = |part: &serde_json::Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
        let mut text = format!("{}.{}", encode(&header), encode(&claims));
        let signature = key.sign(text.as_bytes(), padding)?;
        text.push('.');
        text.push_str(&BASE64URL_NOPAD.encode(&signature));
        Ok(SecretString::from(text))
    }
}

/// RFC 6749, section 2.3.1: both halves are form-encoded first.
fn basic(id: &str, secret: &SecretString) -> SecretString {
    let mut pair = SecretBuffer::with_capacity(usize::MAX, 3 * (id.len() + secret.len()) + 1);
    let mut push = |piece: &str| {
        pair.push(piece.as_bytes())
            .expect("the buffer has no limit");
    };
    byte_serialize(id.as_bytes()).for_each(&mut push);
    push(":");
    byte_serialize(secret.expose().as_bytes()).for_each(&mut push);
    let encoded = SecretString::from(BASE64.encode(pair.as_slice()));
    let mut header = String::with_capacity(6 + encoded.len());
    header.push_str("Basic ");
    header.push_str(encoded.expose());
    SecretString::from(header)
}
