//! Check 4: what is stored of the login is whole: the key item, the sealed
//! file, the copy of the token, and nothing that an earlier one left.

use std::path::PathBuf;
use std::sync::Arc;

use vault_platform::folder::StateFolder;
use vault_platform::store::StoreWorker;

use super::{Code, Report, folder, folder_error};
use crate::error::{Error, ErrorKind, Result};
use crate::profile::{Profile, Waiting};
use crate::record::{KeyItem, LoginRecord};
use crate::refresh::claim::token_item;
use crate::storage::{SealedReading, Storage, path_text};

/// A login that could be read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) storage: Arc<Storage>,
    pub(super) key: KeyItem,
    pub(super) record: LoginRecord,
}

pub(super) async fn examine(
    profile: &Profile,
    folder: Option<&StateFolder>,
    store: &StoreWorker,
    report: &mut Report,
) -> Option<Found> {
    let looked = match folder {
        Some(folder) => in_folder(profile, folder, report).await,
        None => without_folder(profile, store, report).await,
    };
    match looked {
        Ok(found) => found,
        Err(error) => {
            let code = match error.kind() {
                ErrorKind::NewerVersion => Code::FormatTooNew,
                ErrorKind::DpopKeyLost => Code::DpopKeyLost,
                ErrorKind::ItemMissing | ErrorKind::Corrupted => Code::ItemMissing,
                _ if folder_error(&error).is_some() => folder::code(&error),
                _ => Code::StoreFailed,
            };
            report.failed(code, &error);
            None
        }
    }
}

/// Without a folder there may still be a login: the folder was removed, or the
/// login belongs to another one.
async fn without_folder(
    profile: &Profile,
    store: &StoreWorker,
    report: &mut Report,
) -> Result<Option<Found>> {
    if report.is_faulty(Code::Folder) {
        report.skipped(Code::Login, "it can't be read without the folder");
        return Ok(None);
    }
    let here = profile.folder_path()?;
    match profile.read_key(store, None, Waiting::Task).await? {
        Some(key) if key.path != here => kept_elsewhere(&key, report),
        Some(_) => report.found(
            Code::SealedMissing,
            "the store holds the login, and its state folder is gone",
        ),
        None => report.skipped(Code::Login, "nobody is logged in"),
    }
    Ok(None)
}

async fn in_folder(
    profile: &Profile,
    folder: &StateFolder,
    report: &mut Report,
) -> Result<Option<Found>> {
    let Some(storage) = profile.storage()? else {
        report.skipped(Code::Login, "nobody is logged in");
        return Ok(None);
    };
    damaged_files(folder, report)?;
    let key = profile
        .read_key(&storage.store, Some(&storage), Waiting::Task)
        .await?;
    let Some(key) = key else {
        profile.look_without_key(&storage)?;
        report.skipped(Code::Login, "nobody is logged in");
        return Ok(None);
    };
    let here = folder.path().map(path_text);
    if key.path.is_some() && key.path != here {
        kept_elsewhere(&key, report);
        return Ok(None);
    }
    if storage.is_buried(key.login)? {
        let message = "the login was ended, and the store still holds it";
        report.found(Code::LogoutUnfinished, message);
        return Ok(None);
    }
    let record = match storage.sealed(&key)? {
        SealedReading::Present(record) => *record,
        SealedReading::Absent => {
            let message = "the state folder has lost the sealed file";
            report.found(Code::SealedMissing, message);
            return Ok(None);
        }
        SealedReading::Unreadable => {
            let message = "the sealed file is not what was written";
            report.found(Code::SealedDamaged, message);
            return Ok(None);
        }
        SealedReading::Foreign(error) if error.kind() == ErrorKind::NewerVersion => {
            return Err(error);
        }
        SealedReading::Foreign(error) => {
            report.failed(Code::SealedForeign, &error);
            return Ok(None);
        }
    };
    key.dpop_key(record.settings.jkt.as_deref())?;
    the_copy(&storage, &key, &record, report).await?;
    if !report.is_faulty(Code::Login) {
        let account = record
            .settings
            .account
            .as_deref()
            .map(|name| format!(" as {name}"));
        let message = format!(
            "logged in{} at {}, generation {}, whole",
            account.unwrap_or_default(),
            record.settings.issuer,
            record.generation
        );
        report.found(Code::Login, message);
    }
    Ok(Some(Found {
        storage,
        key,
        record,
    }))
}

fn kept_elsewhere(key: &KeyItem, report: &mut Report) {
    let path = key.path.clone().map(PathBuf::from);
    let message = match &path {
        Some(path) => format!("the login is kept in {}", path.display()),
        None => "the login is kept in the memory of another process".to_owned(),
    };
    report.found_at(Code::KeptElsewhere, path, message);
}

/// The token item, from which the sealed file could be made again.
async fn the_copy(
    storage: &Storage,
    key: &KeyItem,
    record: &LoginRecord,
    report: &mut Report,
) -> Result<()> {
    let wanted = token_item(key, record).write();
    if !storage.store_can_hold(&wanted) {
        let limit = storage.store.store().capabilities().size_limit;
        let message = format!(
            "the refresh token takes {} bytes, and the {} store holds {}: its only copy is the \
             sealed file",
            wanted.len(),
            storage.kind(),
            limit.unwrap_or_default()
        );
        report.found(Code::TokenTooLarge, message);
        return Ok(());
    }
    let message = match storage.token_item(key.login).await? {
        None => "the store holds no copy of the refresh token".to_owned(),
        Some(copy) if copy.generation < record.generation => format!(
            "the copy in the store is of generation {}, the sealed file of {}",
            copy.generation, record.generation
        ),
        Some(copy) if copy.generation > record.generation => format!(
            "the copy in the store is newer, of generation {}, than the sealed file, of {}",
            copy.generation, record.generation
        ),
        Some(_) => return Ok(()),
    };
    report.found(Code::CopyStale, message);
    Ok(())
}

/// Files that could not be read once and were kept.
fn damaged_files(folder: &StateFolder, report: &mut Report) -> Result<(), Error> {
    for name in folder.names()? {
        if name.contains(".corrupt-") {
            let path = folder.path().map(|path| path.join(&name));
            let message = format!("{name} could not be read and was set aside");
            report.found_at(Code::DamagedKept, path, message);
        }
    }
    Ok(())
}
