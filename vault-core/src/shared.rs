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
        let shared = Self(words);
        shared.start();
        shared
    }

    /// Starts an empty page at a version that no page before it had. Counted
    /// from zero, one that was removed or cut and made again would come by the
    /// version that somebody has read at, who then would not notice.
    fn start(&self) {
        let word = |index| self.word(index).load(Ordering::Acquire);
        if self.writable() && word(BEGIN) == 0 && word(END) == 0 {
            // Far from the end of the numbers, and never zero.
            let version = u64::from_le_bytes(vault_platform::random::bytes()) >> 16 | 1;
            let begun =
                self.word(BEGIN)
                    .compare_exchange(0, version, Ordering::AcqRel, Ordering::Acquire);
            // In between it is a change that is under way, as any other.
            if begun.is_ok() {
                self.word(END).fetch_max(version, Ordering::AcqRel);
            }
        }
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        self.0.word(index)
    }

    /// Whether a word can be looked at: one of a file that somebody has cut is
    /// a signal that ends the process. A system call.
    fn is_whole(&self) -> bool {
        self.0.is_whole()
    }

    /// A word, or the zero that means nothing where the file was cut.
    fn read(&self, index: usize) -> u64 {
        if self.is_whole() {
            self.word(index).load(Ordering::Acquire)
        } else {
            0
        }
    }

    fn writable(&self) -> bool {
        self.0.writable() && self.is_whole()
    }

    /// Whether this is still the page that others map, and whole. A few system
    /// calls.
    pub(crate) fn is_in_place(&self) -> bool {
        self.0.is_in_place()
    }

    /// The version of what is stored, to be read *before* the files are: what
    /// was read belongs to this version or a newer one. `None` while a change
    /// is under way, and where the file was cut.
    pub(crate) fn version(&self) -> Option<u64> {
        if self.is_whole() {
            self.mapped_version()
        } else {
            None
        }
    }

    /// The same without a system call, for who asks often and has seen not long
    /// ago that the page [is in place](Shared::is_in_place).
    pub(crate) fn mapped_version(&self) -> Option<u64> {
        let end = self.word(END).load(Ordering::Acquire);
        let begin = self.word(BEGIN).load(Ordering::Acquire);
        (begin == end).then_some(begin)
    }

    /// Announces a change of what is stored.
    pub(crate) fn begin_change(&self) {
        self.announce(|page| {
            page.word(BEGIN).fetch_add(1, Ordering::AcqRel);
        });
    }

    /// Ends a change, also one that a dead process left open. The version
    /// moves again, so that what was read in the middle is read once more.
    pub(crate) fn end_change(&self) {
        self.announce(|page| {
            let end = page.word(END).load(Ordering::Acquire);
            if end > page.word(BEGIN).load(Ordering::Acquire) {
                // No change ends before it begins: somebody wrote over the
                // page. Left alone, nothing would ever be settled again.
                page.word(BEGIN).fetch_max(end, Ordering::AcqRel);
            }
            // By how much, nobody can foretell: a page of before that a backup
            // has brought back must not come by a version of after it.
            let step = u64::from(u32::from_le_bytes(vault_platform::random::bytes())).max(1);
            let version = page.word(BEGIN).fetch_add(step, Ordering::AcqRel);
            let (version, is_over) = version.overflowing_add(step);
            vault_platform::fault::point("counters.end:half");
            if is_over {
                page.word(END).store(version, Ordering::Release);
            } else {
                page.word(END).fetch_max(version, Ordering::AcqRel);
            }
        });
    }

    /// Writes to the page that is mapped here, which others may still map, too,
    /// and, where its file was cut or replaced since, to what they map from now
    /// on. What can't be announced stops no commit.
    fn announce(&self, write: impl Fn(&Self)) {
        if self.writable() {
            write(self);
        }
        if self.is_in_place() {
            return;
        }
        match self.0.reopen() {
            Ok(words) => {
                tracing::warn!("the counters were cut, replaced or moved; they are mapped anew");
                let page = Self::new(words);
                if page.writable() {
                    write(&page);
                }
            }
            Err(error) => tracing::warn!(
                ?error,
                "the counters were cut, replaced or moved; others are not told of a change"
            ),
        }
    }

    /// How many refreshes were ever begun.
    pub(crate) fn attempts(&self) -> u64 {
        self.read(ATTEMPTS)
    }

    pub(crate) fn count_attempt(&self) {
        if self.writable() {
            self.word(ATTEMPTS).fetch_add(1, Ordering::AcqRel);
        }
    }

    /// How many tokens processes took over that another one had stored.
    pub(crate) fn adopted(&self) -> u64 {
        self.read(ADOPTED)
    }

    pub(crate) fn count_adoption(&self) {
        if self.writable() {
            self.word(ADOPTED).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Which attempt was the newest that failed.
    pub(crate) fn failed_attempt(&self) -> u64 {
        self.read(FAILED_ATTEMPT)
    }

    /// The failure of an attempt that began after the `attempts`-th.
    pub(crate) fn failed_since(&self, attempts: u64) -> Option<Failure> {
        if self.failed_attempt() <= attempts {
            return None;
        }
        self.failure()
    }

    /// Why the newest attempt failed, if it did.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let [number, ..] = self.read(FAILURE).to_le_bytes();
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
        let in_a_row = (self.read(FAILURE) >> 8).saturating_add(1);
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
        if !self.writable() {
            return false;
        }
        let word = self.word(DESCRIBED);
        let last = word.load(Ordering::Acquire);
        let now = milliseconds(now.since_boot).max(1);
        let pause = milliseconds(DESCRIPTION_PAUSE);
        // A time to come is one of another boot.
        let is_recent = last != 0 && now.checked_sub(last).is_some_and(|age| age < pause);
        let taken = || word.compare_exchange(last, now, Ordering::AcqRel, Ordering::Acquire);
        !is_recent && taken().is_ok()
    }

    /// How the newest login stands, for [`Shared::login_since`].
    pub(crate) fn newest_login(&self) -> u64 {
        self.read(LOGINS)
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
    /// cancelled. `None` if there was none, or the page is a new one and tells
    /// nothing.
    pub(crate) fn login_since(&self, before: u64) -> Option<bool> {
        let now = self.newest_login();
        match now & 3 {
            LOGIN_UNDER_WAY => Some(false),
            _ if now == before || now == 0 => None,
            LOGIN_SUCCEEDED => Some(true),
            _ => Some(false),
        }
    }

    /// Whether to stay away from the server, why and for how long.
    pub(crate) fn backing_off(&self, now: &Now) -> Option<(Failure, Duration)> {
        if self.read(RETRY_BOOT) != boot_number(now.boot) {
            return None;
        }
        let retry_at = Duration::from_millis(self.read(RETRY_AT));
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
        shared_in(&StateFolder::in_memory())
    }

    fn shared_in(folder: &StateFolder) -> Shared {
        Shared::new(SharedWords::open(folder, FILE).unwrap())
    }

    fn change(shared: &Shared) {
        shared.begin_change();
        shared.end_change();
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

    /// Who has read at a version of the page before must not find it again.
    #[test]
    fn counters_that_are_made_again_have_no_version_of_those_before() {
        let place = tempfile::tempdir().unwrap();
        let folder = StateFolder::create(&place.path().join("state"), Default::default()).unwrap();
        let after_one_change = || {
            let shared = shared_in(&folder);
            change(&shared);
            shared.version().unwrap()
        };
        let before = after_one_change();
        folder.remove(FILE).unwrap();
        assert_ne!(after_one_change(), before);
        // One that is there goes on.
        let last = shared_in(&folder).version();
        assert_eq!(shared_in(&folder).version(), last);
    }

    /// Who has read after the backup was made must notice a change after it was
    /// copied back over the file.
    #[cfg(unix)]
    #[test]
    fn counters_that_a_backup_has_brought_back_have_no_version_of_after_it() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state");
        let folder = StateFolder::create(&path, Default::default()).unwrap();
        let shared = shared_in(&folder);
        change(&shared);
        let backup = std::fs::read(path.join(FILE)).unwrap();
        change(&shared);
        let seen = shared.version().unwrap();
        std::fs::write(path.join(FILE), backup).unwrap();
        assert!(shared.is_in_place(), "the same file");
        assert_ne!(shared.version(), Some(seen));
        change(&shared);
        assert_ne!(shared.version(), Some(seen));
    }

    /// A commit of a process that still maps the file of before is seen by those
    /// that map the new one, and by those that don't yet.
    #[test]
    fn a_change_is_announced_to_who_maps_the_file_that_came_instead() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state");
        let folder = StateFolder::create(&path, Default::default()).unwrap();
        let (old, beside) = (shared_in(&folder), shared_in(&folder));
        std::fs::rename(path.join(FILE), path.join("gone")).unwrap();
        let new = shared_in(&folder);
        assert!(!old.is_in_place() && new.is_in_place());
        let seen = (beside.version(), new.version());
        old.begin_change();
        assert_eq!((beside.version(), new.version()), (None, None));
        old.end_change();
        assert!(beside.version().is_some() && new.version().is_some());
        assert!(beside.version() != seen.0 && new.version() != seen.1);
    }

    /// Without the look at its length, each of these ends the process.
    #[cfg(unix)]
    #[test]
    fn counters_that_were_cut_are_left_alone_until_a_change_makes_them_whole() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state");
        let folder = StateFolder::create(&path, Default::default()).unwrap();
        let (shared, clock) = (shared_in(&folder), ManualClock::new());
        shared.count_attempt();
        shared.login_begins();
        let (before, login) = (shared.version(), shared.newest_login());
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(path.join(FILE))
            .unwrap();
        file.set_len(0).unwrap();

        assert_eq!((shared.version(), shared.attempts()), (None, 0));
        shared.count_attempt();
        shared.count_adoption();
        assert_eq!((shared.adopted(), shared.failed_since(0)), (0, None));
        shared.share_failure(Failure::ServerUnavailable, None, &clock.now());
        assert_eq!(shared.backing_off(&clock.now()), None);
        shared.share_success();
        assert!(!shared.takes_description(&clock.now()));
        shared.login_ended(true);
        assert_eq!(shared.login_since(login), None);
        shared.share_refusal(7, refusals::Reason::Scope, None, &clock.now());
        assert_eq!(shared.refusal_of(7, &clock.now()), None);
        shared.forget_refusal(7);
        assert_eq!(file.metadata().unwrap().len(), 0);

        change(&shared);
        assert!(shared.is_in_place() && shared.version().is_some());
        assert_ne!(shared.version(), before);
        // A page that is new tells nothing of the login that was waited for.
        assert_eq!((shared.attempts(), shared.login_since(login)), (0, None));
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
