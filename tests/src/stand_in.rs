//! Stores that every machine has, in the place of two that this one has not: encrypted files in a
//! folder of their own, which answer as another system's store and as a Credential Manager with its
//! limit. What moves from store to store can so be tested, and killed, anywhere.

use std::path::Path;
use std::sync::Arc;

use vault_core::fault;
use vault_core::platform::secret::SecretBytes;
use vault_core::platform::store::encrypted_file::EncryptedFileStore;
use vault_core::platform::store::{
    self, Capabilities, Interaction, ItemName, KeySource, SecretStore, StoreError, StoreErrorKind,
    StoreKind, StoreOptions,
};

/// Another system's store, without a limit.
pub const OTHER: StoreKind = if cfg!(target_os = "macos") {
    StoreKind::SecretService
} else {
    StoreKind::Keychain
};

/// A store that takes little; on Windows the real one.
pub const SMALL: StoreKind = StoreKind::CredentialManager;

/// The most that [`SMALL`] takes, in bytes.
pub const SMALL_LIMIT: usize = 2560;

/// Has this process find them where it opens stores of their kinds.
pub fn register() {
    fault::stand_in(OTHER, |options| make(OTHER, None, options));
    if !cfg!(windows) {
        fault::stand_in(SMALL, |options| make(SMALL, Some(SMALL_LIMIT), options));
    }
}

/// A store of a state root, by itself.
///
/// # Errors
///
/// The store's.
pub fn open(
    kind: StoreKind,
    root: &Path,
    key_file: &Path,
) -> Result<Arc<dyn SecretStore>, StoreError> {
    let options = StoreOptions {
        state_root: Some(root.to_owned()),
        key: Some(KeySource::KeyFile(key_file.to_owned())),
        ..StoreOptions::default()
    };
    store::open(kind, &options)
}

/// The accounts of an application's items in a store of a state root.
///
/// # Errors
///
/// The store's.
pub fn accounts(
    kind: StoreKind,
    root: &Path,
    key_file: &Path,
    application: &str,
) -> Result<Vec<String>, StoreError> {
    let items = open(kind, root, key_file)?.list(application)?;
    Ok(items.iter().map(|item| item.account().to_owned()).collect())
}

fn make(
    kind: StoreKind,
    limit: Option<usize>,
    options: &StoreOptions,
) -> Result<Arc<dyn SecretStore>, StoreError> {
    let root = options.state_root.as_ref();
    let files = EncryptedFileStore::new(&StoreOptions {
        state_root: root.map(|root| root.join(format!("stand-in.{kind}"))),
        key: options.key.as_ref().map(KeySource::duplicate),
        ..StoreOptions::default()
    })?;
    Ok(Arc::new(StandIn { kind, limit, files }))
}

#[derive(Debug)]
struct StandIn {
    kind: StoreKind,
    limit: Option<usize>,
    files: EncryptedFileStore,
}

impl StandIn {
    fn as_ours<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        result.map_err(|error| StoreError::new(error.kind, self.kind, error.operation))
    }
}

impl SecretStore for StandIn {
    fn kind(&self) -> StoreKind {
        self.kind
    }

    fn provider(&self) -> String {
        format!("a stand-in of {}", self.files.provider())
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.files.capabilities();
        capabilities.size_limit = self.limit.or(capabilities.size_limit);
        capabilities
    }

    fn unlock(&self, interaction: Interaction) -> Result<(), StoreError> {
        self.as_ours(self.files.unlock(interaction))
    }

    fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
        self.as_ours(self.files.get(item))
    }

    fn set(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), StoreError> {
        match self.limit {
            Some(limit) if secret.len() > limit => Err(StoreError::new(
                StoreErrorKind::TooLarge { limit },
                self.kind,
                "set",
            )),
            _ => self.as_ours(self.files.set(item, secret)),
        }
    }

    fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
        self.as_ours(self.files.delete(item))
    }

    fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
        self.as_ours(self.files.list(application))
    }
}
