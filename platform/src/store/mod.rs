//! Secret stores: where an operating system keeps secrets for applications.
//!
//! One trait, [`SecretStore`], and one file per store. All of them pass one
//! contract suite (`tests/store_contract.rs`): absent is an empty answer;
//! *locked*, *hung* and *missing* are three different errors and never taken
//! for absent; a set replaces and leaves exactly one item; a delete may be
//! repeated; an application sees its own items only.
//!
//! No store asks a person anything unless [`SecretStore::unlock`] is called
//! with [`Interaction::Allowed`]. No store falls back to another one. Stores
//! block; [`StoreWorker`] gives them a thread and a deadline.
//!
//! Which store to use, and what the items mean, is left to the callers.

pub mod android_keystore;
#[cfg(any(test, target_os = "macos", target_os = "ios"))]
mod apple_status;
pub mod credential_manager;
pub mod encrypted_file;
mod error;
pub mod held;
mod key_source;
pub mod keychain;
pub mod keyutils;
pub mod memory;
#[cfg(any(target_os = "android", windows))]
mod native;
pub mod protected_keychain;
pub mod secret_service;
mod unsupported;
mod worker;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::secret::SecretBytes;

pub use encrypted_file::PassphraseCost;
pub use error::{StoreError, StoreErrorKind};
pub use key_source::{KeySource, create_key_file};
pub use worker::StoreWorker;

/// The stores there are, on all systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StoreKind {
    /// The login keychain of macOS.
    Keychain,
    /// The data-protection keychain of macOS and iOS, for signed programs.
    ProtectedKeychain,
    /// The keystore of Android.
    AndroidKeystore,
    /// The Credential Manager of Windows.
    CredentialManager,
    /// `org.freedesktop.secrets` on the session bus: GNOME Keyring, KeePassXC,
    /// KWallet.
    SecretService,
    /// The Linux kernel's key rings, until reboot.
    Keyutils,
    /// Files sealed with a key file or a passphrase.
    EncryptedFile,
    /// This process's memory, until it ends.
    Memory,
}

impl StoreKind {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Keychain,
        Self::ProtectedKeychain,
        Self::AndroidKeystore,
        Self::CredentialManager,
        Self::SecretService,
        Self::Keyutils,
        Self::EncryptedFile,
        Self::Memory,
    ];

    /// Gives the name that people and files use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keychain => "keychain",
            Self::ProtectedKeychain => "protected-keychain",
            Self::AndroidKeystore => "android-keystore",
            Self::CredentialManager => "credential-manager",
            Self::SecretService => "secret-service",
            Self::Keyutils => "keyutils",
            Self::EncryptedFile => "encrypted-file",
            Self::Memory => "memory",
        }
    }

    /// Tells how long stores of this kind keep what they are given.
    #[must_use]
    pub fn persistence(self) -> Persistence {
        match self {
            Self::Keyutils => Persistence::UntilReboot,
            Self::Memory => Persistence::Process,
            _ => Persistence::UntilDeleted,
        }
    }

    /// Gives this operating system's own store.
    #[must_use]
    pub fn native() -> Self {
        if cfg!(target_os = "macos") {
            Self::Keychain
        } else if cfg!(target_os = "ios") {
            Self::ProtectedKeychain
        } else if cfg!(target_os = "android") {
            Self::AndroidKeystore
        } else if cfg!(windows) {
            Self::CredentialManager
        } else {
            Self::SecretService
        }
    }

    /// Lists the stores that this build can use, the native one first.
    #[must_use]
    pub fn compiled_in() -> &'static [Self] {
        &[
            #[cfg(target_os = "macos")]
            Self::Keychain,
            #[cfg(any(target_os = "macos", target_os = "ios"))]
            Self::ProtectedKeychain,
            #[cfg(target_os = "android")]
            Self::AndroidKeystore,
            #[cfg(windows)]
            Self::CredentialManager,
            #[cfg(any(target_os = "linux", target_os = "freebsd"))]
            Self::SecretService,
            Self::EncryptedFile,
            #[cfg(target_os = "linux")]
            Self::Keyutils,
            Self::Memory,
        ]
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// There is no store of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no kind of store")]
pub struct UnknownStoreKind {
    /// The name that was given.
    pub name: String,
}

impl FromStr for StoreKind {
    type Err = UnknownStoreKind;

    fn from_str(name: &str) -> Result<Self, UnknownStoreKind> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| UnknownStoreKind {
                name: name.to_owned(),
            })
    }
}

/// Names one item: an application's account.
///
/// In the stores these are the attributes `service` and `username` or their
/// like.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemName {
    application: String,
    account: String,
}

/// The application or the account can't name an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an item's {part} is empty or has control characters")]
pub struct BadItemName {
    /// `application` or `account`.
    pub part: &'static str,
}

impl ItemName {
    /// Names an item.
    ///
    /// # Errors
    ///
    /// [`BadItemName`] when a part is empty or has control characters.
    pub fn new(
        application: impl Into<String>,
        account: impl Into<String>,
    ) -> Result<Self, BadItemName> {
        let name = Self {
            application: application.into(),
            account: account.into(),
        };
        for (part, text) in [
            ("application", &name.application),
            ("account", &name.account),
        ] {
            if text.is_empty() || text.contains(char::is_control) {
                return Err(BadItemName { part });
            }
        }
        Ok(name)
    }

    /// The application that owns the item.
    #[must_use]
    pub fn application(&self) -> &str {
        &self.application
    }

    /// Which of the application's items it is.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }
}

/// Whether a person may be asked. Complete: there is no third.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interaction {
    /// A prompt may appear, and be waited for.
    Allowed,
    /// Nobody is there to answer one.
    Forbidden,
}

/// How long a store keeps what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Persistence {
    /// Until it is deleted.
    UntilDeleted,
    /// Until the machine reboots.
    UntilReboot,
    /// Until the process ends.
    Process,
}

/// What a store can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The longest secret, in bytes.
    pub size_limit: Option<usize>,
    /// How long items are kept.
    pub persistence: Persistence,
    /// Whether unlocking may ask a person.
    pub may_prompt: bool,
}

/// A store of secrets.
///
/// The methods block, some for as long as a person takes; see [`StoreWorker`].
pub trait SecretStore: Send + Sync + fmt::Debug {
    /// Tells which store this is.
    fn kind(&self) -> StoreKind;

    /// Names who answers, for people to read; never blocks, never a secret.
    fn provider(&self) -> String;

    /// Tells what the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Whether each call ends in time by itself, whatever it waits for. Then it
    /// may be made on a thread that is needed again
    /// ([`StoreWorker::call_here_within`]).
    fn keeps_deadlines(&self) -> bool {
        false
    }

    /// Makes the store ready for the other calls.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Locked`] at once when it is locked and nobody may be
    /// asked, or when the person declines; [`StoreErrorKind::Hung`] when the
    /// person does not answer; [`StoreErrorKind::Missing`];
    /// [`StoreErrorKind::WrongKey`].
    fn unlock(&self, interaction: Interaction) -> Result<(), StoreError>;

    /// Reads every secret stored under the name; none when it is absent.
    ///
    /// More than one where the store allows duplicates. Never prompts.
    ///
    /// # Errors
    ///
    /// By [`StoreErrorKind`]; a locked store is `Locked`, never an empty answer.
    fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError>;

    /// Makes the store ready, and reads: what a process does first, in one call
    /// for a store that can be faster so. `meanwhile` is work of the caller's that
    /// needs no answer: a store that has to wait for one does it then, and does
    /// none of it otherwise.
    ///
    /// # Errors
    ///
    /// Those of [`SecretStore::unlock`] and [`SecretStore::get`].
    fn unlock_and_get(
        &self,
        item: &ItemName,
        interaction: Interaction,
        _meanwhile: &mut dyn FnMut(),
    ) -> Result<Vec<SecretBytes>, StoreError> {
        self.unlock(interaction)?;
        self.get(item)
    }

    /// Stores a secret; afterwards exactly one item has the name. Never prompts.
    ///
    /// # Errors
    ///
    /// By [`StoreErrorKind`].
    fn set(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), StoreError>;

    /// Deletes every item of the name; none is no error. Never prompts.
    ///
    /// # Errors
    ///
    /// By [`StoreErrorKind`].
    fn delete(&self, item: &ItemName) -> Result<(), StoreError>;

    /// Lists the application's items, each once, sorted. Never prompts.
    ///
    /// # Errors
    ///
    /// By [`StoreErrorKind`].
    fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError>;
}

/// Choices for items in Apple's data-protection keychain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeychainOptions {
    /// The access group that new items go to (`TEAM.com.example.shared`), and
    /// the only one that is looked in. Without it a new item goes to the
    /// program's first group, and all of its groups are looked in.
    pub access_group: Option<String>,
    /// New items ask for Touch ID, Face ID or the passcode at each read.
    pub user_presence: bool,
}

/// What a store needs to be opened.
#[derive(Debug)]
pub struct StoreOptions {
    /// The folder above all applications' folders. The encrypted-file store
    /// keeps its files there.
    pub state_root: Option<PathBuf>,
    /// Where the encrypted-file store's key comes from.
    pub key: Option<KeySource>,
    /// What a new passphrase of the encrypted-file store costs to derive a key
    /// from.
    pub passphrase_cost: PassphraseCost,
    /// For how long the kernel holds the encrypted-file store's key once it was
    /// derived, so that further processes need no passphrase. Any process of the
    /// user can read it so long ([`held`]). Linux only.
    pub remember: Option<Duration>,
    /// Take a state root on a network file system.
    pub allow_network_file_system: bool,
    /// Of the data-protection keychain.
    pub keychain: KeychainOptions,
    /// Let the items follow their user to other machines of a domain, where the
    /// store can (Credential Manager). No lock reaches there: only for servers
    /// that do not rotate refresh tokens.
    pub roaming: bool,
    /// How long one call to another process may take (a message on the bus, not
    /// a prompt).
    pub call_deadline: Duration,
    /// How long a prompt that a person was asked for may stay unanswered.
    pub prompt_deadline: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            state_root: None,
            key: None,
            passphrase_cost: PassphraseCost::default(),
            remember: None,
            allow_network_file_system: false,
            keychain: KeychainOptions::default(),
            roaming: false,
            call_deadline: Duration::from_secs(10),
            prompt_deadline: Duration::from_secs(120),
        }
    }
}

/// Opens a store. This is cheap; it connects and reads keys at the first call.
///
/// All memory stores opened so are one, for the life of the process.
///
/// # Errors
///
/// [`StoreErrorKind::Missing`] when this build has no such store, or options
/// that it needs are not given.
pub fn open(kind: StoreKind, options: &StoreOptions) -> Result<Arc<dyn SecretStore>, StoreError> {
    #[cfg(feature = "fault-points")]
    if let Some(make) = crate::fault::stand_in_for(kind) {
        return make(options);
    }
    Ok(match kind {
        StoreKind::Memory => memory::MemoryStore::of_this_process(),
        StoreKind::EncryptedFile => Arc::new(encrypted_file::EncryptedFileStore::new(options)?),
        StoreKind::SecretService => Arc::new(secret_service::SecretServiceStore::new(options)?),
        StoreKind::Keychain => Arc::new(keychain::KeychainStore::new(options)?),
        StoreKind::ProtectedKeychain => {
            Arc::new(protected_keychain::ProtectedKeychainStore::new(options)?)
        }
        StoreKind::AndroidKeystore => {
            Arc::new(android_keystore::AndroidKeystoreStore::new(options)?)
        }
        StoreKind::CredentialManager => {
            Arc::new(credential_manager::CredentialManagerStore::new(options)?)
        }
        StoreKind::Keyutils => Arc::new(keyutils::KeyutilsStore::new(options)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_from_the_name_it_is_shown_by() {
        for &kind in StoreKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            let json = serde_json::to_string(&kind).expect("serializes");
            assert_eq!(json, format!("\"{kind}\""));
        }
        assert!("Keychain".parse::<StoreKind>().is_err());
    }

    #[test]
    fn item_names_have_two_printable_parts() {
        assert!(ItemName::new("com.example.app", "work#key").is_ok());
        for (application, account) in [("", "a"), ("a", ""), ("a\n", "a"), ("a", "\u{7}")] {
            assert!(ItemName::new(application, account).is_err());
        }
    }

    #[test]
    fn a_store_of_another_system_is_missing() {
        let compiled_in = StoreKind::compiled_in();
        assert!(compiled_in.contains(&StoreKind::Memory));
        let foreign = StoreKind::ALL
            .iter()
            .filter(|kind| !compiled_in.contains(kind));
        for &kind in foreign {
            let error = open(kind, &StoreOptions::default()).expect_err("foreign");
            assert_eq!(error.kind, StoreErrorKind::Missing);
            assert_eq!(error.store, kind);
        }
    }

    #[test]
    fn an_error_says_store_and_operation_and_leaves_the_cause_to_the_chain() {
        let error = StoreError::new(StoreErrorKind::Locked, StoreKind::SecretService, "get")
            .because("the cause");
        assert_eq!(
            error.to_string(),
            "the secret-service store is locked (get)"
        );
        let source = std::error::Error::source(&error).expect("a cause");
        assert_eq!(source.to_string(), "the cause");
    }
}
