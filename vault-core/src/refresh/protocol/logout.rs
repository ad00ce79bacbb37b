//! The logout machine: ends a login for good, also while another process holds
//! the lock and has been stopped.
//!
//! The tombstone comes first and needs no lock; from then on no process uses
//! or revives the login. What is left of it is deleted under the lock, or,
//! where the lock can't be had in time, without it.

use super::{Effect, Event, Outcome};

/// The logout machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Logout {
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
        Self {
            state: State::WritingTombstone,
        }
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
        (State::Reading { locked: false }, Event::Done | Event::Failed(_)) => (
            State::Deleting { locked: false },
            Effect::DeleteRemainsUnlocked,
        ),
        (State::Deleting { locked }, Event::Done) => record(locked, false),
        (State::Deleting { locked }, Event::Failed(_)) => record(locked, true),
        (
            State::Recording {
                locked: true,
                remains,
            },
            Event::Done | Event::Failed(_),
        ) => (State::Unlocking { remains }, Effect::Unlock),
        // The server is asked last, and not under the lock.
        (
            State::Recording {
                locked: false,
                remains,
            },
            Event::Done | Event::Failed(_),
        )
        | (State::Unlocking { remains }, Event::Done) => {
            (State::Revoking { remains }, Effect::Revoke)
        }
        (State::Revoking { remains }, Event::Done | Event::Failed(_)) => (
            State::Finished,
            Effect::Finish(Outcome::LoggedOut { remains }),
        ),
        (state, event) => panic!("the driver answered {state:?} with {event:?}"),
    }
}

fn read(locked: bool) -> (State, Effect) {
    (State::Reading { locked }, Effect::ReadForRevocation)
}

fn record(locked: bool, remains: bool) -> (State, Effect) {
    (State::Recording { locked, remains }, Effect::Record)
}

#[cfg(test)]
mod tests {
    use super::super::Failure;
    use super::*;

    fn run(mut world: impl FnMut(&Effect) -> Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut machine = Logout::default();
        let mut event = Event::Start;
        loop {
            let effect;
            (machine, effect) = machine.next(event);
            effects.push(effect.clone());
            if matches!(effect, Effect::Finish(_)) {
                return effects;
            }
            event = world(&effect);
        }
    }

    #[test]
    fn the_tombstone_comes_before_the_lock_and_the_server_last() {
        let effects = run(|effect| match effect {
            Effect::TryLock => Event::Locked,
            _ => Event::Done,
        });
        assert_eq!(effects.first(), Some(&Effect::WriteTombstone));
        assert_eq!(effects.get(effects.len() - 2), Some(&Effect::Revoke));
        assert_eq!(
            effects.last(),
            Some(&Effect::Finish(Outcome::LoggedOut { remains: false }))
        );
    }

    #[test]
    fn a_holder_that_is_stopped_does_not_block_it() {
        let effects = run(|effect| match effect {
            Effect::TryLock => Event::Busy,
            Effect::Wait => Event::Waited {
                moved: false,
                failed: None,
                late: true,
            },
            _ => Event::Done,
        });
        assert!(effects.contains(&Effect::DeleteRemainsUnlocked));
        assert!(!effects.contains(&Effect::Unlock));
        assert_eq!(
            effects.last(),
            Some(&Effect::Finish(Outcome::LoggedOut { remains: false }))
        );
    }

    #[test]
    fn without_a_tombstone_nothing_is_deleted() {
        let effects = run(|_| Event::Failed(Failure::Local));
        assert_eq!(
            effects,
            [
                Effect::WriteTombstone,
                Effect::Finish(Outcome::Failed(Failure::Local))
            ]
        );
    }
}
