//! The locks, line by line of what others got wrong with theirs: shown with
//! real processes, on Linux. What `vault_platform` shows by itself (a forked
//! child's copy of a lock) is in its own tests.

mod file;
mod folder;
pub(crate) mod fuse;
mod waiters;
