//! The server's key for ID tokens: a fresh P-256 one for each server.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::config::IdTokens;

const KEY_ID: &str = "the-key";

/// Signs, and tells the public half.
#[derive(Debug)]
pub(super) struct Signer(EcdsaKeyPair);

impl Signer {
    pub(super) fn new() -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random)
            .and_then(|pkcs8| {
                EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)
                    .map_err(|_| ring::error::Unspecified)
            })
            .expect("the operating system has random bytes");
        Self(key)
    }

    /// The public key as a set (RFC 7517).
    pub(super) fn keys(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": KEY_ID,
            "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
            "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
        }]})
    }

    /// These claims as a JWT, signed as the configuration says.
    pub(super) fn token(&self, claims: &Value, like: IdTokens, client_id: &str) -> String {
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let header = match like {
            IdTokens::Unsigned => json!({ "alg": "none", "typ": "JWT" }),
            IdTokens::Symmetric => json!({ "alg": "HS256", "typ": "JWT" }),
            _ => json!({ "alg": "ES256", "typ": "JWT", "kid": KEY_ID }),
        };
        let message = format!("{}.{}", encode(&header), encode(claims));
        let signature = match like {
            IdTokens::Unsigned => Vec::new(),
            IdTokens::Symmetric => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, client_id.as_bytes());
                hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
            }
            IdTokens::WrongSignature => self.sign("another text"),
            IdTokens::UnknownKey => Self::new().sign(&message),
            _ => self.sign(&message),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn sign(&self, message: &str) -> Vec<u8> {
        let signature = self.0.sign(&SystemRandom::new(), message.as_bytes());
        let signature = signature.expect("the operating system has random bytes");
        signature.as_ref().to_vec()
    }
}
