//! `completions`: the command line's completions for a shell.

use clap::CommandFactory;
use serde_json::json;

use crate::args::{self, Arguments};
use crate::context::Context;
use crate::failure::{Exit, Problem};

pub(crate) fn run(context: &Context, arguments: &args::Completions) -> Result<Exit, Problem> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Arguments::command(),
        "vault-cli",
        &mut script,
    );
    let script = String::from_utf8_lossy(&script);
    if context.output.json {
        context
            .output
            .document(&json!({ "shell": arguments.shell.to_string(), "script": script }))?;
    } else {
        context.output.text(&script)?;
    }
    Ok(Exit::Done)
}
