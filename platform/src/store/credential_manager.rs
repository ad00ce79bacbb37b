//! The Credential Manager of Windows, through keyring-core's native store.
//!
//! Generic credentials with targets of our own, `vault:<application>/<account>`:
//! the native store's `user.service` lets different pairs collide. Persistence
//! Local: the store's own default roams to other machines of a domain, where
//! the lock does not reach ([`StoreOptions::roaming`](super::StoreOptions)
//! chooses it). A secret has at most 2,560 bytes. Windows compares targets
//! without case, and `/` ends the application, hence the module `caseless`.

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

    use crate::caseless;
    use crate::secret::SecretBytes;
    use crate::store::native::{self, each_name, ignore_absent};
    use crate::store::{
        Capabilities, Interaction, ItemName, Persistence, SecretStore, StoreError, StoreErrorKind,
        StoreKind, StoreOptions,
    };
    use crate::sys;

    /// CRED_MAX_CREDENTIAL_BLOB_SIZE.
    const LIMIT: usize = 2560;

    /// The longest target that every Windows keeps; newer ones keep longer ones.
    const NAME_LIMIT: usize = 255;

    /// The user's generic credentials.
    #[derive(Debug)]
    pub struct CredentialManagerStore {
        store: OnceLock<Arc<Store>>,
        persistence: &'static str,
    }

    impl CredentialManagerStore {
        /// Makes the store; asks nothing yet.
        ///
        /// # Errors
        ///
        /// None on this system.
        pub fn new(options: &StoreOptions) -> Result<Self, StoreError> {
            Ok(Self {
                store: OnceLock::new(),
                persistence: if options.roaming {
                    "Enterprise"
                } else {
                    "Local"
                },
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
            let target = format!(
                "{}{}",
                prefix(item.application()),
                caseless::encode(item.account())
            );
            let modifiers = HashMap::from([
                ("target", target.as_str()),
                ("persistence", self.persistence),
            ]);
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
            let entry = self.entry(item, "get")?;
            let _turn = sys::CredentialTurn::take();
            match entry.get_secret() {
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
            let entry = self.entry(item, "set")?;
            let _turn = sys::CredentialTurn::take();
            let set = entry.set_secret(secret.expose());
            set.map_err(|cause| {
                let mut error = failed(cause, "set");
                // Wine keeps items under names of the registry.
                let target =
                    prefix(item.application()).len() + caseless::encode(item.account()).len();
                if target > NAME_LIMIT && error.kind == StoreErrorKind::Failed {
                    error.kind = StoreErrorKind::Refused;
                }
                error
            })
        }

        fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
            let entry = self.entry(item, "delete")?;
            let _turn = sys::CredentialTurn::take();
            ignore_absent(entry.delete_credential()).map_err(|cause| failed(cause, "delete"))
        }

        fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
            let prefix = prefix(application);
            // Which of the found are ours is decided here, by case, too.
            let _turn = sys::CredentialTurn::take();
            let targets = sys::credential_targets("vault:").map_err(|cause| {
                StoreError::new(StoreErrorKind::Failed, StoreKind::CredentialManager, "list")
                    .because(cause)
            })?;
            let accounts = targets.iter().filter_map(|target| {
                let account = caseless::decode(target.strip_prefix(&prefix)?)?;
                Some((application.to_owned(), account))
            });
            Ok(each_name(application, accounts))
        }
    }

    /// No application's is the beginning of another's.
    fn prefix(application: &str) -> String {
        format!("vault:{}/", caseless::encode(application))
    }

    fn failed(cause: keyring_core::Error, operation: &'static str) -> StoreError {
        let kind = match &cause {
            keyring_core::Error::TooLong(what, limit) if what == "secret" => {
                StoreErrorKind::TooLarge {
                    limit: usize::try_from(*limit).unwrap_or(LIMIT),
                }
            }
            keyring_core::Error::TooLong(..) => StoreErrorKind::Refused,
            // ERROR_NO_SUCH_LOGON_SESSION: a service or a network logon has no
            // credentials of its own.
            keyring_core::Error::NoStorageAccess(_) => StoreErrorKind::Refused,
            _ => native::kind_of(&cause),
        };
        native::store_error(cause, kind, StoreKind::CredentialManager, operation)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn persistence_of(store: &CredentialManagerStore, item: &ItemName) -> String {
            let entry = store.entry(item, "test").expect("an entry");
            let attributes = entry.get_attributes().expect("is there");
            attributes["persistence"].clone()
        }

        #[test]
        fn items_stay_on_their_machine_unless_roaming_was_asked_for() {
            let suffix = data_encoding::HEXLOWER.encode(&crate::random::bytes::<6>());
            let item = ItemName::new(format!("roaming.{suffix}"), "default").expect("a name");
            let open = |roaming| {
                let options = StoreOptions {
                    roaming,
                    ..StoreOptions::default()
                };
                CredentialManagerStore::new(&options).expect("opens")
            };
            let secret = SecretBytes::from(b"not a secret".to_vec());
            for (roaming, expected) in [(true, "Enterprise"), (false, "Local")] {
                let store = open(roaming);
                store.set(&item, &secret).expect("stores");
                assert_eq!(persistence_of(&store, &item), expected);
            }
            open(false).delete(&item).expect("deletes");
        }

        #[test]
        fn what_other_programs_keep_is_not_listed() {
            let suffix = data_encoding::HEXLOWER.encode(&crate::random::bytes::<6>());
            let application = format!("listing.{suffix}");
            let store = CredentialManagerStore::new(&StoreOptions::default()).expect("opens");
            let others = [
                format!("{application}/default"),
                format!("vault:{application}x/default"),
                format!("other:vault:{application}/default"),
            ];
            let entries: Vec<_> = others
                .iter()
                .map(|target| {
                    let modifiers = HashMap::from([("target", target.as_str())]);
                    let native = store.store("test").expect("a store");
                    native.build("x", "y", Some(&modifiers)).expect("an entry")
                })
                .collect();
            for entry in &entries {
                entry.set_secret(b"theirs").expect("stores");
            }
            let ours = ItemName::new(&application, "default").expect("a name");
            store
                .set(&ours, &SecretBytes::from(b"ours".to_vec()))
                .expect("stores");
            assert_eq!(
                store.list(&application).expect("lists"),
                std::slice::from_ref(&ours)
            );
            store.delete(&ours).expect("deletes");
            assert_eq!(store.list(&application).expect("lists"), []);
            for entry in &entries {
                assert_eq!(entry.get_secret().expect("untouched"), b"theirs");
                entry.delete_credential().expect("deletes");
            }
        }
    }
}
