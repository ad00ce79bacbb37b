//! `man`: the manual page of the program or of one command, made from the same
//! source as `--help`.

use clap::CommandFactory;
use serde_json::json;

use crate::args::{self, Arguments};
use crate::context::Context;
use crate::failure::{Exit, Failure, Problem};

pub(crate) fn run(context: &Context, arguments: &args::Man) -> Result<Exit, Problem> {
    let mut program = Arguments::command();
    program.build();
    let command = match &arguments.command {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(command) => command.clone(),
            None => {
                let message = format!("there is no command {:?}", name);
                return Err(
                    Failure::usage("usage", message, "`vault-cli --help` lists them").into(),
                );
            }
        },
    };
    let mut page = Vec::new();
    // Writing to memory does not fail.
    clap_mangen::Man::new(command).render(&mut page).ok();
    let page = String::from_utf8_lossy(&page);
    if context.output.json {
        context.output.document(&json!({ "page": page }))?;
    } else {
        context.output.text(&page)?;
    }
    Ok(Exit::Done)
}
