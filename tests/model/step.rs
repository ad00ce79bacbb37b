//! What may happen next: every process may take its next step, well or badly;
//! any may be killed; the store may carry out what it was asked earlier; time
//! may pass, and the power may fail.

use vault_core::refresh::protocol::{Effect, Event};

use super::configuration::Configuration;
use super::process::{Kind, Life, Process, Seen, Wire};
use super::world::{SealedFile, World};

/// How a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Choice {
    Go,
    /// Nothing was done, and that is told.
    Fail,
    /// It was done, and the contrary is told.
    FailDone,
    /// It will be done late or never, and a failure is told.
    FailLate,
    /// It will be done late or never, and success is told.
    DoneLate,
    /// The process is killed while the store still works on its write.
    DieLate,
    /// The folder's change is visible and not durable yet.
    Visible,
    /// The wait runs out.
    Deadline,
    /// The request does not leave.
    NotSent,
    /// The server says 503.
    Busy,
    /// The server refuses and says no reason.
    NoReason,
    /// The server refuses a narrow request for what it asks.
    RefusedRequest,
    /// No answer, and the request may still arrive.
    Unanswered,
    /// The server acts and its answer is lost.
    ActedLost,
    /// The answer's access token can't be used.
    RefreshTokenOnly,
}

impl Choice {
    pub(crate) fn fails(self) -> bool {
        matches!(self, Self::Fail | Self::FailDone | Self::FailLate)
    }
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Start(usize),
    Step(usize, Choice),
    Kill(usize),
    /// What was visible and not durable is lost, or was lucky.
    PowerLoss {
        reverted: bool,
    },
    TimePasses,
    BackOffEnds,
    /// The store carries out a late write.
    Lands(usize),
    /// A request whose sender is dead arrives.
    Arrives(usize),
    /// The sealed file is damaged, or gone.
    Damage(SealedFile),
}

impl World {
    pub(crate) fn lock_is_held(&self) -> bool {
        self.processes.iter().any(|process| process.lock)
    }

    pub(crate) fn login_lock_is_held(&self) -> bool {
        self.processes.iter().any(|process| process.login_lock)
    }

    pub(crate) fn actions(&self, configuration: &Configuration, actions: &mut Vec<Action>) {
        let mut last: Option<&Process> = None;
        for (index, process) in self.processes.iter().enumerate() {
            // Of equal processes one is enough.
            if last == Some(process) {
                continue;
            }
            last = Some(process);
            if process.life == Life::Unborn {
                actions.push(Action::Start(index));
            }
            if process.is_live() {
                self.choices(process, configuration, |choice| {
                    actions.push(Action::Step(index, choice));
                });
                if self.left.crashes > 0 {
                    actions.push(Action::Kill(index));
                }
            }
        }
        if self.left.power > 0 {
            actions.push(Action::PowerLoss { reverted: true });
            if self.durable.is_some() {
                actions.push(Action::PowerLoss { reverted: false });
            }
        }
        // A request is on its way for less than an epoch: whoever is stopped
        // for an hour is stopped before or after.
        let leaving = |process: &Process| matches!(process.wire, Some(Wire::Leaving(_)));
        if self.left.time > 0 && !self.processes.iter().any(leaving) {
            actions.push(Action::TimePasses);
        }
        let is_left_alone = self.counters.backing_off || self.counters.narrow_refused;
        if is_left_alone && self.processes.iter().any(Process::is_live) {
            actions.push(Action::BackOffEnds);
        }
        actions.extend((0..self.store.late.len()).map(Action::Lands));
        actions.extend((0..self.stray.len()).map(Action::Arrives));
        if self.left.damage > 0 && self.has_two_copies() {
            actions.push(Action::Damage(SealedFile::Damaged));
            actions.push(Action::Damage(SealedFile::Absent));
        }
    }

    /// One of two equal copies may be lost; of the only one that can't be
    /// asked.
    fn has_two_copies(&self) -> bool {
        let item = self.store.item;
        item.is_some_and(|item| {
            self.folder.sealed[usize::from(item.login)]
                .record()
                .is_some_and(|record| record.refresh == item.refresh)
        })
    }

    /// In which ways this process's next step may go; none while it waits for
    /// something that has not happened.
    pub(crate) fn choices(
        &self,
        process: &Process,
        configuration: &Configuration,
        mut choose: impl FnMut(Choice),
    ) {
        let left = &self.left;
        if process.life == Life::Preparing {
            match process.kind {
                Kind::Login if process.login_lock || !self.login_lock_is_held() => {
                    choose(Choice::Go);
                }
                Kind::Logout => {
                    choose(Choice::Go);
                    if left.store > 0 {
                        choose(Choice::Fail);
                    }
                }
                _ => {}
            }
            return;
        }
        let Some(effect) = &process.effect else {
            return;
        };
        match effect {
            // A poll that finds nothing new changes nothing, so the wait lasts
            // until there is something.
            Effect::Wait => {
                let refreshes = !matches!(process.kind, Kind::Login | Kind::Logout);
                let told = process.has_moved(self) || process.was_told(self).is_some();
                if !self.lock_is_held() || refreshes && told {
                    choose(Choice::Go);
                } else if left.late > 0 {
                    choose(Choice::Deadline);
                }
            }
            Effect::Send => self.send_choices(process, choose),
            Effect::WaitToCommit => {
                // After that many tries the next one is like the last.
                if process.commit_failures < 7 || left.commits == 0 {
                    choose(Choice::Go);
                }
            }
            Effect::Commit => {
                self.folder_choices(process, configuration, left.commits, &mut choose);
            }
            Effect::SetAside
            | Effect::RepairSealed
            | Effect::Prepare
            | Effect::Mark { .. }
            | Effect::Unmark
            | Effect::ClearMark
            | Effect::MarkRefused
            | Effect::WriteNewSealed
            | Effect::UnlinkOld
            | Effect::UnlinkNew => {
                self.folder_choices(process, configuration, left.folder, &mut choose);
            }
            Effect::WriteTombstone => {
                choose(Choice::Go);
                if left.folder > 0 {
                    choose(Choice::Fail);
                }
            }
            Effect::CommitToItem
            | Effect::CopyToItem
            | Effect::RepairItem
            | Effect::WriteTokenItem
            | Effect::WriteKeyItem => {
                choose(Choice::Go);
                let is_key = *effect == Effect::WriteKeyItem;
                if left.store > 0 {
                    choose(Choice::Fail);
                    choose(Choice::FailDone);
                    if !is_key || configuration.late_keys {
                        choose(Choice::FailLate);
                        if left.crashes > 0 {
                            choose(Choice::DieLate);
                        }
                    }
                    // A copy may be promised and come late or never; what
                    // commits must be there when the store says so.
                    if matches!(
                        effect,
                        Effect::CopyToItem | Effect::RepairItem | Effect::WriteTokenItem
                    ) {
                        choose(Choice::DoneLate);
                    }
                }
            }
            Effect::Look | Effect::Claim => {
                choose(Choice::Go);
                if left.store > 0 && process.step == 0 {
                    choose(Choice::Fail);
                }
            }
            Effect::CheckKeyItem | Effect::ReadForRevocation => {
                choose(Choice::Go);
                if left.store > 0 {
                    choose(Choice::Fail);
                }
            }
            Effect::DeleteRemains | Effect::DeleteRemainsUnlocked => {
                choose(Choice::Go);
                let faults = if process.step < 3 {
                    left.store
                } else {
                    left.folder
                };
                if faults > 0 {
                    choose(Choice::Fail);
                }
                if left.store > 0 && configuration.late_keys && matches!(process.step, 1 | 2) {
                    choose(Choice::FailLate);
                    if left.crashes > 0 {
                        choose(Choice::DieLate);
                    }
                }
            }
            Effect::Revoke | Effect::RevokeReceived => {
                choose(Choice::Go);
                if left.network > 0 {
                    choose(Choice::Fail);
                }
            }
            _ => choose(Choice::Go),
        }
    }

    fn send_choices(&self, process: &Process, mut choose: impl FnMut(Choice)) {
        choose(Choice::Go);
        if self.left.network == 0 {
            return;
        }
        match process.wire {
            None => choose(Choice::NotSent),
            Some(Wire::Leaving(_)) => {
                choose(Choice::Busy);
                choose(Choice::NoReason);
                if process.kind == Kind::Narrow {
                    choose(Choice::RefusedRequest);
                }
                choose(Choice::Unanswered);
                choose(Choice::ActedLost);
            }
            Some(Wire::Coming(Ok(_))) => choose(Choice::RefreshTokenOnly),
            Some(Wire::Coming(Err(()))) => {}
        }
    }

    fn folder_choices(
        &self,
        process: &Process,
        configuration: &Configuration,
        faults: u8,
        choose: &mut impl FnMut(Choice),
    ) {
        let visible_first =
            configuration.slow_disk && process.step == 0 && process.effect != Some(Effect::Prepare);
        choose(if visible_first {
            Choice::Visible
        } else {
            Choice::Go
        });
        if faults > 0 && process.step == 0 {
            choose(Choice::Fail);
            choose(Choice::FailDone);
        }
    }

    /// The world after this has happened.
    pub(crate) fn after(&self, action: Action, configuration: &Configuration) -> Self {
        let mut world = self.clone();
        match action {
            Action::Start(index) => {
                let mut process = world.processes[index].clone();
                process.start(&mut world, configuration);
                world.processes[index] = process;
            }
            Action::Step(index, choice) => {
                let mut process = world.processes[index].clone();
                world.pay(&process, choice);
                process.take_step(choice, &mut world, configuration);
                world.processes[index] = process;
            }
            Action::Kill(index) => {
                world.left.crashes -= 1;
                world.kill(index, configuration.restarts);
            }
            Action::PowerLoss { reverted } => {
                world.left.power -= 1;
                world.lose_power(reverted, configuration.restarts);
            }
            Action::TimePasses => {
                world.left.time -= 1;
                world.epoch += 1;
                world.counters.backing_off = false;
                world.stray.clear();
            }
            Action::BackOffEnds => {
                world.counters.backing_off = false;
                world.counters.narrow_refused = false;
            }
            Action::Lands(index) => {
                let write = world.store.late.remove(index);
                world.land(write);
            }
            Action::Arrives(index) => {
                let request = world.stray.remove(index);
                // Nobody hears the answer.
                world.serve(request, configuration).ok();
            }
            Action::Damage(file) => {
                world.left.damage -= 1;
                let login = world.store.item.expect("there are two copies").login;
                world.folder.sealed[usize::from(login)] = file;
                world.durable = None;
            }
        }
        world
    }

    fn pay(&mut self, process: &Process, choice: Choice) {
        let left = &mut self.left;
        let fault = match choice {
            Choice::Go | Choice::Visible => return,
            Choice::Deadline => &mut left.late,
            Choice::DieLate => {
                left.crashes -= 1;
                &mut left.store
            }
            Choice::FailLate | Choice::DoneLate => &mut left.store,
            Choice::NotSent
            | Choice::Busy
            | Choice::NoReason
            | Choice::RefusedRequest
            | Choice::Unanswered
            | Choice::ActedLost
            | Choice::RefreshTokenOnly => &mut left.network,
            Choice::Fail | Choice::FailDone => match &process.effect {
                Some(Effect::Commit) => &mut left.commits,
                Some(Effect::Revoke | Effect::RevokeReceived) => &mut left.network,
                Some(
                    Effect::SetAside
                    | Effect::RepairSealed
                    | Effect::Prepare
                    | Effect::Mark { .. }
                    | Effect::Unmark
                    | Effect::ClearMark
                    | Effect::MarkRefused
                    | Effect::WriteNewSealed
                    | Effect::UnlinkOld
                    | Effect::UnlinkNew
                    | Effect::WriteTombstone,
                ) => &mut left.folder,
                Some(Effect::DeleteRemains | Effect::DeleteRemainsUnlocked)
                    if process.step >= 3 =>
                {
                    &mut left.folder
                }
                _ => &mut left.store,
            },
        };
        *fault -= 1;
    }

    fn kill(&mut self, index: usize, restarts: bool) {
        let mut process = self.processes[index].clone();
        process.die(self, restarts);
        self.processes[index] = process;
    }

    /// All processes die; what the store was still to do is forgotten; the
    /// counters are as new, and so is the boot that a back-off belongs to.
    fn lose_power(&mut self, reverted: bool, restarts: bool) {
        for index in 0..self.processes.len() {
            if self.processes[index].is_live() {
                self.kill(index, restarts);
            }
        }
        if let Some(durable) = self.durable.take()
            && reverted
        {
            self.folder = *durable;
        }
        if let Some(mark) = self.folder.mark.filter(|mark| !mark.refused) {
            self.witness.torn |= super::world::bit(mark.login);
        }
        self.store.late.clear();
        self.counters.backing_off = false;
        self.counters.narrow_refused = false;
        if reverted {
            self.counters.failure = None;
            self.counters.settled = true;
        }
    }

    fn end_change(&mut self) {
        self.counters.settled = true;
        for process in &mut self.processes {
            if process.seen == Seen::Current {
                process.seen = Seen::Outdated;
            }
        }
    }
}

impl Process {
    pub(crate) fn take_step(
        &mut self,
        choice: Choice,
        world: &mut World,
        configuration: &Configuration,
    ) {
        if self.life == Life::Preparing {
            return match self.kind {
                Kind::Login => self.prepare_login(world, configuration),
                _ => self.prepare_logout(choice, world, configuration),
            };
        }
        let effect = self.effect.take().expect("a live process has an effect");
        let done = if choice == Choice::DieLate {
            // The store has the write; then the process is gone.
            self.perform(&effect, Choice::FailLate, world, configuration);
            self.die(world, configuration.restarts);
            return;
        } else {
            self.perform(&effect, choice, world, configuration)
        };
        match done {
            Some(_) if choice == Choice::Visible => {
                self.effect = Some(effect);
                self.step = 1;
            }
            Some(event) => self.answer(event, world, configuration),
            None => self.effect = Some(effect),
        }
    }

    fn perform(
        &mut self,
        effect: &Effect,
        choice: Choice,
        world: &mut World,
        configuration: &Configuration,
    ) -> Option<Event> {
        match effect {
            Effect::TryLock => Some(if world.lock_is_held() {
                Event::Busy
            } else {
                self.lock = true;
                Event::Locked
            }),
            Effect::BeginChange => {
                world.begin_change();
                Some(Event::Done)
            }
            Effect::EndChange => {
                world.end_change();
                if self.seen == Seen::Current {
                    self.seen = Seen::Outdated;
                }
                Some(Event::Done)
            }
            Effect::Unlock => {
                self.lock = false;
                self.claim = None;
                Some(Event::Done)
            }
            Effect::DeleteRemains if self.kind != Kind::Logout => {
                let login = self.claim.as_ref().expect("something was claimed").login;
                self.delete_remains(login, choice, world, configuration)
            }
            effect => match self.kind {
                Kind::Login if *effect == Effect::Wait => Some(waited(choice)),
                Kind::Logout if *effect == Effect::Wait => Some(waited(choice)),
                Kind::Login => Some(self.installing(effect, choice, world, configuration)),
                Kind::Logout => self.ending(effect, choice, world, configuration),
                _ => self.refreshing(effect, choice, world, configuration),
            },
        }
    }
}

fn waited(choice: Choice) -> Event {
    Event::Waited {
        moved: false,
        failed: None,
        late: choice == Choice::Deadline,
    }
}
