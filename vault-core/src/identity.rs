//! Names of things that are stored: logins, keys, folders, generations and
//! fingerprints. Plain values without behaviour, compared and printed as hex.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

macro_rules! identifier {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({self})", stringify!($name))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                let bytes = HEXLOWER
                    .decode(text.as_bytes())
                    .map_err(|_| serde::de::Error::custom("not 32 hex digits"))?;
                let bytes = bytes
                    .try_into()
                    .map_err(|_| serde::de::Error::custom("not 32 hex digits"))?;
                Ok(Self(bytes))
            }
        }
    };
}

identifier! {
    /// One login: random, new with each login, so that what is left of an
    /// earlier one can't be taken for it.
    LoginId
}
identifier! {
    /// One sealing key.
    KeyId
}
identifier! {
    /// One state folder of one profile.
    FolderId
}
identifier! {
    /// A token, told from others without showing it: a hash cut to 128 bits.
    /// One that is stored outside the sealed file is keyed by the sealing key.
    Fingerprint
}

impl LoginId {
    /// Reads what it is displayed as.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let id = HEXLOWER.decode(text.as_bytes()).ok()?;
        Some(Self(id.try_into().ok()?))
    }
}

impl Fingerprint {
    /// The fingerprint of an access token: SHA-256, cut. It is shown and
    /// compared, never stored.
    #[must_use]
    pub fn of(token: &str) -> Self {
        #[inline(never)]
        fn hash(token: &str) -> [u8; 16] {
            let hash = Sha256::digest(token.as_bytes());
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&hash[..16]);
            bytes
        }
        let bytes = hash(token);
        // The hash had pieces of the token on the stack.
        zeroize::zeroize_stack::<8192>();
        Self(bytes)
    }
}

macro_rules! random {
    ($($name:ident),*) => {$(
        impl $name {
            /// Draws a new one from the operating system's randomness.
            #[must_use]
            pub fn random() -> Self {
                Self(vault_platform::random::bytes())
            }
        }
    )*};
}
random!(LoginId, KeyId, FolderId);

/// How often the token of one login was refreshed. Compared within one login
/// id only: the higher one is the newer one, wherever it is stored.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
