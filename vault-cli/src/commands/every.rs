//! What a command does to every profile of the application, one after another:
//! what fails for one is told and keeps no other from its turn.

use serde::Serialize;
use vault_core::{Error, ErrorKind, Session, Vault};

use crate::context::Context;
use crate::failure::{Exit, Failure, Problem};

#[derive(Serialize)]
#[serde(untagged)]
enum Row<T> {
    Done(T),
    Failed { profile: String, error: Failure },
}

/// Acts on each profile that `concerns` takes and somebody is logged in to, and
/// shows what came of it, as `text` or in one document. `nobody` is said where
/// there was none. Gives the exit code of the first failure.
pub(super) fn every<T: Serialize>(
    context: &Context,
    vault: &Vault,
    concerns: impl Fn(&Session) -> bool,
    act: impl Fn(&Session) -> Result<T, Error>,
    text: impl Fn(&T) -> String,
    nobody: &str,
) -> Result<Exit, Problem> {
    let output = &context.output;
    let mut rows = Vec::new();
    let mut exit = Exit::Done;
    for profile in vault.profile_names()? {
        let session = vault.session(&profile)?;
        if !concerns(&session) {
            continue;
        }
        match act(&session) {
            Ok(done) => {
                if !output.json {
                    output.text(&text(&done))?;
                }
                rows.push(Row::Done(done));
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotLoggedIn | ErrorKind::LoggedOut) => {
            }
            Err(error) => {
                let failure = context.explain(&error);
                if exit == Exit::Done {
                    exit = failure.exit;
                }
                if !output.json {
                    let message = format!("profile {profile}: {}", failure.message);
                    output.failure_to_people(&Failure {
                        message,
                        ..failure.clone()
                    });
                }
                rows.push(Row::Failed {
                    profile,
                    error: failure,
                });
            }
        }
    }
    if output.json {
        output.document(&serde_json::json!({ "profiles": rows }))?;
    } else if rows.is_empty() {
        output.note(nobody);
    }
    Ok(exit)
}
