//! Keys that the kernel holds for a while, so that not every process has to
//! derive them again.
//!
//! Any process of the user can read such a key until its time has passed or
//! the machine reboots; the time is counted from the derivation and is never
//! prolonged. Nothing is held unless the user asked for it.

use std::ffi::CString;
use std::io;
use std::time::Duration;

use super::error;
use crate::sealed_file::SealingKey;
use crate::store::keyutils::ring;
use crate::store::{StoreError, StoreErrorKind};

const PREFIX: &str = "vault-key:";

/// Proves that keys can be remembered here.
pub(super) fn prove(operation: &'static str) -> Result<(), StoreError> {
    ring::prove().map_err(|cause| failed(cause, operation))
}

/// Holds a key from now on for this long.
pub(super) fn keep(
    id: &str,
    key: &SealingKey,
    time: Duration,
    operation: &'static str,
) -> Result<(), StoreError> {
    name(id)
        .and_then(|name| ring::put(&name, key.expose(), Some(time)))
        .map_err(|cause| failed(cause, operation))
}

/// Gives the key if it is held. Whether it is the right one is the caller's to
/// check; a kernel without key rings holds none.
pub(super) fn find(id: &str) -> Option<SealingKey> {
    let found = ring::get(&name(id).ok()?).ok()?;
    found
        .iter()
        .find_map(|contents| SealingKey::from_slice(contents.expose()))
}

/// Tells whether any key is held.
pub(super) fn any() -> bool {
    ring::names(PREFIX).is_ok_and(|names| !names.is_empty())
}

/// Holds the key no longer.
pub(super) fn forget(id: &str, operation: &'static str) -> Result<(), StoreError> {
    if find(id).is_none() {
        return Ok(());
    }
    name(id)
        .and_then(|name| ring::remove(&name))
        .map_err(|cause| failed(cause, operation))
}

fn name(id: &str) -> io::Result<CString> {
    CString::new(format!("{PREFIX}{id}")).map_err(io::Error::from)
}

fn failed(cause: io::Error, operation: &'static str) -> StoreError {
    let kind = match cause.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM) => StoreErrorKind::Missing,
        _ => StoreErrorKind::Failed,
    };
    error(kind, operation).because(format!(
        "the key can't be remembered in the kernel's key ring: {cause}"
    ))
}
