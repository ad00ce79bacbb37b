//! The login machine: replaces a profile's login by a new one whose tokens
//! have come already. Until the key item names the new login the old one goes
//! on working; from then on the new one does.

use super::{Effect, Event, Failure, Outcome};

/// The login machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Install {
    state: State,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    Locking,
    Waiting,
    WritingSealed,
    Beginning,
    WritingKey,
    CheckingKey(Failure),
    WritingItem,
    UnlinkingOld,
    Ending,
    Recording,
    UnlinkingNew(Failure),
    EndingFailed(Failure, bool),
    Revoking(Failure, bool),
    Unlocking(Outcome),
    Finished,
}

impl Default for Install {
    fn default() -> Self {
        Self {
            state: State::Locking,
        }
    }
}

impl Install {
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
        (State::Locking, Event::Start) => (State::Locking, Effect::TryLock),
        (State::Locking, Event::Busy) => (State::Waiting, Effect::Wait),
        (State::Waiting, Event::Waited { late: false, .. }) => (State::Locking, Effect::TryLock),
        (State::Waiting, Event::Waited { .. }) => revoke(Failure::LockTimeout, false),
        (State::Locking, Event::Failed(failure)) => revoke(failure, false),

        (State::Locking, Event::Locked) => (State::WritingSealed, Effect::WriteNewSealed),
        (State::WritingSealed, Event::Done) => (State::Beginning, Effect::BeginChange),
        (State::WritingSealed, Event::Failed(failure)) => {
            (State::UnlinkingNew(failure), Effect::UnlinkNew)
        }
        (State::Beginning, Event::Done) => (State::WritingKey, Effect::WriteKeyItem),
        (State::WritingKey, Event::Done) | (State::CheckingKey(_), Event::KeyIsNew(true)) => {
            (State::WritingItem, Effect::WriteTokenItem)
        }
        // A store may say no to a write that it has made.
        (State::WritingKey, Event::Failed(failure)) => {
            (State::CheckingKey(failure), Effect::CheckKeyItem)
        }
        (State::CheckingKey(failure), Event::KeyIsNew(false)) => {
            (State::UnlinkingNew(failure), Effect::UnlinkNew)
        }
        // Nobody knows whether it was written: keep what it would name.
        (State::CheckingKey(failure), Event::Failed(_)) => {
            (State::EndingFailed(failure, false), Effect::EndChange)
        }
        // The token item is a copy: the next claim makes it good.
        (State::WritingItem, Event::Done | Event::Failed(_)) => {
            (State::UnlinkingOld, Effect::UnlinkOld)
        }
        (State::UnlinkingOld, Event::Done | Event::Failed(_)) => (State::Ending, Effect::EndChange),
        (State::Ending, Event::Done) => (State::Recording, Effect::Record),
        (State::Recording, Event::Done | Event::Failed(_)) => unlock(Outcome::Installed),

        (State::UnlinkingNew(failure), Event::Done | Event::Failed(_)) => {
            (State::EndingFailed(failure, true), Effect::EndChange)
        }
        (State::EndingFailed(failure, true), Event::Done) => revoke(failure, true),
        (State::EndingFailed(failure, false), Event::Done) => unlock(Outcome::Failed(failure)),
        (State::Revoking(failure, true), Event::Done | Event::Failed(_)) => {
            unlock(Outcome::Failed(failure))
        }
        (State::Revoking(failure, false), Event::Done | Event::Failed(_)) => {
            (State::Finished, Effect::Finish(Outcome::Failed(failure)))
        }
        (State::Unlocking(outcome), Event::Done) => (State::Finished, Effect::Finish(outcome)),
        (state, event) => panic!("the driver answered {state:?} with {event:?}"),
    }
}

/// The new tokens are of no use any more; the server should know.
fn revoke(failure: Failure, locked: bool) -> (State, Effect) {
    (State::Revoking(failure, locked), Effect::RevokeReceived)
}

fn unlock(outcome: Outcome) -> (State, Effect) {
    (State::Unlocking(outcome), Effect::Unlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mut world: impl FnMut(&Effect) -> Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut machine = Install::default();
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

    fn well(effect: &Effect) -> Event {
        match effect {
            Effect::TryLock => Event::Locked,
            _ => Event::Done,
        }
    }

    #[test]
    fn the_key_item_is_written_after_what_it_names_and_before_the_old_goes() {
        assert_eq!(
            run(well),
            [
                Effect::TryLock,
                Effect::WriteNewSealed,
                Effect::BeginChange,
                Effect::WriteKeyItem,
                Effect::WriteTokenItem,
                Effect::UnlinkOld,
                Effect::EndChange,
                Effect::Record,
                Effect::Unlock,
                Effect::Finish(Outcome::Installed),
            ]
        );
    }

    #[test]
    fn a_login_that_can_not_be_stored_leaves_the_old_one() {
        for failing in [Effect::WriteNewSealed, Effect::WriteKeyItem] {
            let effects = run(|effect| match effect {
                effect if *effect == failing => Event::Failed(Failure::Local),
                Effect::CheckKeyItem => Event::KeyIsNew(false),
                effect => well(effect),
            });
            assert!(!effects.contains(&Effect::UnlinkOld), "{failing:?}");
            assert!(effects.contains(&Effect::UnlinkNew), "{failing:?}");
            assert!(effects.contains(&Effect::RevokeReceived), "{failing:?}");
        }
    }

    #[test]
    fn a_write_that_is_denied_but_was_made_counts() {
        let effects = run(|effect| match effect {
            Effect::WriteKeyItem => Event::Failed(Failure::Local),
            Effect::CheckKeyItem => Event::KeyIsNew(true),
            effect => well(effect),
        });
        assert_eq!(effects.last(), Some(&Effect::Finish(Outcome::Installed)));
    }

    #[test]
    fn where_nobody_knows_what_was_written_nothing_is_unlinked() {
        let effects = run(|effect| match effect {
            Effect::WriteKeyItem | Effect::CheckKeyItem => Event::Failed(Failure::Local),
            effect => well(effect),
        });
        assert!(!effects.contains(&Effect::UnlinkNew) && !effects.contains(&Effect::UnlinkOld));
    }
}
