//! Who this client is, and how it proves it: public clients by their name
//! alone, confidential ones with a secret (RFC 6749, section 2.3.1) or with a
//! signed assertion (RFC 7523).
//!
//! One proof serves every endpoint that asks for it: token, device
//! authorization, pushed authorization request, revocation. A proof travels in
//! memory that is wiped, as the credential itself does.

mod asking;
mod signing;

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use signing::SigningKey;
use vault_platform::secret::{SecretBytes, SecretString};

pub(crate) use asking::Client;

use super::Endpoints;
use super::text::clean;
use crate::error::{Error, ErrorKind};
use crate::secret_text::SecretText;

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
    pub const ALL: &'static [Self] = &[
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
            .iter()
            .copied()
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
        /// The thumbprint of the key's certificate.
        x5t: Option<String>,
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
            x5t: None,
            audience: None,
        };
        Ok(Self { proof })
    }

    /// Names the key by its certificate (PEM), for servers that know it so:
    /// assertions then carry `x5t#S256` (RFC 7515, section 4.1.8) and `nbf`,
    /// and RSA signs by PS256, as Entra ID wants it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if this is no certificate, or another key's,
    /// or if the credential is no key.
    pub fn certificate(mut self, pem: &str) -> Result<Self, Error> {
        let Proof::Key { der, x5t, .. } = &mut self.proof else {
            return Err(invalid("a certificate goes with a private key"));
        };
        // Of a chain, the first is the key's own.
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|cause| invalid("the client's certificate is not PEM text").because(cause))?;
        check_belongs(&certificate, der)?;
        *x5t = Some(BASE64URL_NOPAD.encode(&Sha256::digest(&certificate)));
        Ok(self)
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
            Proof::Key {
                der,
                kid,
                x5t,
                audience,
            } => {
                if !takes(ClientAuthentication::PrivateKeyJwt) {
                    return Err(not_offered(endpoints, "private_key_jwt"));
                }
                Proof::Key {
                    der: der.duplicate(),
                    kid: kid.clone(),
                    x5t: x5t.clone(),
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
            Proof::Key {
                der,
                kid,
                x5t,
                audience,
            } => Proof::Key {
                der: der.duplicate(),
                kid: kid.clone(),
                x5t: x5t.clone(),
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
    x5t: Option<String>,
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
                x5t: None,
                audience: None,
            },
            Proof::Key {
                der,
                kid,
                x5t,
                audience,
            } => Self {
                method,
                secret: SecretText(BASE64URL_NOPAD.encode(der.expose()).into()),
                kid: kid.clone(),
                x5t: x5t.clone(),
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
                x5t: self.x5t,
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

/// A certificate of another key would be refused at the first request only.
fn check_belongs(certificate: &CertificateDer<'_>, key: &SecretBytes) -> Result<(), Error> {
    let unreadable = |cause| invalid("the client's certificate can't be read").because(cause);
    let key = PrivateKeyDer::try_from(key.expose())
        .map_err(|cause| Error::new(ErrorKind::Internal, cause))?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(unreadable)?;
    let pair = CertifiedKey::new(vec![certificate.clone().into_owned()], key);
    match pair.keys_match() {
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(invalid("the client's certificate belongs to another key"))
        }
        outcome => outcome.map_err(unreadable),
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
