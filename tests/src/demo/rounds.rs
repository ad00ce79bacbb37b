//! The main job: many processes that need a token at the same instant,
//! lifetime after lifetime.

use std::process::Command;
use std::time::Duration;

use super::arguments::WORKER;
use super::figures::{Figures, milliseconds, percentile};
use super::interruption::Interruption;
use super::place::Place;
use super::progress::Progress;
use super::{Failure, LIFETIMES, PROCESSES, TASKS};
use crate::fleet::{Call, Fleet};
use crate::server::AuthorizationServer;

/// How long after its end a token counts as expired: the server's clock starts
/// a little later than ours, when the request has reached it.
const MARGIN: Duration = Duration::from_millis(50);

/// Lives through the tokens.
pub(super) fn run(
    server: &AuthorizationServer,
    place: &Place,
    progress: &Progress,
    interruption: &Interruption,
) -> Result<Figures, Failure> {
    let program = std::env::current_exe()?;
    let mut fleet = Fleet::start(PROCESSES, &place.assignment(), || worker(&program))?;
    progress.fact(
        "Processes",
        &format!("{PROCESSES} of {TASKS} tasks; all ask when the last token has expired"),
    );

    // The login brought a token; nobody refreshes before that has expired.
    let mut left = left_of_the_logins_own(place)?;
    let mut count = progress.count(LIFETIMES);
    let mut calls = Vec::new();
    for _ in 0..LIFETIMES {
        interruption.wait(left + MARGIN)?;
        let before = server.counts().refresh_requests;
        let round = fleet.round()?;
        let refreshes = server.counts().refresh_requests - before;
        count.advance(&remark(&round, refreshes));
        left = left_of(&round);
        calls.extend(round);
    }
    drop(count);
    // The workers end before the login does.
    drop(fleet);
    for (error, how_often) in errors(&calls) {
        super::complain(&format!("{how_often} calls failed: {error}"));
    }
    let store = place.store().to_string();
    Ok(Figures::of(
        store,
        &calls,
        &server.counts(),
        server.living_logins(),
    ))
}

fn worker(program: &std::path::Path) -> Command {
    let mut command = Command::new(program);
    command.arg(WORKER);
    // A Ctrl-C reaches the demo alone, which then lets its workers go in order.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

fn left_of_the_logins_own(place: &Place) -> Result<Duration, Failure> {
    let stored = place.session()?.blocking().inspect()?;
    let left = stored
        .access_tokens
        .iter()
        .filter_map(|token| token.expires_in);
    left.max()
        .ok_or_else(|| "the login brought no token that expires".into())
}

/// How long the longest-lived token of a round still lives.
fn left_of(round: &[Call]) -> Duration {
    let left = round.iter().filter_map(|call| call.expires_in_ms).max();
    Duration::from_millis(left.unwrap_or_default())
}

fn remark(round: &[Call], refreshes: u64) -> String {
    let served = round.iter().filter(|call| call.token.is_some()).count();
    let mut times: Vec<u64> = round.iter().map(|call| call.took_us).collect();
    times.sort_unstable();
    let plural = if refreshes == 1 { "" } else { "es" };
    format!(
        "{served} calls served by {refreshes} refresh{plural}, median {}",
        milliseconds(percentile(&times, 50))
    )
}

/// Each error once, with the number of calls that it met.
fn errors(calls: &[Call]) -> std::collections::BTreeMap<&str, usize> {
    let mut errors = std::collections::BTreeMap::new();
    for error in calls.iter().filter_map(|call| call.error.as_deref()) {
        *errors.entry(error).or_default() += 1;
    }
    errors
}
