//! The data-protection keychain of macOS and iOS.
//!
//! Generic passwords, as in the login keychain, but for signed programs only:
//! on macOS the program needs the entitlement `keychain-access-groups` (else
//! errSecMissingEntitlement), and programs of one team share the items of an
//! access group. Items stay on this device and can be read after its first
//! unlock since the start (`kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly`),
//! so that a locked screen stops no background process. With
//! [`user_presence`](super::KeychainOptions::user_presence) each read asks for
//! Touch ID, Face ID or the passcode.
//!
//! A read looks in every group that the program may use unless one is named; a
//! write changes the item where it is, and makes a new one in the group named.

#[cfg(not(any(target_os = "macos", target_os = "ios")))]
pub use super::unsupported::ProtectedKeychain as ProtectedKeychainStore;
#[cfg(any(target_os = "macos", target_os = "ios"))]
pub use apple::ProtectedKeychainStore;
#[cfg(target_os = "macos")]
pub(super) use apple::accounts;

#[cfg(any(target_os = "macos", target_os = "ios"))]
mod apple {
    use std::sync::atomic::{AtomicBool, Ordering};

    use core_foundation::data::CFData;
    use security_framework::access_control::{ProtectionMode, SecAccessControl};
    use security_framework::base::Error;
    use security_framework::item::{
        self, ItemClass, ItemSearchOptions, ItemUpdateOptions, ItemUpdateValue, Limit, SearchResult,
    };
    use security_framework::passwords::{
        AccessControlOptions, PasswordOptions, generic_password, set_generic_password_options,
    };

    use crate::secret::SecretBytes;
    use crate::store::apple_status::{self, NOT_FOUND};
    use crate::store::{
        Capabilities, Interaction, ItemName, KeychainOptions, Persistence, SecretStore, StoreError,
        StoreKind, StoreOptions,
    };
    use crate::sys;

    /// The data-protection keychain.
    #[derive(Debug)]
    pub struct ProtectedKeychainStore {
        options: KeychainOptions,
        may_ask: AtomicBool,
    }

    impl ProtectedKeychainStore {
        /// Makes the store; asks nothing yet.
        ///
        /// # Errors
        ///
        /// None on this system.
        pub fn new(options: &StoreOptions) -> Result<Self, StoreError> {
            Ok(Self {
                options: options.keychain.clone(),
                may_ask: AtomicBool::new(false),
            })
        }

        /// The item, for a call that takes or gives its secret.
        fn password(&self, item: &ItemName) -> PasswordOptions {
            let mut options =
                PasswordOptions::new_generic_password(item.application(), item.account());
            options.use_protected_keychain();
            if let Some(group) = &self.options.access_group {
                options.set_access_group(group);
            }
            options
        }

        /// The application's items, for a call that touches no secret.
        fn search(&self, application: &str) -> ItemSearchOptions {
            let mut options = ItemSearchOptions::new();
            #[cfg(target_os = "macos")]
            options.ignore_legacy_keychains();
            options
                .class(ItemClass::generic_password())
                .service(application);
            if let Some(group) = &self.options.access_group {
                options.access_group(group);
            }
            options
        }

        fn protection(&self) -> Result<SecAccessControl, Error> {
            let constraints = match self.options.user_presence {
                true => AccessControlOptions::USER_PRESENCE,
                false => AccessControlOptions::empty(),
            };
            SecAccessControl::create_with_protection(
                Some(ProtectionMode::AccessibleAfterFirstUnlockThisDeviceOnly),
                constraints.bits(),
            )
        }

        fn add(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), Error> {
            let mut options = self.password(item);
            options.set_access_control(self.protection()?);
            set_generic_password_options(secret.expose(), options)
        }
    }

    impl SecretStore for ProtectedKeychainStore {
        fn kind(&self) -> StoreKind {
            StoreKind::ProtectedKeychain
        }

        fn provider(&self) -> String {
            match &self.options.access_group {
                Some(group) => format!("the data-protection keychain (access group {group})"),
                None => "the data-protection keychain".to_owned(),
            }
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities {
                size_limit: None,
                persistence: Persistence::UntilDeleted,
                may_prompt: self.options.user_presence,
            }
        }

        fn unlock(&self, interaction: Interaction) -> Result<(), StoreError> {
            self.may_ask
                .store(interaction == Interaction::Allowed, Ordering::Relaxed);
            // It is open since the device's first unlock; whether this program
            // may use it is told by any question.
            let mut probe = self.search("token-vault-probe");
            absent_is_fine(probe.load_attributes(true).search().map(drop)).map_err(failed("unlock"))
        }

        fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
            let mut options = self.password(item);
            if !self.may_ask.load(Ordering::Relaxed) {
                #[expect(
                    deprecated,
                    reason = "the library has no setter for it, and skipping such items would \
                              make a locked item an absent one"
                )]
                options.query.push(sys::fail_instead_of_asking());
            }
            match generic_password(options) {
                Ok(secret) => Ok(vec![secret.into()]),
                Err(error) if error.code() == NOT_FOUND => Ok(Vec::new()),
                Err(error) => Err(failed("get")(error)),
            }
        }

        fn set(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), StoreError> {
            let mut there = self.search(item.application());
            there.account(item.account());
            let mut value = ItemUpdateOptions::new();
            value.set_value(ItemUpdateValue::Data(CFData::from_buffer(secret.expose())));
            match item::update_item(&there, &value) {
                Err(error) if error.code() == NOT_FOUND => self.add(item, secret),
                done => done,
            }
            .map_err(failed("set"))
        }

        fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
            let mut there = self.search(item.application());
            absent_is_fine(there.account(item.account()).delete()).map_err(failed("delete"))
        }

        fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
            let mut options = self.search(application);
            match options.load_attributes(true).limit(Limit::All).search() {
                Ok(found) => Ok(accounts(application, &found)),
                Err(error) if error.code() == NOT_FOUND => Ok(Vec::new()),
                Err(error) => Err(failed("list")(error)),
            }
        }
    }

    /// Names each account of the application once, sorted.
    pub(in crate::store) fn accounts(application: &str, found: &[SearchResult]) -> Vec<ItemName> {
        let mut names: Vec<ItemName> = found
            .iter()
            .filter_map(SearchResult::simplify_dict)
            // kSecAttrAccount
            .filter_map(|mut attributes| attributes.remove("acct"))
            .filter_map(|account| ItemName::new(application, account).ok())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn absent_is_fine(result: Result<(), Error>) -> Result<(), Error> {
        match result {
            Err(error) if error.code() == NOT_FOUND => Ok(()),
            other => other,
        }
    }

    fn failed(operation: &'static str) -> impl Fn(Error) -> StoreError {
        move |error| {
            apple_status::store_error(error.code(), StoreKind::ProtectedKeychain, operation)
        }
    }
}
