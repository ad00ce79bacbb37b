//! Leaving nothing behind, and looking whether that is so.

use std::path::Path;
use std::time::Duration;

use vault_core::platform::store::{
    self, KeySource, StoreError, StoreKind, StoreOptions, StoreWorker,
};
use vault_core::{ErrorKind, Session};

use super::Failure;

/// How long the store may take to be emptied.
const DEADLINE: Duration = Duration::from_secs(10);

/// Logs out, if there is a login, and has the server revoke it. Says what
/// happened.
pub(super) fn log_out(session: &Session) -> Result<&'static str, Failure> {
    match session.blocking().logout(true) {
        Ok(report) if report.remains => Err("something of the login could not be deleted".into()),
        Ok(report) => match report.revoked? {
            true => Ok("logged out, and revoked at the server"),
            false => Ok("logged out"),
        },
        Err(error) => match error.kind() {
            ErrorKind::NotLoggedIn | ErrorKind::LoggedOut => Ok("there was no login"),
            _ => Err(error.into()),
        },
    }
}

/// Lists the application's items, and deletes what there still is. Returns the
/// names of what was deleted.
pub(super) fn empty_store(
    kind: StoreKind,
    application: &str,
    state_root: &Path,
    key_file: Option<&Path>,
) -> Result<Vec<String>, StoreError> {
    let options = StoreOptions {
        state_root: Some(state_root.to_owned()),
        key: key_file.map(|path| KeySource::KeyFile(path.to_owned())),
        ..StoreOptions::default()
    };
    let worker = StoreWorker::new(store::open(kind, &options)?);
    let application = application.to_owned();
    worker.call_within(DEADLINE, "list", move |store| {
        let items = store.list(&application)?;
        for item in &items {
            store.delete(item)?;
        }
        Ok(items.iter().map(|item| item.account().to_owned()).collect())
    })
}
