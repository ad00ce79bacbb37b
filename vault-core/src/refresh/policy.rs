//! When a token counts as fresh, when a refresh may be repeated, how long to
//! stay away from a server that fails. Pure functions of facts: no clock, no
//! I/O.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What an authorization server does with a refresh token that was used
/// before, as far as it is known (step 11 of the protocol).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RotationPolicy {
    /// How long after its first use the server takes the same refresh token
    /// again. Zero together with `strict`: never.
    #[serde(rename = "window_ms", with = "milliseconds")]
    pub window: Duration,
    /// How often the same token may be sent again inside the window.
    pub retries: u32,
    /// Never send a token again whose answer was lost, not even as the last
    /// resort.
    pub strict: bool,
}

impl Default for RotationPolicy {
    /// Ten seconds and one retry: short enough for servers with a grace
    /// window, and harmless for those that never saw the first request.
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            retries: 1,
            strict: false,
        }
    }
}

impl RotationPolicy {
    /// A server that revokes the login when a used token comes again.
    #[must_use]
    pub fn strict() -> Self {
        Self {
            window: Duration::ZERO,
            retries: 0,
            strict: true,
        }
    }

    /// A server that takes the same token again for `window`.
    #[must_use]
    pub fn window(window: Duration, retries: u32) -> Self {
        Self {
            window,
            retries,
            strict: false,
        }
    }
}

/// What to do with a refresh token that was sent and whose answer is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unconfirmed {
    /// Send it again.
    SendAgain,
    /// Leave it: serve the valid access token first, or wait for the back-off.
    Leave,
    /// Never send it again.
    Never,
}

/// Decides on a token whose mark says `attempts` sends, the first of them
/// `age` ago (`None`: longer ago than can be told), while an access token is
/// or is not left to serve.
#[must_use]
pub fn unconfirmed(
    policy: &RotationPolicy,
    attempts: u32,
    age: Option<Duration>,
    access_token_is_left: bool,
) -> Unconfirmed {
    if policy.strict {
        return if access_token_is_left {
            Unconfirmed::Leave
        } else {
            Unconfirmed::Never
        };
    }
    if is_in_window(policy, attempts, age) {
        return Unconfirmed::SendAgain;
    }
    // Outside the window a replay may cost the login, so it comes last; but
    // without any token left the login is lost for certain unless the server
    // never acted, which only a replay can show.
    if access_token_is_left {
        Unconfirmed::Leave
    } else {
        Unconfirmed::SendAgain
    }
}

/// Whether a server with this policy takes a token once more that was sent
/// `attempts` times, the first of them `age` ago.
#[must_use]
pub fn is_in_window(policy: &RotationPolicy, attempts: u32, age: Option<Duration>) -> bool {
    !policy.strict && attempts <= policy.retries && age.is_some_and(|age| age < policy.window)
}

/// Whether the process that holds the lock repeats by itself: once, for a server
/// that fails quickly has to be left alone. What would keep the lock for longer
/// than others wait for it is left to the next process, which finds the mark.
#[must_use]
pub fn is_repeated_at_once(policy: &RotationPolicy, attempts: u32, age: Option<Duration>) -> bool {
    attempts == 1
        && is_in_window(policy, attempts, age)
        && age.is_some_and(|age| age < Duration::from_secs(8))
}

/// How much of a token's life must be left for it to be handed out without a
/// refresh: 30 s, but never more than a tenth of a short life.
#[must_use]
pub fn mandatory_window(lifetime: Duration) -> Duration {
    Duration::from_secs(30).min(lifetime / 10)
}

/// From when on one process refreshes ahead while all are still served: five
/// minutes before the end, but never more than a quarter of a short life.
#[must_use]
pub fn advisory_window(lifetime: Duration) -> Duration {
    Duration::from_secs(300).min(lifetime / 4)
}

/// How long all processes stay away from a server after the `failures`-th
/// failure in a row; the server's own `Retry-After` counts where it is longer,
/// up to ten minutes. `jitter` is a number below 256.
#[must_use]
pub fn back_off(failures: u32, retry_after: Option<Duration>, jitter: u8) -> Duration {
    let doubled = Duration::from_millis(250) * 2_u32.pow(failures.clamp(1, 6) - 1);
    let spread = doubled.mul_f64(0.75 + f64::from(jitter) / 1024.0);
    retry_after
        .unwrap_or_default()
        .min(Duration::from_secs(600))
        .max(spread)
}

/// How long all processes stay away with a request that the server has refused
/// `refusals` times in a row for what it asks, or because of the client: that
/// does not pass by itself, as a busy server does. From half a minute to ten.
#[must_use]
pub fn refusal_back_off(refusals: u32, retry_after: Option<Duration>, jitter: u8) -> Duration {
    let doubled = Duration::from_secs(30) * 2_u32.pow(refusals.clamp(1, 6) - 1);
    let spread = doubled.mul_f64(1.0 - f64::from(jitter) / 1024.0);
    retry_after
        .unwrap_or_default()
        .max(spread)
        .min(Duration::from_secs(600))
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn inside_the_window_a_lost_answer_is_asked_for_once_more() {
        let policy = RotationPolicy::default();
        assert_eq!(
            unconfirmed(&policy, 1, Some(SECOND), true),
            Unconfirmed::SendAgain
        );
        assert_eq!(
            unconfirmed(&policy, 2, Some(SECOND), true),
            Unconfirmed::Leave
        );
    }

    #[test]
    fn a_repetition_does_not_hold_the_lock_for_longer_than_others_wait() {
        let policy = RotationPolicy::window(60 * SECOND, 3);
        assert!(is_repeated_at_once(&policy, 1, Some(SECOND)));
        assert!(!is_repeated_at_once(&policy, 1, Some(20 * SECOND)));
        assert!(is_in_window(&policy, 1, Some(20 * SECOND)));
    }

    #[test]
    fn outside_the_window_the_valid_token_is_served_first() {
        let policy = RotationPolicy::default();
        assert_eq!(
            unconfirmed(&policy, 1, Some(11 * SECOND), true),
            Unconfirmed::Leave
        );
        assert_eq!(unconfirmed(&policy, 1, None, true), Unconfirmed::Leave);
        assert_eq!(unconfirmed(&policy, 1, None, false), Unconfirmed::SendAgain);
    }

    #[test]
    fn a_strict_server_never_sees_a_token_twice() {
        let policy = RotationPolicy::strict();
        assert_eq!(
            unconfirmed(&policy, 1, Some(Duration::ZERO), true),
            Unconfirmed::Leave
        );
        assert_eq!(
            unconfirmed(&policy, 1, Some(Duration::ZERO), false),
            Unconfirmed::Never
        );
    }

    #[test]
    fn a_short_lived_token_is_not_refreshed_all_the_time() {
        assert_eq!(mandatory_window(2 * SECOND), SECOND / 5);
        assert_eq!(mandatory_window(3600 * SECOND), 30 * SECOND);
        assert!(advisory_window(2 * SECOND) > mandatory_window(2 * SECOND));
    }

    #[test]
    fn back_off_grows_and_honours_the_servers_word() {
        assert!(back_off(1, None, 0) < SECOND);
        assert!(back_off(9, None, 255) <= 10 * SECOND);
        assert_eq!(back_off(1, Some(42 * SECOND), 0), 42 * SECOND);
        assert_eq!(back_off(1, Some(86_400 * SECOND), 0), 600 * SECOND);
    }

    #[test]
    fn a_refused_request_is_left_alone_for_longer() {
        assert!(refusal_back_off(1, None, 255) > 20 * SECOND);
        assert_eq!(refusal_back_off(1, None, 0), 30 * SECOND);
        assert_eq!(refusal_back_off(u32::MAX, None, 0), 600 * SECOND);
        assert_eq!(refusal_back_off(1, Some(45 * SECOND), 0), 45 * SECOND);
    }
}
