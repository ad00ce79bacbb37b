//! What is killed, against which server, and what the protocol promises.

use std::time::Duration;

use vault_core::fault::SKIP_MARK;
use vault_core::platform::store::StoreKind;
use vault_core::refresh::policy::RotationPolicy;

use super::scene::LIFETIME;
use super::worker::Act;
use crate::server::Rotation;
use crate::stand_in::OTHER;

/// What is done when the process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// A refresh of a token that has expired.
    Refresh,
    /// A refresh that is due while the token is still valid.
    RefreshAhead,
    /// A new login over the old one.
    Login,
    /// A logout.
    Logout,
    /// A move to another store.
    Migrate,
    /// A login is bound to a second host.
    Bind,
    /// It is taken from the second of two hosts.
    Unbind,
}

/// The hosts that a login is bound to, or to the first of them.
pub const HOSTS: [&str; 2] = ["kept.example", "second.example"];

/// What the server does with a token that comes again, and what the vault knows of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// It revokes the login; the vault goes by its default.
    Unknown,
    /// It revokes the login, and the vault knows.
    Strict,
    /// It takes it again for 30 s, and the vault knows.
    Window,
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// By SIGKILL.
    Kill,
    /// With the machine: what was not made durable is lost, all of it or a part.
    PowerLoss,
}

/// A row's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scenario {
    /// What is done.
    pub work: Work,
    /// With which server.
    pub server: Server,
    /// How it ends.
    pub end: End,
    /// A rule that is broken on purpose, of [`vault_core::fault`].
    pub broken: Option<&'static str>,
    /// Where the login is kept.
    pub store: StoreKind,
    /// The length of its refresh tokens in bytes.
    pub token_length: usize,
}

/// How far the work had come, as far as its promises differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Nothing is written that counts.
    Before,
    /// The mark is written, and a power failure may take it back.
    Marking,
    /// The mark says that the token may be spent; it is not.
    Marked,
    /// The server may have acted, and the answer is not committed.
    Spent,
    /// The commit is made, and a power failure may take it back.
    Renamed,
    /// The commit is durable.
    Committed,
}

/// How a run came out, for the person who had logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The login goes on.
    Recovered,
    /// There is no token, and the error says that the rotation is unconfirmed; what was left of
    /// the old token's life was served.
    Unconfirmed,
    /// Only a new login helps.
    Lost,
    /// The login that was ended is ended, the one that was replaced is replaced.
    Done,
}

const EXPIRED: Duration = LIFETIME.saturating_add(Duration::from_secs(1));

/// So long after the refresh a caller that asks for as much validity as there is gets a new one.
const DUE: Duration = Duration::from_secs(35);

impl Scenario {
    /// A scenario that ends by a kill.
    #[must_use]
    pub const fn kill(work: Work, server: Server) -> Self {
        Self {
            work,
            server,
            end: End::Kill,
            broken: None,
            store: StoreKind::EncryptedFile,
            token_length: 64,
        }
    }

    /// A scenario that ends by power loss.
    #[must_use]
    pub const fn power_loss(work: Work, server: Server) -> Self {
        Self {
            work,
            server,
            end: End::PowerLoss,
            ..Self::kill(work, server)
        }
    }

    /// The same with another store and tokens of another length.
    #[must_use]
    pub const fn kept(self, store: StoreKind, token_length: usize) -> Self {
        Self {
            store,
            token_length,
            ..self
        }
    }

    /// The same with a broken rule.
    #[must_use]
    pub const fn broken(self, rule: &'static str) -> Self {
        Self {
            broken: Some(rule),
            ..self
        }
    }

    /// What the server is configured to do.
    #[must_use]
    pub fn rotation(&self) -> Rotation {
        match self.server {
            Server::Window => Rotation::Grace(Duration::from_secs(30)),
            Server::Unknown | Server::Strict => Rotation::Strict,
        }
    }

    /// What the vault knows of it.
    #[must_use]
    pub fn policy(&self) -> RotationPolicy {
        match self.server {
            Server::Unknown => RotationPolicy::default(),
            Server::Strict => RotationPolicy::strict(),
            Server::Window => RotationPolicy::window(Duration::from_secs(30), 1),
        }
    }

    /// What the worker does.
    #[must_use]
    pub fn act(&self, issuer: &str) -> Act {
        match self.work {
            Work::Refresh | Work::RefreshAhead => Act::Token {
                min_valid_ms: self.min_valid_ms(),
            },
            Work::Login => Act::Login {
                issuer: issuer.to_owned(),
            },
            Work::Logout => Act::Logout,
            Work::Migrate => Act::Migrate { to: OTHER },
            Work::Bind => Act::Bind {
                host: HOSTS[1].to_owned(),
            },
            Work::Unbind => Act::Unbind {
                host: HOSTS[1].to_owned(),
            },
        }
    }

    /// The hosts that the login is bound to before the work and after it.
    #[must_use]
    pub fn bound(&self) -> [&'static [&'static str]; 2] {
        match self.work {
            Work::Bind => [&HOSTS[..1], &HOSTS],
            Work::Unbind => [&HOSTS, &HOSTS[..1]],
            _ => [&[], &[]],
        }
    }

    /// What is asked of a token, in milliseconds.
    #[must_use]
    pub fn min_valid_ms(&self) -> u64 {
        match self.work {
            Work::RefreshAhead => 3_600_000,
            _ => 0,
        }
    }

    /// When the worker works, after the login.
    #[must_use]
    pub fn worker_at(&self) -> Duration {
        match self.work {
            Work::Refresh => EXPIRED,
            Work::RefreshAhead => DUE,
            _ => Duration::ZERO,
        }
    }

    /// When the next process asks.
    #[must_use]
    pub fn next_at(&self) -> Duration {
        match self.work {
            Work::RefreshAhead => DUE,
            _ => EXPIRED,
        }
    }

    /// When the token that was there at the kill has expired for certain.
    #[must_use]
    pub fn at_the_end(&self) -> Duration {
        EXPIRED
    }

    /// The points that begin the phases, in the order of a run.
    #[must_use]
    pub fn landmarks(&self) -> &'static [(&'static str, Phase)] {
        match self.work {
            Work::Refresh | Work::RefreshAhead => &[
                ("refresh.before:Mark", Phase::Before),
                ("file.mark:renamed", Phase::Marking),
                ("file.mark:durable", Phase::Marked),
                ("refresh.before:Send", Phase::Marked),
                ("refresh.after:Send", Phase::Spent),
                ("refresh.before:Commit", Phase::Spent),
                ("file.sealed:renamed", Phase::Renamed),
                ("file.sealed:durable", Phase::Committed),
            ],
            // No point lies within a system's own store.
            Work::Login if self.store != StoreKind::EncryptedFile => &[
                ("login.before:WriteKeyItem", Phase::Before),
                ("login.after:WriteKeyItem", Phase::Committed),
            ],
            Work::Login => &[
                ("login.before:WriteKeyItem", Phase::Before),
                ("file.item:renamed", Phase::Renamed),
                ("file.item:durable", Phase::Committed),
            ],
            Work::Logout => &[
                ("file.tombstone:renamed", Phase::Renamed),
                ("file.tombstone:durable", Phase::Committed),
            ],
            Work::Migrate => &[
                ("migrate.before:Pin", Phase::Before),
                ("file.folder:renamed", Phase::Renamed),
                ("file.folder:durable", Phase::Committed),
            ],
            Work::Bind | Work::Unbind => &[
                ("alteration.before:Commit", Phase::Before),
                ("file.sealed:renamed", Phase::Renamed),
                ("file.sealed:durable", Phase::Committed),
            ],
        }
    }

    /// The phase of each point that a run passes.
    #[must_use]
    pub fn phases(&self, passed: &[String]) -> Vec<Phase> {
        let is_there = |landmark: &&(&str, Phase)| {
            self.broken != Some(SKIP_MARK) || !landmark.0.starts_with("file.mark:")
        };
        let mut landmarks = self.landmarks().iter().filter(is_there);
        let mut next = landmarks.next();
        let mut phase = Phase::Before;
        let phase_of = |point: &String| {
            if let Some((landmark, begins)) = next
                && landmark == point
            {
                phase = *begins;
                next = landmarks.next();
            }
            phase
        };
        passed.iter().map(phase_of).collect()
    }

    /// How a run may come out.
    #[must_use]
    pub fn promised(&self, phase: Phase) -> &'static [Outcome] {
        use Outcome::{Done, Lost, Recovered, Unconfirmed};

        let phase = match (phase, self.end) {
            (Phase::Marking, End::Kill) => Phase::Marked,
            (Phase::Renamed, End::Kill) => Phase::Committed,
            (phase, _) => phase,
        };
        match (self.work, phase, self.server) {
            // The login goes on, in one store or the other, bound to these hosts or those.
            (Work::Migrate | Work::Bind | Work::Unbind, ..) => &[Recovered],
            (Work::Login | Work::Logout, Phase::Renamed, _) => &[Recovered, Done],
            (Work::Login | Work::Logout, Phase::Committed, _) => &[Done],
            (Work::Login | Work::Logout, ..) => &[Recovered],
            (_, Phase::Before | Phase::Committed, _) | (_, _, Server::Window) => &[Recovered],
            (_, Phase::Marking | Phase::Renamed, Server::Strict) => &[Recovered, Unconfirmed],
            (_, _, Server::Strict) => &[Unconfirmed],
            (_, Phase::Marking | Phase::Marked, Server::Unknown) => &[Recovered],
            // A server that forgives nothing and whose policy nobody has told: see docs/DESIGN.md.
            (_, Phase::Renamed, Server::Unknown) => &[Recovered, Lost],
            (_, Phase::Spent, Server::Unknown) => &[Lost],
        }
    }

    /// Whether the server may see a token that it has replaced.
    #[must_use]
    pub fn may_replay(&self, phase: Phase) -> bool {
        self.promised(phase).contains(&Outcome::Lost)
    }

    /// A word for the table.
    #[must_use]
    pub fn server_name(&self) -> &'static str {
        match self.server {
            Server::Unknown => "strict, not told",
            Server::Strict => "strict",
            Server::Window => "window of 30 s",
        }
    }

    /// A word for the table.
    #[must_use]
    pub fn work_name(&self) -> &'static str {
        match self.work {
            Work::Refresh => "refresh, expired",
            Work::RefreshAhead => "refresh, still valid",
            Work::Login => "login",
            Work::Logout => "logout",
            Work::Migrate => "migrate",
            Work::Bind => "bind",
            Work::Unbind => "unbind",
        }
    }

    /// A word for the table.
    #[must_use]
    pub fn end_name(&self) -> &'static str {
        match (self.end, self.broken) {
            (_, Some(rule)) => rule,
            (End::Kill, None) => "kill -9",
            (End::PowerLoss, None) => "power loss",
        }
    }
}
