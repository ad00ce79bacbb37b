//! Counts of what a session did in this process, for a program's own metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a session has done in this process since it was opened. Clones of a
/// session count together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Tokens served from memory.
    pub from_memory: u64,
    /// Tokens read from the sealed file: another process's, or once each that
    /// this one has refreshed.
    pub from_file: u64,
    /// Refreshes that this process made.
    pub refreshed: u64,
    /// Refreshes that were due and failed, while the token was still valid and
    /// was served.
    pub served_despite: u64,
    /// Refreshes that were due and failed, without a token to serve.
    pub failed: u64,
}

/// Counts while others read.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) from_memory: AtomicU64,
    pub(crate) from_file: AtomicU64,
    pub(crate) refreshed: AtomicU64,
    pub(crate) served_despite: AtomicU64,
    pub(crate) failed: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Counts {
    pub(crate) fn read(&self) -> Metrics {
        Metrics {
            from_memory: self.from_memory.load(Relaxed),
            from_file: self.from_file.load(Relaxed),
            refreshed: self.refreshed.load(Relaxed),
            served_despite: self.served_despite.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }
}
