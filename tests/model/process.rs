//! A process that runs one of the real machines, and what its driver keeps
//! between two effects.
//!
//! What a process does by itself and nobody else can see is done together with
//! the step before it: starting, giving a temporary file up, writing the
//! display copy, ending. A crash just before it and just after it leave the
//! same world.

use std::time::Duration;

use vault_core::identity::{Fingerprint, Generation, LoginId};
use vault_core::refresh::policy::RotationPolicy;
use vault_core::refresh::protocol::login::Install;
use vault_core::refresh::protocol::logout::Logout;
use vault_core::refresh::protocol::refresh::{Refresh, Want};
use vault_core::refresh::protocol::{Access, Effect, Event, Failure, Outcome, StoredCopy};

use super::configuration::Configuration;
use super::world::{
    AccessRequest, AccessToken, Copied, Login, Mark, Record, Request, Rule, World, bit,
};

/// What a process is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Refresh,
    /// After a 401: the login's first access token was refused.
    Forced,
    /// For a token of one resource, from the same refresh token.
    Narrow,
    /// A person asks.
    Insisting,
    Login,
    Logout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    Unborn,
    /// A login before its machine: it waits for the login lock, then asks the
    /// server. A logout: it finds out which login to end.
    Preparing,
    Running,
    Ended(Option<Outcome>),
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Machine {
    Refresh(Box<Refresh>),
    Install(Install),
    Logout(Logout),
}

impl Machine {
    fn next(self, event: Event) -> (Self, Effect) {
        match self {
            Self::Refresh(machine) => {
                let (machine, effect) = machine.next(event);
                (Self::Refresh(Box::new(machine)), effect)
            }
            Self::Install(machine) => {
                let (machine, effect) = machine.next(event);
                (Self::Install(machine), effect)
            }
            Self::Logout(machine) => {
                let (machine, effect) = machine.next(event);
                (Self::Logout(machine), effect)
            }
        }
    }
}

/// The version of what is stored at the last look, compared with now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    /// A change was under way.
    #[default]
    Nothing,
    Current,
    Outdated,
}

/// The request on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wire {
    Leaving(Request),
    /// The answer comes: a token and the epoch in which it was asked for, or
    /// a refusal of the login.
    Coming(Result<(u8, u8), ()>),
}

/// What was read under the lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) login: Login,
    pub(crate) record: Option<Record>,
    pub(crate) item: Option<Copied>,
    pub(crate) found_mark: Option<Mark>,
    pub(crate) tombstoned: bool,
    pub(crate) policy: RotationPolicyName,
    /// The epoch in which it was decided to send.
    pub(crate) decided: u8,
}

/// Whose policy a claim goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum RotationPolicyName {
    /// The sealed file's.
    Known,
    /// There was none to read it from.
    #[default]
    Default,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) kind: Kind,
    pub(crate) life: Life,
    pub(crate) machine: Option<Machine>,
    pub(crate) effect: Option<Effect>,
    /// How far an effect of several durable steps has come.
    pub(crate) step: u8,
    pub(crate) lock: bool,
    pub(crate) login_lock: bool,
    pub(crate) known: Option<Login>,
    pub(crate) seen: Seen,
    /// The first look is over, so the wait has begun.
    pub(crate) looked: bool,
    /// An attempt has begun since the wait began; such an attempt has failed.
    pub(crate) attempt_began: bool,
    pub(crate) attempt_failed: bool,
    pub(crate) claim: Option<Claim>,
    pub(crate) prepared: bool,
    /// A mark of its own is on the disk, and it is not known what came of it.
    pub(crate) marked: bool,
    pub(crate) first_sent: u8,
    pub(crate) wire: Option<Wire>,
    pub(crate) received: Option<Record>,
    pub(crate) committed: bool,
    /// Commits that have failed, as far as it matters.
    pub(crate) commit_failures: u8,
    /// The access token for the caller.
    pub(crate) token: Option<(Login, AccessToken)>,
    /// The new login, or the one to end.
    pub(crate) login: Login,
    pub(crate) tombstones_read: u8,
    /// The newest token that a logout has read.
    pub(crate) to_revoke: Option<u8>,
    pub(crate) items_failed: bool,
    /// What the look before the lock read, for a sabotage.
    pub(crate) looked_record: Option<Record>,
    /// Logins whose logout had finished when this process started.
    pub(crate) ended_before: u8,
}

impl Process {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            life: Life::Unborn,
            machine: None,
            effect: None,
            step: 0,
            lock: false,
            login_lock: false,
            known: None,
            seen: Seen::Nothing,
            looked: false,
            attempt_began: false,
            attempt_failed: false,
            claim: None,
            prepared: false,
            marked: false,
            first_sent: 0,
            wire: None,
            received: None,
            committed: false,
            commit_failures: 0,
            token: None,
            login: 0,
            tombstones_read: 0,
            to_revoke: None,
            items_failed: false,
            looked_record: None,
            ended_before: 0,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.life, Life::Preparing | Life::Running)
    }

    /// What it asks for.
    pub(crate) fn request(&self) -> AccessRequest {
        match self.kind {
            Kind::Narrow => AccessRequest::Narrow,
            _ => AccessRequest::Own,
        }
    }

    fn want(&self) -> Want {
        Want {
            refused: (self.kind == Kind::Forced).then(|| access_fingerprint(0, 0)),
            insist: self.kind == Kind::Insisting,
        }
    }

    /// The first step of its life.
    pub(crate) fn start(&mut self, world: &mut World, configuration: &Configuration) {
        self.ended_before = world.witness.ended;
        match self.kind {
            Kind::Refresh | Kind::Forced | Kind::Narrow | Kind::Insisting => {
                let machine = Machine::Refresh(Box::new(Refresh::new(self.want())));
                self.run(machine, world, configuration);
            }
            Kind::Login | Kind::Logout => self.life = Life::Preparing,
        }
    }

    pub(crate) fn run(
        &mut self,
        machine: Machine,
        world: &mut World,
        configuration: &Configuration,
    ) {
        self.life = Life::Running;
        self.machine = Some(machine);
        self.answer(Event::Start, world, configuration);
    }

    /// Answers the last effect and takes up the next one.
    pub(crate) fn answer(
        &mut self,
        mut event: Event,
        world: &mut World,
        configuration: &Configuration,
    ) {
        self.step = 0;
        while let Some(machine) = self.machine.take() {
            event = configuration.sabotage.event(event, self, world);
            let (machine, effect) = machine.next(event);
            self.machine = Some(machine);
            match effect {
                Effect::Discard => {
                    self.prepared = false;
                    event = Event::Done;
                }
                Effect::Record => event = Event::Done,
                Effect::Finish(outcome) => return self.finish(outcome, world),
                effect => {
                    match configuration.sabotage.effect(&effect, self, world) {
                        Some(done) => event = done,
                        None => {
                            self.effect = Some(effect);
                            return;
                        }
                    };
                }
            }
        }
    }

    fn finish(&mut self, outcome: Outcome, world: &mut World) {
        let witness = &mut world.witness;
        witness.breaks(Rule::LockLeftBehind, self.lock);
        witness.breaks(
            Rule::ReceivedTokenDropped,
            self.received.is_some()
                && !self.committed
                && self.kind != Kind::Login
                && outcome != Outcome::Failed(Failure::LoggedOut),
        );
        if matches!(
            outcome,
            Outcome::Adopted | Outcome::Refreshed | Outcome::ServedValid(_)
        ) {
            witness.breaks(Rule::EndedWithoutToken, self.token.is_none());
            if let Some((login, access)) = self.token {
                witness.breaks(Rule::LogoutUndone, self.ended_before & bit(login) != 0);
                let another = access.request != self.request();
                witness.breaks(Rule::ServedAnotherRequest, another);
            }
        }
        if let Outcome::LoggedOut { .. } = outcome {
            witness.ended |= bit(self.login);
        }
        let lock = self.lock;
        *self = Self::new(self.kind);
        self.lock = lock;
        self.life = Life::Ended(Some(outcome));
    }

    /// The process ends without a machine's word.
    pub(crate) fn end(&mut self) {
        *self = Self::new(self.kind);
        self.life = Life::Ended(None);
    }

    /// kill -9. Its locks are free; what it has sent may still arrive.
    pub(crate) fn die(&mut self, world: &mut World, again: bool) {
        if let Some(Wire::Leaving(request)) = self.wire {
            world.stray.push(request);
        }
        if self.marked
            && let Some(claim) = &self.claim
        {
            world.witness.torn |= bit(claim.login);
        }
        *self = Self::new(self.kind);
        self.life = if again { Life::Unborn } else { Life::Dead };
    }

    pub(crate) fn access_facts(&self, record: &Record, epoch: u8) -> Option<Access> {
        let login = self.claim.as_ref().map(|claim| claim.login).or(self.known);
        let access = record.access(self.request())?;
        Some(Access {
            fingerprint: access_fingerprint(login.unwrap_or_default(), access.number),
            fresh: access.since == epoch,
            valid: access.since + 1 >= epoch,
        })
    }

    /// Whether the caller could be served with what the claim holds.
    pub(crate) fn has_token_left(&self, epoch: u8) -> bool {
        let record = self.claim.as_ref().and_then(|claim| claim.record);
        let access = record.and_then(|record| self.access_facts(&record, epoch));
        access.is_some_and(|access| access.valid && self.want().refused != Some(access.fingerprint))
    }
}

/// How long ago an epoch was.
pub(crate) fn age(since: u8, epoch: u8) -> Duration {
    Duration::from_secs(if since == epoch { 1 } else { 3600 })
}

pub(crate) fn login_id(login: Login) -> LoginId {
    LoginId([login; 16])
}

pub(crate) fn access_fingerprint(login: Login, number: u8) -> Fingerprint {
    Fingerprint([0x80 | login << 4 | number; 16])
}

pub(crate) fn stored_copy(login: Login, refresh: Copied) -> StoredCopy {
    StoredCopy {
        generation: Generation(refresh.generation.into()),
        refresh: Fingerprint([login << 4 | refresh.token; 16]),
    }
}

pub(crate) fn policy(name: RotationPolicyName, configuration: &Configuration) -> RotationPolicy {
    match name {
        RotationPolicyName::Known => configuration.server.policy(),
        RotationPolicyName::Default => RotationPolicy::default(),
    }
}
