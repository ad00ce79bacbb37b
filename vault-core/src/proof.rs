//! A store proves itself: what is written to it comes back.

use vault_platform::secret::SecretBytes;
use vault_platform::store::{Interaction, ItemName, SecretStore, StoreKind};

use crate::error::{Error, ErrorKind, Result};

/// What a store said when it was asked to prove itself.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreProof {
    /// Its kind.
    pub kind: StoreKind,
    /// Who answers.
    pub provider: String,
}

/// Writes an item, reads it back and deletes it. Runs on the store's thread.
pub(crate) fn prove(
    store: &dyn SecretStore,
    application: &str,
    profile: &str,
    interaction: Interaction,
) -> Result<StoreProof> {
    store.unlock(interaction)?;
    let item = ItemName::new(application, format!("{profile}#probe"))?;
    let random: [u8; 16] = vault_platform::random::bytes();
    let text = data_encoding::HEXLOWER.encode(&random);
    let value = SecretBytes::from(text.into_bytes());
    store.set(&item, &value)?;
    let read = store.get(&item)?;
    store.delete(&item)?;
    if read.len() == 1 && read.iter().all(|read| read.same_as(&value)) {
        Ok(StoreProof {
            kind: store.kind(),
            provider: store.provider(),
        })
    } else {
        Err(Error::new(
            ErrorKind::StoreFailed,
            format!(
                "the {} store did not give back what was written to it",
                store.kind()
            ),
        ))
    }
}
