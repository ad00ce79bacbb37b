//! Times for people: RFC 3339 in UTC, and how far away.

use std::time::Duration;

use jiff::Timestamp;
use vault_core::platform::clock::{Clock, SystemClock};

/// `2026-03-01T12:00:00Z`; milliseconds since the Unix epoch are dropped to
/// seconds.
pub(crate) fn rfc3339(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    match Timestamp::from_second(seconds) {
        Ok(time) => time.to_string(),
        Err(_) => "beyond all dates".to_owned(),
    }
}

/// Milliseconds since the Unix epoch by the wall clock.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemClock.now().wall.as_millis()).unwrap_or(u64::MAX)
}

/// `in 4 min`, `3 h ago`, `now`.
pub(crate) fn from_now(ms: u64, now_ms: u64) -> String {
    if ms >= now_ms {
        match ms - now_ms {
            0..1000 => "now".to_owned(),
            ahead => format!("in {}", length(Duration::from_millis(ahead))),
        }
    } else {
        format!("{} ago", length(Duration::from_millis(now_ms - ms)))
    }
}

/// Both: `2026-03-01T12:00:00Z (in 4 min)`.
pub(crate) fn both(ms: u64, now_ms: u64) -> String {
    format!("{} ({})", rfc3339(ms), from_now(ms, now_ms))
}

/// The largest unit that fits: `12 s`, `4 min`, `3 h`, `9 days`.
pub(crate) fn length(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_as_date_and_distance() {
        let noon = 1_772_366_400_000;
        assert_eq!(
            both(noon + 240_000, noon),
            "2026-03-01T12:04:00Z (in 4 min)"
        );
        assert_eq!(
            both(noon, noon + 3 * 3_600_000),
            "2026-03-01T12:00:00Z (3 h ago)"
        );
        assert_eq!(from_now(noon, noon), "now");
        assert_eq!(rfc3339(u64::MAX), "beyond all dates");
    }
}
