//! Faults that tests put into the protocol on purpose, to make races happen
//! and to show that a broken rule would be noticed; and the points between all
//! effects of the drivers, at which tests kill a process. Only with the
//! feature `fault-points`, which no program that ships turns on; without it
//! nothing here can be switched. See [`vault_platform::fault`].

pub(crate) use vault_platform::fault::is_injected;
#[cfg(feature = "fault-points")]
pub use vault_platform::fault::{
    Action, FileEvent, StandIn, arm, inject, observe_files, passed, point, record, stand_in,
};
pub use vault_platform::fault::{
    SKIP_BUSY_RETRY, SKIP_FILE_SYNC, SKIP_FOLDER_SYNC, SKIP_HANDOVER, SKIP_LOCK, SKIP_WIPE,
};

use std::fmt::Debug;

/// Waits between the look and the lock, so that others refresh in between.
pub const PAUSE_BEFORE_LOCK: &str = "pause-before-lock";

/// Sends the token that was read before the lock was taken.
pub const SKIP_READ_UNDER_LOCK: &str = "skip-read-under-lock";

/// Serves a token whatever it was asked for.
pub const ADOPT_ANOTHER_KEY: &str = "adopt-another-key";

/// Sends without having written the mark.
pub const SKIP_MARK: &str = "skip-mark";

/// Deletes from the old store before the profile is pinned to the new one.
pub const DELETE_BEFORE_PIN: &str = "delete-before-pin";

/// Pins the profile to the new store before anything is written there.
pub const PIN_BEFORE_WRITE: &str = "pin-before-write";

/// The two points around one effect of a machine: `refresh.before:Mark`,
/// `refresh.after:Mark`. Named after the effect, so that none is forgotten.
#[cfg(feature = "fault-points")]
pub(crate) struct Around(String, &'static str);

#[cfg(feature = "fault-points")]
impl Around {
    pub(crate) fn new(machine: &'static str, effect: &impl Debug) -> Self {
        let mut name = format!("{effect:?}");
        name.retain(|character| character.is_ascii() && !character.is_whitespace());
        let end = name.find(|character: char| !character.is_ascii_alphanumeric());
        name.truncate(end.unwrap_or(name.len()));
        Self(name, machine)
    }

    pub(crate) fn before(&self) {
        point(&format!("{}.before:{}", self.1, self.0));
    }

    pub(crate) fn after(&self) {
        point(&format!("{}.after:{}", self.1, self.0));
    }
}

#[cfg(not(feature = "fault-points"))]
pub(crate) struct Around;

#[cfg(not(feature = "fault-points"))]
impl Around {
    #[inline(always)]
    pub(crate) fn new(_machine: &'static str, _effect: &impl Debug) -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) const fn before(&self) {}

    #[inline(always)]
    pub(crate) const fn after(&self) {}
}
