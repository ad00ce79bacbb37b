//! Answers the logout machine's effects as `refresh/ending.rs` and
//! `refresh/farewell.rs` do, and finds out which login to end as
//! `enrolment::current_login` does.

use vault_core::refresh::protocol::logout::Logout;
use vault_core::refresh::protocol::{Effect, Event};

use super::configuration::Configuration;
use super::process::{Machine, Process};
use super::refreshing::{LOCAL, Look, look_without_key, write_store};
use super::sabotage::Sabotage;
use super::step::Choice;
use super::world::{LOGINS, Login, SealedFile, StoreWrite, World, bit};

impl Process {
    /// Which login is to be ended; the machine begins with it.
    pub(crate) fn prepare_logout(
        &mut self,
        choice: Choice,
        world: &mut World,
        configuration: &Configuration,
    ) {
        let look = if choice == Choice::Fail {
            Look::ItemMissing
        } else {
            self.known = world.store.key;
            match self.known {
                Some(known) => self.look_with(known, world).unwrap_or(Look::Damaged),
                None => look_without_key(world),
            }
        };
        let login = match look {
            Look::Login(login, _) => Some(login),
            Look::Damaged => self.known,
            Look::NotLoggedIn | Look::LoggedOut => None,
            Look::ItemMissing => self.known.or_else(|| only_login(world)),
        };
        match login {
            Some(login) => {
                self.login = login;
                self.run(Machine::Logout(Logout::default()), world, configuration);
            }
            None => self.end(),
        }
    }

    /// `None` where the effect takes a further step.
    pub(crate) fn ending(
        &mut self,
        effect: &Effect,
        choice: Choice,
        world: &mut World,
        configuration: &Configuration,
    ) -> Option<Event> {
        let event = match effect {
            Effect::WriteTombstone => {
                let race = configuration.sabotage == Sabotage::TombstonesOverwritten;
                if race && self.step == 0 && choice == Choice::Go {
                    self.tombstones_read = world.folder.buried;
                    self.step = 1;
                    return None;
                }
                if choice == Choice::Fail {
                    return Some(LOCAL);
                }
                let others = if race {
                    self.tombstones_read
                } else {
                    world.folder.buried
                };
                let buried = others | bit(self.login);
                world.change_folder(|folder| folder.buried = buried);
                world.sync();
                if world.witness.current == Some(self.login) {
                    world.witness.current = None;
                }
                Event::Done
            }
            Effect::ReadForRevocation => {
                if choice == Choice::Fail {
                    return Some(LOCAL);
                }
                self.read_newest(world);
                Event::Done
            }
            Effect::DeleteRemains => {
                return self.delete_remains(self.login, choice, world, configuration);
            }
            Effect::DeleteRemainsUnlocked => {
                if self.step == 0 && !self.login_lock {
                    if world.login_lock_is_held() {
                        return Some(LOCAL);
                    }
                    self.login_lock = true;
                }
                let event = self.delete_remains(self.login, choice, world, configuration)?;
                self.login_lock = false;
                event
            }
            Effect::Revoke => {
                if choice == Choice::Go
                    && let Some(token) = self.to_revoke
                {
                    let family = &mut world.server[usize::from(self.login)];
                    family.alive &= !family.takes(token);
                }
                Event::Done
            }
            effect => unreachable!("a logout was asked to do {effect:?}"),
        };
        Some(event)
    }

    fn read_newest(&mut self, world: &World) {
        if world.store.key != Some(self.login) {
            return;
        }
        let sealed = world.folder.sealed[usize::from(self.login)].record();
        let item = world.store.item.filter(|item| item.login == self.login);
        self.to_revoke = sealed.map(|record| match item {
            Some(item) if item.refresh.generation > record.refresh.generation => item.refresh.token,
            _ => record.refresh.token,
        });
    }

    /// Each deletion is a step. The mark goes under the lock only, and only if
    /// it is this login's.
    pub(crate) fn delete_remains(
        &mut self,
        login: Login,
        choice: Choice,
        world: &mut World,
        configuration: &Configuration,
    ) -> Option<Event> {
        const SEALED: u8 = 3;
        let any_mark = configuration.sabotage == Sabotage::RemoveAnyMark;
        match self.step {
            0 => {
                self.items_failed = choice == Choice::Fail;
                let is_anothers = world.store.key.is_some_and(|key| key != login);
                self.step = if self.items_failed || is_anothers {
                    SEALED
                } else {
                    1
                };
            }
            1 | 2 => {
                let write = if self.step == 1 {
                    StoreWrite::DeleteItem
                } else {
                    StoreWrite::DeleteKey
                };
                self.items_failed = write_store(write, choice, world) != Event::Done;
                self.step = if self.items_failed {
                    SEALED
                } else {
                    self.step + 1
                };
            }
            SEALED => {
                if choice == Choice::Fail {
                    return Some(LOCAL);
                }
                world.change_folder(|folder| {
                    folder.sealed[usize::from(login)] = SealedFile::Absent;
                });
                world.sync();
                self.step += 1;
                if !self.lock && !any_mark {
                    return Some(self.copies_deleted());
                }
            }
            _ => {
                if choice == Choice::Fail {
                    return Some(LOCAL);
                }
                world.change_folder(|folder| {
                    folder.mark = folder.mark.filter(|mark| mark.login != login && !any_mark);
                });
                world.sync();
                return Some(self.copies_deleted());
            }
        }
        None
    }

    fn copies_deleted(&mut self) -> Event {
        self.known = None;
        if self.items_failed {
            LOCAL
        } else {
            Event::Done
        }
    }
}

fn only_login(world: &World) -> Option<Login> {
    let mut there = (0..LOGINS).filter(|login| world.folder.sealed[*login] != SealedFile::Absent);
    match (there.next(), there.next()) {
        (Some(login), None) => Login::try_from(login).ok(),
        _ => None,
    }
}
