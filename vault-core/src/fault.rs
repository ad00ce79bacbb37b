//! Faults that tests put into the protocol on purpose, to make races happen
//! and to show that a broken rule would be noticed. Only with the feature
//! `fault-points`, which no program that ships turns on; without it nothing
//! here can be switched.

/// Waits between the look and the lock, so that others refresh in between.
pub const PAUSE_BEFORE_LOCK: &str = "pause-before-lock";

/// Sends the token that was read before the lock was taken.
pub const SKIP_READ_UNDER_LOCK: &str = "skip-read-under-lock";

#[cfg(feature = "fault-points")]
static INJECTED: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());

/// Puts a fault into this process from now on.
#[cfg(feature = "fault-points")]
pub fn inject(fault: &str) {
    let mut injected = INJECTED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    injected.push(fault.to_owned());
}

/// Whether this process has the fault.
#[cfg(feature = "fault-points")]
pub(crate) fn is_injected(fault: &str) -> bool {
    let injected = INJECTED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    injected.iter().any(|name| name == fault)
}

#[cfg(not(feature = "fault-points"))]
pub(crate) const fn is_injected(_fault: &str) -> bool {
    false
}
