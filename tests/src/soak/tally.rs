//! What the callers got: what a worker tells, and what that adds up to.

use serde::{Deserialize, Serialize};

/// What a worker tells of one login since it last told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Tally {
    /// How long each call took that got a token, in microseconds.
    pub(super) served_us: Vec<u32>,
    /// How many tokens were shown to the resource.
    pub(super) shown: u64,
    /// How many of these it did not take.
    pub(super) dead: u64,
    /// The calls without a token.
    pub(super) failures: Vec<FailedCall>,
    /// The last calls, made when all faults are over.
    pub(super) last: u64,
}

/// A call without a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FailedCall {
    /// When it began and ended, in milliseconds since the Unix epoch.
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
    /// The vault said that it may succeed later.
    pub(super) transient: bool,
    /// Only a new login would help.
    pub(super) login_lost: bool,
    /// It was one of the last calls.
    pub(super) last: bool,
    /// The error's kind and message.
    pub(super) error: String,
}

/// The tallies of all logins, by their number.
pub(super) type Tallies = Vec<Tally>;

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.served_us.extend(other.served_us);
        self.shown += other.shown;
        self.dead += other.dead;
        self.failures.extend(other.failures);
        self.last += other.last;
    }
}

/// Adds what was told to what is known.
pub(super) fn add(all: &mut Tallies, told: Tallies) {
    all.resize_with(all.len().max(told.len()), Tally::default);
    for (sum, tally) in all.iter_mut().zip(told) {
        sum.add(tally);
    }
}
