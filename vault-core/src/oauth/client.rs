//! Who this client is, and how it proves it: public clients by their name
//! alone, confidential ones with a secret (RFC 6749, section 2.3.1) or with a
//! signed assertion (RFC 7523).
//!
//! One proof serves every endpoint that asks for it: token, device
//! authorization, pushed authorization request, revocation. A proof travels in
//! memory that is wiped, as the credential itself does.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use reqwest::header::AUTHORIZATION;
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::form_urlencoded::byte_serialize;
use vault_platform::random;
use vault_platform::secret::{SecretBuffer, SecretBytes, SecretString};

use super::Endpoints;
use super::form::Form;
use super::text::clean;
use crate::error::{Error, ErrorKind};
use crate::http::Headers;
use crate::secret_text::SecretText;

/// How long an assertion is good for. It is used at once; the rest is for
/// clocks that differ.
const ASSERTION_LIFE: Duration = Duration::from_secs(60);

/// How a confidential client authenticates, as servers list it in
/// `token_endpoint_auth_methods_supported` (OpenID Connect Core, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// Id and secret in an `Authorization: Basic` header.
    ClientSecretBasic,
    /// Id and secret in the body.
    ClientSecretPost,
    /// An assertion that is signed with the client's private key (RFC 7523).
    PrivateKeyJwt,
}

impl ClientAuthentication {
    /// Every method.
    pub const ALL: [Self; 3] = [
        Self::ClientSecretBasic,
        Self::ClientSecretPost,
        Self::PrivateKeyJwt,
    ];

    /// The name that servers list it by.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }
}

impl fmt::Display for ClientAuthentication {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for ClientAuthentication {
    type Err = Error;

    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a name that is none of these.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|method| method.as_str() == name)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidInput,
                    format!("{:?} is no way of client authentication", clean(name)),
                )
            })
    }
}

/// Whom an assertion is for (RFC 7523, section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AssertionAudience {
    /// The server by its name: no other server can use the assertion.
    #[default]
    Issuer,
    /// The token endpoint's address, for servers that want that.
    TokenEndpoint,
}

/// What a confidential client proves itself with.
pub struct ClientCredential {
    proof: Proof,
}

enum Proof {
    Secret {
        /// `None`: as the server lists it.
        method: Option<ClientAuthentication>,
        secret: SecretString,
    },
    Key {
        /// PKCS#8, or PKCS#1 of an RSA key.
        der: SecretBytes,
        kid: Option<String>,
        audience: Option<AssertionAudience>,
    },
}

impl ClientCredential {
    /// A secret that the server issued, sent in the way the server lists.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if it is empty.
    pub fn secret(secret: SecretString) -> Result<Self, Error> {
        if secret.is_empty() {
            return Err(invalid("the client secret is empty"));
        }
        let proof = Proof::Secret {
            method: None,
            secret,
        };
        Ok(Self { proof })
    }

    /// A private key as PEM text: P-256 (ES256) or Ed25519 (`EdDSA`) in PKCS#8,
    /// or RSA of 2048 bits or more (RS256) in PKCS#8 or PKCS#1. `kid` is what
    /// the server knows its public half by.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if it is no such key.
    pub fn private_key(pem: &SecretString, kid: Option<String>) -> Result<Self, Error> {
        let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes())
            .map_err(|cause| invalid("the client's private key is not PEM text").because(cause))?;
        let der = SecretBytes::from(key.secret_der().to_vec());
        SigningKey::read(der.expose())?;
        let proof = Proof::Key {
            der,
            kid,
            audience: None,
        };
        Ok(Self { proof })
    }

    /// Fixes the way a secret is sent, for servers whose list is wrong.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if that is not a way for this credential.
    pub fn by(mut self, wanted: ClientAuthentication) -> Result<Self, Error> {
        use ClientAuthentication::PrivateKeyJwt;
        match &mut self.proof {
            Proof::Secret { method, .. } if wanted != PrivateKeyJwt => *method = Some(wanted),
            Proof::Key { .. } if wanted == PrivateKeyJwt => {}
            Proof::Secret { .. } => return Err(invalid("private_key_jwt wants a private key")),
            Proof::Key { .. } => return Err(invalid(format!("{wanted} wants a secret"))),
        }
        Ok(self)
    }

    /// Chooses what is still open by what the server says of itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotOffered`] if the server lists no way that fits.
    pub(crate) fn settle(
        &self,
        endpoints: &Endpoints,
        preferred: AssertionAudience,
    ) -> Result<Self, Error> {
        let listed = endpoints.token_endpoint_auth_methods.as_deref();
        let takes = |method: ClientAuthentication| {
            listed.is_none_or(|list| list.iter().any(|name| name == method.as_str()))
        };
        let proof = match &self.proof {
            Proof::Secret { method, secret } => {
                use ClientAuthentication::{ClientSecretBasic, ClientSecretPost};
                // RFC 8414, section 2: a server that lists nothing takes Basic.
                let method = method
                    .or_else(|| {
                        [ClientSecretBasic, ClientSecretPost]
                            .into_iter()
                            .find(|method| takes(*method))
                    })
                    .ok_or_else(|| not_offered(endpoints, "a client secret"))?;
                Proof::Secret {
                    method: Some(method),
                    secret: secret.duplicate(),
                }
            }
            Proof::Key { der, kid, audience } => {
                if !takes(ClientAuthentication::PrivateKeyJwt) {
                    return Err(not_offered(endpoints, "private_key_jwt"));
                }
                Proof::Key {
                    der: der.duplicate(),
                    kid: kid.clone(),
                    audience: audience.or(Some(preferred)),
                }
            }
        };
        Ok(Self { proof })
    }

    /// How it is proved; a secret whose way is still open is sent by Basic.
    #[must_use]
    pub fn method(&self) -> ClientAuthentication {
        match &self.proof {
            Proof::Secret { method, .. } => {
                method.unwrap_or(ClientAuthentication::ClientSecretBasic)
            }
            Proof::Key { .. } => ClientAuthentication::PrivateKeyJwt,
        }
    }

    pub(crate) fn duplicate(&self) -> Self {
        let proof = match &self.proof {
            Proof::Secret { method, secret } => Proof::Secret {
                method: *method,
                secret: secret.duplicate(),
            },
            Proof::Key { der, kid, audience } => Proof::Key {
                der: der.duplicate(),
                kid: kid.clone(),
                audience: *audience,
            },
        };
        Self { proof }
    }
}

impl fmt::Debug for ClientCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientCredential")
            .field("method", &self.method())
            .finish_non_exhaustive()
    }
}

/// A credential as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct ClientCredentialLine {
    method: ClientAuthentication,
    /// The secret, or the key's DER in base64url.
    secret: SecretText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audience: Option<AssertionAudience>,
}

impl From<&ClientCredential> for ClientCredentialLine {
    fn from(credential: &ClientCredential) -> Self {
        let method = credential.method();
        match &credential.proof {
            Proof::Secret { secret, .. } => Self {
                method,
                secret: SecretText(secret.duplicate()),
                kid: None,
                audience: None,
            },
            Proof::Key { der, kid, audience } => Self {
                method,
                secret: SecretText(BASE64URL_NOPAD.encode(der.expose()).into()),
                kid: kid.clone(),
                audience: *audience,
            },
        }
    }
}

impl ClientCredentialLine {
    /// Reads it back; `None` if it is not what was written.
    pub(crate) fn read(self) -> Option<ClientCredential> {
        let proof = match self.method {
            ClientAuthentication::PrivateKeyJwt => Proof::Key {
                der: BASE64URL_NOPAD
                    .decode(self.secret.0.expose().as_bytes())
                    .ok()?
                    .into(),
                kid: self.kid,
                audience: self.audience,
            },
            method => Proof::Secret {
                method: Some(method),
                secret: self.secret.0,
            },
        };
        Some(ClientCredential { proof })
    }
}

/// A client that is about to ask an authorization server for something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'a> {
    pub(crate) id: &'a str,
    /// Absent for a public client.
    pub(crate) credential: Option<&'a ClientCredential>,
    /// Since the UNIX epoch, for the times in an assertion.
    pub(crate) now: Duration,
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
            Proof::Key { der, kid, audience } => {
                let audience = match audience.unwrap_or_default() {
                    AssertionAudience::Issuer => endpoints.issuer.as_str(),
                    AssertionAudience::TokenEndpoint => endpoints.token_endpoint.as_str(),
                };
                let key = SigningKey::read(der.expose())?;
                let assertion = self.assertion(&key, kid.as_deref(), audience)?;
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
        audience: &str,
    ) -> Result<SecretString, Error> {
        let mut header = json!({ "alg": key.algorithm(), "typ": "JWT" });
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        let claims = json!({
            "iss": self.id, "sub": self.id, "aud": audience,
            "jti": BASE64URL_NOPAD.encode(&random::bytes::<16>()),
            "iat": self.now.as_secs(), "exp": (self.now + ASSERTION_LIFE).as_secs(),
        });
        let encode = |part: &serde_json::Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
        let mut text = format!("{}.{}", encode(&header), encode(&claims));
        let signature = key.sign(text.as_bytes())?;
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

enum SigningKey {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl SigningKey {
    fn read(der: &[u8]) -> Result<Self, Error> {
        let random = SystemRandom::new();
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random) {
            return Ok(Self::Es256(key));
        }
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self::EdDsa(key));
        }
        RsaKeyPair::from_pkcs8(der)
            .or_else(|_| RsaKeyPair::from_der(der))
            .map(Self::Rs256)
            .map_err(|_| {
                invalid(
                    "the client's private key is none that can be used: P-256 or Ed25519 in \
                     PKCS#8, or RSA of 2048 to 4096 bits",
                )
            })
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
            Self::Rs256(_) => "RS256",
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        let failed = |_| Error::new(ErrorKind::Internal, "the client's private key can't sign");
        match self {
            Self::Es256(key) => Ok(key.sign(&random, message).map_err(failed)?.as_ref().into()),
            Self::EdDsa(key) => Ok(key.sign(message).as_ref().into()),
            Self::Rs256(key) => {
                let mut signature = vec![0; rsa::PublicKey::modulus_len(key.public())];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

fn invalid(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, what)
}

fn not_offered(endpoints: &Endpoints, what: &str) -> Error {
    let issuer = clean(&endpoints.issuer);
    Error::new(
        ErrorKind::NotOffered,
        format!("{issuer} does not list {what} as a way of client authentication"),
    )
}

#[cfg(test)]
mod tests;
