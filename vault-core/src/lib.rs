//! A vault for OAuth tokens on a user's own machine: log in once, and every
//! process shares one rotating refresh token that none of them loses.
//!
//! An application opens its [`Vault`], takes the [`Session`] of a profile, and
//! asks it for an access token whenever it needs one:
//!
//! ```no_run
//! # async fn example() -> vault_core::Result<()> {
//! let session = vault_core::Vault::open("com.example.app")?.session("default")?;
//! let token = session.access_token().await?;
//! # let _ = token.expose();
//! # Ok(())
//! # }
//! ```
//!
//! The refresh token lies in the operating system's secure store. However many
//! processes ask at once, one of them refreshes; the others are given its
//! token. See [`refresh`] for how, and `docs/ARCHITECTURE.md` for the rest.
//!
//! This crate never touches a terminal and reads no environment variable.
//!
//! Its own types wipe their memory. A program that wants the copies wiped, too,
//! that libraries make while they work, installs the
//! [`ZeroizingAllocator`], as `vault-cli` does:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: vault_core::ZeroizingAllocator = vault_core::ZeroizingAllocator::new();
//! # fn main() {}
//! ```

pub mod authorization;
pub mod bound_host;
pub(crate) mod cache_key;
#[cfg(feature = "client")]
pub mod client;
pub mod diagnosis;
pub mod display;
pub mod enrolment;
pub mod error;
pub mod event;
pub mod exit;
#[doc(hidden)]
pub mod fault;
#[cfg(all(feature = "openid", any(fuzzing, test)))]
#[doc(hidden)]
pub mod fuzzing;
pub mod glance;
pub(crate) mod http;
pub mod identity;
pub mod known_servers;
pub(crate) mod life;
pub mod login;
pub mod metrics;
#[cfg(doctest)]
mod never;
pub mod oauth;
pub(crate) mod profile;
pub mod proof;
pub(crate) mod record;
pub mod refresh;
pub(crate) mod secret_text;
pub mod session;
pub(crate) mod settings;
pub(crate) mod shared;
pub(crate) mod storage;
pub mod token;
pub mod vault;
pub(crate) mod waits;

pub use bound_host::BoundHost;
pub use error::{Error, ErrorKind, Result};
pub use session::Session;
pub use token::{AccessToken, RefreshToken};
pub use vault::{Vault, VaultBuilder};
pub use vault_platform as platform;
pub use vault_platform::allocator::ZeroizingAllocator;

/// The examples of the documents that don't lie in this crate.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../docs/GUIDE.md")]
    mod guide {}
    #[doc = include_str!("../../README.md")]
    mod readme {}
    #[doc = include_str!("../README.md")]
    mod the_crates_readme {}
}
