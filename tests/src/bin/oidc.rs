//! Runs vault-cli through every flow and every feature of a real oidc-provider, and prints what
//! passed. See [`vault_tests::oidc`].
//!
//! ```text
//! oidc [FLOW FEATURE]
//! ```
//!
//! With a flow and a feature, as the table names them, only that cell is run. `vault-cli` must lie
//! beside this program, and `npm ci --prefix tests/oidc` must have been run.
//!
//! Exit status: 0 if all passed, 1 if not, 2 for usage.

use std::io::Write;
use std::process::ExitCode;

use vault_tests::{fleet, oidc};

fn main() -> Result<ExitCode, oidc::Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [oidc::WORKER] => {
            fleet::work()?;
            Ok(ExitCode::SUCCESS)
        }
        [] => oidc::main(None),
        [flow, feature] => match oidc::named(flow, feature) {
            Some(cell) => oidc::main(Some(cell)),
            None => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> Result<ExitCode, oidc::Failure> {
    writeln!(std::io::stderr(), "usage: oidc [FLOW FEATURE]")?;
    Ok(ExitCode::from(2))
}
