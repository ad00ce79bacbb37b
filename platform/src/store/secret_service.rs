//! The Secret Service of the session bus: GNOME Keyring, KeePassXC, KWallet.
//!
//! Items have the attributes `service` (the application) and `username` (the
//! account), and lie in the default collection; `secret-tool search --all
//! service APPLICATION` shows them. The messages are zbus's, their way over the
//! bus is ours (`wire`), and so is the session that encrypts (`session`):
//! keyring-core's zbus store, and the `secret-service` crate beneath it, open
//! their session as the first call on a connection of its own, and gnome-keyring
//! 42.1 sometimes aborts when several clients do that at once (seen twice in some
//! 38,000 connections, although they were made one after the other); and half of
//! a read is the crate's arithmetic. What this module takes care of:
//!
//! - *Our processes don't bring the daemon down.* Which collection is the default
//!   one is asked alone, and its answer waited for: no death was seen since. If it
//!   dies all the same, the daemon that the bus then starts is locked, which is
//!   never taken for empty.
//! - *Nothing prompts by surprise.* KeePassXC asks for its password when what is
//!   locked is searched. So each call first asks (`bus`) whether the default
//!   collection is open, then whether what the search found is; if not, the
//!   answer is `Locked`, at once. (Between question and call somebody may lock
//!   the keyring; then a prompt does appear, with a deadline, too.)
//! - *Prompts end.* One that nobody answers is taken back after the deadline
//!   (`prompt`), and is `Hung`; one that is declined is `Locked`.
//! - *A keyring with a blank password opens by itself*, but only when told to
//!   after each start of its service; that asks nobody, so each call may. And so
//!   does an open wallet of KWallet's (`kwallet`).
//! - *Locked is not absent.* A search of a locked keyring may find nothing. So
//!   nothing is searched before the default collection is unlocked (but in
//!   gnome-keyring, where it counts only if that is said of it); right after an
//!   unlock that is known, and asked only if nothing was found.
//! - *A dead connection is made again*, once per call.
//! - *One item.* A set writes the first that matches and deletes the others.

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
pub use super::unsupported::SecretService as SecretServiceStore;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub use store::SecretServiceStore;

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod bus;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod error;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod kwallet;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod prompt;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod session;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod store;
#[cfg(target_os = "freebsd")]
mod sys;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
mod wire;
