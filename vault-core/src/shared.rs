//! What processes tell each other without files: a few counters, mapped into
//! each of them. They say *that* something changed and how the last attempt
//! ended, never what a token is; losing them loses nothing.

pub(crate) mod refusals;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use vault_platform::clock::{BootId, Now};
use vault_platform::counters::SharedWords;

use crate::life::milliseconds;
use crate::refresh::policy;
use crate::refresh::protocol::Failure;

/// The name of the mapped file.
pub(crate) const FILE: &str = "shared";

const BEGIN: usize = 1;
const END: usize = 2;
const ATTEMPTS: usize = 3;
const FAILED_ATTEMPT: usize = 4;
/// The failure's number in the low byte, failures in a row above it.
const FAILURE: usize = 5;
const RETRY_AT: usize = 6;
const RETRY_BOOT: usize = 7;
/// Four times the number of the newest login, plus how it stands.
const LOGINS: usize = 8;

/// When the server was last asked to describe itself, by the clock of this
/// boot.
const DESCRIBED: usize = 9;

/// How many tokens processes took over from each other.
const ADOPTED: usize = 10;

const LOGIN_UNDER_WAY: u64 = 1;
const LOGIN_SUCCEEDED: u64 = 2;
const LOGIN_FAILED: u64 = 3;

/// No back-off is longer; a number that says so is garbage.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(600);

/// A server whose description has grown old is not asked more often, also if it
/// does not answer.
const DESCRIPTION_PAUSE: Duration = Duration::from_secs(300);

/// The mapped counters of one profile.
#[derive(Debug)]
pub(crate) struct Shared(SharedWords);

impl Shared {
    pub(crate) fn new(words: SharedWords) -> Self {
        Self(words)
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        self.0.word(index)
    }

    fn writable(&self) -> bool {
        self.0.writable()
    }

    /// The version of what is stored, to be read *before* the files are: what
    /// was read belongs to this version or a newer one. `None` while a change
    /// is under way.
    pub(crate) fn version(&self) -> Option<u64> {
        let end = self.word(END).load(Ordering::Acquire);
        let begin = self.word(BEGIN).load(Ordering::Acquire);
        (begin == end).then_some(begin)
    }

    /// Announces a change of what is stored.
    pub(crate) fn begin_change(&self) {
        if self.writable() {
            self.word(BEGIN).fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Ends a change, also one that a dead process left open. The version
    /// moves again, so that what was read in the middle is read once more.
    pub(crate) fn end_change(&self) {
        if self.writable() {
            let end = self.word(END).load(Ordering::Acquire);
            if end > self.word(BEGIN).load(Ordering::Acquire) {
                // No change ends before it begins: somebody wrote over the
                // page. Left alone, nothing would ever be settled again.
                self.word(BEGIN).fetch_max(end, Ordering::AcqRel);
            }
            let version = self.word(BEGIN).fetch_add(1, Ordering::AcqRel);
            let version = version.wrapping_add(1);
            vault_platform::fault::point("counters.end:half");
            match version {
                0 => self.word(END).store(0, Ordering::Release),
                version => _ = self.word(END).fetch_max(version, Ordering::AcqRel),
            }
        }
    }

    /// How many refreshes were ever begun.
    pub(crate) fn attempts(&self) -> u64 {
        self.word(ATTEMPTS).load(Ordering::Acquire)
    }

    pub(crate) fn count_attempt(&self) {
        if self.writable() {
            self.word(ATTEMPTS).fetch_add(1, Ordering::AcqRel);
        }
    }

    /// How many tokens processes took over that another one had stored.
    pub(crate) fn adopted(&self) -> u64 {
        self.word(ADOPTED).load(Ordering::Relaxed)
    }

    pub(crate) fn count_adoption(&self) {
        if self.writable() {
            self.word(ADOPTED).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Which attempt was the newest that failed.
    pub(crate) fn failed_attempt(&self) -> u64 {
        self.word(FAILED_ATTEMPT).load(Ordering::Acquire)
    }

    /// The failure of an attempt that began after the `attempts`-th.
    pub(crate) fn failed_since(&self, attempts: u64) -> Option<Failure> {
        if self.word(FAILED_ATTEMPT).load(Ordering::Acquire) <= attempts {
            return None;
        }
        self.failure()
    }

    /// Why the newest attempt failed, if it did.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let [number, ..] = self.word(FAILURE).load(Ordering::Acquire).to_le_bytes();
        Failure::from_number(number)
    }

    /// Publishes that the newest attempt failed. Returns how long everyone
    /// stays away from the server.
    pub(crate) fn share_failure(
        &self,
        failure: Failure,
        retry_after: Option<Duration>,
        now: &Now,
    ) -> Duration {
        let in_a_row = (self.word(FAILURE).load(Ordering::Acquire) >> 8).saturating_add(1);
        let [jitter] = vault_platform::random::bytes();
        let failures = u32::try_from(in_a_row).unwrap_or(u32::MAX);
        let pause = match failure {
            Failure::NetworkUnavailable
            | Failure::ServerUnavailable
            | Failure::AnswerUnusable
            | Failure::RefusedWithoutReason => policy::back_off(failures, retry_after, jitter),
            Failure::ClientRefused => policy::refusal_back_off(failures, retry_after, jitter),
            _ => Duration::ZERO,
        };
        if self.writable() {
            let retry_at = milliseconds(now.since_boot + pause);
            self.word(FAILURE)
                .store(in_a_row << 8 | failure as u64, Ordering::Release);
            self.word(RETRY_BOOT)
                .store(boot_number(now.boot), Ordering::Release);
            self.word(RETRY_AT).store(retry_at, Ordering::Release);
            vault_platform::fault::point("counters.failure:half");
            self.word(FAILED_ATTEMPT)
                .store(self.attempts(), Ordering::Release);
        }
        pause
    }

    /// A refresh succeeded: no back-off, no failures in a row.
    pub(crate) fn share_success(&self) {
        if self.writable() {
            self.word(RETRY_AT).store(0, Ordering::Release);
            vault_platform::fault::point("counters.success:half");
            self.word(FAILURE).store(0, Ordering::Release);
        }
    }

    /// Whether it is this caller that asks the server to describe itself again;
    /// for a while then, no other does.
    pub(crate) fn takes_description(&self, now: &Now) -> bool {
        let word = self.word(DESCRIBED);
        let last = word.load(Ordering::Acquire);
        let now = milliseconds(now.since_boot).max(1);
        let pause = milliseconds(DESCRIPTION_PAUSE);
        // A time to come is one of another boot.
        let is_recent = last != 0 && now.checked_sub(last).is_some_and(|age| age < pause);
        let taken = || word.compare_exchange(last, now, Ordering::AcqRel, Ordering::Acquire);
        self.writable() && !is_recent && taken().is_ok()
    }

    /// How the newest login stands, for [`Shared::login_since`].
    pub(crate) fn newest_login(&self) -> u64 {
        self.word(LOGINS).load(Ordering::Acquire)
    }

    /// Publishes that a login begins; the caller holds the login lock.
    pub(crate) fn login_begins(&self) {
        let number = (self.newest_login() >> 2) + 1;
        self.publish_login(number << 2 | LOGIN_UNDER_WAY);
    }

    /// Publishes how it ended; the caller still holds the login lock.
    pub(crate) fn login_ended(&self, succeeded: bool) {
        let number = self.newest_login() >> 2;
        let outcome = if succeeded {
            LOGIN_SUCCEEDED
        } else {
            LOGIN_FAILED
        };
        self.publish_login(number << 2 | outcome);
    }

    fn publish_login(&self, word: u64) {
        if self.writable() {
            self.word(LOGINS).store(word, Ordering::Release);
        }
    }

    /// Whether the login that was waited for since `before` has succeeded,
    /// asked under the login lock. One that was begun and never ended was
    /// cancelled. `None` if there was none.
    pub(crate) fn login_since(&self, before: u64) -> Option<bool> {
        let now = self.newest_login();
        match now & 3 {
            LOGIN_UNDER_WAY => Some(false),
            _ if now == before => None,
            LOGIN_SUCCEEDED => Some(true),
            _ => Some(false),
        }
    }

    /// Whether to stay away from the server, why and for how long.
    pub(crate) fn backing_off(&self, now: &Now) -> Option<(Failure, Duration)> {
        if self.word(RETRY_BOOT).load(Ordering::Acquire) != boot_number(now.boot) {
            return None;
        }
        let retry_at = Duration::from_millis(self.word(RETRY_AT).load(Ordering::Acquire));
        let left = retry_at.checked_sub(now.since_boot)?;
        if left.is_zero() || left > LONGEST_BACK_OFF {
            return None;
        }
        Some((self.failure()?, left))
    }
}

fn boot_number(boot: BootId) -> u64 {
    let (bytes, _) = boot.0.split_at(8);
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use vault_platform::clock::{Clock, ManualClock};
    use vault_platform::folder::StateFolder;

    use super::*;

    fn shared() -> Shared {
        Shared::new(SharedWords::open(&StateFolder::in_memory(), FILE).unwrap())
    }

    #[test]
    fn a_change_is_seen_while_it_lasts_and_after() {
        let shared = shared();
        let before = shared.version().unwrap();
        shared.begin_change();
        assert_eq!(shared.version(), None);
        shared.end_change();
        assert!(shared.version().unwrap() > before);
    }

    #[test]
    fn a_change_that_a_dead_process_left_open_is_closed_by_the_next() {
        let shared = shared();
        shared.begin_change();
        shared.end_change();
        shared.begin_change();
        assert_eq!(shared.version(), None);
        shared.begin_change();
        shared.end_change();
        assert!(shared.version().is_some());
    }

    #[test]
    fn a_page_that_was_written_over_is_settled_by_the_next_change() {
        for (begin, end) in [(3, 9), (3, u64::MAX), (u64::MAX, 5), (u64::MAX, u64::MAX)] {
            let shared = shared();
            shared.word(BEGIN).store(begin, Ordering::Release);
            shared.word(END).store(end, Ordering::Release);
            for _ in 0..2 {
                let before = shared.version();
                shared.begin_change();
                shared.end_change();
                assert!(shared.version().is_some(), "{begin} {end}");
                assert_ne!(shared.version(), before, "{begin} {end}");
            }
        }
    }

    #[test]
    fn a_logout_in_the_middle_of_a_commit_hides_neither() {
        let shared = shared();
        shared.begin_change();
        shared.begin_change();
        shared.end_change();
        let in_the_middle = shared.version();
        shared.end_change();
        assert_ne!(shared.version(), in_the_middle);
    }

    #[test]
    fn only_an_attempt_that_began_later_shares_its_failure() {
        let shared = shared();
        let clock = ManualClock::new();
        shared.count_attempt();
        let before_failure = shared.attempts();
        shared.share_failure(Failure::LoginRequired, None, &clock.now());
        assert_eq!(shared.failed_since(before_failure), None);
        assert_eq!(
            shared.failed_since(before_failure - 1),
            Some(Failure::LoginRequired)
        );
    }

    #[test]
    fn one_caller_in_a_while_asks_for_a_description() {
        let shared = shared();
        let clock = ManualClock::new();
        assert!(shared.takes_description(&clock.now()));
        assert!(!shared.takes_description(&clock.now()));
        clock.advance(DESCRIPTION_PAUSE);
        assert!(shared.takes_description(&clock.now()));
        // What another boot has left counts for nothing.
        shared.word(DESCRIBED).store(u64::MAX, Ordering::Release);
        assert!(shared.takes_description(&clock.now()));
    }

    #[test]
    fn the_back_off_ends_and_success_ends_it_at_once() {
        let shared = shared();
        let clock = ManualClock::new();
        let retry_after = Some(Duration::from_secs(5));
        shared.share_failure(Failure::ServerUnavailable, retry_after, &clock.now());
        assert!(shared.backing_off(&clock.now()).is_some());
        clock.advance(Duration::from_secs(6));
        assert_eq!(shared.backing_off(&clock.now()), None);
        shared.share_failure(Failure::ServerUnavailable, retry_after, &clock.now());
        shared.share_success();
        assert_eq!(shared.backing_off(&clock.now()), None);
    }
}
