//! The protocol by which processes share one rotating refresh token, as pure
//! state machines: `(state, event) -> (state, effect)`.
//!
//! There is no I/O, no clock, no randomness and no `async` in here, and no
//! secret either: tokens appear as fingerprints and generations. A driver
//! carries out one [`Effect`] at a time and answers with one [`Event`]; a model
//! checker can do the same, with a crash between any two.
//!
//! Three machines share the vocabulary of this file:
//!
//! - [`refresh::Refresh`] finds a usable access token or makes one,
//! - [`login::Install`] replaces a profile's login by a new one,
//! - [`logout::Logout`] ends a login for good.
//!
//! What they promise together: never two refreshes in flight for a profile; a
//! refresh token that a committed newer one has replaced is never sent; once
//! committed, no crash loses the newest token; a newer generation is never
//! overwritten by an older one; nothing transient destroys a login; a logout
//! is final.

pub mod login;
pub mod logout;
pub mod refresh;

use std::time::Duration;

use super::policy::RotationPolicy;
use crate::identity::{Fingerprint, Generation, LoginId};

/// Something that the driver does to the world. Each is one step between two
/// of which a process may die.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Read, without the lock and with prompts if the caller allows them:
    /// tombstone, sealing key, sealed file. Answer: [`Event::Looked`].
    Look,
    /// Take the refresh lock if it is free. Answer: [`Event::Locked`],
    /// [`Event::Busy`] or [`Event::Failed`].
    TryLock,
    /// Wait some milliseconds for the holder of the lock. Answer:
    /// [`Event::Waited`].
    Wait,
    /// Read again under the lock, without prompts: tombstone, key item, sealed
    /// file, token item, mark. Answer: [`Event::Claimed`], or [`Event::Failed`]
    /// where something can't be read or is not this version's to touch.
    Claim,
    /// Set an unreadable sealed file aside under another name.
    SetAside,
    /// Write the sealed file anew from the token item, which is newer.
    RepairSealed,
    /// Write the token item anew from the sealed file, which is newer; or
    /// delete it, where the store can't hold that token.
    RepairItem,
    /// Create the next sealed file's temporary file at full size, durably.
    Prepare,
    /// Give the temporary file up.
    Discard,
    /// Write the mark durably: this token is about to be sent for the
    /// `attempts`-th time.
    Mark {
        /// How often the token was sent, this time included.
        attempts: u32,
    },
    /// Put the mark back as it was before [`Effect::Mark`]: the server can't
    /// have acted.
    Unmark,
    /// Remove the mark: its token was replaced.
    ClearMark,
    /// Write durably into the mark that the server refused the token.
    MarkRefused,
    /// Count the attempt where waiting processes see it.
    CountAttempt,
    /// Send the claimed refresh token. Answer: [`Event::Answered`].
    Send,
    /// Read whether the login was logged out meanwhile. Answer:
    /// [`Event::Tombstone`].
    CheckTombstone,
    /// Revoke the tokens that just came, for a login that has ended.
    RevokeReceived,
    /// Bump the begin counter.
    BeginChange,
    /// Overwrite the temporary file and rename it onto the sealed file: the
    /// commit point.
    Commit,
    /// Commit into the token item instead, the second way. Fails, and changes
    /// nothing, where the store can't hold the new token.
    CommitToItem,
    /// Wait before the next try to commit, keeping lock and token.
    WaitToCommit,
    /// Bump both counters and make them equal; also after a change that a dead
    /// process left unfinished.
    EndChange,
    /// Give the new access token to all who wait in this process.
    HandOut,
    /// Copy the new refresh token to the token item; or delete that, where the
    /// store can't hold the token.
    CopyToItem,
    /// Delete what is stored for the login, in store and folder: it has ended.
    DeleteRemains,
    /// Tell waiting processes that the attempt failed, and how long to stay
    /// away.
    ShareFailure(Failure),
    /// Write the display copy and the history line. May fail.
    Record,
    /// Release the lock.
    Unlock,

    /// Login: write `sealed.<new id>`.
    WriteNewSealed,
    /// Login: write the key item, which commits the new login.
    WriteKeyItem,
    /// Login: read back whether the key item names the new login. Answer:
    /// [`Event::KeyIsNew`].
    CheckKeyItem,
    /// Login: write the token item.
    WriteTokenItem,
    /// Login: unlink the old login's sealed file and mark.
    UnlinkOld,
    /// Login: unlink the new sealed file, which nothing will name.
    UnlinkNew,

    /// Logout: write the tombstone durably, without the lock.
    WriteTombstone,
    /// Logout: read the newest refresh token, for its revocation. May fail.
    ReadForRevocation,
    /// Logout without the refresh lock: delete the remains if no login is
    /// under way.
    DeleteRemainsUnlocked,
    /// Logout: revoke the refresh token at the server, bounded in time.
    Revoke,

    /// The end: nothing more is to be done.
    Finish(Outcome),
}

/// What came of an effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The first event of each machine.
    Start,
    /// The effect was carried out.
    Done,
    /// The effect failed.
    Failed(Failure),
    /// What the look without the lock showed.
    Looked(Sight),
    /// The lock is held now.
    Locked,
    /// Another process holds the lock.
    Busy,
    /// What happened while waiting.
    Waited {
        /// The shared counters moved: something changed.
        moved: bool,
        /// An attempt that began after the wait began has failed.
        failed: Option<Failure>,
        /// The caller's deadline has passed.
        late: bool,
    },
    /// What is stored, read under the lock.
    Claimed(Claimed),
    /// The server's answer, or its absence.
    Answered {
        /// How it is to be understood.
        answer: Answer,
        /// How long ago this token was first sent, if that can be told.
        since_first_send: Option<Duration>,
        /// What the cache still holds for the caller's request.
        access: Option<Access>,
    },
    /// Whether the login is logged out.
    Tombstone(bool),
    /// Whether the key item names the new login.
    KeyIsNew(bool),
}

/// An access token that is stored for what the caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// Which one.
    pub fingerprint: Fingerprint,
    /// Enough of its life is left to be handed out without a refresh.
    pub fresh: bool,
    /// It has not expired.
    pub valid: bool,
}

/// What a look without the lock shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sight {
    /// There is no login, or none that this process may use.
    None(Failure),
    /// A login, read from the sealed file.
    Login {
        /// The access token for what the caller asks for.
        access: Option<Access>,
        /// The server has refused the stored refresh token.
        refused: bool,
        /// Stay away from the server for now.
        backing_off: Option<Failure>,
    },
    /// A login whose sealed file is missing or unreadable: to be repaired
    /// under the lock.
    Damaged,
}

/// One stored copy of the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoredCopy {
    /// How new it is.
    pub generation: Generation,
    /// Which token it holds.
    pub refresh: Fingerprint,
}

/// The sealed file, as found under the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SealedCopy {
    /// There is none for this login.
    Absent,
    /// It names this login and key, and can't be read.
    Unreadable,
    /// It was read.
    Present(StoredCopy),
}

/// The mark, if it is about the claimed login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MarkFacts {
    /// The generation that was sent.
    pub generation: Generation,
    /// The token that was sent.
    pub refresh: Fingerprint,
    /// How often it was sent.
    pub attempts: u32,
    /// How long ago it was first sent, if that can be told.
    pub age: Option<Duration>,
    /// The server refused it.
    pub refused: bool,
}

/// What is stored for a profile, read under its lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claimed {
    /// The login that the key item names.
    pub login: LoginId,
    /// It was logged out.
    pub tombstoned: bool,
    /// Its sealed file.
    pub sealed: SealedCopy,
    /// The token item, if it belongs to this login.
    pub item: Option<StoredCopy>,
    /// The store can't hold the sealed file's token (its size limit), so no
    /// copy of it is due. Of the token that comes next this says nothing.
    pub item_impossible: bool,
    /// The mark, if it is about this login.
    pub mark: Option<MarkFacts>,
    /// The access token for what the caller asks for.
    pub access: Option<Access>,
    /// Begin and end counter agree.
    pub settled: bool,
    /// Stay away from the server for now.
    pub backing_off: Option<Failure>,
    /// What the server does with tokens that come again.
    pub policy: RotationPolicy,
}

/// The server's answer to a refresh request, by what it means for the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// New tokens. `usable` is false where only the refresh token can be used.
    Granted {
        /// The access token can be handed out.
        usable: bool,
    },
    /// `invalid_grant` for the login's own request.
    InvalidGrant,
    /// A refusal of what was asked for, not of the login.
    RequestRefused,
    /// A refusal without an OAuth error code.
    RefusedWithoutReason,
    /// The server can't have acted.
    NotActed(Failure),
    /// The server may have acted, and nobody knows.
    Unknown,
}

/// Why there is no token. Field-less, so that it can be shared in a counter;
/// the driver keeps the error that a person reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Failure {
    /// Nobody logged in.
    NotLoggedIn = 1,
    /// Logged out.
    LoggedOut,
    /// The server refused the login's refresh token.
    LoginRequired,
    /// The answer to a rotation was lost and the token must not be sent again.
    RotationUnconfirmed,
    /// The server refused without a reason.
    RefusedWithoutReason,
    /// The server refused what was asked for: told apart by the request, and
    /// no word about others.
    RequestRefused,
    /// The server can't be reached.
    NetworkUnavailable,
    /// The server is busy or failing, or its answer was lost.
    ServerUnavailable,
    /// The server's answer holds no access token that can be used.
    AnswerUnusable,
    /// Nothing readable is left of the login.
    Corrupted,
    /// Written by a newer version.
    NewerVersion,
    /// A failure of the store, the folder or the lock, which the driver
    /// describes.
    Local,
    /// Another process held the lock for too long.
    LockTimeout,
    /// The server refused the client, whatever it asks for.
    ClientRefused,
}

impl Failure {
    /// Every failure that can be shared between processes as a number.
    const ALL: [Self; 14] = [
        Self::NotLoggedIn,
        Self::LoggedOut,
        Self::LoginRequired,
        Self::RotationUnconfirmed,
        Self::RefusedWithoutReason,
        Self::RequestRefused,
        Self::NetworkUnavailable,
        Self::ServerUnavailable,
        Self::AnswerUnusable,
        Self::Corrupted,
        Self::NewerVersion,
        Self::Local,
        Self::LockTimeout,
        Self::ClientRefused,
    ];

    /// Reads a number that another process wrote.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|failure| *failure as u8 == number)
    }
}

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A token that was stored already serves the caller.
    Adopted,
    /// A refresh was made; its token serves the caller.
    Refreshed,
    /// The refresh that was due failed, and the token at hand is still valid.
    ServedValid(Failure),
    /// There is no token.
    Failed(Failure),
    /// The new login is committed.
    Installed,
    /// The login has ended; `remains` tells that something could not be
    /// deleted yet and will be by the next process that comes by.
    LoggedOut {
        /// Something is left.
        remains: bool,
    },
}
