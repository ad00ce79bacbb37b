//! The key that a login's tokens are bound to: made at login, kept in the
//! store beside the sealing key, and never shown to a server.
//!
//! ECDSA on P-256 with SHA-256 (`ES256`, RFC 7518, section 3.4), which every
//! server with DPoP takes. The private half lies in locked memory; a signing key
//! is made of it for one signature and wiped with it.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde::Serialize;
use sha2::{Digest, Sha256};
use vault_platform::locked::{AfterFork, LockedBytes};

/// The length of the private half in bytes.
const LENGTH: usize = 32;

/// A login's DPoP key.
pub(crate) struct DpopKey {
    private: LockedBytes,
    /// The public half as JSON with the members that RFC 7638, section 3.2,
    /// wants, in its order and without white space.
    public: String,
    thumbprint: String,
}

impl DpopKey {
    /// Makes a new random key.
    pub(crate) fn generate() -> Self {
        loop {
            let random = vault_platform::random::fill;
            let private = LockedBytes::filled(LENGTH, AfterFork::Wiped, random);
            // Not every number is one: one in four billion is too large.
            if let Some(key) = Self::from_locked(private) {
                return key;
            }
        }
    }

    /// Takes the bytes of a key that was kept; `None` for what is no key.
    pub(crate) fn from_bytes(private: &[u8]) -> Option<Self> {
        Self::from_locked(LockedBytes::new(private, AfterFork::Wiped))
    }

    fn from_locked(private: LockedBytes) -> Option<Self> {
        // The library takes shorter ones, and fills them up.
        if private.len() != LENGTH {
            return None;
        }
        let key = SigningKey::from_slice(private.expose()).ok()?;
        let point = key.verifying_key().to_sec1_point(false);
        let (x, y) = (
            BASE64URL_NOPAD.encode(point.x()?),
            BASE64URL_NOPAD.encode(point.y()?),
        );
        let public = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let thumbprint = BASE64URL_NOPAD.encode(&Sha256::digest(&public));
        Some(Self {
            private,
            public,
            thumbprint,
        })
    }

    /// Lends the private half.
    ///
    /// # Security
    ///
    /// What is copied out of the loan is not wiped by this type.
    pub(crate) fn expose(&self) -> &[u8] {
        self.private.expose()
    }

    /// The thumbprint of the public half (RFC 7638): `jkt`, by which servers
    /// name the key.
    pub(crate) fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Signs claims as a proof (RFC 9449, section 4.2; RFC 7515, section 7.1).
    pub(crate) fn sign(&self, claims: &impl Serialize) -> String {
        let header = format!(
            r#"{{"typ":"dpop+jwt","alg":"ES256","jwk":{}}}"#,
            self.public
        );
        let claims = serde_json::to_vec(claims).expect("claims have string keys");
        let mut text = BASE64URL_NOPAD.encode(header.as_bytes());
        text.push('.');
        BASE64URL_NOPAD.encode_append(&claims, &mut text);
        let key = SigningKey::from_slice(self.private.expose()).expect("it was checked");
        let signature: Signature = key.sign(text.as_bytes());
        text.push('.');
        BASE64URL_NOPAD.encode_append(&signature.to_bytes(), &mut text);
        text
    }
}

impl fmt::Debug for DpopKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DpopKey({})", self.thumbprint)
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::VerifyingKey;
    use p256::ecdsa::signature::Verifier;
    use serde_json::Value;

    use super::*;

    /// The key of RFC 7515, appendix A.3.
    const KNOWN: (&str, &str, &str) = (
        "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
        "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    );

    fn known() -> DpopKey {
        let private = BASE64URL_NOPAD.decode(KNOWN.0.as_bytes()).unwrap();
        DpopKey::from_bytes(&private).unwrap()
    }

    #[test]
    fn a_known_key_has_its_known_public_half() {
        let public: Value = serde_json::from_str(&known().public).unwrap();
        assert_eq!(public["x"], KNOWN.1);
        assert_eq!(public["y"], KNOWN.2);
        assert_eq!(
            known().thumbprint(),
            "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
        );
    }

    #[test]
    fn a_proof_verifies_with_the_key_in_its_header_and_with_no_other() {
        let key = DpopKey::generate();
        let proof = key.sign(&serde_json::json!({ "htm": "GET" }));
        let (signed, signature) = proof.rsplit_once('.').unwrap();
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        let signature = Signature::from_slice(&signature).unwrap();
        let verifies = |key: &DpopKey| {
            let key = SigningKey::from_slice(key.expose()).unwrap();
            let key: &VerifyingKey = key.verifying_key();
            key.verify(signed.as_bytes(), &signature).is_ok()
        };
        assert!(verifies(&key));
        assert!(!verifies(&known()));
        let header = signed.split('.').next().unwrap();
        let header: Value =
            serde_json::from_slice(&BASE64URL_NOPAD.decode(header.as_bytes()).unwrap()).unwrap();
        assert_eq!(header["typ"], "dpop+jwt");
        assert_eq!(header["alg"], "ES256");
        assert_eq!(header["jwk"].to_string(), key.public);
    }

    #[test]
    fn what_is_no_key_makes_none() {
        for bytes in [
            vec![],
            vec![0; 32],
            vec![0xff; 32],
            vec![1; 31],
            vec![1; 33],
        ] {
            assert!(DpopKey::from_bytes(&bytes).is_none());
        }
    }

    #[test]
    fn debug_shows_the_thumbprint_only() {
        let key = known();
        assert_eq!(format!("{key:?}"), format!("DpopKey({})", key.thumbprint()));
    }
}
