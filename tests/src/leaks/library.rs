//! Programs that link the library and log everything: panics and errors in the middle of each
//! piece of work, and all that `Debug` shows.

use std::fs::OpenOptions;
use std::time::Duration;

use vault_core::session::TokenOptions;

use super::kept::{self, Place};
use super::{Failure, machine};
use crate::kills::run;
use crate::kills::scenario::{Scenario, Server, Work};
use crate::kills::scene::Scene;
use crate::kills::worker::{self, Armed, Effect};
use crate::server::{Endpoint, Fault, Rotation};

/// So many workers run at once.
const AT_ONCE: usize = 32;

/// Panics at every point of each work, in processes of their own. Gives how many there were.
///
/// # Errors
///
/// If a worker can't be run.
pub fn panics() -> Result<usize, Failure> {
    let mut points = Vec::new();
    for work in [Work::Refresh, Work::Login, Work::Logout] {
        let scenario = Scenario::kill(work, Server::Strict);
        for point in run::undisturbed(&scenario)? {
            // Those at the server are not of the process.
            if point.nth == 1 && !point.name.starts_with("server:") {
                points.push((scenario, point.name));
            }
        }
    }
    // A worker waits long for what a panic has ended.
    for some in points.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let running: Vec<_> = some
                .iter()
                .map(|(scenario, point)| scope.spawn(|| panic_at(scenario, point)))
                .collect();
            running
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| "a panic of the run itself")?)
        })?;
    }
    Ok(points.len())
}

fn panic_at(scenario: &Scenario, point: &str) -> Result<(), Failure> {
    let scene = Scene::of(scenario)?;
    let order = worker::Order {
        place: scene.place(scenario.worker_at(), false),
        acts: vec![scenario.act(scene.server.issuer())],
        fault: Some(Armed {
            point: point.to_owned(),
            nth: 1,
            effect: Effect::Panic,
        }),
        inject: Vec::new(),
    };
    let mut program = run::program()?;
    program.env(kept::VARIABLE, machine::folder()?);
    let mut child = worker::start(program, &order)?;
    for report in run::reports(&mut child)? {
        kept::output(Place::Errors, format!("{report:#?}"));
    }
    child.wait()?;
    kept::files(&scene.place(Duration::ZERO, false).root);
    Ok(())
}

/// A worker of [`panics`]: what it says about its panics is kept, where somebody looks.
///
/// # Errors
///
/// As [`worker::work`].
pub fn work() -> Result<(), Failure> {
    let Some(folder) = kept::folder() else {
        return worker::work();
    };
    let folder = Place::Panics.folder(folder);
    std::fs::create_dir_all(&folder)?;
    let name = std::process::id().to_string();
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(name))?;
    rustix::stdio::dup2_stderr(&file)?;
    worker::work()
}

/// Prints with `Debug` whatever the library hands out, and every error with its causes.
///
/// # Errors
///
/// If a login or a refresh fails that should not.
pub fn debug() -> Result<(), Failure> {
    let scenario = Scenario::kill(Work::Refresh, Server::Strict);
    let scene = Scene::of(&scenario)?;
    let session = scene.place(Duration::ZERO, false).open()?;
    let blocking = session.blocking();
    let all = TokenOptions::default();
    let token = blocking.refresh_now(&all)?;
    let show = |what: &dyn std::fmt::Debug| {
        kept::output(Place::Errors, format!("{what:?}\n{what:#?}"));
    };
    show(&session);
    show(&blocking);
    show(&token);
    show(&token.access_token);
    show(&blocking.inspect()?);
    show(&session.history()?);
    show(&scene);
    for fault in [
        Fault::status(500),
        Fault::LoseAnswer,
        Fault::TruncateBody,
        Fault::oauth_error(400, "invalid_grant"),
    ] {
        let scene = Scene::logged_in(Rotation::Strict, scenario.policy())?;
        scene.server.fail_next(Endpoint::Token, 9, fault);
        let session = scene.place(scenario.worker_at(), false).open()?;
        let Err(error) = session.blocking().access_token() else {
            return Err("a refresh that meets a fault gives a token".into());
        };
        show(&error);
        let mut chain = error.to_string();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(error) = cause {
            chain.push_str(&format!(": {error} ({error:?})"));
            cause = error.source();
        }
        kept::output(Place::Errors, chain);
    }
    Ok(())
}
