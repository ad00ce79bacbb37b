//! Tokens: secrets with one door.
//!
//! Each token is its own type, so that a refresh token can't be handed out
//! where an access token is meant. The bytes are wiped when the last owner
//! goes, and leave the type only through `expose`: there is no `Display`, no
//! `Serialize`, and `Debug` shows a length.

use std::fmt;
use std::sync::Arc;

use vault_platform::locked::{AfterFork, LockedBytes};
use vault_platform::secret::SecretString;

/// An OAuth refresh token (RFC 6749, section 1.5): the one secret that opens
/// everything. Lies in [locked memory](vault_platform::locked). Not `Clone`: a
/// second copy is asked for by name.
pub struct RefreshToken(LockedBytes);

impl RefreshToken {
    /// Wraps the text that the authorization server issued.
    #[must_use]
    pub fn new(token: SecretString) -> Self {
        // A child of `fork` may be all that is left to bring it home.
        Self(LockedBytes::new(token.expose().as_bytes(), AfterFork::Kept))
    }

    /// Lends the secret text.
    ///
    /// # Security
    ///
    /// What is copied out of the loan is not wiped by this type.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "it is made of text")]
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.0.expose()).expect("it was made of text")
    }

    /// Makes a second copy, which is wiped on its own.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RefreshToken({} bytes)", self.0.len())
    }
}

/// An OAuth access token (RFC 6749, section 1.4). Clones share one copy of
/// the secret, which is wiped when the last of them goes.
#[derive(Clone)]
pub struct AccessToken(Arc<SecretString>);

impl AccessToken {
    /// Wraps the text that the authorization server issued.
    #[must_use]
    pub fn new(token: SecretString) -> Self {
        Self(Arc::new(token))
    }

    /// Lends the secret text, as it goes behind `Authorization: Bearer `.
    ///
    /// # Security
    ///
    /// What is copied out of the loan is not wiped by this type.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AccessToken({} bytes)", self.0.expose().len())
    }
}

/// An OpenID Connect ID token: who logged in. Not a credential for APIs, but
/// personal, so it is held like one.
pub struct IdToken(SecretString);

impl IdToken {
    /// Wraps the text that the authorization server issued.
    #[must_use]
    pub fn new(token: SecretString) -> Self {
        Self(token)
    }

    /// Lends the secret text.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }
}

impl fmt::Debug for IdToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "IdToken({} bytes)", self.0.expose().len())
    }
}
