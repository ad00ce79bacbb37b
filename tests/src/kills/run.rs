//! One run: a process is ended at a point, another goes on, and what it gets is compared with what
//! is promised.

mod binding;

use std::io::BufRead;
use std::process::{Child, Command};
use std::time::Duration;

use vault_core::{ErrorKind, Session};

use super::scenario::{End, Outcome, Phase, Scenario, Work};
use super::scene::{Scene, since_boot};
use super::worker::{self, Armed, Effect, Failure, Order, PROFILE, Report, wanted};
use crate::server::{Endpoint, Stage, fingerprint};
use crate::stand_in::OTHER;

/// Killed from outside while its request is with the server, not acted on.
pub const AT_THE_SERVER: &str = "server:arrived";

/// Killed from outside while the answer is under way.
pub const ANSWER_UNDER_WAY: &str = "server:answered";

/// Whoever asks afterwards is served within this time.
const PATIENCE: Duration = Duration::from_secs(9);

/// A point of a run, by name and passing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// Which passing, 1 being the first.
    pub nth: usize,
    /// The phase it lies in.
    pub phase: Phase,
}

/// What one run showed.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How it came out.
    pub outcome: Outcome,
    /// The token that was still valid was served.
    pub served: bool,
    /// What is not as it was promised.
    pub wrong: Option<String>,
}

/// This very program, as a worker.
///
/// # Errors
///
/// If its path can't be told.
pub fn program() -> std::io::Result<Command> {
    Ok(Command::new(std::env::current_exe()?))
}

/// Runs the scenario without an end, and gives the points that it passes.
///
/// # Errors
///
/// If it fails.
pub fn undisturbed(scenario: &Scenario) -> Result<Vec<Point>, Failure> {
    let scene = Scene::of(scenario)?;
    let mut child = worker::start(program()?, &order(scenario, &scene, None))?;
    let reports = reports(&mut child)?;
    child.wait()?;
    let [report, last] = reports.as_slice() else {
        return Err(format!("the worker made {} reports", reports.len()).into());
    };
    if let Some(message) = &report.message {
        return Err(message.clone().into());
    }
    let phases = scenario.phases(&last.passed);
    if phases.last() != Some(&Phase::Committed) {
        return Err("the run passed no commit".into());
    }
    let mut points: Vec<Point> = Vec::new();
    for (name, phase) in last.passed.iter().zip(phases) {
        let before = points.iter().filter(|point| point.name == *name).count();
        points.push(Point {
            name: name.clone(),
            nth: before + 1,
            phase,
        });
    }
    if matches!(scenario.work, Work::Refresh | Work::RefreshAhead) && scenario.end == End::Kill {
        for name in [AT_THE_SERVER, ANSWER_UNDER_WAY] {
            points.push(Point {
                name: name.to_owned(),
                nth: 1,
                phase: Phase::Spent,
            });
        }
    }
    Ok(points)
}

fn order(scenario: &Scenario, scene: &Scene, fault: Option<Armed>) -> Order {
    Order {
        place: scene.place(scenario.worker_at(), false),
        acts: vec![scenario.act(scene.server.issuer())],
        fault,
        inject: scenario.broken.iter().map(|&rule| rule.into()).collect(),
    }
}

/// Reads what a worker reports until it ends.
///
/// # Errors
///
/// If it writes something else.
pub fn reports(child: &mut Child) -> Result<Vec<Report>, Failure> {
    let mut reports = Vec::new();
    if let Some(output) = child.stdout.take() {
        for line in std::io::BufReader::new(output).lines() {
            reports.push(serde_json::from_str(&line?)?);
        }
    }
    Ok(reports)
}

/// Makes one run. `chance` decides what a power failure takes away.
///
/// # Errors
///
/// If the run could not be made.
pub fn run(scenario: &Scenario, point: &Point, chance: u64) -> Result<Finding, Failure> {
    let scene = Scene::of(scenario)?;
    let reached = match point.name.as_str() {
        AT_THE_SERVER => kill_from_outside(scenario, &scene, Stage::Arrived)?,
        ANSWER_UNDER_WAY => kill_from_outside(scenario, &scene, Stage::Answered)?,
        _ => kill_at(scenario, &scene, point, chance)?,
    };
    let judge = Judge {
        scenario,
        scene: &scene,
        phase: point.phase,
    };
    if let Some(otherwise) = reached {
        return Err(otherwise.into());
    }
    let finding = match scenario.work {
        Work::Refresh | Work::RefreshAhead => judge.after_refresh()?,
        Work::Login => judge.after_login()?,
        Work::Logout => judge.after_logout()?,
        Work::Migrate => judge.after_migration(chance)?,
        Work::Bind | Work::Unbind => judge.after_binding()?,
    };
    // Else what is still written would be left behind by the folder's removal.
    scene.settle()?;
    Ok(finding)
}

/// Has it killed at the point; otherwise, says how it ended.
fn kill_at(
    scenario: &Scenario,
    scene: &Scene,
    point: &Point,
    chance: u64,
) -> Result<Option<String>, Failure> {
    let armed = Armed {
        point: point.name.clone(),
        nth: point.nth,
        effect: match scenario.end {
            End::Kill => Effect::Kill,
            End::PowerLoss => Effect::PowerLoss(chance),
        },
    };
    let mut child = worker::start(program()?, &order(scenario, scene, Some(armed)))?;
    let reported = reports(&mut child);
    let status = child.wait()?;
    let otherwise = || format!("the point was not reached: {status}, {reported:?}");
    Ok((!was_killed(status) || reported.is_err()).then(otherwise))
}

/// Kills it while its request is with the server; otherwise, says why not.
fn kill_from_outside(
    scenario: &Scenario,
    scene: &Scene,
    stage: Stage,
) -> Result<Option<String>, Failure> {
    let before = scene.server.counts().refreshes_ok;
    let hold = scene.server.hold(Endpoint::Token, stage);
    let mut child = worker::start(program()?, &order(scenario, scene, None))?;
    let arrived = hold.wait_for(1, Duration::from_secs(20));
    child.kill()?;
    child.wait()?;
    drop(hold);
    // A request that was read is acted on, and is over before anybody else asks: the process that
    // sent it is dead, so it does not count as one of two at once.
    for _ in 0..2000 {
        let counts = scene.server.counts();
        if counts.refreshes_ok > before && counts.refreshes_in_flight == 0 {
            return Ok((!arrived).then(|| "no request came".to_owned()));
        }
        worker::pause(Duration::from_millis(1));
    }
    Ok(Some("the server did not act".to_owned()))
}

#[cfg(unix)]
fn was_killed(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;

    status.signal() == Some(9)
}

#[cfg(not(unix))]
fn was_killed(status: std::process::ExitStatus) -> bool {
    !status.success()
}

/// What another process gets afterwards.
enum Got {
    Token(String),
    Error(ErrorKind, String),
}

struct Judge<'a> {
    scenario: &'a Scenario,
    scene: &'a Scene,
    phase: Phase,
}

impl Judge<'_> {
    fn open(&self, at: Duration) -> Result<Session, Failure> {
        let rebooted = self.scenario.end == End::PowerLoss;
        Ok(self.scene.place(at, rebooted).open()?)
    }

    fn ask(&self, at: Duration) -> Result<(Got, Duration), Failure> {
        let session = self.open(at)?;
        let began = since_boot();
        let answer = session
            .blocking()
            .token(&wanted(self.scenario.min_valid_ms()));
        let took = since_boot().saturating_sub(began);
        let got = match answer {
            Ok(token) => Got::Token(fingerprint(token.access_token.expose())),
            Err(error) => Got::Error(error.kind(), format!("{error:?}")),
        };
        Ok((got, took))
    }

    fn after_refresh(&self) -> Result<Finding, Failure> {
        let scenario = self.scenario;
        let (mut got, mut took) = self.ask(scenario.next_at())?;
        let mut served = false;
        if matches!(&got, Got::Token(token) if *token == self.scene.token) {
            // The token that is still valid was served; what comes when it ends?
            served = true;
            (got, took) = self.ask(scenario.at_the_end())?;
        }
        let (outcome, why) = self.outcome(got, scenario.at_the_end())?;
        let ahead = scenario.work == Work::RefreshAhead;
        let wrong = if took > PATIENCE {
            Some(format!("it took {took:?}"))
        } else if ahead && outcome != Outcome::Recovered && !served {
            Some("a valid access token was not served".to_owned())
        } else {
            self.check(outcome, why)
        };
        Ok(Finding {
            outcome,
            served,
            wrong,
        })
    }

    /// A token counts only if the next refresh works, too.
    fn outcome(&self, got: Got, at: Duration) -> Result<(Outcome, Option<String>), Failure> {
        match got {
            Got::Token(token) => {
                if token == self.scene.token {
                    return Ok((Outcome::Lost, Some("an expired token was served".into())));
                }
                let session = self.open(at)?;
                match session.blocking().refresh_now(&wanted(0)) {
                    Ok(_) => Ok((Outcome::Recovered, None)),
                    Err(error) => Ok((Outcome::Lost, Some(format!("the next: {error:?}")))),
                }
            }
            Got::Error(ErrorKind::RotationUnconfirmed, why) => {
                Ok((Outcome::Unconfirmed, Some(why)))
            }
            Got::Error(_, why) => Ok((Outcome::Lost, Some(why))),
        }
    }

    fn check(&self, outcome: Outcome, why: Option<String>) -> Option<String> {
        let counts = self.scene.server.counts();
        if !self.scenario.promised(self.phase).contains(&outcome) {
            let why = why.unwrap_or_default();
            return Some(format!("{outcome:?}, not as promised: {why}"));
        }
        if counts.peak_concurrent_refreshes > 1 {
            return Some("two refreshes at once".to_owned());
        }
        if counts.reuse_detected > 0 && !self.scenario.may_replay(self.phase) {
            return Some("the server saw a token that it had replaced".to_owned());
        }
        let refreshes = matches!(self.scenario.work, Work::Refresh | Work::RefreshAhead);
        // The first one made the scene, the last one proves that the login goes on.
        if refreshes && self.phase == Phase::Committed && counts.refresh_requests != 3 {
            return Some(format!("{} refreshes for one", counts.refresh_requests));
        }
        None
    }

    fn after_login(&self) -> Result<Finding, Failure> {
        let at = self.scenario.next_at();
        let (got, took) = self.ask(at)?;
        let (outcome, mut why) = self.outcome(got, at)?;
        let outcome = match outcome {
            Outcome::Recovered if self.login(at)? != self.scene.login => Outcome::Done,
            outcome => outcome,
        };
        if let Err(error) = self.scene.log_in_again(&self.open(at)?) {
            why = Some(format!("the next login: {error:?}"));
        }
        let wrong = match self.check(outcome, why.clone()) {
            None if took > PATIENCE => Some(format!("it took {took:?}")),
            None => why,
            wrong => wrong,
        };
        Ok(Finding {
            outcome,
            served: false,
            wrong,
        })
    }

    fn login(&self, at: Duration) -> Result<String, Failure> {
        let inspection = self.open(at)?.blocking().inspect()?;
        Ok(format!("{:?}", inspection.login_id))
    }

    /// The login goes on, and what is done next leaves nothing behind: the move once more, or, by
    /// chance, a logout.
    fn after_migration(&self, chance: u64) -> Result<Finding, Failure> {
        let at = self.scenario.next_at();
        let (got, took) = self.ask(at)?;
        let (outcome, why) = self.outcome(got, at)?;
        let mut wrong = self.check(outcome, why);
        if took > PATIENCE {
            wrong.get_or_insert(format!("it took {took:?}"));
        }
        if wrong.is_none() {
            wrong = self.finish_migration(chance % 2 == 1, at)?;
        }
        Ok(Finding {
            outcome,
            served: false,
            wrong,
        })
    }

    fn finish_migration(&self, logout: bool, at: Duration) -> Result<Option<String>, Failure> {
        let session = self.open(at)?;
        let done = match logout {
            true => session.blocking().logout(true).map(|report| report.remains),
            false => {
                let report = session.blocking().migrate(OTHER);
                report.map(|report| report.remains.is_some())
            }
        };
        match done {
            Ok(false) => {}
            otherwise => return Ok(Some(format!("what came next: {otherwise:?}"))),
        }
        let held = |kind| -> Result<Vec<String>, Failure> {
            let mut accounts = self.scene.accounts(kind)?;
            // What a store is proved with is no secret, and the next proof replaces it.
            accounts.retain(|account| !account.ends_with("#probe"));
            Ok(accounts)
        };
        let (old, new) = (held(self.scenario.store)?, held(OTHER)?);
        let left: &[&str] = if logout {
            &[]
        } else {
            &[PROFILE, "default#key"]
        };
        if !old.is_empty() || new != left {
            return Ok(Some(format!("left in the stores: {old:?}, {new:?}")));
        }
        if !logout && let Err(error) = session.blocking().refresh_now(&wanted(0)) {
            return Ok(Some(format!("after the move: {error:?}")));
        }
        Ok(None)
    }

    fn after_logout(&self) -> Result<Finding, Failure> {
        let at = self.scenario.next_at();
        let requests = self.scene.server.counts().refresh_requests;
        let (got, took) = self.ask(at)?;
        let (outcome, mut why) = match got {
            Got::Error(ErrorKind::LoggedOut | ErrorKind::NotLoggedIn, _) => (Outcome::Done, None),
            got => self.outcome(got, at)?,
        };
        if outcome == Outcome::Done && self.scene.server.counts().refresh_requests > requests {
            why = Some("it was refreshed after the logout".to_owned());
        }
        if let Err(error) = self.scene.log_in_again(&self.open(at)?) {
            why = Some(format!("the next login: {error:?}"));
        } else if let (Got::Error(_, error), _) = self.ask(at)? {
            why = Some(format!("after the next login: {error}"));
        }
        let wrong = match self.check(outcome, why.clone()) {
            None if took > PATIENCE => Some(format!("it took {took:?}")),
            None => why,
            wrong => wrong,
        };
        Ok(Finding {
            outcome,
            served: false,
            wrong,
        })
    }
}
