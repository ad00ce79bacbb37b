//! What was wrong with a request or with its answer: words for a person, and
//! the cause underneath, which the error that is made of it keeps.

use std::error::Error as StdError;
use std::fmt;

use crate::error::{Error, ErrorKind};

/// Why there is no answer, or none that can be used. Holds no secret.
#[derive(Debug)]
pub(crate) struct Trouble {
    words: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Trouble {
    /// The error of what `failed` because of it.
    pub(crate) fn into_error(self, kind: ErrorKind, failed: &str) -> Error {
        let error = Error::new(kind, format!("{failed}: {}", self.words));
        match self.cause {
            Some(cause) => error.because(cause),
            None => error,
        }
    }
}

impl From<String> for Trouble {
    fn from(words: String) -> Self {
        Self { words, cause: None }
    }
}

impl From<&str> for Trouble {
    fn from(words: &str) -> Self {
        words.to_owned().into()
    }
}

/// Its message are the words; its kind is for whoever makes the next error to
/// say.
impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self {
            words: error.to_string(),
            cause: error.into_cause(),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.words)
    }
}
