//! `refresh`: sees to it that a fresh token is stored, without printing it.

use serde_json::json;
use vault_core::session::TokenOptions;

use crate::args;
use crate::context::Context;
use crate::failure::{Exit, Problem, classify};
use crate::times;

pub(crate) fn run(context: &Context, arguments: &args::Refresh) -> Result<Exit, Problem> {
    let session = context.session()?;
    let options = TokenOptions::default();
    let token = if arguments.force {
        session.blocking().refresh_now(&options)?
    } else {
        session.blocking().token(&options)?
    };
    let output = &context.output;
    let despite = token.served_despite.map(|kind| classify(kind).0);
    if output.json {
        output.document(&json!({
            "profile": session.name(),
            "refreshed": token.refreshed,
            "expires_in": token.expires_in.map(|left| left.as_secs()),
            "expires_at": token.expires_at_ms.map(times::rfc3339),
            "served_despite": despite,
        }))?;
        return Ok(Exit::Done);
    }
    let until = match token.expires_in {
        Some(left) => format!("valid for {}", times::length(left)),
        None => "valid until it is refused".to_owned(),
    };
    let what = match (token.refreshed, despite) {
        (true, _) => "refreshed".to_owned(),
        (false, Some(reason)) => format!("not refreshed ({reason})"),
        (false, None) if arguments.force => "another process has refreshed".to_owned(),
        (false, None) => "nothing to refresh".to_owned(),
    };
    output.text(&format!("{what}; the access token is {until}\n"))?;
    if !token.refreshed && despite.is_none() && !arguments.force {
        output.note(&format!(
            "`{}` refreshes all the same",
            context.options.command_line("refresh --force")
        ));
    }
    Ok(Exit::Done)
}
