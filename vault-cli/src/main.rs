//! `vault-cli`: log in once, and every process shares one token.
//!
//! The program speaks to people and scripts; what it does is done by
//! `vault-core`. It alone reads the environment, prompts and prints.

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
mod table;
mod terminal;
mod times;
mod vault_toml;
mod version;

use vault_core::ZeroizingAllocator;

/// Libraries copy what they are given, and free the copies as they are.
#[global_allocator]
static ALLOCATOR: ZeroizingAllocator = ZeroizingAllocator::new();

fn main() -> std::process::ExitCode {
    program::run()
}
