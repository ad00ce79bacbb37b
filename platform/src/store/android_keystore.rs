//! The keystore of Android, through keyring-core's native store.
//!
//! Items lie in the app's private preferences, sealed with a key that the
//! Android Keystore keeps and never gives out; deleting the app deletes them.
//! The app has to hand its context to the crate `ndk-context` first: without
//! it the store is [`StoreErrorKind::Missing`](super::StoreErrorKind::Missing).
//! Nobody is ever asked.

#[cfg(not(target_os = "android"))]
pub use super::unsupported::AndroidKeystore as AndroidKeystoreStore;
#[cfg(target_os = "android")]
pub use android::AndroidKeystoreStore;

#[cfg(target_os = "android")]
mod android {
    use std::collections::HashMap;
    use std::panic::catch_unwind;
    use std::sync::{Arc, OnceLock};

    use android_native_keyring_store::Store;
    use keyring_core::api::CredentialStoreApi;
    use keyring_core::{Entry, Error};

    use crate::secret::SecretBytes;
    use crate::store::native::{self, each_name, ignore_absent};
    use crate::store::{
        Capabilities, Interaction, ItemName, Persistence, SecretStore, StoreError, StoreErrorKind,
        StoreKind, StoreOptions,
    };

    const KIND: StoreKind = StoreKind::AndroidKeystore;

    /// The app's own items.
    #[derive(Debug)]
    pub struct AndroidKeystoreStore {
        store: OnceLock<Arc<Store>>,
    }

    impl AndroidKeystoreStore {
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
            // ndk-context panics when nobody has given it the app's context.
            let store = catch_unwind(Store::new)
                .map_err(|_| {
                    StoreError::new(StoreErrorKind::Missing, KIND, operation)
                        .because("the app has not given its context to ndk-context")
                })?
                .map_err(|cause| failed(cause, operation))?;
            Ok(self.store.get_or_init(|| store))
        }

        fn entry(&self, item: &ItemName, operation: &'static str) -> Result<Entry, StoreError> {
            self.store(operation)?
                .build(item.application(), item.account(), None)
                .map_err(|cause| failed(cause, operation))
        }
    }

    impl SecretStore for AndroidKeystoreStore {
        fn kind(&self) -> StoreKind {
            KIND
        }

        fn provider(&self) -> String {
            "the Android keystore".to_owned()
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities {
                size_limit: None,
                persistence: Persistence::UntilDeleted,
                may_prompt: false,
            }
        }

        fn unlock(&self, _interaction: Interaction) -> Result<(), StoreError> {
            self.store("unlock").map(drop)
        }

        fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
            match self.entry(item, "get")?.get_secret() {
                Ok(secret) => Ok(vec![secret.into()]),
                Err(Error::NoEntry) => Ok(Vec::new()),
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
            // A search takes patterns; the exact names are chosen here.
            let entries = self
                .store("list")?
                .search(&HashMap::new())
                .map_err(|cause| failed(cause, "list"))?;
            let found = entries.iter().filter_map(Entry::get_specifiers);
            Ok(each_name(application, found))
        }
    }

    fn failed(cause: Error, operation: &'static str) -> StoreError {
        let kind = native::kind_of(&cause);
        native::store_error(cause, kind, KIND, operation)
    }
}
