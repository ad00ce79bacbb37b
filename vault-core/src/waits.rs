//! How long anything is waited for.

use std::time::Duration;

/// A day: for whoever waits, as good as for ever. What an application allows is
/// cut to this where it is taken, so that it can be added to the clock and to
/// other times: `Duration::MAX`, for no end at all, would overflow there.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
