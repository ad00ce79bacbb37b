//! What ails a login: each part of it is proved rather than looked at, and what
//! is wrong has a [`Code`] that stays.
//!
//! No refresh token is spent and no stored login is changed. The store is made
//! to keep a probe, the folder to reserve some room, the lock to exclude this
//! process, the server to describe itself and to say whether it takes the
//! access token. What to do about a finding is left to programs, which know
//! their own commands; `docs/DOCTOR.md` lists all codes.

mod clock;
mod code;
mod folder;
mod history;
mod lock;
mod login;
mod server;
mod store;
mod tokens;

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault_platform::folder::FolderError;
use vault_platform::store::StoreError;

pub use code::{Code, Verdict};

use crate::error::{Error, Result};
use crate::profile::Profile;
use crate::refresh::revocations;
use crate::session::{Blocking, Session};

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is.
    pub code: Code,
    /// Whether that is good; [`Verdict::Skipped`] where it could not be tried.
    pub verdict: Verdict,
    /// What was found, without a secret.
    pub message: String,
    /// The file or folder that it is about.
    pub path: Option<PathBuf>,
    /// What the store itself knows to do about it.
    pub hint: Option<&'static str>,
}

impl Session {
    /// Examines the profile, and all that it needs: folder, lock, store, what is
    /// stored, the server, the tokens, the history. In the order of the codes'
    /// first digits; each check gives one finding if all is well or nothing can
    /// be told, else one for each fault.
    ///
    /// # Errors
    ///
    /// If the refresher's thread can't be started: what fails in an
    /// examination is a finding.
    pub async fn diagnose(&self) -> Result<Vec<Finding>> {
        let profile = self.profile.clone();
        self.run(async move { Ok(examine(&profile).await) }).await
    }
}

impl Blocking<'_> {
    /// See [`Session::diagnose`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn diagnose(&self) -> Result<Vec<Finding>> {
        pollster::block_on(self.0.diagnose())
    }
}

async fn examine(profile: &Arc<Profile>) -> Vec<Finding> {
    let mut report = Report::default();
    let folder = folder::examine(profile, &mut report);
    lock::examine(folder.as_ref(), &mut report).await;
    let store = store::examine(profile, &mut report).await;
    let found = match &store {
        Some(store) => login::examine(profile, folder.as_ref(), store, &mut report).await,
        None => {
            report.skipped(Code::Login, "it can't be read without the store");
            None
        }
    };
    match &found {
        Some(found) => {
            let described = server::examine(profile, found, &mut report).await;
            let dates = tokens::examine(profile, found, described.as_ref(), &mut report).await;
            clock::examine(profile, described.as_ref(), dates, &mut report);
            history::examine(found, &mut report);
        }
        None => {
            report.skipped(Code::Server, "no login whose server could be asked");
            report.skipped(Code::Tokens, "no login, no tokens");
            report.skipped(Code::History, "no login, no rotations");
        }
    }
    if store.is_some() {
        waiting_revocations(profile, &mut report).await;
    }
    report.finish()
}

/// Where a logout has left a token to be revoked: tries that again.
async fn waiting_revocations(profile: &Arc<Profile>, report: &mut Report) {
    let tokens = |number: usize, one: &str, several: &str| {
        format!("{number} {}", if number == 1 { one } else { several })
    };
    let passed = revocations::retry(profile, true).await;
    if passed.waiting > 0 {
        let which = tokens(passed.waiting, "refresh token waits", "refresh tokens wait");
        let message = format!("{which} of logins that were ended, whose servers can't be reached");
        report.found(Code::RevocationWaits, message);
    } else if passed.done > 0 {
        let which = tokens(passed.done, "refresh token", "refresh tokens");
        let message = format!("{which} of logins that were ended: done with now");
        report.found(Code::Revocations, message);
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Report(Vec<Finding>);

impl Report {
    fn found(&mut self, code: Code, message: impl Into<String>) {
        self.0.push(Finding {
            code,
            verdict: code.verdict(),
            message: message.into(),
            path: None,
            hint: None,
        });
    }

    fn found_at(&mut self, code: Code, path: Option<PathBuf>, message: impl Into<String>) {
        self.found(code, message);
        if let Some(finding) = self.0.last_mut() {
            finding.path = path;
        }
    }

    /// An error, in the words of what knows most about it.
    fn failed(&mut self, code: Code, error: &Error) {
        let path = folder_error(error).and_then(path_of);
        self.found_at(code, path.map(Path::to_owned), told(error));
        if let Some(finding) = self.0.last_mut() {
            finding.hint = store_error(error).and_then(StoreError::hint);
        }
    }

    fn skipped(&mut self, code: Code, why: impl Into<String>) {
        self.found(code, why);
        if let Some(finding) = self.0.last_mut() {
            finding.verdict = Verdict::Skipped;
        }
    }

    /// Whether a check has found a fault so far.
    fn is_faulty(&self, check: Code) -> bool {
        let of_check = |finding: &&Finding| finding.code.number() == check.number();
        self.0
            .iter()
            .filter(of_check)
            .any(|finding| matches!(finding.verdict, Verdict::Failed | Verdict::Warning))
    }

    fn finish(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| finding.code.number());
        self.0
    }
}

/// What an error says: the store's and the folder's own words, and the last
/// cause, which says why.
fn told(error: &Error) -> String {
    let mut chain = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        chain.push(error.to_string());
        cause = error.source();
    }
    let wraps = store_error(error).is_some() || folder_error(error).is_some();
    let first = chain.remove(usize::from(wraps));
    match chain.pop() {
        Some(last) if chain.len() >= usize::from(wraps) && !first.contains(&last) => {
            format!("{first}: {last}")
        }
        _ => first,
    }
}

fn store_error(error: &Error) -> Option<&StoreError> {
    error.source()?.downcast_ref()
}

fn folder_error(error: &Error) -> Option<&FolderError> {
    error.source()?.downcast_ref()
}

fn path_of(error: &FolderError) -> Option<&Path> {
    match error {
        FolderError::NotPrivate { path, .. }
        | FolderError::NotOwner { path }
        | FolderError::Link { path }
        | FolderError::NotFolder { path }
        | FolderError::NotFile { path }
        | FolderError::NetworkFileSystem { path, .. }
        | FolderError::Unwritable { path, .. }
        | FolderError::Full { path, .. }
        | FolderError::TooLarge { path, .. }
        | FolderError::Io { path, .. } => Some(path),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn an_error_is_told_in_the_words_of_what_knows_most() {
        let path = PathBuf::from("/somewhere");
        let error = Error::from(FolderError::NotOwner { path: path.clone() });
        assert_eq!(told(&error), "/somewhere belongs to another user");
        let mut report = Report::default();
        report.failed(Code::FolderNotOwned, &error);
        assert_eq!(report.0[0].path, Some(path));
        let plain = Error::new(ErrorKind::IssuerMismatch, "another issuer");
        assert_eq!(told(&plain), "another issuer");
        let caused = plain.because(std::io::Error::other("the reason"));
        assert_eq!(told(&caused), "another issuer: the reason");
    }

    #[test]
    fn findings_come_in_the_order_of_their_checks() {
        let mut report = Report::default();
        report.skipped(Code::History, "");
        report.found(Code::ClockOff, "");
        report.found(Code::Folder, "");
        assert!(report.is_faulty(Code::Server) && !report.is_faulty(Code::History));
        let codes: Vec<_> = report.finish().iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [Code::Folder, Code::ClockOff, Code::History]);
    }
}
