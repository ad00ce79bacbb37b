//! One broken rule each, put between a machine and its driver: the checker
//! must find every one, or it would not find the same mistake in the code.

use vault_core::identity::Generation;
use vault_core::refresh::protocol::{Access, Answer, Effect, Event, Failure, SealedCopy, Sight};

use super::process::{Kind, Process, RotationPolicyName, access_fingerprint, stored_copy};
use super::world::{SealedFile, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    None,
    /// No lock is taken.
    NoLock,
    /// The lock is given back once the mark is written.
    UnlockAfterMark,
    /// What the look read is sent, not what is read under the lock.
    SendWhatWasLooked,
    /// The request goes out without a mark.
    SkipMark,
    /// A mark that a dead process left is not minded.
    IgnoreMark,
    /// The mark is removed when the answer is there, before the commit.
    ClearMarkEarly,
    /// A lost answer counts as a request that never left.
    UnknownIsNotActed,
    /// The request is made although the next file could not be prepared.
    SpendUnprepared,
    /// The new token is handed out, then committed.
    HandOutBeforeCommit,
    /// Tokens that have come are revoked, though nobody logged out.
    RevokeUnasked,
    /// A commit that failed counts as made.
    CommitToOldItem,
    /// The older token stays in the store, where a newer one has no room.
    KeepOldItem,
    /// A lost answer is asked for again and again.
    RetryWithoutEnd,
    /// The mark stays when the server can't have acted.
    LeaveTheMark,
    /// The token item counts as the newer copy, whatever its generation.
    ItemAlwaysWins,
    /// A server that is busy has refused the login.
    BusyIsRefused,
    /// A failed refresh deletes what is stored.
    DeleteOnFailure,
    /// The old login's file is unlinked before the key item is written.
    UnlinkOldFirst,
    /// The tombstone is not minded under the lock and after the answer.
    IgnoreTombstone,
    /// A logout begins with the deletion.
    SkipTombstone,
    /// The lock is kept at the end.
    SkipUnlock,
    /// A logout removes the mark, whichever login it is about.
    RemoveAnyMark,
    /// All tombstones are in one file, which a logout reads and then writes: of
    /// two at once, one is lost.
    TombstonesOverwritten,
    /// Whatever is stored serves a request.
    AdoptAnotherRequest,
    /// What was refused to a narrow request was refused to the login.
    NarrowRefusalEndsLogin,
    /// A process that waited refreshes its own request without the lock.
    NarrowWithoutLock,
}

impl Sabotage {
    pub(crate) fn keeps_looked(self) -> bool {
        self == Self::SendWhatWasLooked
    }

    /// Bends what the machine is told.
    pub(crate) fn event(self, event: Event, process: &mut Process, world: &mut World) -> Event {
        match (self, event) {
            (Self::None, event) => event,
            (Self::SendWhatWasLooked, Event::Claimed(mut claimed)) => {
                if let (Some(record), Some(claim)) =
                    (process.looked_record.take(), &mut process.claim)
                {
                    claimed.sealed = SealedCopy::Present(stored_copy(claim.login, record.refresh));
                    claimed.item = None;
                    claimed.access = None;
                    claimed.mark = None;
                    claim.record = Some(record);
                    claim.policy = RotationPolicyName::Known;
                }
                Event::Claimed(claimed)
            }
            (Self::IgnoreMark, Event::Claimed(mut claimed)) => {
                claimed.mark = None;
                Event::Claimed(claimed)
            }
            (Self::IgnoreTombstone, Event::Claimed(mut claimed)) => {
                claimed.tombstoned = false;
                Event::Claimed(claimed)
            }
            (Self::IgnoreTombstone, Event::Tombstone(_)) => Event::Tombstone(false),
            (Self::ItemAlwaysWins, Event::Claimed(mut claimed)) => {
                if let Some(item) = &mut claimed.item {
                    item.generation = Generation(99);
                }
                Event::Claimed(claimed)
            }
            (
                Self::UnknownIsNotActed,
                Event::Answered {
                    answer: Answer::Unknown,
                    since_first_send,
                    access,
                },
            ) => {
                let claim = process.claim.as_mut().expect("something was claimed");
                claim.found_mark = None;
                process.marked = true;
                Event::Answered {
                    answer: Answer::NotActed(Failure::ServerUnavailable),
                    since_first_send,
                    access,
                }
            }
            (
                Self::BusyIsRefused,
                Event::Answered {
                    answer: Answer::NotActed(_),
                    since_first_send,
                    access,
                },
            ) => Event::Answered {
                answer: Answer::InvalidGrant,
                since_first_send,
                access,
            },
            (
                Self::ClearMarkEarly,
                Event::Answered {
                    answer: answer @ Answer::Granted { .. },
                    since_first_send,
                    access,
                },
            ) => {
                world.folder.mark = None;
                Event::Answered {
                    answer,
                    since_first_send,
                    access,
                }
            }
            (Self::SpendUnprepared, Event::Failed(_))
                if process.claim.is_some() && !process.prepared && !process.marked =>
            {
                Event::Done
            }
            (Self::RevokeUnasked, Event::Tombstone(_)) => Event::Tombstone(true),
            (Self::CommitToOldItem, Event::Failed(_))
                if process.received.is_some() && !process.committed =>
            {
                let refresh = process.received.expect("it was received").refresh;
                let login = process.claim.as_ref().expect("it was claimed").login;
                world.commit(login, refresh);
                process.committed = true;
                Event::Done
            }
            (
                Self::AdoptAnotherRequest,
                Event::Looked(Sight::Login {
                    access: None,
                    refused,
                    backing_off,
                }),
            ) => {
                let login = process.known.unwrap_or_default();
                let record = world.folder.sealed[usize::from(login)].record();
                let other = record.and_then(|record| record.access);
                process.token = other.map(|access| (login, access));
                let access = other.map(|access| Access {
                    fingerprint: access_fingerprint(login, access.number),
                    fresh: access.since == world.epoch,
                    valid: access.since + 1 >= world.epoch,
                });
                Event::Looked(Sight::Login {
                    access,
                    refused,
                    backing_off,
                })
            }
            (
                Self::NarrowRefusalEndsLogin,
                Event::Answered {
                    answer: Answer::RequestRefused,
                    since_first_send,
                    access,
                },
            ) => Event::Answered {
                answer: Answer::InvalidGrant,
                since_first_send,
                access,
            },
            (Self::RetryWithoutEnd, Event::Claimed(mut claimed)) => {
                claimed.policy.retries = 9;
                Event::Claimed(claimed)
            }
            (_, event) => event,
        }
    }

    /// What is done instead of an effect, and its answer.
    pub(crate) fn effect(
        self,
        effect: &Effect,
        process: &mut Process,
        world: &mut World,
    ) -> Option<Event> {
        match (self, effect) {
            (Self::NoLock, Effect::TryLock) => return Some(Event::Locked),
            (Self::NarrowWithoutLock, Effect::TryLock) if process.kind == Kind::Narrow => {
                return Some(Event::Locked);
            }
            (Self::SkipMark, Effect::Mark { .. }) => {
                process.first_sent = world.epoch;
                return Some(Event::Done);
            }
            (Self::UnlockAfterMark, Effect::CountAttempt) => process.lock = false,
            (Self::HandOutBeforeCommit, Effect::BeginChange) if process.kind == Kind::Refresh => {
                process.hand_out(world);
            }
            (Self::DeleteOnFailure, Effect::ShareFailure(_)) => {
                if let Some(claim) = &process.claim {
                    world.folder.sealed[usize::from(claim.login)] = SealedFile::Absent;
                    world.store.item = None;
                }
            }
            (Self::UnlinkOldFirst, Effect::WriteNewSealed) => {
                world.folder.sealed = Default::default();
                world.store.item = None;
            }
            (Self::LeaveTheMark, Effect::Unmark) => return Some(Event::Done),
            (Self::KeepOldItem, Effect::CopyToItem | Effect::RepairItem) => {
                return Some(Event::Done);
            }
            (Self::SkipTombstone, Effect::WriteTombstone) => {
                world.witness.current = None;
                return Some(Event::Done);
            }
            (Self::SkipUnlock, Effect::Unlock) => return Some(Event::Done),
            _ => {}
        }
        None
    }
}
