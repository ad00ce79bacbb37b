//! The operating system beneath a client token vault.
//!
//! Secret stores, file locks, sealed and atomically replaced files, private
//! folders, shared counters, clocks and process hardening: what a token vault
//! needs of the machine, with one meaning on every system.
//!
//! It decides nothing. It knows no OAuth, reads no environment variable
//! (libraries beneath it do: the home folder, the session bus's address),
//! prints nothing and asks nobody. Whether a person may be asked is a
//! parameter ([`store::Interaction`]).
//!
//! Two invariants hold everywhere in here: a secret is in a type that wipes it
//! and can't be printed ([`secret`]), and the clock is read in one file
//! ([`clock`]).

pub mod allocator;
mod caseless;
pub mod clock;
pub mod counters;
pub mod dirs;
pub mod exit;
#[doc(hidden)]
pub mod fault;
pub mod folder;
pub mod handover;
pub mod harden;
pub mod lock;
pub mod locked;
#[cfg(doctest)]
mod never;
pub mod random;
pub mod sealed_file;
pub mod secret;
pub mod store;
mod sys;
