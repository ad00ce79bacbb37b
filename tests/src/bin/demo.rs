//! `cargo demo`: shows the main job on real parts. See [`vault_tests::demo`].

use std::process::ExitCode;

fn main() -> ExitCode {
    vault_tests::demo::main()
}
