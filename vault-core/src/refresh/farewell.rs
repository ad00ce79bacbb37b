//! What is done when a login has ended: its remains are deleted, its refresh
//! token is revoked.

use crate::error::{Error, ErrorKind, Result};
use crate::identity::LoginId;
use crate::oauth::revocation::{Revoked, revoke};
use crate::profile::Profile;
use crate::record::LoginRecord;
use crate::storage::Storage;

/// Deletes what is stored for a login that has ended.
pub(crate) async fn delete_remains(storage: &Storage, login: LoginId) -> Result<()> {
    let items = storage.delete_items(login).await;
    storage.remove_sealed(login)?;
    storage.remove_mark()?;
    items
}

/// Revokes a refresh token whose login has ended, bounded in time.
pub(crate) async fn revoke_now(profile: &Profile, record: &LoginRecord) -> Result<()> {
    let settings = &record.settings;
    let Some(endpoints) = &settings.endpoints else {
        return Err(Error::new(
            ErrorKind::NotOffered,
            "the revocation endpoint is not known",
        ));
    };
    let http = profile.http(&settings.ca_certificates)?;
    let call = revoke(&http, endpoints, &settings.client_id, &record.refresh_token);
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
