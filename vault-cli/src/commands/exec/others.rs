//! Where a program can't take another's place: the command runs as a child,
//! and this program waits for it.

use std::process::{Command, ExitStatus};

use super::{Ended, not_started, undo_hardening};
use crate::failure::{Exit, Failure};
use crate::signals;

/// Runs the command and ends as it does.
pub(super) fn run_alone(command: Command) -> Result<Exit, Failure> {
    let Ended::Exited(code) = wait_for(command)?;
    Ok(Exit::AsTheCommand(code))
}

/// Runs the command and waits for its end. The console tells the command
/// itself of Ctrl-C.
pub(super) fn wait_for(mut command: Command) -> Result<Ended, Failure> {
    undo_hardening();
    signals::are_for_the_command();
    let status = command.status();
    status
        .map(|status| Ended::Exited(code(status)))
        .map_err(|error| not_started(&command, &error))
}

/// The lowest byte of an exit code: more can't be said by every system. What is
/// no success stays none.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or(1);
    match u8::try_from(code & 0xff) {
        Ok(0) if code != 0 => 1,
        Ok(code) => code,
        Err(_) => 1,
    }
}
