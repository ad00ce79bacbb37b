//! vault-cli against a real oidc-provider: every flow with every feature.
//!
//! The provider is a certified server that was written by someone else, with all of it on: DPoP
//! with nonces that it insists on, pushed requests, resource indicators with JWTs of more than 4 KB,
//! device codes, rotation, revocation, and clients of every kind, over TLS with a certificate that
//! only a private authority vouches for. Both are made anew for each run.
//!
//! A cell of the table is a person's machine of its own and a client of its own at the provider,
//! so that the provider's counts can be held against what that one cell did.
//!
//! - `authority`: certificates, and the clients' keys and secrets,
//! - `provider`: the server's process, and what can be asked of it beside the vault,
//! - `machine`: a home, a state folder, and vault-cli,
//! - `matrix`: flows and features, all of them run, and the table,
//! - `cell`: one of them,
//! - `attacks` and `crowd`: what no cell of a table shows.

mod attacks;
mod authority;
mod cell;
mod crowd;
mod machine;
mod matrix;
mod provider;

pub use matrix::{Cell, main, named};

/// The failure of a run, as a sentence.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The argument that makes the program `oidc` a worker of [`crate::fleet`].
pub const WORKER: &str = "--worker";

/// Fails with this sentence unless it is so.
fn ensure(is_so: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    match is_so {
        true => Ok(()),
        false => Err(otherwise().into()),
    }
}
