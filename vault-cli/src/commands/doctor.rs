//! `doctor`: proves instead of looking. One line for each check, with a stable
//! code, and what to do where it fails. Spends no refresh token.

use serde::Serialize;
use vault_core::display::LoginState;
use vault_core::platform::folder::{FolderOptions, StateFolder};
use vault_core::platform::lock::LockFile;
use vault_core::{Error, ErrorKind, Session, Vault};

use crate::context::Context;
use crate::failure::{Exit, Problem};
use crate::output::visible;

pub(crate) fn run(context: &Context) -> Result<Exit, Problem> {
    let vault = context.vault()?;
    let session = vault.session(&context.options.profile)?;
    let folder = profile_folder(&vault, &session);
    let mut doctor = Doctor {
        context,
        checks: Vec::new(),
    };
    doctor.state_folder(&folder);
    doctor.lock(&folder);
    let logged_in = doctor.store(&session) && doctor.login(&session);
    doctor.server(&session, logged_in);
    doctor.revocations(&session);
    let healthy = doctor
        .checks
        .iter()
        .all(|check| check.result != Verdict::Failed);
    let output = &context.output;
    if output.json {
        output.document(&serde_json::json!({
            "profile": session.name(),
            "healthy": healthy,
            "checks": doctor.checks,
        }))?;
    } else {
        let lines: String = doctor.checks.iter().map(Check::text).collect();
        output.text(&lines)?;
    }
    Ok(if healthy { Exit::Done } else { Exit::Failed })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Passed,
    Failed,
    /// There is nothing to check.
    Skipped,
}

#[derive(Debug, Serialize)]
struct Check {
    /// Stable.
    code: &'static str,
    check: &'static str,
    result: Verdict,
    message: String,
    hint: Option<String>,
}

impl Check {
    fn text(&self) -> String {
        let result = match self.result {
            Verdict::Passed => "ok",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "skipped",
        };
        let hint = self
            .hint
            .as_ref()
            .map(|hint| format!("; {hint}"))
            .unwrap_or_default();
        let Self {
            code,
            check,
            message,
            ..
        } = self;
        format!(
            "{code} {result:<7} {check}: {}\n",
            visible(&format!("{message}{hint}"))
        )
    }
}

fn counted(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

type Folder = Result<Option<StateFolder>, Error>;

/// The profile's folder, if it and those above it are the user's alone: who
/// can write to one of them can put another in its place.
fn profile_folder(vault: &Vault, session: &Session) -> Folder {
    let Some(root) = vault.state_root() else {
        return Ok(None);
    };
    let application = root.join(vault.application());
    let profile = application.join(session.name());
    let mut folder = None;
    for path in [root, &application, &profile] {
        folder = StateFolder::open(path, FolderOptions::default())?;
    }
    Ok(folder)
}

struct Doctor<'a> {
    context: &'a Context,
    checks: Vec<Check>,
}

impl Doctor<'_> {
    fn note(&mut self, code: &'static str, check: &'static str, result: Verdict, message: String) {
        self.checks.push(Check {
            code,
            check,
            result,
            message,
            hint: None,
        });
    }

    fn failed(&mut self, code: &'static str, check: &'static str, error: &Error) {
        let failure = self.context.explain(error);
        self.checks.push(Check {
            code,
            check,
            result: Verdict::Failed,
            message: failure.message,
            hint: Some(failure.hint),
        });
    }

    fn state_folder(&mut self, folder: &Folder) {
        let (code, check) = ("VD001", "state folder");
        match folder {
            Ok(Some(folder)) => {
                let place = folder.path().map(|path| path.display().to_string());
                let message = format!("{} is private", place.unwrap_or_default());
                self.note(code, check, Verdict::Passed, message);
            }
            Ok(None) => {
                self.note(
                    code,
                    check,
                    Verdict::Skipped,
                    "not there yet; `login` makes it".into(),
                );
            }
            Err(error) => self.failed(code, check, error),
        }
    }

    fn lock(&mut self, folder: &Folder) {
        let (code, check) = ("VD002", "refresh lock");
        let Ok(Some(folder)) = folder else {
            self.note(code, check, Verdict::Skipped, "no folder to lock in".into());
            return;
        };
        let lock = LockFile::new(folder, "lock");
        match lock.try_lock() {
            Ok(Some(held)) => {
                // The lock has to keep the others out, this one included.
                let twice = lock.try_lock();
                drop(held);
                match twice {
                    Ok(None) => {
                        self.note(code, check, Verdict::Passed, "taken and released".into());
                    }
                    _ => self.failed(
                        code,
                        check,
                        &Error::new(
                            ErrorKind::LockUnsupported,
                            "the file system gave the same lock twice",
                        ),
                    ),
                }
            }
            Ok(None) => self.note(
                code,
                check,
                Verdict::Passed,
                "another process holds it, as one does while it refreshes".into(),
            ),
            Err(error) => self.failed(code, check, &Error::from(error)),
        }
    }

    /// Whether the store works.
    fn store(&mut self, session: &Session) -> bool {
        let (code, check) = ("VD003", "store");
        match session.blocking().prove_store() {
            Ok(proof) => {
                let message = format!(
                    "{} ({}) gave back what was written and deleted it",
                    proof.kind, proof.provider
                );
                self.note(code, check, Verdict::Passed, message);
                true
            }
            Err(error) => {
                self.failed(code, check, &error);
                let message = "it can't be read without the store";
                self.note("VD004", "login", Verdict::Skipped, message.into());
                false
            }
        }
    }

    /// Whether there is a login whose server can be asked.
    fn login(&mut self, session: &Session) -> bool {
        let (code, check) = ("VD004", "login");
        match session.blocking().inspect() {
            Ok(stored) if stored.state == LoginState::LoggedIn => {
                let account = stored.account.map(|account| format!(" as {account}"));
                let unconfirmed = if stored.unconfirmed {
                    ", a refresh is in flight or its answer was lost"
                } else {
                    ""
                };
                let message = format!(
                    "logged in{} at {}, generation {}{unconfirmed}",
                    account.unwrap_or_default(),
                    stored.issuer,
                    stored.generation
                );
                self.note(code, check, Verdict::Passed, message);
                true
            }
            Ok(stored) if stored.state == LoginState::ClientRefused => {
                let message = "the authorization server refuses this client";
                let error = Error::new(ErrorKind::ClientRefused, message);
                self.failed(code, check, &error);
                true
            }
            Ok(stored) => {
                let kind = match stored.state {
                    LoginState::RotationUnconfirmed => ErrorKind::RotationUnconfirmed,
                    _ => ErrorKind::LoginRequired,
                };
                let reason = stored
                    .refusal
                    .unwrap_or_else(|| "no reason is known".to_owned());
                let message = format!("the refresh token is of no use any more: {reason}");
                self.failed(code, check, &Error::new(kind, message));
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotLoggedIn | ErrorKind::LoggedOut) => {
                self.note(code, check, Verdict::Skipped, error.to_string());
                false
            }
            Err(error) => {
                self.failed(code, check, &error);
                false
            }
        }
    }

    /// Where a logout has left a token to be revoked: tries that again.
    fn revocations(&mut self, session: &Session) {
        let (code, check) = ("VD006", "revocations");
        match session.blocking().retry_revocations() {
            Ok(report) if report.waiting > 0 => {
                let message = format!(
                    "{} of logins that were ended, whose servers can't be reached",
                    counted(report.waiting, "refresh token waits", "refresh tokens wait")
                );
                self.checks.push(Check {
                    code,
                    check,
                    result: Verdict::Failed,
                    message,
                    hint: Some("run `doctor` again when they can".to_owned()),
                });
            }
            Ok(report) if report.done > 0 => {
                let tokens = counted(report.done, "refresh token", "refresh tokens");
                let message = format!("{tokens} of logins that were ended: done with now");
                self.note(code, check, Verdict::Passed, message);
            }
            Ok(_) => {}
            Err(error) => self.failed(code, check, &error),
        }
    }

    fn server(&mut self, session: &Session, logged_in: bool) {
        let (code, check) = ("VD005", "server");
        if !logged_in {
            self.note(
                code,
                check,
                Verdict::Skipped,
                "no login whose server could be asked".into(),
            );
            return;
        }
        match session.blocking().reach_server() {
            Ok(issuer) => {
                self.note(
                    code,
                    check,
                    Verdict::Passed,
                    format!("{issuer} describes itself"),
                );
            }
            // As with a login that was imported with its token endpoint alone.
            Err(error) if error.kind() == ErrorKind::IssuerUnknown => {
                self.note(code, check, Verdict::Passed, format!("it answers; {error}"));
            }
            Err(error) => self.failed(code, check, &error),
        }
    }
}
