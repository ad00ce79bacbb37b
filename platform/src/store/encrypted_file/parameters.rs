//! The file `params`: how the key of an application's items is had.
//!
//! Form 2 holds the items' key, sealed with the key file's key or with one that
//! is derived from a passphrase. In form 1 that key itself sealed the items; it
//! is still read, and becomes form 2 when the passphrase is changed.
//!
//! A check value tells another key or a mistyped passphrase from a damaged
//! file.

use serde::{Deserialize, Serialize};

use super::{FILE_LIMIT, error, folder_error};
use crate::folder::StateFolder;
use crate::random;
use crate::sealed_file::{self, SealingKey};
use crate::store::key_source::{self, KeyMaterial};
use crate::store::{KeySource, StoreError, StoreErrorKind};

const FILE: &str = "params";

/// The most of Argon2id that a params file may ask for: 1 GiB, 64 passes. More
/// is damage or an attack on this machine's memory.
const MOST: PassphraseCost = PassphraseCost {
    memory_kib: 1 << 20,
    passes: 64,
    lanes: 16,
};

/// What it costs to derive a key from a passphrase (Argon2id, RFC 9106), for
/// its user as well as for somebody who guesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassphraseCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes of the memory.
    pub lanes: u32,
}

impl Default for PassphraseCost {
    /// RFC 9106, section 4, second recommended option: 64 MiB, 3 passes, 4
    /// lanes.
    fn default() -> Self {
        Self {
            memory_kib: 64 * 1024,
            passes: 3,
            lanes: 4,
        }
    }
}

/// The contents of the file.
#[derive(Serialize, Deserialize)]
pub(super) struct Parameters {
    version: u32,
    #[serde(flatten)]
    derivation: Derivation,
    /// Random, hexadecimal.
    salt: String,
    /// Keyed fingerprint of the salt, hexadecimal.
    check: String,
    /// The items' key; in form 1 there is none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<ItemsKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "key", rename_all = "kebab-case")]
enum Derivation {
    KeyFile,
    Argon2id(PassphraseCost),
}

#[derive(Serialize, Deserialize)]
struct ItemsKey {
    /// Stays when the passphrase changes. Random, hexadecimal.
    id: String,
    /// Keyed fingerprint of the id, hexadecimal.
    check: String,
    /// The key, sealed with the other one under the id; hexadecimal.
    sealed: String,
}

impl Parameters {
    /// Reads the file; `None` when it is not there.
    pub(super) fn read(
        items: &StateFolder,
        operation: &'static str,
    ) -> Result<Option<Self>, StoreError> {
        let stored = items
            .read(FILE, FILE_LIMIT)
            .map_err(|cause| folder_error(cause, operation))?;
        let Some(stored) = stored else {
            return Ok(None);
        };
        // The version comes first: a newer form may look otherwise.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let newer = serde_json::from_slice::<Version>(stored.expose())
            .is_ok_and(|stored| stored.version > 2);
        if newer {
            return Err(error(StoreErrorKind::Corrupted, operation)
                .because("the store is of a newer version than this program knows"));
        }
        serde_json::from_slice(stored.expose())
            .map(Some)
            .map_err(|_| corrupted("the file params can't be read", operation))
    }

    /// Seals the items' key with what the source yields and a new salt.
    pub(super) fn seal(
        key: &SealingKey,
        id: &str,
        source: &KeySource,
        cost: PassphraseCost,
        operation: &'static str,
    ) -> Result<Self, StoreError> {
        let derivation = match source {
            KeySource::KeyFile(_) => Derivation::KeyFile,
            KeySource::PassphraseFile(_) | KeySource::Passphrase(_) => Derivation::Argon2id(cost),
        };
        let salt = hex(&random::bytes::<16>());
        let outer = derivation.derive(source, &salt, operation)?;
        Ok(Self {
            version: 2,
            derivation,
            check: check(&outer, "store check", &salt),
            salt,
            items: Some(ItemsKey {
                check: check(key, "items check", id),
                sealed: hex(&sealed_file::seal(&outer, id.as_bytes(), key.expose())),
                id: id.to_owned(),
            }),
        })
    }

    /// Names the items' key, for as long as there are items.
    pub(super) fn id(&self) -> &str {
        self.items.as_ref().map_or(&self.salt, |items| &items.id)
    }

    /// Tells whether this is the items' key.
    pub(super) fn are_of(&self, key: &SealingKey) -> bool {
        match &self.items {
            Some(items) => check(key, "items check", &items.id) == items.check,
            None => check(key, "store check", &self.salt) == self.check,
        }
    }

    /// Gives the items' key, at the price of a derivation.
    pub(super) fn open(
        &self,
        source: &KeySource,
        operation: &'static str,
    ) -> Result<SealingKey, StoreError> {
        let outer = self.derivation.derive(source, &self.salt, operation)?;
        if check(&outer, "store check", &self.salt) != self.check {
            return Err(error(StoreErrorKind::WrongKey, operation));
        }
        let Some(items) = &self.items else {
            return Ok(outer);
        };
        let damaged = || corrupted("the file params is damaged", operation);
        let sealed = data_encoding::HEXLOWER
            .decode(items.sealed.as_bytes())
            .map_err(|_| damaged())?;
        let key = sealed_file::open(&outer, &sealed).map_err(|_| damaged())?;
        let named = sealed_file::header(&sealed).is_ok_and(|id| id == items.id.as_bytes());
        SealingKey::from_slice(key.expose())
            .filter(|key| named && self.are_of(key))
            .ok_or_else(damaged)
    }

    /// Writes the file unless it is there; tells whether it was written.
    pub(super) fn create(
        &self,
        items: &StateFolder,
        operation: &'static str,
    ) -> Result<bool, StoreError> {
        items
            .create_new(FILE, &self.text(operation)?)
            .map_err(|cause| folder_error(cause, operation))
    }

    /// Replaces the file in one step.
    pub(super) fn replace(
        &self,
        items: &StateFolder,
        operation: &'static str,
    ) -> Result<(), StoreError> {
        items
            .replace(FILE, &self.text(operation)?)
            .map_err(|cause| folder_error(cause, operation))
    }

    /// What a derivation costs; `None` with a key file.
    #[cfg(any(fuzzing, test))]
    pub(super) fn cost(&self) -> Option<PassphraseCost> {
        match self.derivation {
            Derivation::KeyFile => None,
            Derivation::Argon2id(cost) => Some(cost),
        }
    }

    fn text(&self, operation: &'static str) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec_pretty(self)
            .map_err(|cause| error(StoreErrorKind::Failed, operation).because(cause))
    }
}

impl Derivation {
    fn derive(
        &self,
        source: &KeySource,
        salt: &str,
        operation: &'static str,
    ) -> Result<SealingKey, StoreError> {
        match (self, key_source::read(source, operation)?) {
            (Self::KeyFile, KeyMaterial::Key(key)) => Ok(key),
            (Self::Argon2id(cost), KeyMaterial::Passphrase(passphrase)) => {
                let too_much = cost.memory_kib > MOST.memory_kib
                    || cost.passes > MOST.passes
                    || cost.lanes > MOST.lanes;
                if too_much {
                    return Err(corrupted(
                        "the file params asks for more work than is reasonable",
                        operation,
                    ));
                }
                tracing::debug!("deriving the store's key from the passphrase");
                argon2id(passphrase.expose(), salt, *cost).map_err(|cause| {
                    error(StoreErrorKind::Corrupted, operation).because(cause.to_string())
                })
            }
            (Self::KeyFile, KeyMaterial::Passphrase(_)) => {
                Err(error(StoreErrorKind::WrongKey, operation)
                    .because("the store was made with a key file, and a passphrase was given"))
            }
            (Self::Argon2id(_), KeyMaterial::Key(_)) => {
                Err(error(StoreErrorKind::WrongKey, operation)
                    .because("the store was made with a passphrase, and a key file was given"))
            }
        }
    }
}

fn argon2id(
    passphrase: &[u8],
    salt: &str,
    cost: PassphraseCost,
) -> Result<SealingKey, argon2::Error> {
    use argon2::{Algorithm, Argon2, Block, Params, Version};

    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32))?;
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

fn check(key: &SealingKey, label: &str, of: &str) -> String {
    hex(&sealed_file::keyed_fingerprint(key, label, of.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn corrupted(why: &'static str, operation: &'static str) -> StoreError {
    error(StoreErrorKind::Corrupted, operation).because(why)
}
