//! What a row says, as data.

use std::time::Duration;

use vault_core::ErrorKind;
use vault_core::display::LoginState;
use vault_core::refresh::policy::RotationPolicy;

use super::act::Act;
use super::clockwork::Script;
use super::place::Ground;
use super::restriction::Restriction;
use crate::server::{AccessTokenFormat, ExpiresIn, Rotation};

/// One row of the matrix.
#[derive(Clone, Debug)]
pub struct Row {
    /// What kind of fault.
    pub group: &'static str,
    /// The fault, for people to read and to choose rows by.
    pub name: String,
    pub(super) scenario: Scenario,
}

#[derive(Clone, Debug)]
pub(super) enum Scenario {
    Fault(Box<FaultRow>),
    Time(Script),
}

/// A login, a fault, and what comes of it.
#[derive(Clone, Debug)]
pub(super) struct FaultRow {
    pub(super) login: Login,
    /// Done before the caller asks.
    pub(super) before: Vec<Act>,
    /// Done while the server holds its answer.
    pub(super) during: Vec<Act>,
    /// What the caller's threads are not allowed.
    pub(super) restriction: Restriction,
    /// Whether the vault that asks has read the login before.
    pub(super) warm: bool,
    pub(super) caller: Caller,
    /// What the next caller gets at the same instant, where that is not what
    /// follows: the same while a back-off lasts, the stored token after a
    /// refresh.
    pub(super) next: Option<Caller>,
    /// Part of the error's words or of its causes'.
    pub(super) says: Option<&'static str>,
    pub(super) pause: Pause,
    /// What differs in what is stored; everything else must be identical.
    pub(super) stored: Vec<Change>,
    pub(super) requests: u64,
    pub(super) alive: bool,
    pub(super) afterwards: Afterwards,
}

/// The login that a row starts with, and its server.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) rotation: Rotation,
    pub(super) expires_in: ExpiresIn,
    pub(super) format: AccessTokenFormat,
    pub(super) lifetime: Duration,
    pub(super) policy: RotationPolicy,
    pub(super) endpoint: Endpoint,
    pub(super) ground: Ground,
    pub(super) left: Left,
    pub(super) lock_timeout: Duration,
    pub(super) request_timeout: Duration,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            rotation: Rotation::Strict,
            expires_in: ExpiresIn::Rounded,
            format: AccessTokenFormat::Opaque { length: 43 },
            lifetime: Duration::from_secs(300),
            policy: RotationPolicy::default(),
            endpoint: Endpoint::Server,
            ground: Ground::Folder,
            left: Left::Nothing,
            lock_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(10),
        }
    }
}

/// Where the login sends its refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// To the server of the row.
    Server,
    /// To a host that no name service knows.
    Unresolvable,
    /// By https to the server's port, which speaks plain http.
    PlainPort,
    /// By https to a server whose certificate nobody has signed.
    SelfSigned,
    /// To a port that answers no connection.
    BlackHole,
}

/// The access token that a login starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// None.
    Nothing,
    /// One that is valid for so little that a refresh is due.
    ALittle,
    /// One that has just come.
    Plenty,
}

/// What the caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// A new token, from a refresh.
    New,
    /// The stored token, which is as good as new.
    Stored,
    /// The stored token, which is still valid, and the kind of the failure.
    Served(ErrorKind),
    /// An error.
    Fails(ErrorKind),
}

/// How long everyone stays away from the server afterwards. While they do, a
/// further caller fails alike and the server sees nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// Not at all.
    None,
    /// For about so long.
    BackOff,
    /// For about half a minute: what was refused does not pass by itself.
    Refused,
    /// As the server asks, in seconds.
    Seconds(u64),
}

/// One thing that differs in what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A mark that counts so many sends without an answer.
    Mark(u32),
    /// A mark that says why the server refused the token.
    Refusal(&'static str),
    /// The sealed file holds so many generations more.
    Sealed(u64),
    /// The token item holds what the sealed file holds.
    TokenItem,
    /// The token item alone holds the newest token.
    TokenItemAlone,
    /// Lines more in the history, with these outcomes.
    History(&'static [&'static str]),
    /// The display copy says this.
    Display(LoginState),
    /// A damaged file is kept under another name.
    SetAside,
    /// A temporary file that could not be removed; the next claim does it.
    Temporary,
    /// The state folder is made again, with what the lock and counters need.
    FolderMade,
}

/// What is had once the fault is gone and any back-off is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// A new token, in a new process.
    Token,
    /// The stored token: the server sets its life no end, or a later one than
    /// a back-off lasts.
    Stored,
    /// A new token after the refresh token was imported once more, with an
    /// address that works: it was never spent.
    TokenOnceImported,
    /// The error that a new login is needed, and a token all the same once a
    /// person insists.
    TokenIfInsisted,
    /// This error: the login can't be saved.
    Fails(ErrorKind),
}

/// What a committed refresh leaves.
pub(super) fn rotated() -> Vec<Change> {
    vec![
        Change::Sealed(1),
        Change::TokenItem,
        Change::History(&["ok"]),
        Change::Display(LoginState::LoggedIn),
    ]
}

/// What a refused refresh token leaves.
pub(super) fn refused(reason: &'static str) -> Vec<Change> {
    vec![
        Change::Refusal(reason),
        Change::History(&["refused"]),
        Change::Display(LoginState::LoginRequired),
    ]
}

impl Row {
    /// A row whose fault changes nothing, loses nothing and reaches the server
    /// with one request, until it is told otherwise.
    pub(super) fn fault(
        group: &'static str,
        name: impl Into<String>,
        before: Vec<Act>,
        caller: Caller,
    ) -> Self {
        Self {
            group,
            name: name.into(),
            scenario: Scenario::Fault(Box::new(FaultRow {
                login: Login::default(),
                before,
                during: Vec::new(),
                restriction: Restriction::None,
                warm: false,
                caller,
                next: None,
                says: None,
                pause: Pause::None,
                stored: Vec::new(),
                requests: 1,
                alive: true,
                afterwards: Afterwards::Token,
            })),
        }
    }

    pub(super) fn time(name: impl Into<String>, script: Script) -> Self {
        Self {
            group: "time",
            name: name.into(),
            scenario: Scenario::Time(script),
        }
    }

    /// The same row with a change to what it says.
    pub(super) fn with(mut self, change: impl FnOnce(&mut FaultRow)) -> Self {
        if let Scenario::Fault(row) = &mut self.scenario {
            change(row);
        }
        self
    }

    pub(super) fn login(self, change: impl FnOnce(&mut Login)) -> Self {
        self.with(|row| change(&mut row.login))
    }

    pub(super) fn pause(self, pause: Pause) -> Self {
        self.with(|row| row.pause = pause)
    }

    pub(super) fn stored(self, stored: Vec<Change>) -> Self {
        self.with(|row| row.stored = stored)
    }

    pub(super) fn requests(self, requests: u64) -> Self {
        self.with(|row| row.requests = requests)
    }

    pub(super) fn says(self, words: &'static str) -> Self {
        self.with(|row| row.says = Some(words))
    }

    /// The login can't be saved: the server has revoked it.
    pub(super) fn lost(self) -> Self {
        self.with(|row| {
            row.alive = false;
            row.afterwards = Afterwards::Fails(ErrorKind::LoginRequired);
        })
    }

    /// This row, and the same for a caller who has a valid token left and is
    /// given that one.
    pub(super) fn and_served(self, despite: ErrorKind) -> Vec<Self> {
        let mut served = self.clone().with(|row| {
            row.login.left = Left::ALittle;
            row.caller = Caller::Served(despite);
            row.says = None;
        });
        served.name += ", a valid token left";
        vec![self, served]
    }
}
