//! Random values of a login: the PKCE verifier with its challenge (RFC 7636),
//! and the state.
//!
//! S256 only: with the method `plain`, whoever sees the authorization request
//! could redeem the code.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use vault_platform::secret::SecretString;
use zeroize::Zeroizing;

/// The secret behind one authorization request.
#[derive(Debug)]
pub(super) struct Pkce {
    /// Sent with the code.
    pub(super) verifier: SecretString,
    /// Sent with the authorization request.
    pub(super) challenge: String,
}

impl Pkce {
    pub(super) fn new() -> Self {
        Self::from_verifier(random_text())
    }

    fn from_verifier(verifier: SecretString) -> Self {
        let hash = Sha256::digest(verifier.expose().as_bytes());
        Self {
            challenge: BASE64_URL_SAFE_NO_PAD.encode(hash),
            verifier,
        }
    }
}

/// 256 random bits as 43 characters that need no encoding in an address.
pub(super) fn random_text() -> SecretString {
    let bytes = Zeroizing::new(vault_platform::random::bytes::<32>());
    BASE64_URL_SAFE_NO_PAD.encode(*bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned();
        let pkce = Pkce::from_verifier(verifier.into());
        assert_eq!(
            pkce.challenge,
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn verifiers_are_new_each_time_and_of_the_shape_that_servers_take() {
        let (one, two) = (Pkce::new(), Pkce::new());
        assert_ne!(one.verifier.expose(), two.verifier.expose());
        assert_eq!(one.verifier.len(), 43);
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        assert!(one.verifier.expose().bytes().all(unreserved));
    }

    #[test]
    fn debug_does_not_show_the_verifier() {
        let pkce = Pkce::new();
        assert!(!format!("{pkce:?}").contains(pkce.verifier.expose()));
    }
}
