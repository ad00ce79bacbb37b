//! The soak: processes of threads that ask for tokens at random moments, while
//! processes are killed and the servers fail, for minutes.
//!
//! Two logins are shared by all processes at the same time, because one
//! promise can't be shown on both kinds of server:
//!
//! - `strict`: a used refresh token that comes again costs the login. A kill
//!   or a lost answer between send and commit is then beyond any client, so
//!   that no process is killed whose mark says that it is there, and the
//!   server's faults are those of which a client is told. Kills at every other
//!   moment happen, also of the holder of the lock. Requests = rotations.
//! - `window`: a server that takes the token again for 30 s. Nothing is
//!   spared: holders are killed in the middle of a rotation on purpose, and
//!   answers are lost behind it. Requests = rotations + replays.
//!
//! The server counts, the callers tell what they got, and the chain of
//! rotations is put together from the history alone. One wrong figure ends the
//! program with status 1.

mod arguments;
pub mod chain;
mod crew;
mod dice;
mod faults;
mod figures;
mod kills;
mod place;
mod tally;
mod worker;

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arguments::{Arguments, Soak};
use crew::Crew;
use dice::Dice;
use faults::Outages;
use figures::Figures;
use place::Place;

/// Whatever went wrong, for a person to read.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The program: reads the arguments, soaks, and tells the outcome.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Arguments::Help) => writeln!(std::io::stdout(), "{}", arguments::HELP)
            .map(|()| true)
            .map_err(Failure::from),
        Ok(Arguments::Worker) => worker::work().map(|()| true),
        Ok(Arguments::Soak(soak)) => run(&soak),
        Err(problem) => {
            complain(&format!("error: {problem}\n\n{}", arguments::USAGE));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            complain(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether every figure is right.
fn run(soak: &Soak) -> Result<bool, Failure> {
    let place = Place::make(soak.lifetime)?;
    complain(&format!(
        "{} processes x {} threads for {} s, tokens of {} s, seed {}",
        soak.processes,
        soak.threads,
        soak.time.as_secs(),
        soak.lifetime.as_secs_f64(),
        soak.seed
    ));
    let mut dice = Dice::new(soak.seed);
    let crew = Crew::start(soak, &place)?;
    let over = AtomicBool::new(false);
    let (outages, kills) = std::thread::scope(|scope| {
        let throwing: Vec<_> = place
            .logins()
            .iter()
            .map(|login| {
                let (dice, over) = (dice.another(), &over);
                scope.spawn(move || faults::throw(login, dice, over))
            })
            .collect();
        let killing = {
            let (dice, over, crew, place) = (dice.another(), &over, &crew, &place);
            scope.spawn(move || kills::kill(crew, place, dice, over))
        };
        pause(soak.time);
        over.store(true, Ordering::Release);
        let outages: Result<Vec<Outages>, _> =
            throwing.into_iter().map(|thread| thread.join()).collect();
        (outages, killing.join())
    });
    let (Ok(outages), Ok(kills)) = (outages, kills) else {
        return Err("a thread of the soak has panicked".into());
    };
    let (processes, tallies) = crew.end()?;
    let figures = Figures::of(soak, &place, kills?, processes, &tallies, &outages)?;
    let wrong = figures.judge();
    if soak.json {
        figures.print_json()?;
    } else {
        figures.print_table()?;
    }
    for problem in &wrong {
        complain(&format!("wrong: {problem}"));
    }
    Ok(wrong.is_empty())
}

fn complain(message: &str) {
    // Where even this can't be said, the exit status is left.
    drop(writeln!(std::io::stderr(), "{message}"));
}

fn pause(time: Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the soak lasts as long as it lasts"
    )]
    std::thread::sleep(time);
}

fn stopwatch() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    Instant::now()
}

/// Milliseconds since the Unix epoch: processes agree on a moment by the wall
/// clock.
fn wall_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "see above")]
    let now = SystemTime::now();
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}
