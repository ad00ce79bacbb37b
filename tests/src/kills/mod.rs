//! Kill -9, and power loss, at every point of a refresh, a login, a logout, a move to another store
//! and a change of the hosts that a login is bound to.
//!
//! First each scenario runs once undisturbed and notes the fault points that it passes
//! ([`vault_core::fault`]). Then, many times for each of them and in random order, a process of its
//! own does the same and is killed there, and another process goes on: what it gets, and what the
//! server saw, is compared with what the protocol promises for the phase that the point lies in.
//!
//! - [`worker`]: the process that is killed,
//! - [`scene`]: one run's server, folder and vault,
//! - [`scenario`]: what is done, against which server, and what is promised,
//! - [`run`]: one run,
//! - [`power`]: a ledger of what a power failure would take away,
//! - [`matrix`]: all runs, and the table.

pub mod matrix;
pub mod power;
pub mod run;
pub mod scenario;
pub mod scene;
mod sys;
pub mod worker;
