//! What the stores on keyring-core have in common.

use keyring_core::Error;

use super::{ItemName, StoreError, StoreErrorKind, StoreKind};

/// Sorts an error of keyring-core.
pub(super) fn kind_of(cause: &Error) -> StoreErrorKind {
    match cause {
        Error::NoStorageAccess(_) => StoreErrorKind::Locked,
        Error::BadEncoding(_) | Error::BadDataFormat(..) | Error::BadStoreFormat(_) => {
            StoreErrorKind::Corrupted
        }
        _ => StoreErrorKind::Failed,
    }
}

/// Makes our error of keyring-core's, and drops stored bytes that it carries.
pub(super) fn store_error(
    cause: Error,
    kind: StoreErrorKind,
    store: StoreKind,
    operation: &'static str,
) -> StoreError {
    let error = StoreError::new(kind, store, operation);
    match cause {
        // These carry the secret; their Debug would print it.
        Error::BadEncoding(mut bytes) | Error::BadDataFormat(mut bytes, _) => {
            zeroize::Zeroize::zeroize(&mut bytes);
            error.because("the stored bytes have a form that was not expected")
        }
        Error::PlatformFailure(source) | Error::NoStorageAccess(source) => error.because(source),
        other => error.because(other),
    }
}

/// Takes an absent item for a deleted one.
pub(super) fn ignore_absent(result: keyring_core::Result<()>) -> keyring_core::Result<()> {
    match result {
        Err(Error::NoEntry) => Ok(()),
        other => other,
    }
}

/// Names each account of the application once, sorted.
pub(super) fn each_name(
    application: &str,
    found: impl Iterator<Item = (String, String)>,
) -> Vec<ItemName> {
    let mut names: Vec<ItemName> = found
        .filter(|(service, _)| service == application)
        .filter_map(|(service, account)| ItemName::new(service, account).ok())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}
