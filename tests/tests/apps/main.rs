//! The programs of `examples`, built as they are for anyone, started and used as
//! a person would.
//!
//! Run by the lane `apps` of tests/run, which builds them and says where they
//! are. They keep their logins in the session's real keyring, and the desktop
//! app has a real X server; its windows are read and pressed as a screen reader
//! does.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that can't go on should stop, its helpers too"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests wait for real time to pass"
)]

mod cli_tool;
mod desktop;
mod machine;
mod migrate;
mod reader;
mod readme;
mod running;
mod screen;
mod service;
