//! How long a token lives: when it was issued, by clocks that can be compared
//! later, in another process or after a restart of the machine.
//!
//! Within one boot the clock that counts sleep decides. After a restart there
//! is only the wall clock; one that stands before the time of issue is wrong,
//! and the token counts as expired.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vault_platform::clock::{BootId, Now};

/// A moment, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    #[serde(with = "hexadecimal")]
    boot: BootId,
    since_boot_ms: u64,
    pub(crate) wall_ms: u64,
}

impl From<&Now> for Stamp {
    fn from(now: &Now) -> Self {
        Self {
            boot: now.boot,
            since_boot_ms: milliseconds(now.since_boot),
            wall_ms: milliseconds(now.wall),
        }
    }
}

impl Stamp {
    /// How long ago this was; `None` where no clock can tell.
    pub(crate) fn elapsed(&self, now: &Now) -> Option<Duration> {
        let now = Self::from(now);
        let milliseconds = if now.boot == self.boot {
            now.since_boot_ms.checked_sub(self.since_boot_ms)
        } else {
            now.wall_ms.checked_sub(self.wall_ms)
        };
        milliseconds.map(Duration::from_millis)
    }

    /// When this was by the clock since boot; `None` if it was in another boot.
    pub(crate) fn since_boot(&self, now: &Now) -> Option<Duration> {
        (self.boot == now.boot).then(|| Duration::from_millis(self.since_boot_ms))
    }
}

/// A boot id in hexadecimal digits. What is none belongs to no boot, so that
/// the wall clock decides.
mod hexadecimal {
    use data_encoding::HEXLOWER;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use vault_platform::clock::BootId;

    pub(super) fn serialize<S: Serializer>(boot: &BootId, to: S) -> Result<S::Ok, S::Error> {
        HEXLOWER.encode(&boot.0).serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<BootId, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        Ok(BootId(
            bytes
                .and_then(|bytes| bytes.try_into().ok())
                .unwrap_or_default(),
        ))
    }
}

/// The life of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Life {
    /// When its request was sent: a token is never younger than that.
    pub(crate) since: Stamp,
    /// How long it lives; absent where the server does not say.
    pub(crate) lifetime_ms: Option<u64>,
    /// The server's clock minus ours, as learnt with the token.
    pub(crate) clock_offset_ms: Option<i64>,
}

impl Life {
    /// How long it lives in all; `None` is until a resource refuses it.
    pub(crate) fn lifetime(&self) -> Option<Duration> {
        self.lifetime_ms.map(Duration::from_millis)
    }

    /// What is left of it: zero once expired, `None` for a life without end.
    pub(crate) fn left(&self, now: &Now) -> Option<Duration> {
        let lifetime = self.lifetime()?;
        let elapsed = self.since.elapsed(now).unwrap_or(Duration::MAX);
        Some(lifetime.saturating_sub(elapsed))
    }

    /// When it ends by the wall clock, in milliseconds since the epoch.
    pub(crate) fn ends_at_wall_ms(&self) -> Option<u64> {
        Some(self.since.wall_ms.saturating_add(self.lifetime_ms?))
    }
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use vault_platform::clock::{Clock, ManualClock};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn an_hour(clock: &ManualClock) -> Life {
        Life {
            since: Stamp::from(&clock.now()),
            lifetime_ms: Some(milliseconds(HOUR)),
            clock_offset_ms: None,
        }
    }

    #[test]
    fn a_wall_clock_that_jumps_changes_nothing_within_a_boot() {
        let clock = ManualClock::new();
        let life = an_hour(&clock);
        let later = clock.now().wall + 12 * HOUR;
        clock.set_wall(later);
        assert_eq!(life.left(&clock.now()), Some(HOUR));
    }

    #[test]
    fn sleep_counts() {
        let clock = ManualClock::new();
        let life = an_hour(&clock);
        clock.advance(8 * HOUR);
        assert_eq!(life.left(&clock.now()), Some(Duration::ZERO));
    }

    #[test]
    fn after_a_restart_a_clock_before_the_issue_means_expired() {
        let clock = ManualClock::new();
        let life = an_hour(&clock);
        clock.reboot(HOUR / 2);
        assert_eq!(life.left(&clock.now()), Some(HOUR / 2));
        clock.set_wall(Duration::from_secs(1));
        assert_eq!(life.left(&clock.now()), Some(Duration::ZERO));
    }

    #[test]
    fn without_a_lifetime_it_lives_until_it_is_refused() {
        let clock = ManualClock::new();
        let life = Life {
            lifetime_ms: None,
            ..an_hour(&clock)
        };
        clock.advance(1000 * HOUR);
        assert_eq!(life.left(&clock.now()), None);
    }
}
