//! Alters what a login's sealed file says beside its refresh token: the hosts
//! that it is bound to, and that an access token was refused.
//!
//! As with a repair, the commit is the sealed file, replaced under the refresh
//! lock after everything was read again there. The generation stays, for it
//! counts rotations, and the token is the same; the counters move, so that all
//! processes read again. A logout needs no lock, so it is looked for afterwards.

use std::sync::Arc;

use tokio::time::Instant;
use vault_platform::lock::{LockError, LockGuard};

use super::claim::Claim;
use super::description::describe;
use super::farewell::delete_remains;
use super::protocol::{Claimed, Failure, SealedCopy};
use crate::cache_key::Asked;
use crate::display::ProfileSummary;
use crate::error::Result;
use crate::fault;
use crate::life::Stamp;
use crate::profile::{Look, Profile, Waiting};
use crate::record::LoginRecord;
use crate::storage::Storage;

/// Has `alter` change the record, and commits that if it says that it did.
/// Returns whether it did.
///
/// # Errors
///
/// What `alter` says, that nobody is logged in, that the lock could not be had,
/// and the failures of store and folder. Then the
/// file is as it was.
pub(crate) async fn alter(
    profile: &Arc<Profile>,
    alter: impl FnOnce(&mut LoginRecord) -> Result<bool>,
) -> Result<bool> {
    let failed = |failure| describe(failure, &profile.names, None);
    let deadline = Instant::now() + profile.settings.lock_timeout;
    let (storage, lock) = loop {
        // Prompts come before the lock.
        match profile.look(Waiting::Task).await? {
            Look::NotLoggedIn => return Err(failed(Failure::NotLoggedIn)),
            Look::LoggedOut | Look::Ended(_) => return Err(failed(Failure::LoggedOut)),
            Look::Damaged | Look::Login(_) => {}
        }
        let storage = profile.storage()?;
        let storage = storage.ok_or_else(|| failed(Failure::NotLoggedIn))?;
        let lock = take_lock(profile, &storage, deadline).await?;
        if storage.is_pinned()? {
            break (storage, lock);
        }
        // Another process has moved the profile to another store.
    };
    let mut claim = claim_newest(profile, &storage, lock).await?;
    let login = claim.key.login;
    let record = claim
        .record_mut()
        .ok_or_else(|| failed(Failure::Corrupted))?;
    if !alter(record)? {
        return Ok(false);
    }
    let point = fault::Around::new("alteration", &format_args!("Commit"));
    point.before();
    storage.shared.begin_change();
    let committed = claim.write_sealed(&storage);
    storage.shared.end_change();
    committed?;
    point.after();
    if storage.is_buried(login)? {
        delete_remains(profile, &storage, login).await?;
        return Err(failed(Failure::LoggedOut));
    }
    if let Err(error) = record_for_display(&storage, &claim) {
        tracing::debug!(?error, "the display copy could not be written");
    }
    Ok(true)
}

/// Waits for the refresh lock, so long as the caller does.
pub(super) async fn take_lock(
    profile: &Profile,
    storage: &Storage,
    deadline: Instant,
) -> Result<LockGuard> {
    loop {
        match storage.lock.try_lock() {
            Ok(Some(lock)) => return Ok(lock),
            Ok(None) | Err(LockError::Replaced { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= deadline {
            return Err(describe(Failure::LockTimeout, &profile.names, None));
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Reads everything under the lock, and sees to it that the sealed file is the
/// newest copy.
pub(super) async fn claim_newest(
    profile: &Profile,
    storage: &Storage,
    lock: LockGuard,
) -> Result<Claim> {
    let (mut claim, claimed) = Claim::take(lock, profile, storage, &Asked::default()).await?;
    if claimed.tombstoned {
        return Err(describe(Failure::LoggedOut, &profile.names, None));
    }
    repair(profile, storage, &mut claim, &claimed)?;
    Ok(claim)
}

/// The newest copy wins, as in a refresh.
fn repair(
    profile: &Profile,
    storage: &Storage,
    claim: &mut Claim,
    claimed: &Claimed,
) -> Result<()> {
    let Some(item) = claimed.item else {
        return match claimed.sealed {
            SealedCopy::Present(_) => Ok(()),
            _ => Err(describe(Failure::Corrupted, &profile.names, None)),
        };
    };
    match claimed.sealed {
        SealedCopy::Present(sealed) if sealed.generation >= item.generation => return Ok(()),
        SealedCopy::Present(_) | SealedCopy::Absent => {}
        SealedCopy::Unreadable => {
            claim.set_aside(storage)?;
        }
    }
    let now = Stamp::from(&profile.now());
    claim.repair_sealed(storage, now, profile.settings.policy.unwrap_or_default())
}

fn record_for_display(storage: &Storage, claim: &Claim) -> Result<()> {
    let folder = &storage.folder;
    match (claim.record(), ProfileSummary::read(folder)?) {
        (Some(record), Some(summary)) => {
            ProfileSummary::of(storage, record, summary.state).write(folder)
        }
        _ => Ok(()),
    }
}
