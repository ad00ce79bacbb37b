//! Unix: the command takes this process's place, or runs as its child in the
//! same process group, so that the terminal's job control works as ever.

use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, IntoRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus, kill_process, waitid, waitpid,
};
use vault_core::platform::harden;

use super::{Ended, PATIENCE, not_started, undo_hardening};
use crate::failure::{Exit, Failure};
use crate::signals;

/// What every system's pipe takes without a reader.
const PIPE_ROOM: usize = 16 * 1024;

/// Runs the command in this process's place.
pub(super) fn run_alone(command: Command) -> Result<Exit, Failure> {
    Err(replace(command))
}

/// Puts the command in this process's place; comes back only with the reason
/// why it could not. What runs at exit does not run then, so it is done here.
pub(super) fn replace(mut command: Command) -> Failure {
    vault_core::exit::end(PATIENCE);
    // A signal that came meanwhile is not the command's.
    signals::obey();
    undo_hardening();
    let error = command.exec();
    not_started(&command, &error)
}

/// A descriptor that this process's successor can read the token from, once.
pub(super) fn readable_once(token: &str) -> Result<i32, Failure> {
    if token.len() > PIPE_ROOM {
        return Err(Failure::new(
            "token_too_long",
            Exit::Failed,
            format!(
                "the token is longer than a pipe holds: {} bytes",
                token.len()
            ),
            "use `--token-file`",
        ));
    }
    let made = || -> io::Result<i32> {
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(token.as_bytes())?;
        fcntl_setfd(&reader, FdFlags::empty())?;
        debug_assert!(reader.as_raw_fd() > 2, "the standard streams are open");
        Ok(reader.into_raw_fd())
    };
    made().map_err(|error| {
        let message = format!("no pipe could be made: {error}");
        Failure::new("pipe_failed", Exit::Failed, message, "try again")
    })
}

/// Runs the command, waits for its end, and stops when it stops.
pub(super) fn wait_for(mut command: Command) -> Result<Ended, Failure> {
    undo_hardening();
    let started = signals::are_for_the_command(|| {
        let child = command.spawn()?;
        Ok(Pid::from_child(&child))
    });
    if let Err(error) = harden::forbid_core_dumps() {
        tracing::debug!(%error, "core dumps could not be forbidden again");
    }
    let command = started.map_err(|error| not_started(&command, &error))?;
    let ended = loop {
        match await_change(command) {
            Ok(Change::Stopped) => stop_with(command),
            Ok(Change::Ended) => break Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => break Err(error),
        }
    };
    // While its id is still its own.
    signals::are_for_this_program();
    ended
        .and_then(|()| waitpid(Some(command), WaitOptions::empty()))
        .map(|waited| waited.map_or(Ended::Exited(1), |(_, status)| end(status)))
        .map_err(|error| {
            let message = format!("the command can't be waited for: {error}");
            let hint = "see whether it still runs";
            Failure::new("command_lost", Exit::Failed, message, hint)
        })
}

enum Change {
    Stopped,
    Ended,
}

/// Waits until the command stops or ends. One that has ended is still to be
/// waited for.
fn await_change(command: Pid) -> Result<Change, Errno> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    let stopped = waitid(WaitId::Pid(command), options)?.is_some_and(|seen| seen.stopped());
    if !stopped {
        return Ok(Change::Ended);
    }
    // Seen once, as a shell does; unless it goes on already.
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
    waitid(WaitId::Pid(command), options)?;
    Ok(Change::Stopped)
}

/// The shell that waits for this process is to see that its job has stopped.
fn stop_with(command: Pid) {
    vault_core::exit::settle(PATIENCE);
    signals::stop_until_continued();
    kill_process(command, Signal::CONT).ok();
}

fn end(status: WaitStatus) -> Ended {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ended::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => Ended::Signalled(signal),
        (None, None) => Ended::Exited(1),
    }
}
