//! The program `leaks`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::kept::{self, Place};
use super::search::{Row, search, secrets};
use super::watch::Watch;
use super::{Failure, controls, drive, library, machine, report};
use crate::kills::worker;

/// What a run of its own has to have seen something of; the others only exist for a moment, or in
/// the run of the whole suite.
const NEEDED: [Place; 14] = [
    Place::TokenStdout,
    Place::Stdout,
    Place::Stderr,
    Place::Log,
    Place::Errors,
    Place::Panics,
    Place::Page,
    Place::CommandLine,
    Place::Environment,
    Place::History,
    Place::ProfileJson,
    Place::Sealed,
    Place::Items,
    Place::State,
];

/// Runs it: exit status 0 if nothing was found, 1 if something was, 2 for usage.
///
/// # Errors
///
/// If it could not be run to its end.
pub fn main() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [worker::ARGUMENT] => {
            library::work()?;
            Ok(ExitCode::SUCCESS)
        }
        ["--controls"] => controls(),
        [] => own(),
        ["--during", program, ..] => during(program, &words[2..]),
        _ => {
            say("usage: leaks | leaks --controls | leaks --during PROGRAM ARGUMENT…")?;
            Ok(ExitCode::from(2))
        }
    }
}

/// The run that drives everything by itself, and then the controls.
fn own() -> Result<ExitCode, Failure> {
    let folder = tempfile::tempdir()?;
    kept::begin(folder.path());
    kept::log();
    let watch = Watch::of_processes();
    for part in drive::everything()? {
        say(&format!("driven: {part}"))?;
    }
    let points = library::panics()?;
    say(&format!(
        "driven: the library, with a panic at each of {points} points"
    ))?;
    library::debug()?;
    drop(watch);
    let rows = search(folder.path())?;
    let clean = tell(folder.path(), &rows)?;
    let keys = machine::key_ring()?.map(|_| Place::KernelKeys);
    let unseen: Vec<&str> = NEEDED
        .into_iter()
        .chain(keys)
        .filter(|place| !rows.iter().any(|row| row.place == *place && row.bytes > 0))
        .map(Place::title)
        .collect();
    if !unseen.is_empty() {
        say(&format!("nothing was seen of: {}", unseen.join(", ")))?;
    }
    if !clean {
        keep(folder)?;
    }
    let noticed = Command::new(std::env::current_exe()?)
        .arg("--controls")
        .status()?;
    Ok(outcome(clean && unseen.is_empty() && noticed.success()))
}

/// The search has to find what is let out on purpose.
fn controls() -> Result<ExitCode, Failure> {
    let folder = tempfile::tempdir()?;
    kept::begin(folder.path());
    let (rows, missed) = controls::check()?;
    let found = rows.iter().filter(|row| !row.hits.is_empty()).count();
    say(&format!(
        "let out on purpose in each of {} places: found in {found}",
        Place::ALL.len()
    ))?;
    for place in &missed {
        say(&format!("NOT FOUND: {}", place.title()))?;
    }
    Ok(outcome(missed.is_empty()))
}

/// Whatever happens while a program runs, such as the end-to-end tests.
fn during(program: &str, arguments: &[&str]) -> Result<ExitCode, Failure> {
    let folder = tempfile::tempdir()?;
    kept::open_to_all(folder.path())?;
    kept::begin(folder.path());
    let watch = Watch::of_processes();
    let status = Command::new(program)
        .args(arguments)
        .env(kept::VARIABLE, folder.path())
        .status()?;
    drop(watch);
    let rows = search(folder.path())?;
    let clean = tell(folder.path(), &rows)?;
    if !clean {
        keep(folder)?;
    }
    if !status.success() {
        say(&format!("`{program}` ended with {status}"))?;
    }
    Ok(outcome(clean && status.success()))
}

fn tell(folder: &Path, rows: &[Row]) -> Result<bool, Failure> {
    let secrets = secrets(folder)?.len();
    let hits: usize = rows.iter().map(|row| row.hits.len()).sum();
    say(&report::as_table(rows))?;
    say(&format!("secrets searched for: {secrets}; hits: {hits}"))?;
    Ok(hits == 0 && secrets > 0)
}

/// Leaves what was found for whoever looks into it.
fn keep(folder: tempfile::TempDir) -> Result<(), Failure> {
    say(&format!("kept in {}", folder.keep().display()))
}

fn outcome(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}
