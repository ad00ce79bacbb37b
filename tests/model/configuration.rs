//! What a run explores: which processes, which server, which faults. Many
//! small spaces, each explored to its end, instead of a large one cut short.

use std::time::Duration;

use vault_core::refresh::policy::RotationPolicy;

use super::process::{Kind, Process};
use super::sabotage::Sabotage;
use super::world::{
    AccessRequest, AccessToken, Copied, Counters, Family, Faults, Folder, Item, Record, SealedFile,
    Store, Witness, World,
};

/// What the authorization server does with a token that comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// It revokes the login.
    Strict,
    /// It takes the token that was used last once more, for a while.
    Grace,
}

impl Server {
    pub(crate) fn policy(self) -> RotationPolicy {
        match self {
            Self::Strict => RotationPolicy::strict(),
            Self::Grace => RotationPolicy::window(Duration::from_secs(30), 1),
        }
    }

    pub(crate) fn has_grace(self) -> bool {
        self == Self::Grace
    }
}

/// Which tokens the store can hold: a server may give a long one after a short
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Each.
    Enough,
    /// None, so there is no copy.
    Nothing,
    /// Every other one: the first, not the one after it.
    First,
    /// Every other one: not the first, the one after it.
    Second,
}

impl Room {
    pub(crate) fn holds(self, token: u8) -> bool {
        match self {
            Self::Enough => true,
            Self::Nothing => false,
            Self::First => token.is_multiple_of(2),
            Self::Second => !token.is_multiple_of(2),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    pub(crate) name: &'static str,
    pub(crate) server: Server,
    pub(crate) processes: Vec<Kind>,
    pub(crate) faults: Faults,
    /// How many epochs ago the stored access token was asked for; a run
    /// begins with each.
    pub(crate) access_ages: &'static [u8],
    /// Looks and claims are read step by step, because someone may write
    /// without the lock.
    pub(crate) split: bool,
    /// A write to the folder is visible before it is durable.
    pub(crate) slow_disk: bool,
    /// Writes and deletions of the key item may come late, too.
    pub(crate) late_keys: bool,
    /// A process that died is started again.
    pub(crate) restarts: bool,
    /// Which tokens the store can hold.
    pub(crate) room: Room,
    pub(crate) sabotage: Sabotage,
}

const NOW: u8 = 2;
pub(crate) const FRESH: u8 = 0;
pub(crate) const VALID: u8 = 1;
pub(crate) const EXPIRED: u8 = 2;

impl Configuration {
    pub(crate) fn new(name: &'static str, server: Server, processes: &[Kind]) -> Self {
        Self {
            name,
            server,
            processes: processes.to_vec(),
            faults: Faults::default(),
            access_ages: &[VALID, EXPIRED],
            split: processes
                .iter()
                .any(|kind| matches!(kind, Kind::Login | Kind::Logout)),
            slow_disk: false,
            late_keys: false,
            restarts: true,
            room: Room::Enough,
            sabotage: Sabotage::None,
        }
    }

    pub(crate) fn with(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    pub(crate) fn worlds(&self) -> Vec<World> {
        self.access_ages
            .iter()
            .map(|age| self.world(NOW - age))
            .collect()
    }

    fn world(&self, since: u8) -> World {
        let refresh = Copied {
            generation: 1,
            token: 0,
        };
        let mut world = World {
            epoch: NOW,
            folder: Folder::default(),
            durable: None,
            store: Store {
                key: Some(0),
                item: self
                    .room
                    .holds(refresh.token)
                    .then_some(Item { login: 0, refresh }),
                late: Vec::new(),
            },
            counters: Counters {
                settled: true,
                failure: None,
                backing_off: false,
                narrow_refused: false,
            },
            server: Default::default(),
            stray: Vec::new(),
            processes: self.processes.iter().copied().map(Process::new).collect(),
            left: self.faults,
            witness: Witness::default(),
        };
        world.folder.sealed[0] = SealedFile::Present(Record {
            refresh,
            access: Some(AccessToken {
                number: 0,
                since,
                request: AccessRequest::Own,
            }),
            narrow: None,
            policy_known: true,
        });
        world.server[0] = Family::new();
        world.witness.committed[0] = Some(refresh);
        world.witness.current = Some(0);
        world.sorted()
    }
}
