//! Kills processes at every point of a refresh, a login and a logout, and shows that nobody loses
//! a login that need not be lost. See [`vault_tests::kills`].
//!
//! ```text
//! kills [--runs N] [--quick] [--at-most N] [--work NAME] [--point NAME] [--seed N]
//!     [--chance N] [--json] [--store KIND] [--token-length BYTES]
//! ```
//!
//! Exit status: 0 if all is as promised, 1 if not, 2 for usage.

use std::io::Write;
use std::process::ExitCode;

use vault_core::platform::store::StoreKind;
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
                "usage: kills [--runs N] [--quick] [--at-most N] [--work NAME] [--point NAME] \
                 [--seed N] [--chance N] [--json] [--store KIND] [--token-length BYTES]"
            )?;
            Ok(ExitCode::from(2))
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options {
        runs: 100,
        power_runs: 20,
        at_most: None,
        store: StoreKind::EncryptedFile,
        token_length: 64,
        point: None,
        work: None,
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
            "--at-most" => options.at_most = Some(arguments.next()?.parse().ok()?),
            "--store" => options.store = arguments.next()?.parse().ok()?,
            "--token-length" => options.token_length = arguments.next()?.parse().ok()?,
            "--work" => options.work = Some(arguments.next()?),
            "--point" => options.point = Some(arguments.next()?),
            "--seed" => options.seed = arguments.next()?.parse().ok()?,
            "--chance" => options.chance = Some(arguments.next()?.parse().ok()?),
            "--json" => options.json = true,
            _ => return None,
        }
    }
    Some(options)
}
