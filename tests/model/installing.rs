//! Answers the login machine's effects as `refresh/install.rs` does, and makes
//! the login before it as `enrolment::log_in` does.

use vault_core::refresh::protocol::login::Install;
use vault_core::refresh::protocol::{Effect, Event};

use super::configuration::Configuration;
use super::process::{Machine, Process};
use super::refreshing::{LOCAL, write_item, write_store};
use super::step::Choice;
use super::world::{
    AccessRequest, AccessToken, Copied, Family, LOGINS, Login, Record, SealedFile, StoreWrite,
    World,
};

const FIRST: Copied = Copied {
    generation: 1,
    token: 0,
};

impl Process {
    /// The login lock, then the server, then the machine.
    pub(crate) fn prepare_login(&mut self, world: &mut World, configuration: &Configuration) {
        if !self.login_lock {
            self.login_lock = true;
            return;
        }
        let new = world.server.iter().position(|family| !family.exists);
        let Some(new) = new.filter(|new| *new < LOGINS) else {
            return self.end();
        };
        world.server[new] = Family::new();
        self.login = Login::try_from(new).expect("few logins");
        self.received = Some(Record {
            refresh: FIRST,
            access: Some(AccessToken {
                number: 0,
                since: world.epoch,
                request: AccessRequest::Own,
            }),
            narrow: None,
            policy_known: true,
        });
        self.run(Machine::Install(Install::default()), world, configuration);
    }

    pub(crate) fn installing(
        &mut self,
        effect: &Effect,
        choice: Choice,
        world: &mut World,
        configuration: &Configuration,
    ) -> Event {
        match effect {
            Effect::WriteNewSealed => {
                let record = self.received.expect("tokens have come");
                let event = self.write_folder(choice, world, |process, world| {
                    world.write_sealed(process.login, record);
                });
                if event == Event::Done {
                    world.commit(self.login, record.refresh);
                }
                event
            }
            Effect::WriteKeyItem => write_store(StoreWrite::Key(self.login), choice, world),
            Effect::CheckKeyItem if choice == Choice::Fail => LOCAL,
            Effect::CheckKeyItem => Event::KeyIsNew(world.store.key == Some(self.login)),
            Effect::WriteTokenItem => write_item(self.login, FIRST, choice, world, configuration),
            // The old login's file, then its mark, which no other login minds.
            Effect::UnlinkOld => self.write_folder(choice, world, |process, world| {
                world.change_folder(|folder| {
                    for (login, file) in folder.sealed.iter_mut().enumerate() {
                        if login != usize::from(process.login) {
                            *file = SealedFile::Absent;
                        }
                    }
                    folder.mark = None;
                });
            }),
            Effect::UnlinkNew => self.write_folder(choice, world, |process, world| {
                world.change_folder(|folder| {
                    folder.sealed[usize::from(process.login)] = SealedFile::Absent;
                });
            }),
            Effect::RevokeReceived => {
                if choice == Choice::Go {
                    world.server[usize::from(self.login)].alive = false;
                    Event::Done
                } else {
                    LOCAL
                }
            }
            effect => unreachable!("a login was asked to do {effect:?}"),
        }
    }
}
