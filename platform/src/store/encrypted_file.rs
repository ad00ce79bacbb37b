//! The encrypted-file store: sealed files under a key the user looks after.
//!
//! For machines without a secret store: servers, containers, CI. One file per
//! item in `<state root>/<application>/items/`, sealed with
//! XChaCha20-Poly1305 ([`crate::sealed_file`]). The header, authenticated with
//! the contents, names application and account, so that files can't be swapped.
//!
//! The key comes from a key file, or by Argon2id (RFC 9106) from a passphrase.
//! The file `params` beside the items says which, with salt and costs, and has
//! a check value, by which another key or a mistyped passphrase is told from a
//! damaged file.
//!
//! Listing needs no key: file names are the accounts, in base32. What protects
//! the key (a mode, a credential of systemd, a person's memory) is the user's.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::key_source::{self, KeyMaterial};
use super::{
    Capabilities, Interaction, ItemName, KeySource, Persistence, SecretStore, StoreError,
    StoreErrorKind, StoreKind, StoreOptions,
};
use crate::folder::{FolderError, FolderOptions, StateFolder};
use crate::random;
use crate::sealed_file::{self, SealedFileError, SealingKey};
use crate::secret::SecretBytes;

const FOLDER: &str = "items";
const PARAMETERS: &str = "params";
const SUFFIX: &str = ".item";

/// Longest secret in bytes: an item is a line, not a document.
const LIMIT: usize = 1 << 20;

/// Longest file in bytes; header, nonce and tag take some of it.
const FILE_LIMIT: usize = LIMIT + (1 << 16);

/// The most of Argon2id that a params file may ask for: 1 GiB, 64 passes. More
/// is damage or an attack on this machine's memory.
const MOST_MEMORY_KIB: u32 = 1 << 20;
const MOST_PASSES: u32 = 64;
const MOST_LANES: u32 = 16;

/// How the store's key is had; the contents of `params`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Parameters {
    version: u32,
    #[serde(flatten)]
    derivation: Derivation,
    /// Random, hexadecimal.
    salt: String,
    /// Keyed fingerprint of the salt, hexadecimal.
    check: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "key", rename_all = "kebab-case")]
enum Derivation {
    KeyFile,
    Argon2id {
        memory_kib: u32,
        passes: u32,
        lanes: u32,
    },
}

impl Derivation {
    /// RFC 9106, section 4, second recommended option: 64 MiB, 3 passes, 4
    /// lanes.
    const ARGON2ID: Self = Self::Argon2id {
        memory_kib: 64 * 1024,
        passes: 3,
        lanes: 4,
    };
}

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
    /// The keys that were derived, with the parameters they were derived by.
    keys: Mutex<Vec<(Parameters, SealingKey)>>,
}

impl EncryptedFileStore {
    /// Makes the store; touches nothing yet.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Missing`] without a state root.
    pub fn new(options: &StoreOptions) -> Result<Self, StoreError> {
        let Some(root) = &options.state_root else {
            return Err(error(StoreErrorKind::Missing, "open").because("no state folder was given"));
        };
        Ok(Self {
            root: root.clone(),
            source: options.key.as_ref().map(KeySource::duplicate),
            folder_options: FolderOptions {
                allow_network_file_system: options.allow_network_file_system,
            },
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

    /// Gives the key for a folder that has parameters; `None` when it has none.
    fn key(
        &self,
        items: &StateFolder,
        operation: &'static str,
    ) -> Result<Option<SealingKey>, StoreError> {
        let stored = items
            .read(PARAMETERS, FILE_LIMIT)
            .map_err(|cause| folder_error(cause, operation))?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        let parameters: Parameters = serde_json::from_slice(stored.expose()).map_err(|_| {
            error(StoreErrorKind::Corrupted, operation).because("the file params can't be read")
        })?;
        if parameters.version > 1 {
            return Err(error(StoreErrorKind::Corrupted, operation)
                .because("the store is of a newer version than this program knows"));
        }
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = keys.iter().find(|(known, _)| *known == parameters) {
            return Ok(Some(key.duplicate()));
        }
        let key = self.derive(&parameters.derivation, &parameters.salt, operation)?;
        if check(&key, &parameters.salt) != parameters.check {
            return Err(error(StoreErrorKind::WrongKey, operation));
        }
        keys.push((parameters, key.duplicate()));
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
        let derivation = match self.source(operation)? {
            KeySource::KeyFile(_) => Derivation::KeyFile,
            KeySource::PassphraseFile(_) | KeySource::Passphrase(_) => Derivation::ARGON2ID,
        };
        let salt = data_encoding::HEXLOWER.encode(&random::bytes::<16>());
        let key = self.derive(&derivation, &salt, operation)?;
        let parameters = Parameters {
            version: 1,
            derivation,
            check: check(&key, &salt),
            salt,
        };
        let text = serde_json::to_vec_pretty(&parameters)
            .map_err(|cause| error(StoreErrorKind::Failed, operation).because(cause))?;
        // Of several processes that do this at once one wins, and all use its.
        items
            .create_new(PARAMETERS, &text)
            .map_err(|cause| folder_error(cause, operation))?;
        self.key(items, operation)?
            .ok_or_else(|| error(StoreErrorKind::Failed, operation).because("params vanished"))
    }

    fn source(&self, operation: &'static str) -> Result<&KeySource, StoreError> {
        self.source.as_ref().ok_or_else(|| {
            error(StoreErrorKind::Locked, operation)
                .because("no key file and no passphrase were given")
        })
    }

    fn derive(
        &self,
        derivation: &Derivation,
        salt: &str,
        operation: &'static str,
    ) -> Result<SealingKey, StoreError> {
        let material = key_source::read(self.source(operation)?, operation)?;
        match (derivation, material) {
            (Derivation::KeyFile, KeyMaterial::Key(key)) => Ok(key),
            (
                &Derivation::Argon2id {
                    memory_kib,
                    passes,
                    lanes,
                },
                KeyMaterial::Passphrase(passphrase),
            ) => {
                if memory_kib > MOST_MEMORY_KIB || passes > MOST_PASSES || lanes > MOST_LANES {
                    return Err(error(StoreErrorKind::Corrupted, operation)
                        .because("the file params asks for more work than is reasonable"));
                }
                argon2id(passphrase.expose(), salt, memory_kib, passes, lanes).map_err(|cause| {
                    error(StoreErrorKind::Corrupted, operation).because(cause.to_string())
                })
            }
            (Derivation::KeyFile, KeyMaterial::Passphrase(_)) => {
                Err(error(StoreErrorKind::WrongKey, operation)
                    .because("the store was made with a key file, and a passphrase was given"))
            }
            (Derivation::Argon2id { .. }, KeyMaterial::Key(_)) => {
                Err(error(StoreErrorKind::WrongKey, operation)
                    .because("the store was made with a passphrase, and a key file was given"))
            }
        }
    }
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
        // first call. That the source can be read is known.
        key_source::read(self.source("unlock")?, "unlock").map(drop)
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
        let secret = sealed_file::open(&key, sealed.expose()).map_err(sealed_error)?;
        let header = sealed_file::header(sealed.expose()).map_err(sealed_error)?;
        match serde_json::from_slice::<Header>(header) {
            Ok(header)
                if header.application == item.application() && header.account == item.account() =>
            {
                Ok(vec![secret])
            }
            _ => Err(error(StoreErrorKind::Corrupted, "get")
                .because("the file was made for another item")),
        }
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
        items
            .remove(&file_name(item, "delete")?)
            .map_err(|cause| folder_error(cause, "delete"))
    }

    fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
        let Some(items) = self.existing(application, "list")? else {
            return Ok(Vec::new());
        };
        let names = items.names().map_err(|cause| folder_error(cause, "list"))?;
        let mut found: Vec<ItemName> = names
            .iter()
            .filter_map(|name| name.strip_suffix(SUFFIX))
            .filter_map(|name| data_encoding::BASE32_DNSSEC.decode(name.as_bytes()).ok())
            .filter_map(|account| String::from_utf8(account).ok())
            .filter_map(|account| ItemName::new(application, account).ok())
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

fn check(key: &SealingKey, salt: &str) -> String {
    let print = sealed_file::keyed_fingerprint(key, "store check", salt.as_bytes());
    data_encoding::HEXLOWER.encode(&print)
}

fn argon2id(
    passphrase: &[u8],
    salt: &str,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
) -> Result<SealingKey, argon2::Error> {
    use argon2::{Algorithm, Argon2, Block, Params, Version};

    let params = Params::new(memory_kib, passes, lanes, Some(32))?;
    // The working memory tells of the passphrase; it is wiped.
    let mut memory = zeroize::Zeroizing::new(vec![Block::default(); params.block_count()]);
    let mut key = zeroize::Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
        passphrase,
        salt.as_bytes(),
        &mut *key,
        &mut **memory,
    )?;
    Ok(SealingKey::from_bytes(*key))
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
