//! From the arguments to the exit code.

use std::ffi::OsString;
use std::time::Duration;

use clap::CommandFactory;
use clap::error::{Error as ClapError, ErrorKind as ClapErrorKind};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Arguments, Tool};
use crate::choice;
use crate::commands;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Output, visible};
use crate::signals;

/// How long the end waits for what goes on behind the commands' backs.
const REST: Duration = Duration::from_secs(1);

/// Runs the program.
pub(crate) fn run() -> Exit {
    // First of all: nothing has been read yet.
    let hardened = vault_core::platform::harden::forbid_core_dumps();
    let arguments = in_full(std::env::args_os().collect());
    let mut parsed = match Arguments::read(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => return refuse(&error, &arguments),
    };
    let chosen = match parsed.command.is_about_a_profile() {
        true => choice::apply(&mut parsed.options),
        false => Ok(Vec::new()),
    };
    let context = Context::new(parsed.options);
    log(context.options.verbose);
    if let Err(error) = hardened {
        tracing::warn!(%error, "core dumps could not be forbidden");
    }
    vault_core::exit::before_work(signals::heed);
    let ended = match chosen {
        Ok(not_followed) => {
            for path in not_followed {
                let path = visible(&path.display().to_string());
                let message = format!("{path} is another user's: it is not followed");
                context.output.warning(&message);
            }
            commands::run(&context, parsed.command)
        }
        Err(failure) => Err(failure.into()),
    };
    let exit = match ended {
        Ok(exit) => exit,
        Err(problem) => {
            let failure = context.explain_problem(problem);
            context.output.failure(&failure);
            failure.exit
        }
    };
    // A new token is printed before its copy is in the store.
    vault_core::exit::rest(REST);
    vault_core::platform::secret::wipe_stack();
    signals::obey();
    exit
}

/// The arguments as a person would have said them: a tool calls its helper by
/// a name, or as a plugin.
fn in_full(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let tool = match arguments.first().and_then(|name| Tool::of_program(name)) {
        Some(tool) => tool,
        None if is_for_cargo(&arguments) => "cargo",
        None => return arguments,
    };
    if is_for_cargo(&arguments) {
        // cargo says the rest on standard input.
        arguments.truncate(1);
    }
    let said = ["vault-cli", "credential", tool];
    arguments.splice(..1, said.map(OsString::from));
    arguments
}

fn is_for_cargo(arguments: &[OsString]) -> bool {
    arguments
        .get(1)
        .is_some_and(|first| first == "--cargo-plugin")
}

/// Tells what is wrong with the command line, or the help that was asked for.
fn refuse(error: &ClapError, arguments: &[OsString]) -> Exit {
    let asked = |name: &str| {
        arguments
            .iter()
            .take_while(|argument| *argument != "--")
            .any(|argument| argument == name)
    };
    let output = Output {
        json: asked("--json"),
        ..Output::default()
    };
    match error.kind() {
        ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion => {
            // A closed pipe is no error.
            error.print().ok();
            return Exit::Done;
        }
        _ => {}
    }
    let failure = usage_failure(error, arguments);
    output.failure(&failure);
    failure.exit
}

/// Says in our three lines what clap says in ten.
fn usage_failure(error: &ClapError, arguments: &[OsString]) -> Failure {
    let help = {
        let program = Arguments::command();
        let named = |argument: &OsString| program.find_subcommand(argument);
        match arguments.iter().skip(1).find_map(named) {
            Some(command) => format!("vault-cli {} --help", command.get_name()),
            None => "vault-cli --help".to_owned(),
        }
    };
    let hint = format!("`{help}` shows what there is, with examples");
    if matches!(
        error.kind(),
        ClapErrorKind::MissingSubcommand | ClapErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        return Failure::usage("usage", "no command is given", hint);
    }
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = first
        .trim_start_matches("error: ")
        .split_whitespace()
        .collect();
    let tip = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("tip: "));
    Failure::usage("usage", words.join(" "), tip.map_or(hint, str::to_owned))
}

/// From `-vv` on, logs this project's own events. The libraries beneath might
/// log what they send.
fn log(verbose: u8) {
    let level = match verbose {
        0 | 1 => return,
        2 => Level::DEBUG,
        _ => Level::TRACE,
    };
    let ours = ["vault_cli", "vault_core", "vault_platform"];
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_writer(anstream::stderr))
        .with(Targets::new().with_targets(ours.map(|name| (name, level))))
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> Failure {
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        let error = Arguments::read(&arguments).expect_err("refused");
        usage_failure(&error, &arguments)
    }

    #[test]
    fn a_helpers_name_stands_for_its_command() {
        let read = |said: &[&str]| in_full(said.iter().map(OsString::from).collect());
        for (said, full) in [
            (
                &["git-credential-vault-cli", "get"][..],
                &["git", "get"][..],
            ),
            (
                &["/b/docker-credential-vault-cli", "list"],
                &["docker", "list"],
            ),
            (&["kubectl-credential-vault-cli"], &["kubectl"]),
            (
                &["bazel-credential-vault-cli.exe", "get"],
                &["bazel", "get"],
            ),
            (
                &["cargo-credential-vault-cli", "--cargo-plugin"],
                &["cargo"],
            ),
            (&["cargo-credential-vault-cli"], &["cargo"]),
            (&["/b/vault-cli", "--cargo-plugin"], &["cargo"]),
        ] {
            let full = [&["vault-cli", "credential"][..], full].concat();
            assert_eq!(read(said), full, "{said:?}");
        }
        let plain = ["vault-cli", "token", "--cargo-plugin"];
        assert_eq!(read(&plain), plain);
    }

    #[test]
    fn a_typo_gets_a_suggestion() {
        let failure = refused(&["vault-cli", "tokn"]);
        assert_eq!(failure.message, "unrecognized subcommand 'tokn'");
        assert!(failure.hint.contains("token"), "{}", failure.hint);
        assert_eq!(failure.exit, Exit::Usage);
    }

    #[test]
    fn a_missing_command_is_told_as_such() {
        let failure = refused(&["vault-cli", "--quiet"]);
        assert_eq!(failure.message, "no command is given");
        assert!(
            failure.hint.starts_with("`vault-cli --help`"),
            "{}",
            failure.hint
        );
    }

    #[test]
    fn what_is_missing_is_named_on_one_line() {
        let failure = refused(&["vault-cli", "import"]);
        assert!(
            failure.message.contains("--client-id <ID>"),
            "{}",
            failure.message
        );
        assert!(!failure.message.contains('\n'));
        assert!(
            failure.hint.starts_with("`vault-cli import --help`"),
            "{}",
            failure.hint
        );
    }
}
