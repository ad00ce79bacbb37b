//! What assertions are signed with.

use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};

use super::invalid;
use crate::error::{Error, ErrorKind};

/// How an RSA signature is padded; other keys have no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RsaPadding {
    Pkcs1,
    Pss,
}

/// A client's private key.
pub(super) enum SigningKey {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    /// Reads PKCS#8, or PKCS#1 of an RSA key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if it is no key that can be used.
    pub(super) fn read(der: &[u8]) -> Result<Self, Error> {
        let random = SystemRandom::new();
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random) {
            return Ok(Self::Es256(key));
        }
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self::EdDsa(key));
        }
        RsaKeyPair::from_pkcs8(der)
            .or_else(|_| RsaKeyPair::from_der(der))
            .map(Self::Rsa)
            .map_err(|_| {
                invalid(
                    "the client's private key is none that can be used: P-256 or Ed25519 in \
                     PKCS#8, or RSA of 2048 to 4096 bits",
                )
            })
    }

    /// How it signs (RFC 7518, section 3.1).
    pub(super) fn algorithm(&self, padding: RsaPadding) -> &'static str {
        match (self, padding) {
            (Self::Es256(_), _) => "ES256",
            (Self::EdDsa(_), _) => "EdDSA",
            (Self::Rsa(_), RsaPadding::Pkcs1) => "RS256",
            (Self::Rsa(_), RsaPadding::Pss) => "PS256",
        }
    }

    /// # Errors
    ///
    /// [`ErrorKind::Internal`] if the key can't sign.
    pub(super) fn sign(&self, message: &[u8], padding: RsaPadding) -> Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        let failed = |_| Error::new(ErrorKind::Internal, "the client's private key can't sign");
        match self {
            Self::Es256(key) => Ok(key.sign(&random, message).map_err(failed)?.as_ref().into()),
            Self::EdDsa(key) => Ok(key.sign(message).as_ref().into()),
            Self::Rsa(key) => {
                let padding: &dyn RsaEncoding = match padding {
                    RsaPadding::Pkcs1 => &RSA_PKCS1_SHA256,
                    RsaPadding::Pss => &RSA_PSS_SHA256,
                };
                let mut signature = vec![0; rsa::PublicKey::modulus_len(key.public())];
                key.sign(padding, &random, message, &mut signature)
                    .map_err(failed)?;
                Ok(signature)
            }
        }
    }
}
