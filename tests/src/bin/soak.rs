//! The soak: many processes, random kills and server faults, for as long as it
//! is told. See `vault_tests::soak`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    vault_tests::soak::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    // It stops processes and looks where they are before it kills them.
    ExitCode::FAILURE
}
