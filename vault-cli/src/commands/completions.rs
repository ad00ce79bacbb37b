//! `completions`: the command line's completions for a shell.

use clap::CommandFactory;
use clap_complete::Shell;
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
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if arguments.shell == Shell::Bash {
        // clap_complete 4.6 takes the hyphen of this program's name for the end
        // of a command's where it lists the options, and finds none.
        script = script.replace("vault__subcmd__cli", "vault__cli");
    }
    if context.output.json {
        context
            .output
            .document(&json!({ "shell": arguments.shell.to_string(), "script": script }))?;
    } else {
        context.output.text(&script)?;
    }
    Ok(Exit::Done)
}
