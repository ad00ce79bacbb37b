//! Runs the checker over a configuration and tells what it found.

use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stateright::{Checker, HasDiscoveries, Model as _};

use super::Model;
use super::configuration::Configuration;
use super::properties::{self, REFRESHED};
use super::step::Action;

/// What a run found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) unique: usize,
    pub(crate) depth: usize,
    pub(crate) seconds: f64,
    pub(crate) properties: usize,
    /// The rules that do not hold, each with the shortest way to break it.
    pub(crate) broken: Vec<(&'static str, String)>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time that a run takes is printed, nothing depends on it"
)]
fn seconds_of<T>(run: impl FnOnce() -> T) -> (T, f64) {
    let begin = std::time::Instant::now();
    let value = run();
    (value, begin.elapsed().as_secs_f64())
}

/// Explores everything, or until a rule is broken.
pub(crate) fn check(configuration: &Configuration, threads: usize) -> Found {
    let model = Model(configuration.clone());
    let (checker, seconds) = seconds_of(|| {
        model
            .clone()
            .checker()
            .threads(threads)
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join()
    });
    let mut broken = Vec::new();
    let discoveries = checker.discoveries();
    for property in properties::properties(configuration) {
        let is_found = discoveries.get(property.name);
        if property.name == REFRESHED {
            if is_found.is_none() && broken.is_empty() && discoveries.is_empty() {
                broken.push((REFRESHED, "in no state".to_owned()));
            }
        } else if let Some(path) = is_found {
            broken.push((property.name, told(path.clone().into_vec())));
        }
    }
    Found {
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds,
        properties: properties::properties(configuration).len(),
        broken,
    }
}

/// A way through the states, one line a step.
fn told(path: Vec<(super::World, Option<Action>)>) -> String {
    let mut text = String::new();
    for (world, action) in path {
        match action {
            Some(action) => {
                let process = match action {
                    Action::Start(index) | Action::Step(index, _) | Action::Kill(index) => {
                        world.processes.get(index)
                    }
                    _ => None,
                };
                let who = process.map_or_else(String::new, |process| {
                    format!(
                        "{:?} {:?}.{} {:?}",
                        process.kind, process.effect, process.step, process.wire
                    )
                });
                writeln!(text, "  {action:?} {who}").ok();
            }
            None => {
                writeln!(
                    text,
                    "  ends in {:?} {:?} {:?}",
                    world.folder, world.store, world.witness
                )
                .ok();
            }
        }
    }
    text
}

/// A line of the table.
#[expect(clippy::print_stdout, reason = "the table is what the run is for")]
pub(crate) fn print(name: &str, found: &Found, verdict: &str) {
    println!(
        "{name:<52} {:>10} {:>9} {:>6} {:>7.1}  {verdict}",
        found.states, found.unique, found.depth, found.seconds
    );
}

/// Begins a table. Tables wait for each other, and so do their runs.
#[expect(clippy::print_stdout, reason = "the table is what the run is for")]
pub(crate) fn print_head(title: &str) -> MutexGuard<'static, ()> {
    static TABLE: Mutex<()> = Mutex::new(());
    let table = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
    println!(
        "\n{title:<52} {:>10} {:>9} {:>6} {:>7}  verdict",
        "states", "unique", "depth", "seconds"
    );
    table
}
