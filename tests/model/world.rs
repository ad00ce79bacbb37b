//! What the processes share, and what a crash or a power loss leaves of it.
//!
//! Time is a number that one action moves on: an access token is fresh in the
//! epoch in which it was asked for, valid in the next one and expired after
//! that; a server's grace window, the client's policy window and a mark's
//! youth all end with the epoch. Tokens are numbers in the order in which the
//! server issues them; an access token has the number of its refresh token.

use std::hash::{DefaultHasher, Hash, Hasher};

use vault_core::refresh::protocol::Failure;

use super::process::Process;

/// How many logins a run may see.
pub(crate) const LOGINS: usize = 3;

/// A login's number; its bit in a set of logins is `1 << login`.
pub(crate) type Login = u8;

pub(crate) const fn bit(login: Login) -> u8 {
    1 << login
}

/// One stored copy of a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Copied {
    pub(crate) generation: u8,
    pub(crate) token: u8,
}

/// An access token and the epoch in which it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AccessToken {
    pub(crate) number: u8,
    pub(crate) since: u8,
    pub(crate) request: AccessRequest,
}

/// What an access token is asked for: the key of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum AccessRequest {
    /// What the login itself asked for.
    #[default]
    Own,
    /// One resource, say.
    Narrow,
}

/// What a sealed file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(crate) refresh: Copied,
    pub(crate) access: Option<AccessToken>,
    /// The one beside it, for a narrow request.
    pub(crate) narrow: Option<AccessToken>,
    /// The login's rotation policy is known; a record that was rebuilt from
    /// the token item alone has the default one.
    pub(crate) policy_known: bool,
}

impl Record {
    pub(crate) fn access(&self, request: AccessRequest) -> Option<AccessToken> {
        match request {
            AccessRequest::Own => self.access,
            AccessRequest::Narrow => self.narrow,
        }
    }

    pub(crate) fn with(mut self, access: AccessToken) -> Self {
        match access.request {
            AccessRequest::Own => self.access = Some(access),
            AccessRequest::Narrow => self.narrow = Some(access),
        }
        self
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum SealedFile {
    #[default]
    Absent,
    Damaged,
    Present(Record),
}

impl SealedFile {
    pub(crate) fn record(self) -> Option<Record> {
        match self {
            Self::Present(record) => Some(record),
            Self::Absent | Self::Damaged => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    pub(crate) login: Login,
    pub(crate) refresh: Copied,
    pub(crate) attempts: u8,
    pub(crate) first_sent: u8,
    pub(crate) refused: bool,
}

/// The files of the state folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Folder {
    pub(crate) sealed: [SealedFile; LOGINS],
    pub(crate) mark: Option<Mark>,
    /// The set of logins in the tombstone.
    pub(crate) buried: u8,
}

impl Folder {
    pub(crate) fn is_buried(&self, login: Login) -> bool {
        self.buried & bit(login) != 0
    }

    pub(crate) fn has_any_sealed(&self) -> bool {
        self.sealed.iter().any(|file| *file != SealedFile::Absent)
    }
}

/// The token item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Item {
    pub(crate) login: Login,
    pub(crate) refresh: Copied,
}

/// What a store is asked to do, and may do later than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum StoreWrite {
    Key(Login),
    Item(Item),
    DeleteItem,
    DeleteKey,
}

/// The secret store. The key item is told by the login that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) key: Option<Login>,
    pub(crate) item: Option<Item>,
    /// Taken, and not carried out yet. One that never lands stays here.
    pub(crate) late: Vec<StoreWrite>,
}

/// The mapped counters. Only whether a version differs from the one that a
/// process saw matters, so that stands at the processes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Counters {
    pub(crate) settled: bool,
    pub(crate) failure: Option<Failure>,
    pub(crate) backing_off: bool,
    /// The narrow request was refused, and is left alone.
    pub(crate) narrow_refused: bool,
}

/// One login at the server. The tokens `oldest..=newest` are good: more than
/// one after an answer was asked for again inside the grace window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Family {
    pub(crate) exists: bool,
    pub(crate) alive: bool,
    oldest: u8,
    newest: u8,
    /// The first token that was used in this epoch; it and those used since
    /// are taken again until the epoch ends.
    grace: Option<(u8, u8)>,
}

/// A request, as it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub(crate) login: Login,
    pub(crate) token: u8,
    /// The epoch in which the process decided to send.
    pub(crate) decided: u8,
    /// A replay outside the policy's window, because no token is left at all.
    pub(crate) last_resort: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ServerAnswer {
    Granted(u8),
    InvalidGrant { reuse: bool },
}

impl Family {
    pub(crate) fn new() -> Self {
        Self {
            exists: true,
            alive: true,
            ..Self::default()
        }
    }

    pub(crate) fn takes(&self, token: u8) -> bool {
        self.alive && (self.oldest..=self.newest).contains(&token)
    }

    pub(crate) fn refresh(&mut self, token: u8, grace: bool, epoch: u8) -> ServerAnswer {
        if !self.alive {
            return ServerAnswer::InvalidGrant { reuse: false };
        }
        if self.takes(token) {
            let first = self.grace.filter(|(_, since)| *since == epoch);
            self.grace = first.or(Some((token, epoch)));
            self.newest += 1;
            self.oldest = self.newest;
            return ServerAnswer::Granted(self.newest);
        }
        let is_in_grace = |(first, since)| since == epoch && token >= first;
        if grace && token < self.oldest && self.grace.is_some_and(is_in_grace) {
            self.newest += 1;
            return ServerAnswer::Granted(self.newest);
        }
        self.alive = false;
        ServerAnswer::InvalidGrant { reuse: true }
    }
}

/// How many of each fault are still to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// kill -9, each followed by a new process in its place.
    pub(crate) crashes: u8,
    pub(crate) power: u8,
    /// Epochs that may pass.
    pub(crate) time: u8,
    /// Failures on the way to the server or by it.
    pub(crate) network: u8,
    /// Calls of the store that fail, or are carried out late or never.
    pub(crate) store: u8,
    /// Writes to the folder that fail, the commit apart.
    pub(crate) folder: u8,
    /// Commits that fail; six of them bring the second way.
    pub(crate) commits: u8,
    /// A copy of the token, or the sealed file, that is damaged.
    pub(crate) damage: u8,
    /// Waits that run out, because a holder is stopped for an hour.
    pub(crate) late: u8,
}

impl Faults {
    pub(crate) const NONE: Self = Self {
        crashes: 0,
        power: 0,
        time: 0,
        network: 0,
        store: 0,
        folder: 0,
        commits: 0,
        damage: 0,
        late: 0,
    };
}

/// Rules that a step can break; see `properties`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Rule {
    ReplacedTokenSent = 1,
    NewerOverwritten = 1 << 1,
    ReceivedTokenDropped = 1 << 2,
    SentUnmarked = 1 << 3,
    SentUnprepared = 1 << 4,
    HandedOutUncommitted = 1 << 5,
    LogoutUndone = 1 << 6,
    ReuseProvoked = 1 << 7,
    ReplayAgainstPolicy = 1 << 8,
    EndedWithoutToken = 1 << 9,
    LockLeftBehind = 1 << 10,
    ServedAnotherRequest = 1 << 11,
}

/// What is remembered for the properties only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Witness {
    /// The newest committed token of each login.
    pub(crate) committed: [Option<Copied>; LOGINS],
    /// The login that is the profile's: committed and not logged out.
    pub(crate) current: Option<Login>,
    /// Logins of which a rotation was torn: the token was marked as sent, and
    /// its process died, lost the answer or could not take the mark back.
    pub(crate) torn: u8,
    /// Logins whose logout has finished.
    pub(crate) ended: u8,
    pub(crate) broken: u32,
    /// How many refresh tokens the server gave out.
    pub(crate) rotations: u8,
    /// Somebody was given a new token.
    pub(crate) refreshed: bool,
    /// A token was sent by the default policy, because the sealed file was
    /// lost and with it what is known of the server.
    pub(crate) policy_lost: bool,
}

impl Witness {
    pub(crate) fn breaks(&mut self, rule: Rule, broken: bool) {
        if broken {
            self.broken |= rule as u32;
        }
    }
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) epoch: u8,
    pub(crate) folder: Folder,
    /// What a power loss would leave, where that differs.
    pub(crate) durable: Option<Box<Folder>>,
    pub(crate) store: Store,
    pub(crate) counters: Counters,
    pub(crate) server: [Family; LOGINS],
    /// Requests whose sender is dead or has given up; each may still arrive.
    pub(crate) stray: Vec<Request>,
    pub(crate) processes: Vec<Process>,
    pub(crate) left: Faults,
    pub(crate) witness: Witness,
}

impl World {
    /// Processes of one kind are alike: the world is the same whichever of
    /// them did what. The order by hash makes it one state.
    pub(crate) fn sorted(mut self) -> Self {
        self.processes.sort_by_cached_key(|process| {
            let mut hasher = DefaultHasher::new();
            process.hash(&mut hasher);
            hasher.finish()
        });
        self
    }

    /// A change of the folder that is visible at once and durable after
    /// [`World::sync`].
    pub(crate) fn change_folder(&mut self, change: impl FnOnce(&mut Folder)) {
        if self.durable.is_none() {
            self.durable = Some(Box::new(self.folder.clone()));
        }
        change(&mut self.folder);
    }

    pub(crate) fn sync(&mut self) {
        self.durable = None;
    }

    /// Writes a sealed file, and sees whether a newer one is lost by it.
    pub(crate) fn write_sealed(&mut self, login: Login, record: Record) {
        let before = self.folder.sealed[usize::from(login)].record();
        let older = before.is_some_and(|old| old.refresh.generation > record.refresh.generation);
        self.witness.breaks(Rule::NewerOverwritten, older);
        self.change_folder(|folder| {
            folder.sealed[usize::from(login)] = SealedFile::Present(record);
        });
    }

    pub(crate) fn commit(&mut self, login: Login, refresh: Copied) {
        let newest = &mut self.witness.committed[usize::from(login)];
        if newest.is_none_or(|newest| newest.generation < refresh.generation) {
            *newest = Some(refresh);
            self.witness.torn &= !bit(login);
        }
    }

    /// The store does what it was asked. A late older item may land over a
    /// newer one: no store can be kept from that.
    pub(crate) fn land(&mut self, write: StoreWrite) {
        match write {
            StoreWrite::Key(login) => {
                self.store.key = Some(login);
                if !self.folder.is_buried(login) {
                    self.witness.current = Some(login);
                }
            }
            StoreWrite::Item(item) => self.store.item = Some(item),
            StoreWrite::DeleteItem => self.store.item = None,
            StoreWrite::DeleteKey => self.store.key = None,
        }
    }

    pub(crate) fn begin_change(&mut self) {
        self.counters.settled = false;
    }
}
