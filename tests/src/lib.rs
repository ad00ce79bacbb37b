//! What the vault is tested with.
//!
//! [`server`] is a strict authorization server that runs in the test's own process; the tests
//! that start real processes are in `tests/`, the demo and the lanes' programs in `src/bin/`.

pub mod demo;
#[cfg(unix)]
pub mod faults;
pub mod fleet;
pub mod kills;
pub mod leaks;
#[cfg(target_os = "linux")]
pub mod memory;
pub mod oidc;
pub mod server;
#[cfg(target_os = "linux")]
pub mod soak;
pub mod stand_in;

/// The README's code is compiled like any other.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[derive(Debug)]
pub struct Readme;
