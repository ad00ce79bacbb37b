//! Makes the servers fail, and keeps account of when that was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::dice::Dice;
use super::place::{Kind, Login};
use super::{pause, stopwatch, wall_ms};
use crate::server::{Endpoint, Fault, Reply};

/// The time between the end of one outage and the next, on average.
const PACE: Duration = Duration::from_millis(2000);

/// An outage ends by itself much sooner: an access token lives for seconds.
const LONGEST: Duration = Duration::from_secs(30);

/// Callers that met a fault may say so a little later, on a busy machine.
const ECHO_MS: u64 = 1000;

/// When a server had faults: from the moment one was set to its first rotation
/// afterwards. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct Outages(Vec<(u64, u64)>);

impl Outages {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a call in this time may have met one.
    pub(super) fn excuse(&self, from_ms: u64, to_ms: u64) -> bool {
        let mut outages = self.0.iter();
        outages.any(|(from, to)| *from <= to_ms && from_ms <= to.saturating_add(ECHO_MS))
    }
}

/// Throws faults until it is over. The last outage is waited for: the calls
/// that follow are not excused.
pub(super) fn throw(login: &Login, mut dice: Dice, over: &AtomicBool) -> Outages {
    let mut outages = Outages::default();
    let mut next = dice.wait(PACE);
    while !over.load(Ordering::Acquire) {
        if !next.is_zero() {
            let little = next.min(Duration::from_millis(20));
            next -= little;
            pause(little);
            continue;
        }
        let times = 1 + dice.below(2);
        outages
            .0
            .push(outage(login, fault(login.kind, &mut dice), times));
        next = dice.wait(PACE);
    }
    outages
}

/// Makes the server fail, and waits until the faults are met and a rotation has
/// come through since. Somebody has to ask meanwhile.
fn outage(login: &Login, fault: Fault, times: usize) -> (u64, u64) {
    let (server, from, began) = (&login.server, wall_ms(), stopwatch());
    server.fail_next(Endpoint::Token, times, fault);
    let wait_while = |goes_on: &dyn Fn() -> bool| {
        // Where a login is lost, or nobody asks any more, the figures tell.
        while goes_on() && server.living_logins() > 0 && began.elapsed() < LONGEST {
            pause(Duration::from_millis(2));
        }
    };
    // A request that met one may still be acted on, and is not the one that ends the outage.
    wait_while(&|| {
        server.pending_faults(Endpoint::Token) > 0 || server.counts().refreshes_in_flight > 0
    });
    let met = server.counts().refreshes_ok;
    wait_while(&|| server.counts().refreshes_ok == met);
    server.clear_faults(Endpoint::Token);
    (from, wall_ms())
}

/// A strict server's faults are those after which a client knows that it did
/// not act: what can't be known can't be survived there.
fn fault(kind: Kind, dice: &mut Dice) -> Fault {
    let told = [
        Fault::unavailable(1),
        Fault::status(503),
        Fault::Instead(Reply::empty(429).retry_after(1)),
        Fault::status(408),
        Fault::oauth_error(400, "temporarily_unavailable"),
        Fault::DelayAnswer(Duration::from_millis(300)),
    ];
    let untold = [
        Fault::LoseAnswer,
        Fault::CutAnswer,
        Fault::TruncateBody,
        Fault::Drop,
        Fault::status(500),
        Fault::ReplaceAnswer(Reply::html(502, "Bad Gateway")),
        Fault::ReplaceAnswer(Reply::html(200, "Log in to the Wi-Fi")),
    ];
    let any = match kind {
        Kind::Strict => told.len(),
        Kind::Window => told.len() + untold.len(),
    };
    let mut all = told.into_iter().chain(untold);
    all.nth(dice.below(any)).unwrap_or(Fault::Drop)
}

#[cfg(test)]
mod tests {
    use vault_core::session::TokenOptions;

    use super::super::place::Place;
    use super::*;

    #[test]
    fn an_outage_lasts_until_a_rotation_comes_through() {
        let place = Place::make(Duration::from_secs(60)).unwrap();
        let login = place.login(Kind::Strict).unwrap();
        let ask = || login.session.blocking().token(&TokenOptions::default());
        std::thread::scope(|scope| {
            let outage = scope.spawn(|| outage(login, Fault::status(503), 1));
            while login.server.pending_faults(Endpoint::Token) == 0 {
                pause(Duration::from_millis(1));
            }
            let failed_at = wall_ms();
            assert!(ask().unwrap_err().is_transient());
            // Everybody stays away from the server.
            while ask().is_err() {
                assert!(!outage.is_finished());
                pause(Duration::from_millis(5));
            }
            let (from, to) = outage.join().unwrap();
            assert!(from <= failed_at && failed_at < to);
        });
    }
}
