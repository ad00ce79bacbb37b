//! Tests that start real processes against real servers and stores.
#![expect(
    clippy::unwrap_used,
    reason = "a test that can't go on should stop, its helpers too"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests wait for real time to pass"
)]

mod ahead;
#[cfg(target_os = "linux")]
mod asking;
#[cfg(target_os = "linux")]
mod cancellation;
mod cli;
mod client;
mod contention;
#[cfg(target_os = "linux")]
mod corruption;
#[cfg(target_os = "linux")]
mod counters;
#[cfg(target_os = "linux")]
mod credentials;
#[cfg(target_os = "linux")]
mod discovery;
mod dpop;
mod endings;
mod endless;
#[cfg(target_os = "linux")]
mod history;
#[cfg(target_os = "linux")]
mod hooked;
mod keyring;
#[cfg(target_os = "linux")]
mod locks;
#[cfg(target_os = "linux")]
mod migration;
mod oidc;
#[cfg(target_os = "linux")]
mod picture;
#[cfg(target_os = "linux")]
mod prompts;
#[cfg(target_os = "linux")]
mod queues;
#[cfg(target_os = "linux")]
mod resources;
mod runtimes;
#[cfg(target_os = "linux")]
mod scene;
#[cfg(target_os = "linux")]
mod screen;
mod skipped;
mod slow_logins;
#[cfg(target_os = "linux")]
mod small_store;
mod support;
#[cfg(target_os = "linux")]
mod tools;
