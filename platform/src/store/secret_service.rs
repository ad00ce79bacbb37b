//! The Secret Service of the session bus: GNOME Keyring, KeePassXC, KWallet.
//!
//! Items have the attributes `service` (the application) and `username` (the
//! account), and lie in the default collection; `secret-tool search --all
//! service APPLICATION` shows them. Reading and writing go through
//! keyring-core's zbus store. Around it, this module adds what that store
//! leaves open:
//!
//! - *Nothing prompts by surprise.* The zbus store unlocks whatever it meets
//!   and waits for the person without end. So each call first asks, over a
//!   connection of our own (`bus`), whether something it would touch is
//!   locked; if so the answer is `Locked`, at once. (Between question and call
//!   somebody may lock the keyring; then a prompt does appear, and the worker's
//!   deadline ends the wait.)
//! - *Locked is not absent.* A search of a locked keyring may find nothing. An
//!   empty search counts only while the default collection is unlocked.
//! - *One session at a time.* gnome-keyring 42.1 may abort when several
//!   connections open their sessions at once; our processes pass through a
//!   `gate`, which makes that rarer. The daemon that the bus then starts is
//!   locked, and is never taken for an empty one.
//! - *A dead connection is made again*, once per call.
//! - *One item.* A set writes the first that matches and deletes the others.

#[cfg(not(target_os = "linux"))]
pub use super::unsupported::SecretService as SecretServiceStore;
#[cfg(target_os = "linux")]
pub use store::SecretServiceStore;

#[cfg(target_os = "linux")]
mod bus;
#[cfg(target_os = "linux")]
mod gate;
#[cfg(target_os = "linux")]
mod store;
