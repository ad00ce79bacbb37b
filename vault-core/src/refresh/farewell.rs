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
pub(crate) async fn delete_remains(storage: &Storage, login: LoginId) -> Result<()> {
    let copies = delete_copies(storage, login).await;
    if storage.mark()?.is_some_and(|mark| mark.login == login) {
        storage.remove_mark()?;
    }
    copies
}

/// Deletes the items and the sealed file of a login that has ended, which can
/// be done without the refresh lock. The mark stays: another process may be
/// writing one at this moment, and nobody minds that of another login.
pub(crate) async fn delete_copies(storage: &Storage, login: LoginId) -> Result<()> {
    let items = storage.delete_items(login).await;
    storage.remove_sealed(login)?;
    items
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
    let client = record.client(key, &profile.now());
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
