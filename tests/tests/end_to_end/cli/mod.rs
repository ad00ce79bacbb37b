//! The program `vault-cli`, as a person or a script meets it: real processes
//! against the strict authorization server.

mod bad_input;
mod clients;
mod contract;
mod main_path;
#[cfg(unix)]
mod signals;
mod upkeep;
