//! `bind` and `unbind`: which hosts' tools may be given the token.

use serde_json::json;

use crate::args;
use crate::context::Context;
use crate::failure::{Exit, Problem};

pub(crate) fn bind(context: &Context, arguments: &args::Bind) -> Result<Exit, Problem> {
    let session = context.session()?;
    let host = &arguments.host;
    let changed = session.blocking().bind(host)?;
    let says = if changed {
        "bound to"
    } else {
        "already bound to"
    };
    answer(context, session.name(), host, changed, says)?;
    if changed {
        context.output.note(&format!(
            "`{}` tells a tool to ask for the token",
            context
                .options
                .command_line("setup git|docker|kubectl|cargo")
        ));
    }
    Ok(Exit::Done)
}

pub(crate) fn unbind(context: &Context, arguments: &args::Bind) -> Result<Exit, Problem> {
    let session = context.session()?;
    let host = &arguments.host;
    let changed = session.blocking().unbind(host)?;
    let says = if changed {
        "no longer bound to"
    } else {
        "was not bound to"
    };
    answer(context, session.name(), host, changed, says)?;
    Ok(Exit::Done)
}

fn answer(
    context: &Context,
    profile: &str,
    host: &vault_core::BoundHost,
    changed: bool,
    says: &str,
) -> Result<(), Problem> {
    let output = &context.output;
    if output.json {
        let answer = json!({ "profile": profile, "host": host, "changed": changed });
        output.document(&answer)?;
    } else {
        output.text(&format!("{profile}: {says} {host}\n"))?;
    }
    Ok(())
}
