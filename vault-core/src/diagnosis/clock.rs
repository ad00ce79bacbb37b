//! Part of check 5: how far this machine's clock is from the server's. Tokens
//! live by a clock that nobody can set; ID tokens and proofs do not.

use std::time::Duration;

use super::{Code, Report};
use crate::oauth::discovery::Description;
use crate::profile::Profile;

/// More than servers and ID tokens forgive as a rule.
const LEEWAY: Duration = Duration::from_secs(60);

/// `told` is the time in an answer that no cache has kept, and when it came, by
/// our wall clock.
pub(super) fn examine(
    profile: &Profile,
    described: Option<&Description>,
    told: Option<(Duration, Duration)>,
    report: &mut Report,
) {
    let here = profile.now().wall;
    let of_description = described.and_then(|described| described.date);
    let (server, here) = match (told, of_description) {
        (Some(told), _) => told,
        // A description may come from a cache: then its time is an old one.
        (None, Some(date)) if date > here => (date, here),
        _ => return,
    };
    if server.abs_diff(here) <= LEEWAY {
        return;
    }
    let (word, difference) = match server.checked_sub(here) {
        Some(ahead) => ("behind", ahead),
        None => ("ahead of", here.abs_diff(server)),
    };
    let message = format!(
        "this machine's clock is {} s {word} the server's",
        difference.as_secs()
    );
    report.found(Code::ClockOff, message);
}
