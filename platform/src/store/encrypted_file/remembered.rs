//! Keys that the kernel holds for a while ([`held`]), so that not every process
//! has to derive them again. The time is counted from the derivation.

use std::io;
use std::time::Duration;

use super::error;
use crate::sealed_file::SealingKey;
use crate::store::{StoreError, StoreErrorKind, held};

const PREFIX: &str = "key:";

/// Proves that keys can be remembered here.
pub(super) fn prove(operation: &'static str) -> Result<(), StoreError> {
    held::prove().map_err(|cause| failed(cause, operation))
}

/// Holds a key from now on for this long.
pub(super) fn keep(
    id: &str,
    key: &SealingKey,
    time: Duration,
    operation: &'static str,
) -> Result<(), StoreError> {
    held::hold(&name(id), key.expose(), time).map_err(|cause| failed(cause, operation))
}

/// Gives the key if it is held. Whether it is the right one is the caller's to
/// check.
pub(super) fn find(id: &str) -> Option<SealingKey> {
    SealingKey::from_slice(held::held(&name(id))?.expose())
}

/// Tells whether any key is held.
pub(super) fn any() -> bool {
    held::any(PREFIX)
}

/// Holds the key no longer.
pub(super) fn forget(id: &str, operation: &'static str) -> Result<(), StoreError> {
    held::release(&name(id)).map_err(|cause| failed(cause, operation))
}

fn name(id: &str) -> String {
    format!("{PREFIX}{id}")
}

fn failed(cause: io::Error, operation: &'static str) -> StoreError {
    let kind = match cause.kind() {
        // No such call; forbidden; another system.
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied => StoreErrorKind::Missing,
        _ => StoreErrorKind::Failed,
    };
    error(kind, operation).because(format!(
        "the key can't be remembered in the kernel's key ring: {cause}"
    ))
}
