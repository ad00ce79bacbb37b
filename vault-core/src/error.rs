//! What can go wrong, for callers: one opaque [`Error`] with a field-less
//! [`ErrorKind`].
//!
//! A message says what failed, in lower case and without a full stop; the
//! cause stays in the chain ([`std::error::Error::source`]). No message holds
//! a secret or bytes of a response. What to do about it is not said here: a
//! program derives hints and exit codes from the kind.

use std::fmt;
use std::time::Duration;

use vault_platform::folder::FolderError;
use vault_platform::lock::LockError;
use vault_platform::store::{BadItemName, StoreError, StoreErrorKind};

/// The result of everything that can fail in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What failed, as a caller would act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nobody has logged in to this profile.
    NotLoggedIn,
    /// The profile was logged out, here or in another process.
    LoggedOut,
    /// The authorization server refused the refresh token (`invalid_grant`);
    /// only a new login helps.
    LoginRequired,
    /// A rotation was sent and its answer never came; this server's policy
    /// forbids to send the same token again.
    RotationUnconfirmed,
    /// The server refused without an OAuth error code: perhaps a new login is
    /// needed.
    RefusedWithoutReason,
    /// The server refused the request for what it asks (`invalid_scope`,
    /// `invalid_target` …), not for the login: another request may be granted.
    RequestRefused,
    /// The server refuses the client (`invalid_client`, `unauthorized_client`):
    /// it is not registered there so, or no longer.
    ClientRefused,
    /// The API wants a token of another scope (RFC 6750,
    /// `insufficient_scope`): see [`Error::needed_scope`]. No refresh helps.
    ScopeInsufficient,
    /// The API wants a newer or stronger login (RFC 9470,
    /// `insufficient_user_authentication`); or the authorization server wants
    /// the person before it refreshes (`interaction_required`,
    /// `login_required`, `consent_required`).
    StepUpRequired,
    /// The API refuses for a reason that no other token changes.
    AccessRefused,
    /// The token store is not there.
    StoreMissing,
    /// The token store is locked and nobody may be asked to unlock it.
    StoreLocked,
    /// The token store did not answer in time.
    StoreHung,
    /// The token store refused access.
    StoreRefused,
    /// The passphrase or key file does not fit the store.
    StoreKeyWrong,
    /// The token store failed in another way.
    StoreFailed,
    /// The store does not hold an item that it should, though nobody logged
    /// out. Nothing was changed.
    ItemMissing,
    /// The store does not hold the DPoP key that the login's tokens are bound
    /// to. Nothing was changed, and nothing was sent.
    DpopKeyLost,
    /// Stored data can't be read; it was kept under another name.
    Corrupted,
    /// Stored data was written by a newer version of this software.
    NewerVersion,
    /// The login is kept in another state folder than this process uses.
    KeptElsewhere,
    /// The state folder can be written or read by others, or is not the
    /// user's own.
    StateFolderUnsafe,
    /// The state folder can't be written, so no token was spent.
    StateFolderUnwritable,
    /// The disk is full, so no token was spent.
    DiskFull,
    /// The state folder lies on a network file system, which loses locks.
    NetworkFileSystem,
    /// The file system has no locks, so no token was spent.
    LockUnsupported,
    /// Another process held the refresh lock for longer than the caller waits.
    LockTimeout,
    /// The network is not there, or the server can't be reached.
    NetworkUnavailable,
    /// The server is busy or failing; try later.
    ServerUnavailable,
    /// The server's answer is not what the protocol says.
    ServerAnswerInvalid,
    /// No authorization server describes itself under this issuer.
    IssuerUnknown,
    /// The server describes itself under another issuer than was asked for.
    IssuerMismatch,
    /// Plain http to a host that is not loopback.
    InsecureUrl,
    /// The authorization response carried a state that nobody sent.
    StateMismatch,
    /// The ID token of a login is not for it, or not from its server.
    IdTokenRefused,
    /// The user, or the server, denied the login.
    AccessDenied,
    /// The login was not finished in time.
    LoginExpired,
    /// The server does not offer what the login needs (device code, a refresh
    /// token …).
    NotOffered,
    /// Another profile of this vault already holds this refresh token: two
    /// profiles that rotate one token log each other out.
    TokenInUse,
    /// The login is not bound to the host that a tool asks a token for.
    HostNotBound,
    /// A name, a token or an option that can't be used.
    InvalidInput,
    /// The vault's own thread has ended, and the next call starts another; or
    /// this process is ending, and refreshes no more ([`crate::exit::end`]).
    Closed,
    /// A defect of this software.
    Internal,
}

/// An error of the vault.
pub struct Error {
    kind: ErrorKind,
    message: String,
    retry_after: Option<Duration>,
    needed_scope: Box<[String]>,
    source: Option<Box<dyn std::error::Error + Send + Sync + 'static>>,
}

impl Error {
    /// Makes an error. `message` says what failed, without a secret.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
            needed_scope: Box::default(),
            source: None,
        }
    }

    /// Adds the cause, which [`std::error::Error::source`] then shows.
    #[must_use]
    pub fn because(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The cause alone, for an error of other words.
    pub(crate) fn into_cause(self) -> Option<Box<dyn std::error::Error + Send + Sync + 'static>> {
        self.source
    }

    pub(crate) fn after(mut self, retry_after: Option<Duration>) -> Self {
        self.retry_after = retry_after;
        self
    }

    pub(crate) fn needing(mut self, scope: &[String]) -> Self {
        self.needed_scope = scope.into();
        self
    }

    /// What failed, as a caller would act on it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// How long to wait before trying again, where the server or the back-off
    /// says so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The scope that an API wants, where it says so.
    #[must_use]
    pub fn needed_scope(&self) -> &[String] {
        &self.needed_scope
    }

    /// Whether only a person who logs in can help.
    #[must_use]
    pub fn is_login_required(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::NotLoggedIn
                | ErrorKind::LoggedOut
                | ErrorKind::LoginRequired
                | ErrorKind::RotationUnconfirmed
                | ErrorKind::RefusedWithoutReason
                | ErrorKind::StepUpRequired
                | ErrorKind::DpopKeyLost
        )
    }

    /// Whether the same call may succeed later by itself.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind.is_transient()
    }
}

impl ErrorKind {
    pub(crate) const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::NetworkUnavailable
                | Self::ServerUnavailable
                | Self::LockTimeout
                | Self::StoreHung
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.kind, self.message)?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind {
            StoreErrorKind::Missing => ErrorKind::StoreMissing,
            StoreErrorKind::Locked => ErrorKind::StoreLocked,
            StoreErrorKind::Hung => ErrorKind::StoreHung,
            StoreErrorKind::Refused => ErrorKind::StoreRefused,
            StoreErrorKind::WrongKey => ErrorKind::StoreKeyWrong,
            _ => ErrorKind::StoreFailed,
        };
        Self::new(kind, format!("the {} store failed", error.store)).because(error)
    }
}

impl From<FolderError> for Error {
    fn from(error: FolderError) -> Self {
        let (kind, message) = match &error {
            FolderError::NotPrivate { .. }
            | FolderError::NotOwner { .. }
            | FolderError::Link { .. }
            | FolderError::NotFolder { .. } => (
                ErrorKind::StateFolderUnsafe,
                "the state folder is not safe to use",
            ),
            FolderError::NetworkFileSystem { .. } => (
                ErrorKind::NetworkFileSystem,
                "the state folder lies on a network file system",
            ),
            FolderError::Full { .. } => (ErrorKind::DiskFull, "the disk is full"),
            _ => (
                ErrorKind::StateFolderUnwritable,
                "the state folder can't be used",
            ),
        };
        Self::new(kind, message).because(error)
    }
}

impl From<LockError> for Error {
    fn from(error: LockError) -> Self {
        let kind = match &error {
            LockError::Unsupported { .. } => ErrorKind::LockUnsupported,
            _ => ErrorKind::StateFolderUnwritable,
        };
        Self::new(kind, "the refresh lock can't be taken").because(error)
    }
}

impl From<BadItemName> for Error {
    fn from(error: BadItemName) -> Self {
        Self::new(
            ErrorKind::InvalidInput,
            "the store can't hold an item of this name",
        )
        .because(error)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_guide_says_what_to_do_on_each_kind() {
        let (_, kinds) = include_str!("error.rs")
            .split_once("enum ErrorKind {")
            .unwrap();
        let (kinds, _) = kinds.split_once("\n}").unwrap();
        let kinds: Vec<&str> = kinds
            .lines()
            .filter_map(|line| line.trim().strip_suffix(','))
            .filter(|word| word.chars().all(char::is_alphanumeric))
            .collect();
        assert!(kinds.len() > 40, "{kinds:?}");
        let guide = include_str!("../../docs/GUIDE.md");
        let missing = kinds.iter().filter(|kind| {
            let named = format!("`{kind}`");
            !guide
                .lines()
                .any(|line| line.starts_with('|') && line.contains(&named))
        });
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new());
    }
}
