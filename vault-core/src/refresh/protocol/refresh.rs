//! The refresh machine: steps 2 and 4 to 11 of the protocol.

use super::{
    Access, Answer, Claimed, Effect, Event, Failure, Outcome, SealedCopy, Sight, StoredCopy,
};
use crate::identity::Fingerprint;
use crate::refresh::policy::{self, RotationPolicy, Unconfirmed};

/// How often a commit is tried before the token item is used instead.
const COMMIT_TRIES: u32 = 6;

/// What the caller wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Want {
    /// The access token that a resource refused: any other one will do, this
    /// one will not (step 12).
    pub refused: Option<Fingerprint>,
    /// A person asks: a refresh token that the server refused is sent again,
    /// and a back-off does not count. The rotation policy does: one whose
    /// answer was lost is sent again only as it allows.
    pub insist: bool,
}

impl Want {
    fn is_met_by(&self, access: Option<Access>) -> bool {
        access.is_some_and(|access| access.fresh && self.refused != Some(access.fingerprint))
    }

    fn can_fall_back_to(&self, access: Option<Access>) -> bool {
        access.is_some_and(|access| access.valid && self.refused != Some(access.fingerprint))
    }
}

/// The refresh machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refresh {
    want: Want,
    /// What the newest reading holds for the caller.
    access: Option<Access>,
    state: State,
}

/// The token that this machine may send, and what bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Held {
    /// How often this very token was sent before.
    attempts: u32,
    policy: RotationPolicy,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    Looking,
    Locking,
    Waiting,
    Claiming,
    Settling(Claimed),
    SettingAside(Claimed),
    RepairingSealed(Claimed),
    RepairingItem,
    Preparing(Held),
    Marking(Held),
    Counting(Held),
    Sending(Held),
    CheckingBeforeCommit { usable: bool },
    Beginning { usable: bool },
    Committing { usable: bool, tries: u32 },
    WaitingToCommit { usable: bool, tries: u32 },
    CommittingToItem { usable: bool },
    Ending { copy_due: bool, usable: bool },
    CheckingBeforeHandOut { copy_due: bool, usable: bool },
    HandingOut { copy_due: bool, usable: bool },
    Copying { usable: bool },
    CheckingAfterCommit { usable: bool },
    ClearingMark { usable: bool },
    Revoking,
    DiscardingForLogout,
    DeletingRemains,
    Refusing,
    Unmarking(Failure),
    Discarding(Failure),
    Sharing(Failure),
    Recording(Outcome),
    Unlocking(Outcome),
    Finished,
}

type Step = (State, Effect);

impl Refresh {
    /// A machine that has not looked yet. Feed it [`Event::Start`].
    #[must_use]
    pub fn new(want: Want) -> Self {
        Self {
            want,
            access: None,
            state: State::Looking,
        }
    }

    /// Takes the machine one step further.
    ///
    /// # Panics
    ///
    /// On an event that does not answer the last effect: a defect of the
    /// driver, and to go on would be to guess.
    #[must_use]
    pub fn next(mut self, event: Event) -> (Self, Effect) {
        let state = std::mem::replace(&mut self.state, State::Finished);
        let (state, effect) = self.step(state, event);
        self.state = state;
        (self, effect)
    }

    fn step(&mut self, state: State, event: Event) -> Step {
        match (state, event) {
            // Without the lock.
            (State::Looking, Event::Start) => (State::Looking, Effect::Look),
            (State::Looking, Event::Looked(sight)) => self.looked(sight),
            (State::Looking | State::Locking, Event::Failed(failure)) => self.end(failure),
            (State::Locking, Event::Busy) => (State::Waiting, Effect::Wait),
            (State::Waiting, Event::Waited { moved: true, .. }) => (State::Looking, Effect::Look),
            (
                State::Waiting,
                Event::Waited {
                    failed: Some(failure),
                    ..
                },
            ) => self.end(failure),
            (State::Waiting, Event::Waited { late: true, .. }) => self.end(Failure::LockTimeout),
            (State::Waiting, Event::Waited { .. }) => (State::Locking, Effect::TryLock),

            // Under the lock: read, repair, decide.
            (State::Locking, Event::Locked) => (State::Claiming, Effect::Claim),
            (State::Claiming, Event::Claimed(claimed)) => self.claimed(claimed),
            (State::Claiming, Event::Failed(failure)) => self.release(failure),
            (State::Settling(claimed), Event::Done) => self.claimed(Claimed {
                settled: true,
                ..claimed
            }),
            (State::SettingAside(claimed), Event::Done) => self.repair(Claimed {
                sealed: SealedCopy::Absent,
                ..claimed
            }),
            (State::RepairingSealed(claimed), Event::Done) => match claimed.item {
                Some(newest) => self.decide(&claimed, newest),
                None => self.release(Failure::Corrupted),
            },
            (
                State::SettingAside(_) | State::RepairingSealed(_) | State::Preparing(_),
                Event::Failed(failure),
            ) => self.release(failure),
            (State::RepairingItem, Event::Done | Event::Failed(_)) => unlock(Outcome::Adopted),

            // Spend only when you can save, and leave a mark first.
            (State::Preparing(held), Event::Done) => mark(held),
            (State::Marking(held), Event::Done) => (State::Counting(held), Effect::CountAttempt),
            (State::Marking(_), Event::Failed(failure)) => {
                (State::Unmarking(failure), Effect::Unmark)
            }
            (State::Counting(held), Event::Done) => (State::Sending(held), Effect::Send),
            (
                State::Sending(held),
                Event::Answered {
                    answer,
                    since_first_send,
                    access,
                },
            ) => {
                self.access = access;
                self.answered(held, answer, since_first_send)
            }

            // New tokens: commit, then hand out, then copy.
            (State::CheckingBeforeCommit { .. }, Event::Tombstone(true)) => {
                (State::Revoking, Effect::RevokeReceived)
            }
            (
                State::CheckingBeforeCommit { usable },
                Event::Tombstone(false) | Event::Failed(_),
            ) => (State::Beginning { usable }, Effect::BeginChange),
            (State::Beginning { usable }, Event::Done) => {
                (State::Committing { usable, tries: 1 }, Effect::Commit)
            }
            // Also where the store can't hold the new token: an older one must
            // not stay there.
            (State::Committing { usable, .. }, Event::Done) => (
                State::Ending {
                    copy_due: true,
                    usable,
                },
                Effect::EndChange,
            ),
            (State::Committing { usable, tries }, Event::Failed(_)) if tries < COMMIT_TRIES => (
                State::WaitingToCommit { usable, tries },
                Effect::WaitToCommit,
            ),
            // The store may be able to hold the new token where it could not
            // hold the old one: that shows when it is tried.
            (State::Committing { usable, .. }, Event::Failed(_)) => {
                (State::CommittingToItem { usable }, Effect::CommitToItem)
            }
            (State::WaitingToCommit { usable, tries }, Event::Done) => (
                State::Committing {
                    usable,
                    tries: tries.saturating_add(1),
                },
                Effect::Commit,
            ),
            (State::CommittingToItem { usable }, Event::Done) => (
                State::Ending {
                    copy_due: false,
                    usable,
                },
                Effect::EndChange,
            ),
            // Both ways failed: the token lives in this process alone, which
            // keeps it and the lock, and goes on trying until it ends.
            (State::CommittingToItem { usable }, Event::Failed(_)) => (
                State::WaitingToCommit {
                    usable,
                    tries: COMMIT_TRIES,
                },
                Effect::WaitToCommit,
            ),
            // A process that was stopped for an hour in its commit must not hand
            // out the token of a login that has ended meanwhile.
            (State::Ending { copy_due, usable }, Event::Done) => (
                State::CheckingBeforeHandOut { copy_due, usable },
                Effect::CheckTombstone,
            ),
            (State::CheckingBeforeHandOut { .. }, Event::Tombstone(true)) => {
                (State::Revoking, Effect::RevokeReceived)
            }
            (
                State::CheckingBeforeHandOut { copy_due, usable },
                Event::Tombstone(false) | Event::Failed(_),
            ) => (State::HandingOut { copy_due, usable }, Effect::HandOut),
            (
                State::HandingOut {
                    copy_due: true,
                    usable,
                },
                Event::Done,
            ) => (State::Copying { usable }, Effect::CopyToItem),
            // A copy that failed is made good by the next claim.
            (State::HandingOut { usable, .. }, Event::Done)
            | (State::Copying { usable }, Event::Done | Event::Failed(_)) => (
                State::CheckingAfterCommit { usable },
                Effect::CheckTombstone,
            ),
            (State::CheckingAfterCommit { .. }, Event::Tombstone(true)) => {
                (State::Revoking, Effect::RevokeReceived)
            }
            (State::CheckingAfterCommit { usable }, Event::Tombstone(false) | Event::Failed(_)) => {
                (State::ClearingMark { usable }, Effect::ClearMark)
            }
            (State::ClearingMark { usable: true }, Event::Done | Event::Failed(_)) => {
                (State::Recording(Outcome::Refreshed), Effect::Record)
            }
            // Shared like any failure: without a back-off, each caller would
            // cost a rotation.
            (State::ClearingMark { usable: false }, Event::Done | Event::Failed(_)) => {
                let failure = Failure::AnswerUnusable;
                (State::Sharing(failure), Effect::ShareFailure(failure))
            }

            // Logged out meanwhile: what came is revoked, what is left deleted.
            (State::Revoking, Event::Done | Event::Failed(_)) => {
                (State::DiscardingForLogout, Effect::Discard)
            }
            (State::DiscardingForLogout, Event::Done | Event::Failed(_)) => {
                (State::DeletingRemains, Effect::DeleteRemains)
            }
            (State::DeletingRemains, Event::Done | Event::Failed(_)) => {
                unlock(Outcome::Failed(Failure::LoggedOut))
            }

            // No new tokens: take back what was prepared, and tell the others.
            (State::Refusing, Event::Done | Event::Failed(_)) => {
                (State::Discarding(Failure::LoginRequired), Effect::Discard)
            }
            (State::Unmarking(failure), Event::Done | Event::Failed(_)) => {
                (State::Discarding(failure), Effect::Discard)
            }
            (State::Discarding(failure), Event::Done | Event::Failed(_)) => {
                (State::Sharing(failure), Effect::ShareFailure(failure))
            }
            (State::Sharing(failure), Event::Done) => {
                (State::Recording(self.without(failure)), Effect::Record)
            }
            (State::Recording(outcome), Event::Done | Event::Failed(_)) => unlock(outcome),
            (State::Unlocking(outcome), Event::Done) => finish(outcome),
            (state, event) => panic!("the driver answered {state:?} with {event:?}"),
        }
    }

    fn looked(&mut self, sight: Sight) -> Step {
        let (access, refused, backing_off) = match sight {
            Sight::None(failure) => return finish(Outcome::Failed(failure)),
            Sight::Damaged => return (State::Locking, Effect::TryLock),
            Sight::Login {
                access,
                refused,
                backing_off,
            } => (access, refused, backing_off),
        };
        self.access = access;
        if self.want.is_met_by(access) {
            return finish(Outcome::Adopted);
        }
        match backing_off {
            _ if self.want.insist => (State::Locking, Effect::TryLock),
            _ if refused => self.end(Failure::LoginRequired),
            Some(failure) => self.end(failure),
            None => (State::Locking, Effect::TryLock),
        }
    }

    fn claimed(&mut self, claimed: Claimed) -> Step {
        self.access = claimed.access;
        if claimed.tombstoned {
            return (State::DeletingRemains, Effect::DeleteRemains);
        }
        if !claimed.settled {
            return (State::Settling(claimed), Effect::EndChange);
        }
        match claimed.sealed {
            SealedCopy::Unreadable => (State::SettingAside(claimed), Effect::SetAside),
            SealedCopy::Absent | SealedCopy::Present(_) => self.repair(claimed),
        }
    }

    /// The higher generation wins, wherever it is.
    fn repair(&mut self, claimed: Claimed) -> Step {
        match (claimed.sealed, claimed.item) {
            (SealedCopy::Present(sealed), Some(item)) if item.generation > sealed.generation => {
                (State::RepairingSealed(claimed), Effect::RepairSealed)
            }
            (SealedCopy::Present(sealed), _) => self.decide(&claimed, sealed),
            (_, Some(_)) => (State::RepairingSealed(claimed), Effect::RepairSealed),
            (_, None) => self.release(Failure::Corrupted),
        }
    }

    /// `newest` is the newest token that is stored, in the sealed file by now.
    fn decide(&mut self, claimed: &Claimed, newest: StoredCopy) -> Step {
        if self.want.is_met_by(self.access) {
            // A copy that the store can't hold is not missed there; an older
            // one must not stay.
            let is_settled = match claimed.item {
                Some(item) => item == newest,
                None => claimed.item_impossible,
            };
            return if is_settled {
                unlock(Outcome::Adopted)
            } else {
                (State::RepairingItem, Effect::RepairItem)
            };
        }
        // A mark about an older token was left by a process that died after
        // its commit: it says nothing about the newest.
        let mark = claimed
            .mark
            .filter(|mark| mark.generation == newest.generation && mark.refresh == newest.refresh);
        let refused = mark.is_some_and(|mark| mark.refused);
        if !self.want.insist {
            if refused {
                return self.release(Failure::LoginRequired);
            }
            if let Some(failure) = claimed.backing_off {
                return self.release(failure);
            }
        }
        let sent_before = mark.filter(|mark| !mark.refused && mark.attempts > 0);
        if let Some(mark) = sent_before {
            let left = self.want.can_fall_back_to(self.access);
            match policy::unconfirmed(&claimed.policy, mark.attempts, mark.age, left) {
                Unconfirmed::SendAgain => {}
                Unconfirmed::Leave => return self.release(Failure::ServerUnavailable),
                Unconfirmed::Never => return self.release(Failure::RotationUnconfirmed),
            }
        }
        let held = Held {
            attempts: sent_before.map_or(0, |mark| mark.attempts),
            policy: claimed.policy,
        };
        (State::Preparing(held), Effect::Prepare)
    }

    fn answered(
        &mut self,
        held: Held,
        answer: Answer,
        since_first_send: Option<std::time::Duration>,
    ) -> Step {
        match answer {
            Answer::Granted { usable } => (
                State::CheckingBeforeCommit { usable },
                Effect::CheckTombstone,
            ),
            Answer::InvalidGrant => (State::Refusing, Effect::MarkRefused),
            Answer::RequestRefused => (State::Unmarking(Failure::RequestRefused), Effect::Unmark),
            Answer::RefusedWithoutReason => (
                State::Unmarking(Failure::RefusedWithoutReason),
                Effect::Unmark,
            ),
            Answer::NotActed(failure) => (State::Unmarking(failure), Effect::Unmark),
            Answer::Unknown => {
                let held = Held {
                    attempts: held.attempts.saturating_add(1),
                    ..held
                };
                if policy::is_repeated_at_once(&held.policy, held.attempts, since_first_send) {
                    return mark(held);
                }
                // The mark stays: it tells the next process.
                let left = self.want.can_fall_back_to(self.access);
                let failure = if held.policy.strict && !left {
                    Failure::RotationUnconfirmed
                } else {
                    Failure::ServerUnavailable
                };
                (State::Discarding(failure), Effect::Discard)
            }
        }
    }

    fn without(&self, failure: Failure) -> Outcome {
        if self.want.can_fall_back_to(self.access) {
            Outcome::ServedValid(failure)
        } else {
            Outcome::Failed(failure)
        }
    }

    fn release(&self, failure: Failure) -> Step {
        unlock(self.without(failure))
    }

    fn end(&self, failure: Failure) -> Step {
        finish(self.without(failure))
    }
}

fn mark(held: Held) -> Step {
    let attempts = held.attempts.saturating_add(1);
    (State::Marking(held), Effect::Mark { attempts })
}

fn unlock(outcome: Outcome) -> Step {
    (State::Unlocking(outcome), Effect::Unlock)
}

fn finish(outcome: Outcome) -> Step {
    (State::Finished, Effect::Finish(outcome))
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
