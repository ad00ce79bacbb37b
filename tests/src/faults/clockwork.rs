//! Rows about time: a login, and clocks that are moved while callers ask.
//!
//! What is true is kept apart from what the clocks say: how much time has
//! really passed since a token was issued. A token whose life is over must not
//! be served, one that lives must not be refused, and each life is bought with
//! one refresh.

use std::time::Duration;

use vault_platform::clock::{Clock, SystemClock};

use super::bench::{Bench, ask};
use super::row::Login;
use super::{Finding, Stop};

/// A login and what happens to its clocks.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) login: Login,
    pub(super) steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A caller asks, in a process that has cached the token and in a new one:
    /// both get the token of the last time.
    Same,
    /// They ask, and get another token, by one refresh.
    Another,
    /// As `Another`, although the last token would live on: the clocks can't
    /// tell.
    AnotherEarly,
    /// Time passes, awake or asleep.
    Pass(Duration),
    /// The wall clock is set, so many seconds from what it says.
    Shift(i64),
    /// The wall clock is set, so many seconds from the server's.
    FromServer(i64),
    /// The wall clock is set to this time since the epoch.
    Wall(Duration),
    /// The machine is off for so long, and boots anew.
    Reboot(Duration),
}

struct Truth {
    now: Duration,
    token: Option<(String, Duration)>,
    refreshes: u64,
}

pub(super) fn run(script: &Script, finding: &mut Finding) -> Result<(), Stop> {
    let bench = Bench::new(&script.login)?;
    let session = bench.session()?;
    let mut truth = Truth {
        now: Duration::ZERO,
        token: None,
        refreshes: 0,
    };
    for (number, step) in script.steps.iter().enumerate() {
        let wall = bench.clock.now().wall;
        match *step {
            Step::Pass(time) => {
                bench.clock.advance(time);
                truth.now += time;
            }
            Step::Shift(seconds) => bench.clock.set_wall(shifted(wall, seconds)),
            Step::FromServer(seconds) => {
                bench
                    .clock
                    .set_wall(shifted(SystemClock.now().wall, seconds));
            }
            Step::Wall(time) => bench.clock.set_wall(time),
            Step::Reboot(off) => {
                bench.clock.reboot(off);
                truth.now += off;
            }
            Step::Same | Step::Another | Step::AnotherEarly => {
                for session in [session.clone(), bench.session()?] {
                    if let Err(problem) = truth.ask(&bench, &session, *step, script) {
                        finding.wrong(format!("step {}: {problem}", number + 1));
                    }
                }
            }
        }
    }
    bench.settle()?;
    let requests = bench.requests();
    finding.requests = Some(requests);
    finding.caller = format!("{} tokens", truth.refreshes);
    finding.stored = format!("{} generations", truth.refreshes + 1);
    if requests != truth.refreshes {
        finding.wrong(format!(
            "{requests} requests for {} lifetimes",
            truth.refreshes
        ));
    }
    let stored = bench.session()?.blocking().inspect()?;
    if stored.generation.0 != truth.refreshes + 1 {
        finding.wrong(format!("generation {} is stored", stored.generation.0));
    }
    let alive = bench
        .server
        .is_current_refresh_token(stored.refresh_token.expose());
    finding.alive = Some(alive);
    if !alive {
        finding.wrong("the stored token is not the server's newest");
    }
    finding.afterwards = "-".to_owned();
    Ok(())
}

impl Truth {
    fn ask(
        &mut self,
        bench: &Bench,
        session: &vault_core::Session,
        step: Step,
        script: &Script,
    ) -> Result<(), String> {
        let answer = ask(session);
        let token = answer.token.ok_or("a caller got no token")?;
        if let Some((last, issued)) = &self.token
            && *last == token
        {
            let age = self.now - *issued;
            if age >= script.login.lifetime {
                return Err(format!("a token was served {age:?} after its issue"));
            }
            // The second caller of a step is given what the first one got.
            return match step {
                Step::Same => Ok(()),
                _ if age.is_zero() => Ok(()),
                _ => Err("the old token was served".to_owned()),
            };
        }
        let lived = self
            .token
            .as_ref()
            .is_some_and(|(_, issued)| self.now - *issued < script.login.lifetime * 8 / 10);
        if !bench.server.is_valid_access_token(&token) {
            return Err("the token is none of the server's".to_owned());
        }
        self.token = Some((token, self.now));
        self.refreshes += 1;
        match step {
            Step::Same => Err("there was a refresh".to_owned()),
            Step::Another if lived => Err("a token that lives on was refreshed".to_owned()),
            _ => Ok(()),
        }
    }
}

fn shifted(wall: Duration, seconds: i64) -> Duration {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        wall.saturating_sub(by)
    } else {
        wall.saturating_add(by)
    }
}
