//! What is done when a login has ended: its remains are deleted, its refresh
//! token is revoked.

use crate::error::{Error, ErrorKind, Result};
use crate::identity::LoginId;
use crate::oauth::revocation::{Revoked, revoke};
use crate::profile::Profile;
use crate::record::{KeyItem, LoginRecord};
use crate::storage::Storage;

/// Deletes what is stored for a login that has ended. Wants the refresh lock:
/// the mark is looked at before it goes, for it may be a newer login's by now,
/// and tell of a token that must not be sent again.
pub(crate) async fn delete_remains(
    profile: &Profile,
    storage: &Storage,
    login: LoginId,
) -> Result<()> {
    let copies = delete_copies(profile, storage, login).await;
    if storage.mark()?.is_some_and(|mark| mark.login == login) {
        storage.remove_mark()?;
    }
    copies
}

/// Deletes the items and the sealed file of a login that has ended, which can
/// be done without the refresh lock. The mark stays: another process may be
/// writing one at this moment, and nobody minds that of another login.
pub(crate) async fn delete_copies(
    profile: &Profile,
    storage: &Storage,
    login: LoginId,
) -> Result<()> {
    let leftovers = delete_leftovers(profile, storage).await;
    let items = storage.delete_items(login).await;
    storage.remove_sealed(login)?;
    if items.is_err()
        && let Some(mark) = storage.folder_mark()?
    {
        // A login into another store would forget it.
        storage.write_folder_mark(&mark.beside(storage.kind()))?;
    }
    items.and(leftovers)
}

/// Deletes what the profile has left in stores that it is not pinned to: a move
/// between stores was not finished. Wants the refresh lock or the login lock.
pub(crate) async fn delete_leftovers(profile: &Profile, storage: &Storage) -> Result<()> {
    let Some(mut mark) = storage.folder_mark()? else {
        return Ok(());
    };
    if !mark.also.is_empty() {
        // The pin may be in doubt, if the machine stops: what it led to before
        // goes only once it is durable.
        storage.write_folder_mark(&mark)?;
    }
    let mut result = Ok(());
    for kind in mark.also.clone() {
        let deleted = match profile.settings.store(kind) {
            Ok(store) if kind != mark.store => storage.beside(store)?.delete_leftovers().await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        match deleted {
            Ok(()) => {
                mark = mark.without(kind);
                storage.write_folder_mark(&mark)?;
            }
            Err(error) => result = Err(error),
        }
    }
    result
}

/// Revokes a refresh token whose login has ended, bounded in time.
pub(crate) async fn revoke_now(
    profile: &Profile,
    record: &LoginRecord,
    key: Option<&KeyItem>,
) -> Result<()> {
    let settings = &record.settings;
    let Some(endpoints) = &settings.endpoints else {
        return Err(Error::new(
            ErrorKind::NotOffered,
            "the revocation endpoint is not known",
        ));
    };
    let http = profile.http(&settings.ca_certificates)?;
    let client = record.client(key, profile.settings.clock.as_ref());
    let call = revoke(&http, endpoints, &client, &record.refresh_token);
    match tokio::time::timeout(profile.settings.revocation_deadline, call).await {
        Ok(Ok(Revoked::Done)) => Ok(()),
        Ok(Ok(Revoked::NotOffered)) => Err(Error::new(
            ErrorKind::NotOffered,
            "the authorization server offers no revocation",
        )),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::new(
            ErrorKind::ServerUnavailable,
            "the authorization server did not answer the revocation in time",
        )),
    }
}
