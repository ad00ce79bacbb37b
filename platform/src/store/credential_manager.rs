//! The Credential Manager of Windows, through keyring-core's native store.
//!
//! Generic credentials with targets of our own, `vault:<application>/<account>`:
//! the native store's `user.service` lets different pairs collide. Persistence
//! Local: the store's own default roams to other machines of a domain, where
//! the lock does not reach. A secret has at most 2,560 bytes.

#[cfg(not(windows))]
pub use super::unsupported::CredentialManager as CredentialManagerStore;
#[cfg(windows)]
pub use native_store::CredentialManagerStore;

#[cfg(windows)]
mod native_store {
    use std::collections::HashMap;
    use std::sync::{Arc, OnceLock};

    use keyring_core::api::CredentialStoreApi;
    use windows_native_keyring_store::Store;

    use crate::secret::SecretBytes;
    use crate::store::native::{self, each_name, ignore_absent};
    use crate::store::{
        Capabilities, Interaction, ItemName, Persistence, SecretStore, StoreError, StoreErrorKind,
        StoreKind, StoreOptions,
    };

    /// CRED_MAX_CREDENTIAL_BLOB_SIZE.
    const LIMIT: usize = 2560;

    /// The user's generic credentials.
    #[derive(Debug)]
    pub struct CredentialManagerStore {
        store: OnceLock<Arc<Store>>,
    }

    impl CredentialManagerStore {
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
            let target = format!("{}{}", prefix(item.application()), item.account());
            let modifiers = HashMap::from([("target", target.as_str()), ("persistence", "Local")]);
            self.store(operation)?
                .build(item.application(), item.account(), Some(&modifiers))
                .map_err(|cause| failed(cause, operation))
        }
    }

    impl SecretStore for CredentialManagerStore {
        fn kind(&self) -> StoreKind {
            StoreKind::CredentialManager
        }

        fn provider(&self) -> String {
            "Windows Credential Manager".to_owned()
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities {
                size_limit: Some(LIMIT),
                persistence: Persistence::UntilDeleted,
                may_prompt: false,
            }
        }

        fn unlock(&self, _interaction: Interaction) -> Result<(), StoreError> {
            // It is open as long as its user is logged on.
            self.store("unlock").map(drop)
        }

        fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
            match self.entry(item, "get")?.get_secret() {
                Ok(secret) => Ok(vec![secret.into()]),
                Err(keyring_core::Error::NoEntry) => Ok(Vec::new()),
                Err(cause) => Err(failed(cause, "get")),
            }
        }

        fn set(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), StoreError> {
            let limit = LIMIT;
            if secret.len() > limit {
                return Err(StoreError::new(
                    StoreErrorKind::TooLarge { limit },
                    StoreKind::CredentialManager,
                    "set",
                ));
            }
            self.entry(item, "set")?
                .set_secret(secret.expose())
                .map_err(|cause| failed(cause, "set"))
        }

        fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
            ignore_absent(self.entry(item, "delete")?.delete_credential())
                .map_err(|cause| failed(cause, "delete"))
        }

        fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
            let prefix = prefix(application);
            // The pattern is a regular expression over targets; which of the
            // found are ours is decided here, by the exact prefix.
            let entries = self
                .store("list")?
                .search(&HashMap::from([("pattern", "^vault:")]))
                .map_err(|cause| failed(cause, "list"))?;
            let accounts = entries.iter().filter_map(|entry| {
                // An entry that was deleted meanwhile has none any more.
                let attributes = entry.get_attributes().ok()?;
                let account = attributes.get("target_name")?.strip_prefix(&prefix)?;
                Some((application.to_owned(), account.to_owned()))
            });
            Ok(each_name(application, accounts))
        }
    }

    /// Application names have no `/`; one that had could end in another's.
    fn prefix(application: &str) -> String {
        format!("vault:{application}/")
    }

    fn failed(cause: keyring_core::Error, operation: &'static str) -> StoreError {
        let kind = match &cause {
            keyring_core::Error::TooLong(what, limit) if what == "secret" => {
                StoreErrorKind::TooLarge {
                    limit: usize::try_from(*limit).unwrap_or(LIMIT),
                }
            }
            // ERROR_NO_SUCH_LOGON_SESSION: a service or a network logon has no
            // credentials of its own.
            keyring_core::Error::NoStorageAccess(_) => StoreErrorKind::Refused,
            _ => native::kind_of(&cause),
        };
        native::store_error(cause, kind, StoreKind::CredentialManager, operation)
    }
}
