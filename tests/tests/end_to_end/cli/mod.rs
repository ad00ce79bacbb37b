//! The program `vault-cli`, as a person or a script meets it: real processes
//! against the strict authorization server.

mod bad_input;
mod bindings;
#[cfg(target_os = "linux")]
mod cases;
#[cfg(unix)]
mod choice;
mod clients;
mod combined;
mod contract;
#[cfg(target_os = "linux")]
mod doctor;
mod end_session;
#[cfg(target_os = "linux")]
mod error_lines;
#[cfg(target_os = "linux")]
mod exec;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod first_minute;
mod foreign_items;
mod http;
mod inspect;
mod issuers;
#[cfg(target_os = "linux")]
mod keyutils;
mod logins;
#[cfg(target_os = "linux")]
mod looks;
mod main_path;
mod passphrase;
mod revocations;
mod schemas;
#[cfg(target_os = "linux")]
mod shells;
#[cfg(unix)]
mod signals;
mod stores;
#[cfg(target_os = "linux")]
mod terminal;
mod upkeep;
mod user_info;
#[cfg(target_os = "linux")]
mod watch;
#[cfg(windows)]
mod windows;
mod wiped;
