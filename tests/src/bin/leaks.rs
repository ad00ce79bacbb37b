//! Looks for secrets where none may be. See `vault_tests::leaks`.
//!
//! ```text
//! leaks                              drives everything by itself, searches, and checks the search
//! leaks --controls                   only the latter
//! leaks --during PROGRAM ARGUMENT…   searches what comes out while the program runs
//! ```
//!
//! Exit status: 0 if nothing was found, 1 if something was, 2 for usage.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> Result<ExitCode, vault_tests::leaks::Failure> {
    vault_tests::leaks::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    // It looks into /proc.
    ExitCode::FAILURE
}
