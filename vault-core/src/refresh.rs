//! The single refresher: who may spend the refresh token, when, and what is
//! done with the answer.
//!
//! `protocol` decides, as pure state machines over facts; `policy` holds the
//! numbers. The tests check them by themselves, so they can be reached, but they
//! are no part of what is promised. The other modules act: `claim` is the right to spend a token,
//! `driver` carries out a refresh, `install` a login, `ending` a logout,
//! `alteration` a change of what is bound to it, `migration` a move to another store, and `refresher` is the thread on which
//! they run.

pub mod ahead;
pub(crate) mod alteration;
pub(crate) mod claim;
pub(crate) mod description;
pub(crate) mod driver;
pub mod ending;
pub(crate) mod endpoints;
pub(crate) mod farewell;
pub(crate) mod grant;
pub(crate) mod install;
pub(crate) mod meaning;
pub mod migration;
pub(crate) mod patience;
#[doc(hidden)]
pub mod policy;
#[doc(hidden)]
pub mod protocol;
pub(crate) mod refresher;
pub(crate) mod renewal;
pub mod revocations;

pub use policy::RotationPolicy;
