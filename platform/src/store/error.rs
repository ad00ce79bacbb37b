//! What can go wrong with a store, sorted by what a caller does about it.

use std::error::Error;
use std::fmt;

use super::StoreKind;

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store does not exist here: another one has to be chosen, or it has
    /// to be installed or set up.
    Missing,
    /// It exists and is locked, or a person declined to unlock it. Whether the
    /// item is there is not known.
    Locked,
    /// It did not answer within the deadline. The call may still happen.
    Hung,
    /// It, or the place it keeps its files in, may not be used by this process.
    Refused,
    /// The secret is longer than the store takes.
    TooLarge {
        /// The store's limit in bytes.
        limit: usize,
    },
    /// The passphrase or the key file is not the one the store was made with.
    WrongKey,
    /// What is stored can't be understood.
    Corrupted,
    /// Anything else.
    Failed,
}

impl fmt::Display for StoreErrorKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("is not available"),
            Self::Locked => formatter.write_str("is locked"),
            Self::Hung => formatter.write_str("does not answer"),
            Self::Refused => formatter.write_str("may not be used"),
            Self::TooLarge { limit } => write!(formatter, "takes at most {limit} bytes"),
            Self::WrongKey => formatter.write_str("was made with another key"),
            Self::Corrupted => formatter.write_str("holds something that can't be read"),
            Self::Failed => formatter.write_str("failed"),
        }
    }
}

/// A store's failure; it carries no secret and no stored bytes.
#[derive(Debug)]
pub struct StoreError {
    /// What to do about it.
    pub kind: StoreErrorKind,
    /// Which store.
    pub store: StoreKind,
    /// What was tried, as a verb: `get`, `set`, `delete`, `list`, `unlock`.
    pub operation: &'static str,
    hint: Option<&'static str>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// Makes an error without a cause.
    #[must_use]
    pub fn new(kind: StoreErrorKind, store: StoreKind, operation: &'static str) -> Self {
        Self {
            kind,
            store,
            operation,
            hint: None,
            source: None,
        }
    }

    /// Adds what a person can do about it, as [`Self::hint`] gives it.
    #[must_use]
    pub fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// What a person can do about it, where the store knows better than its
    /// kind tells: an imperative sentence without a period at its end.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        self.hint
    }

    /// Adds the cause, which may be a sentence.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the {} store {} ({})",
            self.store, self.kind, self.operation
        )
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
