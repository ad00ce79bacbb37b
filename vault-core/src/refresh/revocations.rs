//! Revocations that wait: a logout whose server could not be reached leaves the
//! refresh token in the store, with all that is needed to revoke it later.
//!
//! Such an item can't bring a login back: nothing but this module reads it, and
//! all that is done with it is a revocation. Beside it lies a note without a
//! secret in the application's folder, so that a process finds out without the
//! store whether there is anything to do. Tried again at the beginning of a login,
//! and after an import, a logout and a refresh; given up when the server refuses,
//! after 30 days, and when it could end a login that was made since.

pub(crate) mod item;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use vault_platform::folder::StateFolder;
use vault_platform::secret::SecretBytes;
use vault_platform::store::{ItemName, StoreKind, StoreWorker};

use crate::display::ProfileSummary;
use crate::error::{Error, ErrorKind, Result};
use crate::http::Http;
use crate::identity::LoginId;
use crate::oauth::client::Client;
use crate::oauth::revocation::revoke;
use crate::profile::Profile;
use crate::record::{KeyItem, LoginRecord, RecordError};
use crate::storage::{Storage, hung};

use item::{Note, RevocationItem};

/// How many may wait, of all profiles of an application.
const MOST: usize = 10;

/// How long one waits. By then most servers have forgotten the token.
const KEPT_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long one pass over all of them may take.
const PASS: Duration = Duration::from_secs(8);

/// What the note's file and the item's account have before the login's id.
const NOTE: &str = "revoke.";
const ITEM: &str = "#revoke.";

/// What a pass over the waiting revocations came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevocationsReport {
    /// How many are done with: the server has revoked the token, refuses to,
    /// or had its time; or the client has a newer login there, which the
    /// revocation could end.
    pub done: usize,
    /// How many wait on.
    pub waiting: usize,
}

/// Keeps a refresh token whose login has ended for a later revocation.
///
/// A newer token of the same login that is kept already stays.
///
/// # Errors
///
/// If it can't be kept, for whatever reason: then nothing of it is.
pub(crate) async fn queue(
    profile: &Profile,
    storage: &Storage,
    login: LoginId,
    record: &LoginRecord,
    key: Option<&KeyItem>,
) -> Result<()> {
    let refused = |message: &str| Error::new(ErrorKind::NotOffered, message);
    let folder = profile
        .application_folder()?
        .ok_or_else(|| refused("a vault in memory keeps no revocation"))?;
    let waiting = notes(&folder)?;
    if waiting.len() >= MOST && !waiting.contains(&login) {
        return Err(refused("too many revocations wait already"));
    }
    let item = RevocationItem::new(record, key, profile.now().wall)
        .ok_or_else(|| refused("the revocation endpoint is not known"))?;
    let value = item.write();
    if !storage.store_can_hold(&value) {
        return Err(refused("the token is too large for the store"));
    }
    let kind = storage.store.store().kind();
    let note = Note::new(&profile.names.profile, kind);
    let name = item_name(profile, &note, login)?;
    if waiting.contains(&login) {
        let kept = read(profile, &storage.store, name.clone()).await?;
        let kept = kept
            .iter()
            .filter_map(|kept| RevocationItem::read(kept).ok());
        if kept.map(|kept| kept.generation).max() >= Some(record.generation) {
            return Ok(());
        }
    }
    // The note first: an item without one would be forgotten.
    folder.replace(&note_name(login), note.write().expose())?;
    let call = storage.store.call(move |store| store.set(&name, &value));
    match tokio::time::timeout(profile.settings.store_deadline, call).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            folder.remove(&note_name(login))?;
            Err(error.into())
        }
        // It may be written yet: the note stays, and finds it.
        Err(_) => Err(hung(storage.store.store().as_ref(), "set")),
    }
}

/// Tries all that wait once more, side by side and bounded in time. `thorough`
/// asks the store, too, what waits: a folder that was wiped has no notes.
pub(crate) async fn retry(profile: &Arc<Profile>, thorough: bool) -> RevocationsReport {
    let folder = match profile.application_folder() {
        Ok(Some(folder)) => folder,
        Ok(None) => return RevocationsReport::default(),
        Err(error) => {
            tracing::debug!(?error, "the notes of revocations can't be read");
            return RevocationsReport::default();
        }
    };
    if thorough && let Err(error) = note_what_the_store_has(profile, &folder).await {
        tracing::debug!(?error, "the store does not tell what waits");
    }
    let mut tries = JoinSet::new();
    for login in notes(&folder).unwrap_or_default() {
        let (profile, folder) = (profile.clone(), folder.clone());
        tries.spawn(async move { try_again(&profile, &folder, login).await });
    }
    let mut report = RevocationsReport {
        done: 0,
        waiting: tries.len(),
    };
    let all = async {
        while let Some(tried) = tries.join_next().await {
            match tried {
                Ok(Ok(())) => {
                    report.done += 1;
                    report.waiting -= 1;
                }
                Ok(Err(error)) => tracing::debug!(?error, "a revocation waits on"),
                Err(error) => tracing::debug!(?error, "a revocation was not tried to its end"),
            }
        }
    };
    // What is not done by then waits on.
    drop(tokio::time::timeout(PASS, all).await);
    report
}

/// Tries one. An error means that it waits on.
async fn try_again(profile: &Profile, folder: &StateFolder, login: LoginId) -> Result<()> {
    let Some(bytes) = folder.read(&note_name(login), 1 << 16)? else {
        return Ok(());
    };
    let note = Note::read(&bytes)?;
    let worker = profile.settings.store(note.store)?;
    let name = item_name(profile, &note, login)?;
    for value in read(profile, &worker, name.clone()).await? {
        match RevocationItem::read(&value) {
            Ok(item) => ask_server(profile, folder, &item).await?,
            Err(error @ RecordError::TooNew { .. }) => return Err(error.into()),
            // Of no use to anyone.
            Err(RecordError::Unreadable { .. }) => {}
        }
    }
    worker.call(move |store| store.delete(&name)).await?;
    Ok(folder.remove(&note_name(login))?)
}

/// Done, also where the server will never do it. An error means: not now.
async fn ask_server(profile: &Profile, folder: &StateFolder, item: &RevocationItem) -> Result<()> {
    if profile.now().wall.saturating_sub(item.logged_out) > KEPT_FOR {
        return Ok(());
    }
    if has_newer_login(folder, item) {
        let issuer = &item.endpoints.issuer;
        tracing::warn!(%issuer, "a revocation is given up: it could end a newer login");
        return Ok(());
    }
    let http: Http = profile.settings.http(&item.ca_certificates)?;
    let client = Client {
        id: &item.client_id,
        credential: item.credential.as_ref(),
        clock: profile.settings.clock.as_ref(),
    };
    let call = revoke(&http, &item.endpoints, &client, &item.refresh_token);
    match tokio::time::timeout(profile.settings.revocation_deadline, call).await {
        Ok(Err(error)) if error.is_transient() => Err(error),
        Ok(Err(error)) => {
            tracing::warn!(?error, "a revocation is given up");
            Ok(())
        }
        Ok(Ok(_)) => Ok(()),
        Err(_) => Err(Error::new(
            ErrorKind::ServerUnavailable,
            "the authorization server did not answer the revocation in time",
        )),
    }
}

/// Whether the application holds a login that a server may attach to the same
/// grant. A revocation could end it; and while it lives, so does the grant.
///
/// Read from the display copies, which asks no store. One that can't be read
/// tells of no login: the logout was wanted.
fn has_newer_login(folder: &StateFolder, item: &RevocationItem) -> bool {
    let names = folder.children().unwrap_or_default();
    names.iter().any(|name| {
        let profile = folder.open_child(name).ok().flatten();
        let login = profile.and_then(|profile| ProfileSummary::read(&profile).ok().flatten());
        login.is_some_and(|login| item.may_share_its_grant_with(&login))
    })
}

async fn read(profile: &Profile, worker: &StoreWorker, name: ItemName) -> Result<Vec<SecretBytes>> {
    let call = worker.call(move |store| store.get(&name));
    match tokio::time::timeout(profile.settings.store_deadline, call).await {
        Ok(values) => Ok(values?),
        Err(_) => Err(hung(worker.store().as_ref(), "read")),
    }
}

/// Writes the notes that are missing.
async fn note_what_the_store_has(profile: &Profile, folder: &StateFolder) -> Result<()> {
    let worker = profile.store_in_use()?;
    let kind: StoreKind = worker.store().kind();
    let application = profile.names.application.clone();
    let call = worker.call(move |store| store.list(&application));
    let listed = tokio::time::timeout(profile.settings.store_deadline, call).await;
    let Ok(listed) = listed else {
        return Err(hung(worker.store().as_ref(), "list"));
    };
    let noted = notes(folder)?;
    for name in listed? {
        if let Some((owner, id)) = name.account().split_once(ITEM)
            && let Some(login) = LoginId::from_text(id)
            && !noted.contains(&login)
        {
            let note = Note::new(owner, kind);
            folder.replace(&note_name(login), note.write().expose())?;
        }
    }
    Ok(())
}

/// The logins of which a note tells.
fn notes(folder: &StateFolder) -> Result<Vec<LoginId>> {
    let names = folder.names()?;
    let ids = names.iter().filter_map(|name| name.strip_prefix(NOTE));
    Ok(ids.filter_map(LoginId::from_text).collect())
}

fn note_name(login: LoginId) -> String {
    format!("{NOTE}{login}")
}

fn item_name(profile: &Profile, note: &Note, login: LoginId) -> Result<ItemName> {
    let account = format!("{}{ITEM}{login}", note.profile);
    Ok(ItemName::new(&profile.names.application, account)?)
}
