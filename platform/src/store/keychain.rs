//! The login keychain of macOS, through keyring-core's native store.
//!
//! Generic passwords: the application is the *service*, the account the
//! *account*; the keychain keeps at most one of each pair. Another program, or
//! a newly signed version of this one, makes macOS ask the user; over SSH it
//! can't ask and fails with errSecInteractionNotAllowed (-25308), which is
//! [`StoreErrorKind::Locked`](super::StoreErrorKind::Locked). macOS offers no question "is it locked" that the
//! native store would pass on, so the first call tells.

#[cfg(not(target_os = "macos"))]
pub use super::unsupported::Keychain as KeychainStore;
#[cfg(target_os = "macos")]
pub use macos::KeychainStore;

#[cfg(target_os = "macos")]
mod macos {
    use std::collections::HashMap;
    use std::sync::{Arc, OnceLock};

    use apple_native_keyring_store::keychain::Store;
    use keyring_core::api::CredentialStoreApi;

    use crate::secret::SecretBytes;
    use crate::store::native::{self, each_name, ignore_absent};
    use crate::store::{
        Capabilities, Interaction, ItemName, Persistence, SecretStore, StoreError, StoreErrorKind,
        StoreKind, StoreOptions,
    };

    /// The login keychain.
    #[derive(Debug)]
    pub struct KeychainStore {
        store: OnceLock<Arc<Store>>,
    }

    impl KeychainStore {
        /// Makes the store; asks nothing yet.
        ///
        /// # Errors
        ///
        /// None on this system.
        pub fn new(_options: &StoreOptions) -> Result<Self, StoreError> {
            Ok(Self {
                store: OnceLock::new(),
            })
        }

        fn store(&self, operation: &'static str) -> Result<&Arc<Store>, StoreError> {
            if let Some(store) = self.store.get() {
                return Ok(store);
            }
            let store = Store::new().map_err(|cause| failed(cause, operation))?;
            Ok(self.store.get_or_init(|| store))
        }

        fn entry(
            &self,
            item: &ItemName,
            operation: &'static str,
        ) -> Result<keyring_core::Entry, StoreError> {
            self.store(operation)?
                .build(item.application(), item.account(), None)
                .map_err(|cause| failed(cause, operation))
        }
    }

    impl SecretStore for KeychainStore {
        fn kind(&self) -> StoreKind {
            StoreKind::Keychain
        }

        fn provider(&self) -> String {
            "the login keychain of macOS".to_owned()
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities {
                size_limit: None,
                persistence: Persistence::UntilDeleted,
                may_prompt: true,
            }
        }

        fn unlock(&self, _interaction: Interaction) -> Result<(), StoreError> {
            // Opening the keychain fails when there is none; macOS itself asks
            // when an item is read.
            self.store("unlock")?
                .search(&HashMap::from([("service", "token-vault-probe")]))
                .map(drop)
                .map_err(|cause| failed(cause, "unlock"))
        }

        fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
            match self.entry(item, "get")?.get_secret() {
                Ok(secret) => Ok(vec![secret.into()]),
                Err(keyring_core::Error::NoEntry) => Ok(Vec::new()),
                Err(cause) => Err(failed(cause, "get")),
            }
        }

        fn set(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), StoreError> {
            self.entry(item, "set")?
                .set_secret(secret.expose())
                .map_err(|cause| failed(cause, "set"))
        }

        fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
            ignore_absent(self.entry(item, "delete")?.delete_credential())
                .map_err(|cause| failed(cause, "delete"))
        }

        fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
            let entries = self
                .store("list")?
                .search(&HashMap::from([("service", application)]))
                .map_err(|cause| failed(cause, "list"))?;
            Ok(each_name(
                application,
                entries
                    .iter()
                    .filter_map(keyring_core::Entry::get_specifiers),
            ))
        }
    }

    fn failed(cause: keyring_core::Error, operation: &'static str) -> StoreError {
        // The store tells of locked and absent keychains by these two kinds
        // only; the number is in the text of the cause.
        let text = cause.to_string();
        let kind = match &cause {
            _ if text.contains("-25308") || text.contains("interaction is not allowed") => {
                StoreErrorKind::Locked
            }
            keyring_core::Error::NoStorageAccess(_) => StoreErrorKind::Locked,
            _ => native::kind_of(&cause),
        };
        native::store_error(cause, kind, StoreKind::Keychain, operation)
    }
}
