//! Remembering keys, on systems whose kernels hold none.

use std::time::Duration;

use super::error;
use crate::sealed_file::SealingKey;
use crate::store::{StoreError, StoreErrorKind};

pub(super) fn prove(operation: &'static str) -> Result<(), StoreError> {
    Err(error(StoreErrorKind::Missing, operation)
        .because("only Linux can remember the key of the encrypted-file store for a while"))
}

pub(super) fn keep(
    _id: &str,
    _key: &SealingKey,
    _time: Duration,
    operation: &'static str,
) -> Result<(), StoreError> {
    prove(operation)
}

pub(super) fn find(_id: &str) -> Option<SealingKey> {
    None
}

pub(super) fn any() -> bool {
    false
}

#[expect(clippy::unnecessary_wraps, reason = "the same shape as on Linux")]
pub(super) fn forget(_id: &str, _operation: &'static str) -> Result<(), StoreError> {
    Ok(())
}
