//! Answers the refresh machine's effects as `refresh/driver.rs` and
//! `refresh/claim.rs` do.

use vault_core::refresh::policy;
use vault_core::refresh::protocol::{
    Answer, Claimed, Effect, Event, Failure, MarkFacts, SealedCopy, Sight,
};

use super::configuration::Configuration;
use super::process::{
    Claim, Kind, Process, RotationPolicyName, Seen, Wire, age, login_id, policy, stored_copy,
};
use super::step::Choice;
use super::world::{
    AccessToken, Copied, Item, Login, Mark, Record, Request, Rule, SealedFile, ServerAnswer,
    StoreWrite, World, bit,
};

pub(crate) const LOCAL: Event = Event::Failed(Failure::Local);

/// What a look shows, as `Profile::look` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    NotLoggedIn,
    LoggedOut,
    Damaged,
    Login(Login, Record),
    /// No key item, and nobody logged out.
    ItemMissing,
}

impl Process {
    /// `None` where the effect takes a further step.
    pub(crate) fn refreshing(
        &mut self,
        effect: &Effect,
        choice: Choice,
        world: &mut World,
        configuration: &Configuration,
    ) -> Option<Event> {
        let event = match effect {
            Effect::Look => return self.look(choice, world, configuration),
            Effect::Wait => self.wait(choice, world),
            Effect::Claim => return self.take_claim(choice, world, configuration),
            Effect::SetAside => self.write_folder(choice, world, |process, world| {
                let login = process.claimed().login;
                world.change_folder(|folder| {
                    folder.sealed[usize::from(login)] = SealedFile::Absent;
                });
            }),
            Effect::RepairSealed => self.repair_sealed(choice, world),
            Effect::RepairItem => {
                let claim = self.claimed();
                match claim.record {
                    Some(record) => {
                        write_item(claim.login, record.refresh, choice, world, configuration)
                    }
                    None => Event::Done,
                }
            }
            Effect::Prepare => {
                self.prepared = choice == Choice::Go;
                if self.prepared { Event::Done } else { LOCAL }
            }
            Effect::Mark { attempts } => self.mark(*attempts, choice, world),
            Effect::Unmark => self.unmark(choice, world),
            Effect::ClearMark => self.write_folder(choice, world, |_, world| {
                world.change_folder(|folder| folder.mark = None);
            }),
            Effect::MarkRefused => self.mark_refused(choice, world),
            Effect::CountAttempt => {
                for other in &mut world.processes {
                    other.attempt_began |= other.looked;
                }
                self.attempt_began = true;
                Event::Done
            }
            Effect::Send => return self.send(choice, world, configuration),
            Effect::CheckTombstone => {
                Event::Tombstone(world.folder.is_buried(self.claimed().login))
            }
            Effect::RevokeReceived => {
                let login = self.claimed().login;
                let unasked = !world.folder.is_buried(login);
                world.witness.breaks(Rule::ReceivedTokenDropped, unasked);
                if choice == Choice::Go && self.received.is_some() {
                    world.server[usize::from(self.claimed().login)].alive = false;
                }
                if choice == Choice::Go {
                    Event::Done
                } else {
                    LOCAL
                }
            }
            Effect::Commit => self.commit(choice, world),
            Effect::CommitToItem => self.commit_to_item(choice, world, configuration),
            Effect::WaitToCommit => Event::Done,
            Effect::HandOut => self.hand_out(world),
            Effect::CopyToItem => {
                let claim = self.claimed();
                match self.received {
                    Some(record) => {
                        write_item(claim.login, record.refresh, choice, world, configuration)
                    }
                    None => Event::Done,
                }
            }
            Effect::ShareFailure(failure) => self.share_failure(*failure, world),
            effect => unreachable!("a refresh was asked to do {effect:?}"),
        };
        Some(event)
    }

    fn left_alone(&self, world: &World) -> Option<Failure> {
        let counters = &world.counters;
        let refused = counters.narrow_refused && self.kind == Kind::Narrow;
        counters
            .failure
            .filter(|_| counters.backing_off)
            .or(refused.then_some(Failure::RequestRefused))
    }

    fn claimed(&self) -> &Claim {
        self.claim.as_ref().expect("something was claimed")
    }

    // Without the lock.

    /// The key item is read in a step of its own, where it is not known yet;
    /// tombstone, sealed file and mark in one: each says what it says about
    /// one login and one generation, and nothing is sent by a look. The
    /// counters are read last; whoever moves them in between delays a waiter
    /// until the lock is free, no longer.
    fn look(
        &mut self,
        choice: Choice,
        world: &mut World,
        configuration: &Configuration,
    ) -> Option<Event> {
        let needs_key = self.step == 0
            && self
                .known
                .is_none_or(|known| self.look_with(known, world).is_none());
        if needs_key && choice == Choice::Fail {
            return Some(LOCAL);
        }
        if needs_key && configuration.split {
            self.known = world.store.key;
            self.step = 1;
            return None;
        }
        if needs_key {
            self.known = world.store.key;
        }
        let look = match self.known {
            Some(known) => self.look_with(known, world).unwrap_or(Look::Damaged),
            None => look_without_key(world),
        };
        self.seen = if world.counters.settled {
            Seen::Current
        } else {
            Seen::Nothing
        };
        self.looked = true;
        Some(match look {
            Look::NotLoggedIn => Event::Looked(Sight::None(Failure::NotLoggedIn)),
            Look::LoggedOut => Event::Looked(Sight::None(Failure::LoggedOut)),
            Look::Damaged => Event::Looked(Sight::Damaged),
            Look::ItemMissing => LOCAL,
            Look::Login(login, record) => {
                let access = record.access(self.request());
                self.token = access.map(|access| (login, access));
                if configuration.sabotage.keeps_looked() && self.looked_record.is_none() {
                    self.looked_record = Some(record);
                }
                let mark = world
                    .folder
                    .mark
                    .filter(|mark| mark.login == login && mark.refresh == record.refresh);
                Event::Looked(Sight::Login {
                    access: self.access_facts(&record, world.epoch),
                    refused: mark.is_some_and(|mark| mark.refused),
                    backing_off: self.left_alone(world),
                })
            }
        })
    }

    pub(crate) fn look_with(&mut self, login: Login, world: &World) -> Option<Look> {
        if world.folder.is_buried(login) {
            self.known = None;
            return (!world.folder.has_any_sealed()).then_some(Look::LoggedOut);
        }
        match world.folder.sealed[usize::from(login)] {
            SealedFile::Present(record) => Some(Look::Login(login, record)),
            SealedFile::Absent => None,
            SealedFile::Damaged => Some(Look::Damaged),
        }
    }

    pub(crate) fn has_moved(&self, world: &World) -> bool {
        world.counters.settled && self.seen != Seen::Current
    }

    pub(crate) fn was_told(&self, world: &World) -> Option<Failure> {
        world.counters.failure.filter(|_| self.attempt_failed)
    }

    fn wait(&mut self, choice: Choice, world: &World) -> Event {
        Event::Waited {
            moved: self.has_moved(world),
            failed: self.was_told(world),
            late: choice == Choice::Deadline,
        }
    }

    // Under the lock.

    /// Three steps: key item; tombstone and sealed file; token item, mark and
    /// counters. Only a logout without the lock and late writes come between.
    fn take_claim(
        &mut self,
        choice: Choice,
        world: &mut World,
        configuration: &Configuration,
    ) -> Option<Event> {
        if choice == Choice::Fail {
            self.claim = None;
            self.lock = false;
            return Some(LOCAL);
        }
        loop {
            match self.step {
                0 => {
                    let Some(login) = world.store.key else {
                        self.lock = false;
                        return Some(LOCAL);
                    };
                    self.known = Some(login);
                    self.claim = Some(Claim {
                        login,
                        record: None,
                        item: None,
                        found_mark: None,
                        tombstoned: false,
                        policy: RotationPolicyName::Default,
                        decided: world.epoch,
                    });
                }
                1 => {
                    let claim = self.claim.as_mut().expect("the key was read");
                    claim.tombstoned = world.folder.is_buried(claim.login);
                    let sealed = world.folder.sealed[usize::from(claim.login)];
                    claim.record = sealed.record();
                    if claim.record.is_some_and(|record| record.policy_known) {
                        claim.policy = RotationPolicyName::Known;
                    }
                }
                _ => return Some(self.claim_read(world, configuration)),
            }
            self.step += 1;
            if configuration.split {
                return None;
            }
        }
    }

    fn claim_read(&mut self, world: &World, configuration: &Configuration) -> Event {
        let claim = self.claim.as_mut().expect("the key was read");
        let login = claim.login;
        claim.item = world
            .store
            .item
            .filter(|item| item.login == login)
            .map(|item| item.refresh);
        claim.found_mark = world.folder.mark.filter(|mark| mark.login == login);
        let claim = self.claimed().clone();
        self.token = claim
            .record
            .and_then(|record| record.access(self.request()))
            .map(|access| (login, access));
        let damaged = world.folder.sealed[usize::from(login)] == SealedFile::Damaged;
        let claimed = Claimed {
            login: login_id(login),
            tombstoned: claim.tombstoned,
            sealed: match claim.record {
                Some(record) => SealedCopy::Present(stored_copy(login, record.refresh)),
                None if damaged => SealedCopy::Unreadable,
                None => SealedCopy::Absent,
            },
            item: claim.item.map(|item| stored_copy(login, item)),
            item_impossible: claim
                .record
                .is_some_and(|record| !configuration.room.holds(record.refresh.token)),
            mark: claim.found_mark.map(|mark| MarkFacts {
                generation: stored_copy(login, mark.refresh).generation,
                refresh: stored_copy(login, mark.refresh).refresh,
                attempts: mark.attempts.into(),
                age: Some(age(mark.first_sent, world.epoch)),
                refused: mark.refused,
            }),
            access: claim
                .record
                .and_then(|record| self.access_facts(&record, world.epoch)),
            settled: world.counters.settled,
            backing_off: self.left_alone(world),
            policy: policy(claim.policy, configuration),
        };
        Event::Claimed(claimed)
    }

    /// A write to the folder: it becomes visible, then durable. Where it can
    /// matter that others see it in between, that is a step of its own.
    pub(crate) fn write_folder(
        &mut self,
        choice: Choice,
        world: &mut World,
        write: impl FnOnce(&mut Self, &mut World),
    ) -> Event {
        if choice == Choice::Fail {
            return LOCAL;
        }
        if self.step == 0 {
            write(self, world);
        }
        if choice != Choice::Go {
            return LOCAL;
        }
        world.sync();
        Event::Done
    }

    fn repair_sealed(&mut self, choice: Choice, world: &mut World) -> Event {
        let claim = self.claimed();
        let item = claim.item.expect("there is an item to repair from");
        let repaired = match claim.record {
            Some(record) => Record {
                refresh: item,
                ..record
            },
            None => Record {
                refresh: item,
                access: None,
                narrow: None,
                policy_known: false,
            },
        };
        self.write_folder(choice, world, |process, world| {
            let login = process.claimed().login;
            world.write_sealed(login, repaired);
            if let Some(claim) = &mut process.claim
                && choice != Choice::FailDone
            {
                claim.record = Some(repaired);
            }
        })
    }

    fn mark(&mut self, attempts: u32, choice: Choice, world: &mut World) -> Event {
        let claim = self.claimed();
        let record = claim.record.expect("there is a token to be sent");
        let first_sent = claim
            .found_mark
            .filter(|mark| mark.refresh == record.refresh && !mark.refused && attempts > 1)
            .map_or(world.epoch, |mark| mark.first_sent);
        let mark = Mark {
            login: claim.login,
            refresh: record.refresh,
            attempts: u8::try_from(attempts).expect("few attempts"),
            first_sent,
            refused: false,
        };
        self.write_folder(choice, world, |process, world| {
            world.change_folder(|folder| folder.mark = Some(mark));
            process.marked = true;
            process.first_sent = first_sent;
        })
    }

    fn unmark(&mut self, choice: Choice, world: &mut World) -> Event {
        let found = self.claimed().found_mark;
        let login = self.claimed().login;
        if choice.fails() && self.marked {
            world.witness.torn |= bit(login);
        }
        self.write_folder(choice, world, |process, world| {
            world.change_folder(|folder| folder.mark = found);
            process.marked = false;
        })
    }

    fn mark_refused(&mut self, choice: Choice, world: &mut World) -> Event {
        self.marked = false;
        self.write_folder(choice, world, |_, world| {
            world.change_folder(|folder| {
                if let Some(mark) = &mut folder.mark {
                    mark.refused = true;
                }
            });
        })
    }

    // The server.

    fn send(
        &mut self,
        choice: Choice,
        world: &mut World,
        configuration: &Configuration,
    ) -> Option<Event> {
        let claim = self.claimed();
        let decided = claim.decided;
        let Some(wire) = self.wire.take() else {
            if choice == Choice::NotSent {
                return Some(self.answered(Answer::NotActed(Failure::NetworkUnavailable), world));
            }
            let request = self.check_request(world, configuration, decided);
            self.wire = Some(Wire::Leaving(request));
            return None;
        };
        match (wire, choice) {
            (Wire::Leaving(request), Choice::Go | Choice::ActedLost) => {
                let answer = world.serve(request, configuration);
                if choice == Choice::ActedLost {
                    return Some(self.unknown(world));
                }
                self.wire = Some(Wire::Coming(answer));
                None
            }
            (Wire::Leaving(request), Choice::Unanswered) => {
                world.stray.push(request);
                Some(self.unknown(world))
            }
            (Wire::Leaving(_), Choice::Busy) => {
                Some(self.answered(Answer::NotActed(Failure::ServerUnavailable), world))
            }
            (Wire::Leaving(_), Choice::NoReason) => {
                Some(self.answered(Answer::RefusedWithoutReason, world))
            }
            (Wire::Leaving(_), Choice::RefusedRequest) => {
                Some(self.answered(Answer::RequestRefused, world))
            }
            (Wire::Coming(Err(())), _) => Some(self.answered(Answer::InvalidGrant, world)),
            (Wire::Coming(Ok((token, since))), choice) => {
                let usable = choice != Choice::RefreshTokenOnly;
                let request = self.request();
                let claim = self.claim.as_mut().expect("something was claimed");
                let before = claim.record.take().expect("it was sent");
                let access = AccessToken {
                    number: token,
                    since,
                    request,
                };
                let after = if usable { before.with(access) } else { before };
                self.received = Some(Record {
                    refresh: Copied {
                        generation: before.refresh.generation + 1,
                        token,
                    },
                    ..after
                });
                Some(self.answered(Answer::Granted { usable }, world))
            }
            (wire, choice) => unreachable!("{choice:?} with {wire:?}"),
        }
    }

    /// What must hold before a token goes out.
    fn check_request(
        &mut self,
        world: &mut World,
        configuration: &Configuration,
        decided: u8,
    ) -> Request {
        let claim = self.claimed().clone();
        let record = claim.record.expect("there is a token to be sent");
        let newest = world.witness.committed[usize::from(claim.login)];
        let replaced = newest.is_some_and(|newest| newest.generation > record.refresh.generation);
        let on_disk = world.durable.as_deref().unwrap_or(&world.folder).mark;
        let mark =
            on_disk.filter(|mark| mark.login == claim.login && mark.refresh == record.refresh);
        // Of a login that has ended a logout may have deleted everything.
        let has_ended = world.folder.is_buried(claim.login);
        let sent_before = mark.map_or(0, |mark| mark.attempts.saturating_sub(1));
        let policy = policy(claim.policy, configuration);
        let allowed = policy::is_in_window(
            &policy,
            sent_before.into(),
            Some(age(self.first_sent, decided)),
        );
        let replay = sent_before > 0 && !allowed;
        let left = self.has_token_left(decided);
        let witness = &mut world.witness;
        witness.policy_lost |= claim.policy == RotationPolicyName::Default;
        witness.breaks(Rule::ReplacedTokenSent, replaced);
        witness.breaks(Rule::SentUnmarked, mark.is_none() && !has_ended);
        witness.breaks(Rule::SentUnprepared, !self.prepared);
        witness.breaks(Rule::ReplayAgainstPolicy, replay && (policy.strict || left));
        Request {
            login: claim.login,
            token: record.refresh.token,
            decided,
            last_resort: replay,
        }
    }

    /// The answer is lost; the driver keeps the mark as it is now.
    fn unknown(&mut self, world: &mut World) -> Event {
        world.witness.torn |= bit(self.claimed().login);
        self.marked = false;
        if let Some(claim) = &mut self.claim {
            claim.found_mark = world.folder.mark;
            claim.decided = world.epoch;
        }
        self.answered(Answer::Unknown, world)
    }

    fn answered(&self, answer: Answer, world: &World) -> Event {
        let record = self.claimed().record;
        Event::Answered {
            answer,
            since_first_send: Some(age(self.first_sent, world.epoch)),
            access: record.and_then(|record| self.access_facts(&record, world.epoch)),
        }
    }

    // After the answer.

    fn commit(&mut self, choice: Choice, world: &mut World) -> Event {
        let login = self.claimed().login;
        let received = self.received.expect("something was received");
        if choice.fails() {
            self.commit_failures = (self.commit_failures + 1).min(7);
        }
        let event = self.write_folder(choice, world, |_, world| {
            world.write_sealed(login, received);
        });
        if event == Event::Done {
            self.is_committed(world);
        }
        event
    }

    fn commit_to_item(
        &mut self,
        choice: Choice,
        world: &mut World,
        configuration: &Configuration,
    ) -> Event {
        let received = self.received.expect("something was received");
        let login = self.claimed().login;
        if !configuration.room.holds(received.refresh.token) {
            return LOCAL;
        }
        let event = write_item(login, received.refresh, choice, world, configuration);
        if event == Event::Done {
            self.is_committed(world);
        }
        event
    }

    fn is_committed(&mut self, world: &mut World) {
        let received = self.received.expect("something was received");
        world.commit(self.claimed().login, received.refresh);
        self.committed = true;
        self.marked = false;
    }

    pub(crate) fn hand_out(&mut self, world: &mut World) -> Event {
        let login = self.claimed().login;
        world.counters.failure = None;
        world.counters.backing_off = false;
        world.witness.refreshed = true;
        world
            .witness
            .breaks(Rule::HandedOutUncommitted, !self.committed);
        let undone = self.ended_before & bit(login) != 0;
        world.witness.breaks(Rule::LogoutUndone, undone);
        if self.kind == Kind::Narrow {
            world.counters.narrow_refused = false;
        }
        let request = self.request();
        let access = self.received.and_then(|record| record.access(request));
        self.token = access.map(|access| (login, access));
        Event::Done
    }

    fn share_failure(&mut self, failure: Failure, world: &mut World) -> Event {
        if failure == Failure::RequestRefused {
            world.counters.narrow_refused = true;
            return Event::Done;
        }
        world.counters.failure = Some(failure);
        world.counters.backing_off = matches!(
            failure,
            Failure::NetworkUnavailable
                | Failure::ServerUnavailable
                | Failure::AnswerUnusable
                | Failure::RefusedWithoutReason
        );
        for other in &mut world.processes {
            other.attempt_failed |= other.attempt_began;
        }
        Event::Done
    }
}

pub(crate) fn look_without_key(world: &World) -> Look {
    match (world.folder.has_any_sealed(), world.folder.buried) {
        (false, 0) => Look::NotLoggedIn,
        (_, 1..) => Look::LoggedOut,
        (true, 0) => Look::ItemMissing,
    }
}

/// Writes the token item; where it is too large, an older one is deleted.
pub(crate) fn write_item(
    login: Login,
    refresh: Copied,
    choice: Choice,
    world: &mut World,
    configuration: &Configuration,
) -> Event {
    let write = if configuration.room.holds(refresh.token) {
        StoreWrite::Item(Item { login, refresh })
    } else {
        StoreWrite::DeleteItem
    };
    write_store(write, choice, world)
}

pub(crate) fn write_store(write: StoreWrite, choice: Choice, world: &mut World) -> Event {
    match choice {
        Choice::Go | Choice::FailDone => world.land(write),
        Choice::FailLate | Choice::DoneLate => world.store.late.push(write),
        _ => {}
    }
    match choice {
        Choice::Go | Choice::DoneLate => Event::Done,
        _ => LOCAL,
    }
}

impl World {
    /// The server acts on a request.
    pub(crate) fn serve(
        &mut self,
        request: Request,
        configuration: &Configuration,
    ) -> Result<(u8, u8), ()> {
        let grace = configuration.server.has_grace();
        let family = &mut self.server[usize::from(request.login)];
        match family.refresh(request.token, grace, self.epoch) {
            ServerAnswer::Granted(token) => {
                self.witness.rotations += 1;
                Ok((token, self.epoch))
            }
            ServerAnswer::InvalidGrant { reuse } => {
                // With a window, a replay is right as the last resort, and
                // can't be helped if its sender was stopped until the window
                // had ended.
                let excused = grace && (request.last_resort || request.decided != self.epoch)
                    || self.witness.policy_lost;
                self.witness.breaks(Rule::ReuseProvoked, reuse && !excused);
                Err(())
            }
        }
    }
}
