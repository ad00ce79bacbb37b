//! The encrypted-file store: sealed files under a key the user looks after.
//!
//! For machines without a secret store: servers, containers, CI. One file per
//! item in `<state root>/<application>/items/`, sealed with
//! XChaCha20-Poly1305 ([`crate::sealed_file`]). The header, authenticated with
//! the contents, names application and account, so that files can't be swapped.
//!
//! The items are sealed with a random key, and this key with a key file or, by
//! Argon2id (RFC 9106), with a passphrase (the module `parameters`): so another
//! passphrase is a matter of one small file. On Linux the random key may be
//! held in the kernel's key ring for a while, if its user asked for it
//! (the module `remembered`).
//!
//! Listing needs no key: file names are the accounts, in base32. What protects
//! the key (a mode, a credential of systemd, a person's memory) is the user's.

#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod parameters;
mod remembered;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key_source;
use super::{
    Capabilities, Interaction, ItemName, KeySource, Persistence, SecretStore, StoreError,
    StoreErrorKind, StoreKind, StoreOptions,
};
use crate::folder::{FolderError, FolderOptions, StateFolder};
use crate::lock::LockFile;
use crate::random;
use crate::sealed_file::{self, SealedFileError, SealingKey};
use crate::secret::SecretBytes;

use parameters::Parameters;
pub use parameters::PassphraseCost;

/// The folder of the items, in the application's folder.
pub const FOLDER: &str = "items";
const LOCK: &str = "params.lock";
const SUFFIX: &str = ".item";

/// Longest secret in bytes: an item is a line, not a document.
const LIMIT: usize = 1 << 20;

/// Longest file in bytes; header, nonce and tag take some of it.
const FILE_LIMIT: usize = LIMIT + (1 << 16);

/// The contents of an item's header.
#[derive(Serialize, Deserialize)]
struct Header {
    application: String,
    account: String,
}

/// Sealed files in the state folder.
pub struct EncryptedFileStore {
    root: PathBuf,
    source: Option<KeySource>,
    folder_options: FolderOptions,
    cost: PassphraseCost,
    remember: Option<Duration>,
    /// The keys that were opened, one for each application.
    keys: Mutex<Vec<SealingKey>>,
}

impl EncryptedFileStore {
    /// Makes the store; touches nothing yet.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Missing`] without a state root, and when keys are to be
    /// remembered on a system that can't.
    pub fn new(options: &StoreOptions) -> Result<Self, StoreError> {
        let Some(root) = &options.state_root else {
            return Err(error(StoreErrorKind::Missing, "open").because("no state folder was given"));
        };
        if options.remember.is_some() {
            remembered::prove("open")?;
        }
        Ok(Self {
            root: root.clone(),
            source: options.key.as_ref().map(KeySource::duplicate),
            folder_options: FolderOptions {
                allow_network_file_system: options.allow_network_file_system,
            },
            cost: options.passphrase_cost,
            remember: options.remember,
            keys: Mutex::new(Vec::new()),
        })
    }

    /// Opens the application's folder of items; `None` when it is not there.
    fn existing(
        &self,
        application: &str,
        operation: &'static str,
    ) -> Result<Option<StateFolder>, StoreError> {
        let open = || {
            let Some(root) = StateFolder::open(&self.root, self.folder_options)? else {
                return Ok(None);
            };
            let Some(application) = root.open_child(application)? else {
                return Ok(None);
            };
            application.open_child(FOLDER)
        };
        open().map_err(|cause| folder_error(cause, operation))
    }

    fn created(
        &self,
        application: &str,
        operation: &'static str,
    ) -> Result<StateFolder, StoreError> {
        StateFolder::create(&self.root, self.folder_options)
            .and_then(|root| root.create_child(application))
            .and_then(|application| application.create_child(FOLDER))
            .map_err(|cause| folder_error(cause, operation))
    }

    /// Makes another passphrase or key file open the application's items.
    ///
    /// The items stay as they are: they are sealed with a random key, and only
    /// the file that holds this key, sealed with the passphrase, is replaced,
    /// in one step. Whatever ends the process, the old one opens the items or
    /// the new one does. What killed processes left of such files is removed
    /// before. A process that has the items open goes on.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Locked`] and [`StoreErrorKind::WrongKey`] about the
    /// old passphrase, which has to be given even where its key is remembered;
    /// [`StoreErrorKind::Missing`] when nothing has been stored yet;
    /// [`StoreErrorKind::Failed`] when another process is doing the same.
    pub fn change_key(&self, application: &str, new: &KeySource) -> Result<(), StoreError> {
        const OPERATION: &str = "change the key";
        let Some(items) = self.existing(application, OPERATION)? else {
            return Err(nothing_stored(OPERATION));
        };
        let lock = LockFile::new(&items, LOCK);
        let _guard = lock
            .try_lock()
            .map_err(|cause| error(StoreErrorKind::Failed, OPERATION).because(cause))?
            .ok_or_else(|| {
                error(StoreErrorKind::Failed, OPERATION)
                    .because("another process is changing the key right now")
            })?;
        let old = Parameters::read(&items, OPERATION)?.ok_or_else(|| nothing_stored(OPERATION))?;
        let master = old.open(self.source(OPERATION)?, OPERATION)?;
        let parameters = Parameters::seal(&master, old.id(), new, self.cost, OPERATION)?;
        // A process that was killed may have left a second name of the old file.
        // It goes first: when the new file is there, nothing else opens the items,
        // and the sync that makes the new name durable does the same for this.
        items
            .sweep_temporaries()
            .map_err(|cause| folder_error(cause, OPERATION))?;
        parameters.replace(&items, OPERATION)?;
        remembered::forget(old.id(), OPERATION)
    }

    /// Gives the key for a folder that has parameters; `None` when it has none.
    fn key(
        &self,
        items: &StateFolder,
        operation: &'static str,
    ) -> Result<Option<SealingKey>, StoreError> {
        let Some(parameters) = Parameters::read(items, operation)? else {
            return Ok(None);
        };
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // A child of `fork` opens them anew.
        keys.retain(|key| !key.is_wiped());
        if let Some(key) = keys.iter().find(|key| parameters.are_of(key)) {
            return Ok(Some(key.duplicate()));
        }
        let remembered = remembered::find(parameters.id()).filter(|key| parameters.are_of(key));
        let key = match remembered {
            Some(key) => key,
            None => {
                let key = parameters.open(self.source(operation)?, operation)?;
                self.keep(parameters.id(), &key, operation);
                key
            }
        };
        keys.push(key.duplicate());
        Ok(Some(key))
    }

    /// Gives the key for a folder, which gets parameters if it has none.
    fn key_or_new(
        &self,
        items: &StateFolder,
        operation: &'static str,
    ) -> Result<SealingKey, StoreError> {
        if let Some(key) = self.key(items, operation)? {
            return Ok(key);
        }
        let id = data_encoding::HEXLOWER.encode(&random::bytes::<16>());
        let source = self.source(operation)?;
        let master = SealingKey::generate();
        // Of several processes that do this at once one wins, and all use its.
        if Parameters::seal(&master, &id, source, self.cost, operation)?.create(items, operation)? {
            // What was derived just now need not be derived again.
            self.keep(&id, &master, operation);
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            keys.push(master);
        }
        self.key(items, operation)?
            .ok_or_else(|| error(StoreErrorKind::Failed, operation).because("params vanished"))
    }

    /// Lets the kernel hold a key that took a derivation, if that was asked for.
    /// Where it has no room the key is asked for again.
    fn keep(&self, id: &str, key: &SealingKey, operation: &'static str) {
        if let (Some(time), Some(KeySource::PassphraseFile(_) | KeySource::Passphrase(_))) =
            (self.remember, &self.source)
            && let Err(error) = remembered::keep(id, key, time, operation)
        {
            tracing::warn!(%error, "the key of the store is not remembered");
        }
    }

    fn source(&self, operation: &'static str) -> Result<&KeySource, StoreError> {
        self.source.as_ref().ok_or_else(|| {
            error(StoreErrorKind::Locked, operation)
                .because("no key file and no passphrase were given")
        })
    }
}

/// Tells whether the key of an application's items is held in the kernel's key
/// ring at this moment, so that no passphrase is needed.
///
/// # Errors
///
/// As [`SecretStore::get`] of this store.
pub fn is_remembered(options: &StoreOptions, application: &str) -> Result<bool, StoreError> {
    let parameters = parameters(options, application)?;
    Ok(parameters.is_some_and(|parameters| {
        remembered::find(parameters.id()).is_some_and(|key| parameters.are_of(&key))
    }))
}

/// Tells whether an application's items have a key already. If not, the first of
/// them is stored with the key file or passphrase of that moment, which all that
/// follows needs.
///
/// # Errors
///
/// As [`SecretStore::get`] of this store.
pub fn has_key(options: &StoreOptions, application: &str) -> Result<bool, StoreError> {
    Ok(parameters(options, application)?.is_some())
}

fn parameters(options: &StoreOptions, application: &str) -> Result<Option<Parameters>, StoreError> {
    let store = EncryptedFileStore::new(options)?;
    match store.existing(application, "get")? {
        Some(items) => Parameters::read(&items, "get"),
        None => Ok(None),
    }
}

fn nothing_stored(operation: &'static str) -> StoreError {
    error(StoreErrorKind::Missing, operation).because("nothing has been stored yet")
}

impl fmt::Debug for EncryptedFileStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EncryptedFileStore")
            .field("root", &self.root)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl SecretStore for EncryptedFileStore {
    fn kind(&self) -> StoreKind {
        StoreKind::EncryptedFile
    }

    fn provider(&self) -> String {
        let root = self.root.display();
        match &self.source {
            Some(KeySource::KeyFile(path)) => {
                format!("sealed files in {root} (key file {})", path.display())
            }
            Some(KeySource::PassphraseFile(_) | KeySource::Passphrase(_)) => {
                format!("sealed files in {root} (passphrase)")
            }
            None => format!("sealed files in {root} (no key given)"),
        }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            size_limit: Some(LIMIT),
            persistence: Persistence::UntilDeleted,
            may_prompt: false,
        }
    }

    fn unlock(&self, _interaction: Interaction) -> Result<(), StoreError> {
        // The application is not known here; its params are checked with the
        // first call. That the source can be read is known; without a source
        // the key may be remembered.
        match &self.source {
            None if remembered::any() => Ok(()),
            _ => key_source::read(self.source("unlock")?, "unlock").map(drop),
        }
    }

    fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
        let Some(items) = self.existing(item.application(), "get")? else {
            return Ok(Vec::new());
        };
        let sealed = items
            .read(&file_name(item, "get")?, FILE_LIMIT)
            .map_err(|cause| folder_error(cause, "get"))?;
        let Some(sealed) = sealed else {
            return Ok(Vec::new());
        };
        let Some(key) = self.key(&items, "get")? else {
            return Err(error(StoreErrorKind::Corrupted, "get")
                .because("the file params is gone, and the key with it"));
        };
        opened(item, &key, sealed.expose()).map(|secret| vec![secret])
    }

    fn set(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), StoreError> {
        if secret.len() > LIMIT {
            return Err(error(StoreErrorKind::TooLarge { limit: LIMIT }, "set"));
        }
        let items = self.created(item.application(), "set")?;
        let key = self.key_or_new(&items, "set")?;
        let header = serde_json::to_vec(&Header {
            application: item.application().to_owned(),
            account: item.account().to_owned(),
        })
        .map_err(|cause| error(StoreErrorKind::Failed, "set").because(cause))?;
        let sealed = sealed_file::seal(&key, &header, secret.expose());
        items
            .replace(&file_name(item, "set")?, &sealed)
            .map_err(|cause| folder_error(cause, "set"))
    }

    fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
        let Some(items) = self.existing(item.application(), "delete")? else {
            return Ok(());
        };
        let name = file_name(item, "delete")?;
        // What a killed `set` left is a whole item, too.
        let swept = items.sweep_temporaries();
        items
            .remove(&name)
            .and(swept)
            .map_err(|cause| folder_error(cause, "delete"))
    }

    fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
        let Some(items) = self.existing(application, "list")? else {
            return Ok(Vec::new());
        };
        let names = items.names().map_err(|cause| folder_error(cause, "list"))?;
        let mut found: Vec<ItemName> = names
            .iter()
            .filter_map(|name| item_of(application, name))
            .collect();
        found.sort_unstable();
        Ok(found)
    }
}

/// Encodes the account so that every byte of it is fit for a file's name,
/// whether or not the file system tells cases apart.
fn file_name(item: &ItemName, operation: &'static str) -> Result<String, StoreError> {
    let name = data_encoding::BASE32_DNSSEC.encode(item.account().as_bytes()) + SUFFIX;
    if name.len() > 255 {
        return Err(error(StoreErrorKind::Refused, operation)
            .because("the account's name is too long for a file's"));
    }
    Ok(name)
}

/// Reads the account from a file's name; `None` for a file of something else.
fn item_of(application: &str, file: &str) -> Option<ItemName> {
    let name = file.strip_suffix(SUFFIX)?;
    let account = data_encoding::BASE32_DNSSEC.decode(name.as_bytes()).ok()?;
    ItemName::new(application, String::from_utf8(account).ok()?).ok()
}

/// Opens an item's file, which has to have been made for this item.
fn opened(item: &ItemName, key: &SealingKey, sealed: &[u8]) -> Result<SecretBytes, StoreError> {
    let secret = sealed_file::open(key, sealed).map_err(sealed_error)?;
    let header = sealed_file::header(sealed).map_err(sealed_error)?;
    match serde_json::from_slice::<Header>(header) {
        Ok(header)
            if header.application == item.application() && header.account == item.account() =>
        {
            Ok(secret)
        }
        _ => {
            Err(error(StoreErrorKind::Corrupted, "get")
                .because("the file was made for another item"))
        }
    }
}

fn sealed_error(cause: SealedFileError) -> StoreError {
    error(StoreErrorKind::Corrupted, "get").because(cause)
}

fn folder_error(cause: FolderError, operation: &'static str) -> StoreError {
    let kind = match &cause {
        cause if cause.is_refused_folder() || cause.is_unwritable() => StoreErrorKind::Refused,
        FolderError::BadName { .. } | FolderError::NotFile { .. } => StoreErrorKind::Refused,
        FolderError::TooLarge { .. } => StoreErrorKind::Corrupted,
        _ => StoreErrorKind::Failed,
    };
    error(kind, operation).because(cause)
}

fn error(kind: StoreErrorKind, operation: &'static str) -> StoreError {
    StoreError::new(kind, StoreKind::EncryptedFile, operation)
}
