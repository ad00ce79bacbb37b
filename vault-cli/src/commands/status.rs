//! `status`: one line for a prompt or a script, and an exit code: 0, or what
//! a command that wants a token would end with. Of all applications, a line for each profile.

use serde::Serialize;
use serde_json::{Value, json};
use vault_core::ErrorKind;
use vault_core::display::LoginState;
use vault_core::session::Inspection;

use super::list::state_name;
use crate::choice::Rule;
use crate::context::Context;
use crate::failure::{Exit, Failure, Problem};
use crate::output::visible;
use crate::times;

pub(crate) fn run(context: &Context) -> Result<Exit, Problem> {
    if context.is_of_all() {
        return of_all(context);
    }
    let output = &context.output;
    let standing = Standing::of(context)?;
    if output.json {
        output.document(&standing.document)?;
    } else {
        output.text(&standing.line)?;
        match &standing.store {
            Some(store) => super::tell_its_end(context, store),
            None => output.note(&standing.hint),
        }
    }
    Ok(standing.exit)
}

/// Each profile of each application, with the first exit code that is not good.
fn of_all(context: &Context) -> Result<Exit, Problem> {
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Row {
        Told(Value),
        Failed {
            app: String,
            profile: String,
            error: Failure,
        },
    }
    let output = &context.output;
    let (mut rows, mut exit) = (Vec::new(), Exit::Done);
    for context in context.applications()? {
        let app = &context.options.app;
        for (profile, _) in context.vault_without_store()?.profiles()? {
            let context = context.of_profile(&profile);
            let (row, worse) = match Standing::of(&context) {
                Ok(standing) => {
                    if !output.json {
                        output.text(&format!("{app} {}", standing.line))?;
                    }
                    (Row::Told(standing.document), standing.exit)
                }
                Err(problem) => {
                    let error = context.explain_problem(problem);
                    if !output.json {
                        let message = format!("{app} {profile}: {}", error.message);
                        output.failure_to_people(&Failure {
                            message,
                            ..error.clone()
                        });
                    }
                    let worse = error.exit;
                    let app = app.clone();
                    (
                        Row::Failed {
                            app,
                            profile,
                            error,
                        },
                        worse,
                    )
                }
            };
            if exit == Exit::Done {
                exit = worse;
            }
            rows.push(row);
        }
    }
    if output.json {
        output.document(&json!({ "app": context.options.app, "profiles": rows }))?;
    } else if rows.is_empty() {
        output.note("no application has a login yet");
    }
    Ok(exit)
}

/// How one profile stands, ready to be told.
struct Standing {
    line: String,
    document: Value,
    exit: Exit,
    /// The kind of store; none where nobody is logged in.
    store: Option<String>,
    hint: String,
}

impl Standing {
    fn of(context: &Context) -> Result<Self, Problem> {
        let session = context.session()?;
        match session.blocking().inspect() {
            Ok(stored) => Ok(Self::logged_in(context, stored)),
            Err(error) => match error.kind() {
                ErrorKind::LoggedOut => Ok(Self::nobody(context, "logged_out", &error)),
                ErrorKind::NotLoggedIn => Ok(Self::nobody(context, "not_logged_in", &error)),
                _ => Err(error.into()),
            },
        }
    }

    fn nobody(context: &Context, state: &str, error: &vault_core::Error) -> Self {
        let options = &context.options;
        let name = state.replace('_', " ");
        Self {
            line: format!("{}: {name}{}\n", options.profile, chosen_by(context)),
            document: json!({
                "app": options.app,
                "profile": options.profile,
                "chosen_by": &options.chosen_by.profile,
                "state": state,
            }),
            exit: Exit::LoginRequired,
            store: None,
            hint: context.explain(error).hint,
        }
    }

    fn logged_in(context: &Context, stored: Inspection) -> Self {
        let options = &context.options;
        let token = stored
            .access_tokens
            .iter()
            .find(|token| token.is_the_logins_own);
        let expires = match token {
            None => "no access token yet".to_owned(),
            Some(token) => match (token.expires_at_ms, token.expires_in) {
                (Some(_), Some(left)) if left.is_zero() => "token expired".to_owned(),
                (Some(at), Some(left)) => format!(
                    "token expires in {} ({})",
                    times::length(left),
                    times::rfc3339(at)
                ),
                _ => "token without an end".to_owned(),
            },
        };
        let account = stored
            .account
            .as_ref()
            .map(|account| format!(" as {account}"));
        let dpop = stored.jkt.as_ref().map(|jkt| format!(", dpop key {jkt}"));
        let line = format!(
            "{}: {}{} at {}{}, {expires}, generation {}, {} ({}), rotation: {}{}\n",
            options.profile,
            state_name(stored.state),
            visible(&account.unwrap_or_default()),
            visible(&stored.issuer),
            dpop.unwrap_or_default(),
            stored.generation,
            stored.store,
            visible(&stored.provider),
            super::show::policy(&stored.rotation_policy),
            chosen_by(context),
        );
        let document = json!({
            "app": options.app,
            "profile": options.profile,
            "chosen_by": &options.chosen_by.profile,
            "state": stored.state,
            "refusal": stored.refusal,
            "account": stored.account,
            "jkt": stored.jkt,
            "issuer": stored.issuer,
            "expires_at": token.and_then(|token| token.expires_at_ms).map(times::rfc3339),
            "expires_in": token.and_then(|token| token.expires_in).map(|left| left.as_secs()),
            "generation": stored.generation,
            "store": stored.store,
            "provider": stored.provider,
            "rotation_policy": stored.rotation_policy,
        });
        Self {
            line,
            document,
            exit: match stored.state {
                LoginState::LoggedIn => Exit::Done,
                LoginState::ClientRefused => Exit::Failed,
                _ => Exit::LoginRequired,
            },
            store: Some(stored.store),
            hint: String::new(),
        }
    }
}

/// Says what chose the profile, unless it is the usual one.
fn chosen_by(context: &Context) -> String {
    match &context.options.chosen_by.profile {
        Rule::Usual => String::new(),
        rule => visible(&format!(", profile chosen {rule}")),
    }
}
