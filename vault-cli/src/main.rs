//! `vault-cli`: log in once, and every process shares one token.
//!
//! The program speaks to people and scripts; what it does is done by
//! `vault-core`. It alone reads the environment, prompts and prints.

#![cfg_attr(all(target_os = "linux", target_env = "gnu", not(test)), no_main)]

mod args;
mod choice;
mod claims;
mod commands;
mod confidential;
mod context;
mod credential;
mod exit;
mod failure;
mod input;
mod nearest;
mod output;
mod program;
mod qr;
mod signals;
mod spinner;
#[cfg(all(target_os = "linux", target_env = "gnu", not(test)))]
mod sys;
mod table;
mod terminal;
mod times;
mod vault_toml;
mod version;

use vault_core::ZeroizingAllocator;

/// Libraries copy what they are given, and free the copies as they are.
#[global_allocator]
static ALLOCATOR: ZeroizingAllocator = ZeroizingAllocator::new();

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(test))))]
fn main() -> std::process::ExitCode {
    program::run().into()
}
