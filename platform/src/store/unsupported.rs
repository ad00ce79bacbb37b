//! The stores of other operating systems, under their own names.
//!
//! They can't be made: `new` is [`StoreErrorKind::Missing`]. So callers name
//! the same types everywhere and have no `cfg`.

use std::convert::Infallible;

use super::{
    Capabilities, Interaction, ItemName, SecretStore, StoreError, StoreErrorKind, StoreKind,
    StoreOptions,
};
use crate::secret::SecretBytes;

macro_rules! unsupported {
    ($name:ident, $kind:expr, $what:literal) => {
        #[doc = concat!($what, ", which this system does not have.")]
        #[derive(Debug)]
        pub struct $name(Infallible);

        impl $name {
            /// Fails.
            ///
            /// # Errors
            ///
            /// [`StoreErrorKind::Missing`], always.
            pub fn new(_options: &StoreOptions) -> Result<Self, StoreError> {
                Err(StoreError::new(StoreErrorKind::Missing, $kind, "open")
                    .because(concat!($what, " is not on this system")))
            }
        }

        impl SecretStore for $name {
            fn kind(&self) -> StoreKind {
                match self.0 {}
            }

            fn provider(&self) -> String {
                match self.0 {}
            }

            fn capabilities(&self) -> Capabilities {
                match self.0 {}
            }

            fn unlock(&self, _: Interaction) -> Result<(), StoreError> {
                match self.0 {}
            }

            fn get(&self, _: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
                match self.0 {}
            }

            fn set(&self, _: &ItemName, _: &SecretBytes) -> Result<(), StoreError> {
                match self.0 {}
            }

            fn delete(&self, _: &ItemName) -> Result<(), StoreError> {
                match self.0 {}
            }

            fn list(&self, _: &str) -> Result<Vec<ItemName>, StoreError> {
                match self.0 {}
            }
        }
    };
}

#[cfg(not(target_os = "macos"))]
unsupported!(Keychain, StoreKind::Keychain, "the macOS keychain");
#[cfg(not(any(target_os = "macos", target_os = "ios")))]
unsupported!(
    ProtectedKeychain,
    StoreKind::ProtectedKeychain,
    "Apple's data-protection keychain"
);
#[cfg(not(target_os = "android"))]
unsupported!(
    AndroidKeystore,
    StoreKind::AndroidKeystore,
    "the Android keystore"
);
#[cfg(not(windows))]
unsupported!(
    CredentialManager,
    StoreKind::CredentialManager,
    "the Windows Credential Manager"
);
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
unsupported!(
    SecretService,
    StoreKind::SecretService,
    "the Secret Service"
);
#[cfg(not(target_os = "linux"))]
unsupported!(Keyutils, StoreKind::Keyutils, "the Linux kernel's key ring");
