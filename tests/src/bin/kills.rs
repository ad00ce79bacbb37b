//! Kills processes at every point of a refresh, a login and a logout, and shows that nobody loses
//! a login that need not be lost. See [`vault_tests::kills`].
//!
//! ```text
//! kills [--runs N] [--quick] [--point NAME] [--seed N] [--chance N] [--json]
//! ```
//!
//! Exit status: 0 if all is as promised, 1 if not, 2 for usage.

use std::io::Write;
use std::process::ExitCode;

use vault_tests::kills::matrix::{self, Options};
use vault_tests::kills::worker::{self, Failure};

fn main() -> Result<ExitCode, Failure> {
    if std::env::args().nth(1).as_deref() == Some(worker::ARGUMENT) {
        worker::work()?;
        return Ok(ExitCode::SUCCESS);
    }
    match options(std::env::args().skip(1)) {
        Some(options) => matrix::main(&options),
        None => {
            writeln!(
                std::io::stderr(),
                "usage: kills [--runs N] [--quick] [--point NAME] [--seed N] [--chance N] [--json]"
            )?;
            Ok(ExitCode::from(2))
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options {
        runs: 100,
        power_runs: 20,
        point: None,
        chance: None,
        json: false,
        seed: u64::from_le_bytes(vault_core::platform::random::bytes()),
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--runs" => {
                options.runs = arguments.next()?.parse().ok()?;
                options.power_runs = options.runs;
            }
            "--quick" => (options.runs, options.power_runs) = (2, 2),
            "--point" => options.point = Some(arguments.next()?),
            "--seed" => options.seed = arguments.next()?.parse().ok()?,
            "--chance" => options.chance = Some(arguments.next()?.parse().ok()?),
            "--json" => options.json = true,
            _ => return None,
        }
    }
    Some(options)
}
