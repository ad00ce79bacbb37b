//! Check 3: who answers as the store, and that what is written to it comes
//! back.

use vault_platform::store::{Persistence, StoreErrorKind, StoreWorker};

use super::{Code, Report, folder, folder_error, store_error};
use crate::error::{Error, ErrorKind, Result};
use crate::profile::Profile;
use crate::proof::{StoreProof, prove};
use crate::storage::hung;

/// Gives the store if it works.
pub(super) async fn examine(profile: &Profile, report: &mut Report) -> Option<StoreWorker> {
    let worker = match profile.store_in_use() {
        Ok(worker) => worker,
        Err(error) => {
            failed(&error, report);
            return None;
        }
    };
    match round_trip(profile, &worker).await {
        Ok(proof) => {
            let message = format!(
                "{} ({}) gave back what was written and deleted it",
                proof.kind, proof.provider
            );
            report.found(Code::Store, message);
            if proof.kind.persistence() == Persistence::UntilReboot {
                let message = format!("{} keeps a login until the machine reboots", proof.kind);
                report.found(Code::StoreForgets, message);
            }
            Some(worker)
        }
        Err(error) => {
            failed(&error, report);
            None
        }
    }
}

async fn round_trip(profile: &Profile, worker: &StoreWorker) -> Result<StoreProof> {
    let (names, interaction) = (profile.names.clone(), profile.settings.interaction);
    let proof = worker.call(move |store| {
        Ok(prove(
            store,
            &names.application,
            &names.profile,
            interaction,
        ))
    });
    let deadline = profile.settings.call_deadline(interaction);
    match tokio::time::timeout(deadline, proof).await {
        Ok(proof) => proof?,
        Err(_) => Err(hung(worker.store().as_ref(), "probe")),
    }
}

fn failed(error: &Error, report: &mut Report) {
    let code = match error.kind() {
        ErrorKind::StoreMissing => Code::StoreMissing,
        ErrorKind::StoreLocked => Code::StoreLocked,
        ErrorKind::StoreHung => Code::StoreHung,
        ErrorKind::StoreKeyWrong => Code::StoreKeyWrong,
        // The vault's own refusal: it was opened with another store.
        ErrorKind::StoreRefused if store_error(error).is_none() => Code::StoreElsewhere,
        ErrorKind::StoreRefused => Code::StoreRefused,
        ErrorKind::NewerVersion => Code::FormatTooNew,
        _ if folder_error(error).is_some() => folder::code(error),
        _ => match store_error(error).map(|error| error.kind) {
            Some(StoreErrorKind::Corrupted) => Code::StoreDamaged,
            _ => Code::StoreFailed,
        },
    };
    // What ails the folder was found there.
    if !(folder_error(error).is_some() && report.is_faulty(Code::Folder)) {
        report.failed(code, error);
    } else {
        report.skipped(Code::Store, "not asked without the folder");
    }
}
