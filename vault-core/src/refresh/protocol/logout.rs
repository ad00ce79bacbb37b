//! The logout machine: ends a login for good, also while another process holds
//! the lock and has been stopped.
//!
//! The tombstone comes first and needs no lock; from then on no process uses
//! or revives the login. What is left of it is deleted under the lock, or,
//! where the lock can't be had in time, without it.

use super::{Effect, Event, Outcome};

/// The logout machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logout {
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    WritingTombstone,
    Beginning,
    Ending,
    Locking,
    Waiting,
    Reading { locked: bool },
    Deleting { locked: bool },
    Recording { locked: bool, remains: bool },
    Unlocking { remains: bool },
    Revoking { remains: bool },
    Finished,
}

impl Default for Logout {
    fn default() -> Self {
        Self { state: State::WritingTombstone }
    }
}

impl Logout {
    /// Takes the machine one step further.
    ///
    /// # Panics
    ///
    /// On an event that does not answer the last effect: a defect of the
    /// driver.
    #[must_use]
    pub fn next(self, event: Event) -> (Self, Effect) {
        let (state, effect) = step(self.state, event);
        (Self { state }, effect)
    }
}

fn step(state: State, event: Event) -> (State, Effect) {
    match (state, event) {
        (State::WritingTombstone, Event::Start) => {
            (State::WritingTombstone, Effect::WriteTombstone)
        }
        (State::WritingTombstone, Event::Done) => (State::Beginning, Effect::BeginChange),
        (State::WritingTombstone, Event::Failed(failure)) => {
            (State::Finished, Effect::Finish(Outcome::Failed(failure)))
        }
        (State::Beginning, Event::Done) => (State::Ending, Effect::EndChange),
        (State::Ending, Event::Done) => (State::Locking, Effect::TryLock),
        (State::Locking, Event::Busy) => (State::Waiting, Effect::Wait),
        (State::Waiting, Event::Waited { late: false, .. }) => (State::Locking, Effect::TryLock),
        (State::Locking, Event::Locked) => read(true),
        (State::Locking, Event::Failed(_)) | (State::Waiting, Event::Waited { .. }) => read(false),
        // The token is read before it is deleted; without it nothing can be
        // revoked, and that is told.
        (State::Reading { locked: true }, Event::Done | Event::Failed(_)) => {
            (State::Deleting { locked: true }, Effect::DeleteRemains)
        }
        (State::Reading { locked: false }, Event::Done | Event::Failed(_)) => {
            (State::Deleting { locked: false }, Effect::DeleteRemainsUnlocked)
        }
        (State::Deleting { locked }, Event::Done) => record(locked, false),
        (State::Deleting { locked }, Event::Failed(_)) => record(locked, true),
        (State::Recording { locked: true, remains }, Event::Done | Event::Failed(_)) => {
            (State::Unlocking { remains }, Effect::Unlock)
        }
        // The server is asked last, and not under the lock.
        (State::Recording { locked: false, remains }, Event::Done | Event::Failed(_))
        | (State::Unlocking { remains }, Event::Done) => {
            (State::Revoking { remains }, Effect::Revoke)
        }
        (State::Revoking { remains }, Event::Done | Event::Failed(_)) => {
            (State::Finished, Effect::Finish(Outcome::LoggedOut { remains }))
        }
        (state, event) => panic!("the driver answered {state:?} with {event:?}"),
    }
}

fn read(locked: bool) -> (State, Effect) {
    (State::Reading { locked }, Effect::ReadForRevocation)
}

fn record(locked: bool, remains: bool) -> (State, Effect) {
    (State::Recording { locked, remains }, Effect::Record)
}
