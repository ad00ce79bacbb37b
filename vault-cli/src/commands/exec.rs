//! `exec`: runs a command with a valid access token in its environment, and in
//! no other.
//!
//! On Unix the command takes this program's place: process, terminal, signals
//! and exit code are its own, and nothing is left behind. With `--token-file`
//! this program stays, keeps the token in the file fresh, hands signals on, and
//! ends as the command does, or by a signal that comes when that has ended.

#[cfg(not(unix))]
#[path = "exec/others.rs"]
mod system;
#[cfg(unix)]
#[path = "exec/unix.rs"]
mod system;
mod token_file;

use std::io;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use vault_core::platform::harden;
use vault_core::session::TokenOptions;
use vault_core::{AccessToken, Session};

use super::token::tell_what_failed;
use crate::args;
use crate::context::Context;
use crate::failure::{Exit, Failure, Problem};
use crate::output::Output;
use crate::signals;
use token_file::TokenFile;

/// How often the file is compared with what this process knows: a look at
/// memory, most of the time.
const LOOK: Duration = Duration::from_secs(1);

/// For what a refresh still has to write when its token is already here.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a command ended that was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Exited(u8),
    #[cfg(unix)]
    Signalled(i32),
}

pub(crate) fn run(context: &Context, arguments: &args::Exec) -> Result<Exit, Problem> {
    let session = context.session()?;
    let wanted = arguments.wanted.options();
    let token = session.blocking().token(&wanted)?;
    tell_what_failed(context, &token);
    if token.jkt.is_some() {
        context.output.note(
            "this token is bound to a key: an API takes it with a proof only, which \
             `token --header --dpop-url URL` makes",
        );
    }
    let secret = token.access_token.expose();
    let name = &arguments.env;
    let (program, rest) = arguments.command.split_first().expect("clap wants one");
    let mut command = Command::new(program);
    command.args(rest);
    // Another `exec` may have started this one: what it has set is not this token.
    for ending in ["", "_FILE", "_FD"] {
        command.env_remove(format!("{name}{ending}"));
    }
    if arguments.token_file {
        let file = TokenFile::create(arguments.runtime_dir.as_deref(), secret).map_err(no_file)?;
        command.env(format!("{name}_FILE"), file.path());
        return keep_and_wait(context, &session, &wanted, file, command);
    }
    #[cfg(unix)]
    if arguments.fd {
        let number = system::readable_once(secret)?;
        command.env(format!("{name}_FD"), number.to_string());
        return Err(system::replace(command).into());
    }
    command.env(name, secret);
    system::run_alone(command).map_err(Problem::from)
}

/// Waits for the command, and keeps the token in its file fresh meanwhile.
fn keep_and_wait(
    context: &Context,
    session: &Session,
    wanted: &TokenOptions,
    file: TokenFile,
    command: Command,
) -> Result<Exit, Problem> {
    let (stop, stopped) = mpsc::channel::<()>();
    let (there, gone) = mpsc::channel::<()>();
    let folder = file.folder().to_owned();
    signals::before_the_end(Box::new(move || {
        // The thread that keeps the file deletes it, unless it waits for too long.
        gone.recv_timeout(LOOK).ok();
        std::fs::remove_dir_all(folder).ok();
    }));
    let keeping = {
        let (output, session, wanted) = (context.output, session.clone(), wanted.clone());
        // Ends with the sender, and deletes the file.
        std::thread::spawn(move || {
            keep(&output, &session, &wanted, &file, &stopped);
            drop(file);
            drop(there);
        })
    };
    let ended = system::wait_for(command);
    drop(stop);
    keeping.join().ok();
    let ended = ended?;
    // Before the program looks whether a signal has come.
    vault_core::exit::end(PATIENCE);
    match ended {
        Ended::Exited(code) => Ok(Exit::AsTheCommand(code)),
        #[cfg(unix)]
        Ended::Signalled(signal) => {
            signals::end_by(signal);
            let signal = u8::try_from(signal).unwrap_or_default();
            Ok(Exit::AsTheCommand(128_u8.saturating_add(signal)))
        }
    }
}

fn keep(
    output: &Output,
    session: &Session,
    wanted: &TokenOptions,
    file: &TokenFile,
    stopped: &mpsc::Receiver<()>,
) {
    let ahead = session.keep_fresh(wanted);
    let mut told = false;
    let mut written = None;
    while stopped.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
        let token = session.blocking().token(wanted);
        let kept = match token {
            Ok(token) if is_same(written.as_ref(), &token.access_token) => Ok(()),
            Ok(token) => {
                let kept = file.write(token.access_token.expose());
                written = kept.is_ok().then_some(token.access_token);
                kept.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match kept {
            Ok(()) => told = false,
            Err(_) if told => {}
            Err(why) => {
                output.warning(&format!("the token's file could not be kept fresh: {why}"));
                told = true;
            }
        }
    }
    drop(ahead);
}

fn is_same(written: Option<&AccessToken>, token: &AccessToken) -> bool {
    written.is_some_and(|written| written.expose() == token.expose())
}

/// Nothing of this process's own limits is to reach the command.
fn undo_hardening() {
    if let Err(error) = harden::restore_core_limit() {
        tracing::debug!(%error, "the limit for core dumps could not be restored");
    }
}

/// Says why a command did not start, with the exit code that env(1) gives it.
fn not_started(command: &Command, error: &io::Error) -> Failure {
    let program = command.get_program().display();
    if error.kind() == io::ErrorKind::NotFound {
        let message = format!("there is no command `{program}`");
        let hint = "check its spelling, and PATH";
        return Failure::new("command_not_found", Exit::NotFound, message, hint);
    }
    let message = format!("`{program}` can't be run: {error}");
    let hint = "see whether it is a program, and may be run";
    Failure::new("command_not_executable", Exit::NotExecutable, message, hint)
}

fn no_file(error: io::Error) -> Failure {
    Failure::new(
        "token_file_unwritable",
        Exit::Failed,
        format!("the token's file can't be made: {error}"),
        "see to the folder that XDG_RUNTIME_DIR names, or unset it",
    )
}
