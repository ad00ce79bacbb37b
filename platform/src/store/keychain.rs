//! The login keychain of macOS.
//!
//! Generic passwords: the application is the *service*, the account the
//! *account*; the keychain keeps at most one of each pair. Another program, or
//! a newly signed version of this one, makes macOS ask the user. While nobody
//! may be asked, macOS is told so for the duration of each call, and answers
//! errSecInteractionNotAllowed, which is
//! [`StoreErrorKind::Locked`](super::StoreErrorKind::Locked). After
//! [`SecretStore::unlock`](super::SecretStore::unlock) with
//! [`Interaction::Allowed`](super::Interaction::Allowed), the other calls may
//! ask too: which items let this program in is known only when they are read.

#[cfg(not(target_os = "macos"))]
pub use super::unsupported::Keychain as KeychainStore;
#[cfg(target_os = "macos")]
pub use macos::KeychainStore;

#[cfg(target_os = "macos")]
mod macos {
    use std::sync::atomic::{AtomicBool, Ordering};

    use security_framework::base::Error;
    use security_framework::item::{ItemClass, ItemSearchOptions, Limit};
    use security_framework::os::macos::keychain::{SecKeychain, SecPreferencesDomain};

    use crate::secret::SecretBytes;
    use crate::store::apple_status::{self, DUPLICATE, NOT_FOUND};
    use crate::store::protected_keychain::accounts;
    use crate::store::{
        Capabilities, Interaction, ItemName, Persistence, SecretStore, StoreError, StoreKind,
        StoreOptions,
    };

    /// The login keychain.
    #[derive(Debug)]
    pub struct KeychainStore {
        may_ask: AtomicBool,
    }

    impl KeychainStore {
        /// Makes the store; asks nothing yet.
        ///
        /// # Errors
        ///
        /// None on this system.
        pub fn new(_options: &StoreOptions) -> Result<Self, StoreError> {
            Ok(Self {
                may_ask: AtomicBool::new(false),
            })
        }

        /// Calls the keychain, with macOS kept from asking unless it may.
        fn call<T>(
            &self,
            operation: &'static str,
            call: impl FnOnce(&mut SecKeychain) -> Result<T, Error>,
        ) -> Result<T, StoreError> {
            let attempt = || {
                // Process-wide; the worker makes one call at a time.
                let _quiet = match self.may_ask.load(Ordering::Relaxed) {
                    true => None,
                    false => Some(SecKeychain::disable_user_interaction()?),
                };
                call(&mut SecKeychain::default_for_domain(
                    SecPreferencesDomain::User,
                )?)
            };
            attempt().map_err(|error| {
                apple_status::store_error(error.code(), StoreKind::Keychain, operation)
            })
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

        fn unlock(&self, interaction: Interaction) -> Result<(), StoreError> {
            self.may_ask
                .store(interaction == Interaction::Allowed, Ordering::Relaxed);
            // Does nothing when it is unlocked; asks, or refuses to, otherwise.
            self.call("unlock", |keychain| keychain.unlock(None))
        }

        fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
            self.call("get", |keychain| {
                match keychain.find_generic_password(item.application(), item.account()) {
                    Ok((secret, _)) => Ok(vec![secret.to_vec().into()]),
                    Err(error) if error.code() == NOT_FOUND => Ok(Vec::new()),
                    Err(error) => Err(error),
                }
            })
        }

        fn set(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), StoreError> {
            let (service, account) = (item.application(), item.account());
            self.call("set", |keychain| {
                let replace = || {
                    let (_, mut item) = keychain.find_generic_password(service, account)?;
                    item.set_password(secret.expose())
                };
                match replace() {
                    Err(error) if error.code() == NOT_FOUND => {}
                    done => return done,
                }
                match keychain.add_generic_password(service, account, secret.expose()) {
                    // Another process added it meanwhile.
                    Err(error) if error.code() == DUPLICATE => replace(),
                    done => done,
                }
            })
        }

        fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
            self.call("delete", |keychain| {
                let found = search(keychain, item.application())
                    .account(item.account())
                    .delete();
                match found {
                    Err(error) if error.code() == NOT_FOUND => Ok(()),
                    done => done,
                }
            })
        }

        fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
            self.call("list", |keychain| {
                let mut options = search(keychain, application);
                match options.load_attributes(true).limit(Limit::All).search() {
                    Ok(found) => Ok(accounts(application, &found)),
                    Err(error) if error.code() == NOT_FOUND => Ok(Vec::new()),
                    Err(error) => Err(error),
                }
            })
        }
    }

    fn search(keychain: &SecKeychain, application: &str) -> ItemSearchOptions {
        let mut options = ItemSearchOptions::new();
        options
            .keychains(std::slice::from_ref(keychain))
            .class(ItemClass::generic_password())
            .service(application);
        options
    }
}
