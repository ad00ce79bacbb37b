//! The invariants of the design, and what makes a state good or bad.

use std::hash::{DefaultHasher, Hash, Hasher};

use stateright::Property;
use vault_core::refresh::protocol::{Effect, Outcome};

use super::Model;
use super::configuration::{Configuration, Room};
use super::process::{Kind, Life, Process};
use super::sabotage::Sabotage;
use super::step::{Action, Choice};
use super::world::{Copied, Faults, Login, Rule, World, bit};

pub(crate) const ONE_IN_FLIGHT: &str = "never two refreshes in flight";
pub(crate) const NEVER_REPLACED: &str = "a replaced token is never sent";
pub(crate) const NEWEST_KEPT: &str = "once committed, the newest token is never lost";
pub(crate) const NEVER_OLDER: &str = "a newer generation is never overwritten";
pub(crate) const NEVER_DROPPED: &str = "no live process drops a token that has come";
pub(crate) const MARKED: &str = "a token is sent only after a durable mark";
pub(crate) const PREPARED: &str = "a token is spent only where it can be saved";
pub(crate) const COMMITTED: &str = "only what is committed is handed out";
pub(crate) const ENDS: &str = "every process ends";
pub(crate) const TRANSIENT: &str = "nothing transient destroys a login";
pub(crate) const FINAL: &str = "a logout is final";
pub(crate) const NO_REUSE: &str = "reuse is never provoked";
pub(crate) const POLICY: &str = "a token is sent again only as the policy allows";
pub(crate) const NOTHING_OLD: &str = "a refresh leaves no older token in the store";
pub(crate) const SERVED: &str = "a process alone gets a token";
pub(crate) const REFRESHED: &str = "somebody gets a new token";
pub(crate) const ITS_OWN: &str = "a token serves the request it was made for";
pub(crate) const ONE_EACH: &str = "each request costs one refresh";
pub(crate) const ONE_ROTATION: &str = "many with the same refused token cause one refresh";

fn keeps(world: &World, rule: Rule) -> bool {
    world.witness.broken & rule as u32 == 0
}

pub(crate) fn properties(configuration: &Configuration) -> Vec<Property<Model>> {
    let mut properties = vec![
        Property::always(ONE_IN_FLIGHT, |_, world: &World| {
            let in_flight = |process: &&Process| process.wire.is_some();
            world.processes.iter().filter(in_flight).count() <= 1
        }),
        Property::always(NEVER_REPLACED, |_, world| {
            keeps(world, Rule::ReplacedTokenSent)
        }),
        Property::always(NEWEST_KEPT, |_, world| newest_is_kept(world)),
        Property::always(NEVER_OLDER, |_, world| keeps(world, Rule::NewerOverwritten)),
        Property::always(NEVER_DROPPED, |_, world| {
            keeps(world, Rule::ReceivedTokenDropped)
        }),
        Property::always(MARKED, |_, world| keeps(world, Rule::SentUnmarked)),
        Property::always(PREPARED, |_, world| keeps(world, Rule::SentUnprepared)),
        Property::always(COMMITTED, |_, world| {
            keeps(world, Rule::HandedOutUncommitted)
        }),
        Property::always(ENDS, |model: &Model, world| {
            keeps(world, Rule::LockLeftBehind)
                && keeps(world, Rule::EndedWithoutToken)
                && can_go_on(world, &model.0)
                && all_end(world, &model.0)
        }),
        Property::always(TRANSIENT, |_, world| is_not_destroyed(world)),
        Property::always(FINAL, |model: &Model, world| {
            keeps(world, Rule::LogoutUndone) && nothing_is_revived(world, &model.0)
        }),
        Property::always(NO_REUSE, |_, world| keeps(world, Rule::ReuseProvoked)),
        Property::always(POLICY, |_, world| keeps(world, Rule::ReplayAgainstPolicy)),
        Property::always(ITS_OWN, |_, world| keeps(world, Rule::ServedAnotherRequest)),
        Property::always(SERVED, |model: &Model, world| is_served(world, &model.0)),
    ];
    if configuration.room != Room::Enough {
        properties.push(Property::always(NOTHING_OLD, |model: &Model, world| {
            nothing_old_stays(world, &model.0)
        }));
    }
    let refreshes = |kind: &Kind| !matches!(kind, Kind::Login | Kind::Logout);
    if configuration.processes.iter().any(refreshes) {
        properties.push(Property::sometimes(REFRESHED, |_, world: &World| {
            world.witness.refreshed
        }));
    }
    let asks = |kind: &Kind| matches!(kind, Kind::Refresh | Kind::Narrow);
    let harmless = configuration.faults == Faults::NONE;
    if harmless && configuration.processes.iter().all(asks) {
        properties.push(Property::always(ONE_EACH, |_, world: &World| {
            world.witness.rotations <= 2
        }));
    }
    if configuration
        .processes
        .iter()
        .all(|kind| *kind == Kind::Forced)
    {
        properties.push(Property::always(ONE_ROTATION, |_, world: &World| {
            world.witness.rotations <= 1
        }));
    }
    properties
}

/// No process is at work.
fn is_quiet(world: &World) -> bool {
    !world.processes.iter().any(Process::is_live)
}

/// The newest of the stored copies.
fn newest_stored(world: &World, login: Login) -> Option<Copied> {
    let sealed = world.folder.sealed[usize::from(login)].record();
    let item = world.store.item.filter(|item| item.login == login);
    let copies = [
        sealed.map(|record| record.refresh),
        item.map(|item| item.refresh),
    ];
    copies
        .into_iter()
        .flatten()
        .max_by_key(|copy| copy.generation)
}

fn newest_is_kept(world: &World) -> bool {
    world.witness.current.is_none_or(|login| {
        world.store.key == Some(login)
            && newest_stored(world, login).is_some_and(|stored| {
                world.witness.committed[usize::from(login)]
                    .is_some_and(|committed| stored.generation >= committed.generation)
            })
    })
}

/// Each live process can take a step, or waits for a lock whose holder lives
/// and can.
fn can_go_on(world: &World, configuration: &Configuration) -> bool {
    let has_step = |process: &Process| {
        let mut any = false;
        world.choices(process, configuration, |_| any = true);
        any
    };
    let live_holder = |holds: fn(&Process) -> bool| {
        world
            .processes
            .iter()
            .any(|process| holds(process) && process.is_live() && has_step(process))
    };
    world.processes.iter().all(|process| {
        if !process.is_live() || has_step(process) {
            return true;
        }
        match (process.life, &process.effect) {
            // A login waits for the login that another process makes, which
            // may in turn wait for the lock.
            (Life::Preparing, _) => {
                live_holder(|process| process.login_lock) || live_holder(|process| process.lock)
            }
            (_, Some(Effect::Wait)) => live_holder(|process| process.lock),
            // Keeps lock and token until the disk is better.
            (_, Some(Effect::WaitToCommit)) => true,
            _ => false,
        }
    })
}

/// Without further faults, all who live come to their ends. Tried from one
/// state in some hundreds; a dead end is far wider than that.
fn all_end(world: &World, configuration: &Configuration) -> bool {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    if !hasher.finish().is_multiple_of(256) {
        return true;
    }
    let mut world = world.clone();
    world.left = Faults::default();
    world.counters.backing_off = false;
    for _ in 0..1000 {
        let mut moved = false;
        for index in 0..world.processes.len() {
            let mut chosen = None;
            if world.processes[index].is_live() {
                world.choices(&world.processes[index], configuration, |choice| {
                    chosen.get_or_insert(choice);
                });
            }
            if let Some(choice) = chosen {
                world = world.after(Action::Step(index, choice), configuration);
                moved = true;
            }
        }
        if !moved {
            return is_quiet(&world);
        }
    }
    false
}

/// Unless a rotation was torn, the token that is stored is one that the server
/// takes, and nothing says otherwise.
fn is_not_destroyed(world: &World) -> bool {
    let Some(login) = world.witness.current.filter(|_| is_quiet(world)) else {
        return true;
    };
    // By what is known of a lost sealed file, its token may be sent again.
    if world.witness.torn & bit(login) != 0 || world.witness.policy_lost {
        return true;
    }
    newest_stored(world, login).is_some_and(|stored| {
        let is_refused = world
            .folder
            .mark
            .is_some_and(|mark| mark.login == login && mark.refresh == stored && mark.refused);
        world.server[usize::from(login)].takes(stored.token) && !is_refused
    })
}

/// Runs one new process, alone and without faults, to its end.
pub(crate) fn run_alone(
    world: &World,
    configuration: &Configuration,
) -> (World, Option<Outcome>, Option<Login>) {
    let mut world = world.clone();
    world.counters.backing_off = false;
    world.left = Default::default();
    let mut process = Process::new(Kind::Refresh);
    process.start(&mut world, configuration);
    let mut served = None;
    for _ in 0..200 {
        if let Life::Ended(outcome) = process.life {
            return (world, outcome, served);
        }
        served = process.token.map(|(login, _)| login);
        process.take_step(Choice::Go, &mut world, configuration);
    }
    (world, None, None)
}

fn got_token(outcome: Option<Outcome>) -> bool {
    matches!(
        outcome,
        Some(Outcome::Adopted | Outcome::Refreshed | Outcome::ServedValid(_))
    )
}

/// The store has carried out whatever it was still to do.
fn after_late_writes(world: &World) -> World {
    let mut world = world.clone();
    for write in std::mem::take(&mut world.store.late) {
        world.land(write);
    }
    world
}

/// At rest, nothing of a login that was logged out serves anyone.
fn nothing_is_revived(world: &World, configuration: &Configuration) -> bool {
    if world.witness.ended == 0 || !is_quiet(world) {
        return true;
    }
    [world.clone(), after_late_writes(world)]
        .iter()
        .all(|world| {
            let (after, outcome, served) = run_alone(world, configuration);
            let revived = got_token(outcome)
                && served.is_some_and(|login| world.witness.ended & bit(login) != 0);
            !revived && keeps(&after, Rule::LogoutUndone)
        })
}

/// At rest, when all access tokens have expired: a new process that refreshes
/// leaves in the store what it made, or nothing.
fn nothing_old_stays(world: &World, configuration: &Configuration) -> bool {
    let Some(login) = world.witness.current.filter(|_| is_quiet(world)) else {
        return true;
    };
    let mut world = after_late_writes(world);
    world.epoch += 2;
    let (after, outcome, _) = run_alone(&world, configuration);
    outcome != Some(Outcome::Refreshed)
        || after
            .store
            .item
            .is_none_or(|item| newest_stored(&after, login) == Some(item.refresh))
}

/// At rest, a new process obtains a token wherever the login is not dead.
fn is_served(world: &World, configuration: &Configuration) -> bool {
    if !is_quiet(world) {
        return true;
    }
    let configuration = &Configuration {
        sabotage: Sabotage::None,
        ..configuration.clone()
    };
    let late = after_late_writes(world);
    [world, &late].into_iter().all(|world| {
        let Some(login) = world.witness.current else {
            return true;
        };
        if !must_serve(world, login, configuration) {
            return true;
        }
        let (after, outcome, _) = run_alone(world, configuration);
        got_token(outcome) && newest_is_kept(&after) && after.witness.broken == world.witness.broken
    })
}

fn must_serve(world: &World, login: Login, configuration: &Configuration) -> bool {
    let record = world.folder.sealed[usize::from(login)].record();
    let is_torn = world.witness.torn & bit(login) != 0;
    let access = record.and_then(|record| record.access);
    if world.witness.policy_lost {
        return false;
    }
    if !is_torn || access.is_some_and(|access| access.since + 1 >= world.epoch) {
        return true;
    }
    let Some(stored) = newest_stored(world, login) else {
        return false;
    };
    // With a window: while it lasts, or if the server never saw the token.
    configuration.server.has_grace()
        && world.folder.mark.is_none_or(|mark| {
            let family = &world.server[usize::from(login)];
            let in_window = mark.attempts <= 1 && mark.first_sent == world.epoch;
            family.takes(stored.token) || family.alive && in_window
        })
}
