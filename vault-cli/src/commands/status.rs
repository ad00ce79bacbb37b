//! `status`: one line for a prompt or a script, and an exit code: 0 or 3.

use serde_json::json;
use vault_core::ErrorKind;
use vault_core::display::LoginState;

use super::list::state_name;
use crate::choice::Rule;
use crate::context::Context;
use crate::failure::{Exit, Problem};
use crate::output::visible;
use crate::times;

pub(crate) fn run(context: &Context) -> Result<Exit, Problem> {
    let output = &context.output;
    let session = context.session()?;
    let profile = session.name();
    let stored = match session.blocking().inspect() {
        Ok(stored) => stored,
        Err(error) if matches!(error.kind(), ErrorKind::NotLoggedIn | ErrorKind::LoggedOut) => {
            let (state, name) = match error.kind() {
                ErrorKind::LoggedOut => ("logged_out", "logged out"),
                _ => ("not_logged_in", "not logged in"),
            };
            if output.json {
                output.document(&json!({
                    "profile": profile,
                    "chosen_by": &context.options.chosen_by.profile,
                    "state": state,
                }))?;
            } else {
                output.text(&format!("{profile}: {name}{}\n", chosen_by(context)))?;
                output.note(&context.explain(&error).hint);
            }
            return Ok(Exit::LoginRequired);
        }
        Err(error) => return Err(error.into()),
    };
    let exit = match stored.state {
        LoginState::LoggedIn => Exit::Done,
        LoginState::ClientRefused => Exit::Failed,
        _ => Exit::LoginRequired,
    };
    let token = stored
        .access_tokens
        .iter()
        .find(|token| token.is_the_logins_own);
    let policy = super::show::policy(&stored.rotation_policy);
    if output.json {
        output.document(&json!({
            "profile": profile,
            "chosen_by": &context.options.chosen_by.profile,
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
        }))?;
        return Ok(exit);
    }
    let expires = match token {
        None => "no access token yet".to_owned(),
        Some(token) => match (token.expires_at_ms, token.expires_in) {
            (Some(_), Some(left)) if left.is_zero() => "token expired".to_owned(),
            (Some(at), Some(left)) => {
                format!(
                    "token expires in {} ({})",
                    times::length(left),
                    times::rfc3339(at)
                )
            }
            _ => "token without an end".to_owned(),
        },
    };
    let dpop = stored.jkt.map(|jkt| format!(", dpop key {jkt}"));
    let dpop = dpop.unwrap_or_default();
    output.text(&format!(
        "{profile}: {}{} at {}{dpop}, {expires}, generation {}, {} ({}), rotation: {policy}{}\n",
        state_name(stored.state),
        visible(
            &stored
                .account
                .map(|account| format!(" as {account}"))
                .unwrap_or_default()
        ),
        visible(&stored.issuer),
        stored.generation,
        stored.store,
        visible(&stored.provider),
        chosen_by(context),
    ))?;
    super::tell_its_end(context, &stored.store);
    Ok(exit)
}

/// Says what chose the profile, unless it is the usual one.
fn chosen_by(context: &Context) -> String {
    match &context.options.chosen_by.profile {
        Rule::Usual => String::new(),
        rule => visible(&format!(", profile chosen {rule}")),
    }
}
