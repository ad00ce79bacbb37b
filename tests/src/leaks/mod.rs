//! Looks for secrets where none may be. Every secret that the test server issued or was sent, and
//! those that only the client has, are searched for in everything that comes out of the programs:
//! their streams, logs of all libraries, errors, panics, files, and what other users can see of a
//! process.
//!
//! [`kept`] is told what there is, [`drive`] and [`library`] make it happen, [`watch`] looks from
//! outside, [`search`] searches. [`controls`] lets a secret out on purpose in each kind of place, to
//! show that it would be found. What is in memory is looked at by others.

#[cfg(target_os = "linux")]
pub mod controls;
#[cfg(target_os = "linux")]
pub mod drive;
#[cfg(target_os = "linux")]
pub mod echo;
pub mod kept;
#[cfg(target_os = "linux")]
pub mod library;
#[cfg(target_os = "linux")]
pub mod machine;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
pub mod report;
#[cfg(target_os = "linux")]
pub mod search;
#[cfg(target_os = "linux")]
pub mod watch;

#[cfg(target_os = "linux")]
pub use program::main;

/// The failure of a run.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
