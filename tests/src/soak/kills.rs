//! Kills processes at random moments, and on purpose in the middle of a
//! rotation; but never between a send to the strict server and its commit,
//! where nobody could help.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde::Serialize;

use super::crew::Crew;
use super::dice::Dice;
use super::place::{Kind, Place};
use super::{Failure, pause, stopwatch};

/// The time between two kills, on average.
const PACE: Duration = Duration::from_millis(150);
/// How long a rotation is waited for, to kill its process.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was killed.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Kills {
    pub(super) total: usize,
    /// Of these, in the middle of a rotation on the server with a window: from
    /// the mark to its end.
    pub(super) in_flight: usize,
    /// Not killed, because they were between send and commit on the strict
    /// server.
    pub(super) spared: usize,
}

/// Kills until it is over, and starts a new process for each that it killed.
pub(super) fn kill(
    crew: &Crew,
    place: &Place,
    mut dice: Dice,
    over: &AtomicBool,
) -> Result<Kills, Failure> {
    let mut kills = Kills::default();
    loop {
        pause(dice.wait(PACE));
        let victim = if dice.once_in(3) {
            rotating(place, &mut dice, over)
        } else {
            let processes = crew.process_ids();
            processes.get(dice.below(processes.len())).copied()
        };
        if over.load(Ordering::Acquire) {
            return Ok(kills);
        }
        let Some(mut worker) = victim.and_then(|process| crew.take(process)) else {
            continue;
        };
        // Stopped, it can't begin to send between the look and the kill.
        stop(worker.id())?;
        let is_in_flight = |kind| {
            let login = place.login(kind);
            login.and_then(super::place::Login::in_flight) == Some(worker.id())
        };
        if is_in_flight(Kind::Strict) {
            resume(worker.id())?;
            crew.put_back(worker);
            kills.spared += 1;
            continue;
        }
        kills.in_flight += usize::from(is_in_flight(Kind::Window));
        kills.total += 1;
        worker.kill();
        crew.add()?;
    }
}

/// Waits for a rotation and gives its process: on the server with a window at a
/// random moment of it or a little later, on the strict one right after it.
fn rotating(place: &Place, dice: &mut Dice, over: &AtomicBool) -> Option<u32> {
    let logins = place.logins();
    let login = logins.get(dice.below(logins.len()))?;
    let began = stopwatch();
    let mut seen = None;
    while !over.load(Ordering::Acquire) && began.elapsed() < PATIENCE {
        let now = login.in_flight();
        match login.kind {
            Kind::Window if now.is_some() => {
                pause(Duration::from_micros(100 * dice.below(150) as u64));
                return now;
            }
            Kind::Strict if seen.is_some() && now != seen => return seen,
            _ => seen = now,
        }
        pause(Duration::from_micros(200));
    }
    None
}

fn stop(process: u32) -> Result<(), Failure> {
    let process = pid(process)?;
    kill_process(process, Signal::STOP)?;
    // Reported when every thread has stopped; or it has ended by itself.
    let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pid(process), options)?;
    Ok(())
}

fn resume(process: u32) -> Result<(), Failure> {
    Ok(kill_process(pid(process)?, Signal::CONT)?)
}

fn pid(process: u32) -> Result<Pid, Failure> {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    process.ok_or_else(|| "no process id".into())
}
