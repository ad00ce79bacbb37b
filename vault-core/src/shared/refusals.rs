//! Requests that the server has refused for what they ask (step 10 of the
//! protocol): the login goes on, and no process asks the same again for a
//! while, unless a person wants it.
//!
//! A small table in the mapped counters: a request's name, until when it is
//! left alone, and why. Written under the refresh lock only. A full table
//! forgets the refusal that ends first, which costs one request to the server.

use std::sync::atomic::Ordering;
use std::time::Duration;

use vault_platform::clock::Now;

use super::{LONGEST_BACK_OFF, Shared};
use crate::life::milliseconds;
use crate::refresh::policy;

const FIRST: usize = 16;
const SLOTS: usize = 64;

/// The words of a slot.
const NAME: usize = 0;
const UNTIL: usize = 1;
/// The reason in the low byte, refusals in a row above it.
const WHY: usize = 2;
const WORDS: usize = 3;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    /// A code that is not one of these.
    Other = 0,
    Target,
    Scope,
    Grant,
    Interaction,
    Login,
    Consent,
}

impl Reason {
    const ALL: [Self; 7] = [
        Self::Other,
        Self::Target,
        Self::Scope,
        Self::Grant,
        Self::Interaction,
        Self::Login,
        Self::Consent,
    ];

    pub(crate) fn of_code(code: &str) -> Self {
        let known = Self::ALL.into_iter();
        let mut matching = known.filter(|reason| reason.code() == Some(code));
        matching.next().unwrap_or(Self::Other)
    }

    /// The OAuth error code.
    pub(crate) fn code(self) -> Option<&'static str> {
        match self {
            Self::Other => None,
            Self::Target => Some("invalid_target"),
            Self::Scope => Some("invalid_scope"),
            Self::Grant => Some("invalid_grant"),
            Self::Interaction => Some("interaction_required"),
            Self::Login => Some("login_required"),
            Self::Consent => Some("consent_required"),
        }
    }
}

impl Shared {
    /// Whether to leave a request alone, why and for how long.
    pub(crate) fn refusal_of(&self, name: u64, now: &Now) -> Option<(Reason, Duration)> {
        let slot = self.slot_of(name)?;
        let left = self.left(slot, now)?;
        let [number, ..] = self.slot(slot, WHY).to_le_bytes();
        // Another process may have taken the slot meanwhile.
        if self.slot(slot, NAME) != name {
            return None;
        }
        let mut reasons = Reason::ALL.into_iter();
        let reason = reasons.find(|reason| *reason as u8 == number);
        Some((reason.unwrap_or(Reason::Other), left))
    }

    /// Publishes that the server refused a request. Returns how long it is
    /// left alone.
    pub(crate) fn share_refusal(
        &self,
        name: u64,
        reason: Reason,
        retry_after: Option<Duration>,
        now: &Now,
    ) -> Duration {
        let known = self.slot_of(name);
        let before = known.map_or(0, |slot| self.slot(slot, WHY) >> 8);
        let in_a_row = before.saturating_add(1).min(u64::from(u32::MAX));
        let [jitter] = vault_platform::random::bytes();
        let refusals = u32::try_from(in_a_row).unwrap_or(u32::MAX);
        let pause = policy::refusal_back_off(refusals, retry_after, jitter);
        if self.writable() {
            let slot = known.unwrap_or_else(|| self.slot_to_take(now));
            self.set(slot, NAME, 0);
            self.set(slot, UNTIL, milliseconds(now.since_boot + pause));
            self.set(slot, WHY, in_a_row << 8 | reason as u64);
            vault_platform::fault::point("counters.refusal:half");
            self.set(slot, NAME, name);
        }
        pause
    }

    /// The server has granted the request.
    pub(crate) fn forget_refusal(&self, name: u64) {
        if !self.writable() {
            return;
        }
        // In a page that was written over it may stand more than once.
        for slot in (0..SLOTS).filter(|slot| self.slot(*slot, NAME) == name) {
            self.set(slot, NAME, 0);
        }
    }

    /// The slot of a name; none where the file was cut, and the slots can't be
    /// looked at.
    fn slot_of(&self, name: u64) -> Option<usize> {
        if !self.is_whole() {
            return None;
        }
        (0..SLOTS).find(|slot| self.slot(*slot, NAME) == name)
    }

    /// A slot that is empty or over, else the one that is over first.
    fn slot_to_take(&self, now: &Now) -> usize {
        let left = |slot: &usize| match self.slot(*slot, NAME) {
            0 => Duration::ZERO,
            _ => self.left(*slot, now).unwrap_or_default(),
        };
        (0..SLOTS).min_by_key(left).unwrap_or_default()
    }

    /// What is left of a slot's time. One of an earlier start of the machine
    /// bears a name that nobody asks for.
    fn left(&self, slot: usize, now: &Now) -> Option<Duration> {
        let until = Duration::from_millis(self.slot(slot, UNTIL));
        let left = until.checked_sub(now.since_boot)?;
        (!left.is_zero() && left <= LONGEST_BACK_OFF).then_some(left)
    }

    fn slot(&self, slot: usize, word: usize) -> u64 {
        let index = FIRST + slot * WORDS + word;
        self.word(index).load(Ordering::Acquire)
    }

    fn set(&self, slot: usize, word: usize, value: u64) {
        let index = FIRST + slot * WORDS + word;
        self.word(index).store(value, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use vault_platform::clock::{Clock, ManualClock};
    use vault_platform::counters::SharedWords;
    use vault_platform::folder::StateFolder;

    use super::super::FILE;
    use super::*;

    fn shared() -> Shared {
        Shared::new(SharedWords::open(&StateFolder::in_memory(), FILE).unwrap())
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_refusal_is_about_one_request_and_passes() {
        let (shared, clock) = (shared(), ManualClock::new());
        assert_eq!(shared.refusal_of(7, &clock.now()), None);
        let pause = shared.share_refusal(7, Reason::Target, None, &clock.now());
        let (reason, left) = shared.refusal_of(7, &clock.now()).unwrap();
        assert_eq!(reason, Reason::Target);
        assert!(left <= pause && pause <= MINUTE / 2);
        assert_eq!(shared.refusal_of(8, &clock.now()), None);
        clock.advance(MINUTE);
        assert_eq!(shared.refusal_of(7, &clock.now()), None);
        let longer = shared.share_refusal(7, Reason::Target, None, &clock.now());
        assert!(longer > pause);
        shared.forget_refusal(7);
        assert_eq!(shared.refusal_of(7, &clock.now()), None);
        let anew = shared.share_refusal(7, Reason::Scope, None, &clock.now());
        assert!(anew <= MINUTE / 2, "what was granted counts from one again");
    }

    #[test]
    fn a_full_table_forgets_what_ends_first() {
        let (shared, clock) = (shared(), ManualClock::new());
        for name in 1..=100 {
            let retry_after = Some(MINUTE + Duration::from_secs(name));
            shared.share_refusal(name, Reason::Grant, retry_after, &clock.now());
        }
        let known = (1..=100).filter(|name| shared.refusal_of(*name, &clock.now()).is_some());
        assert_eq!(known.count(), SLOTS);
        assert!(shared.refusal_of(100, &clock.now()).is_some());
    }

    #[test]
    fn reasons_are_told_by_their_codes() {
        for code in ["invalid_target", "invalid_scope", "invalid_grant"] {
            assert_eq!(Reason::of_code(code).code(), Some(code));
        }
        assert_eq!(Reason::of_code("unheard_of"), Reason::Other);
    }
}
