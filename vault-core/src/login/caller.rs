//! Whoever waits for a login, as the login sees them.
//!
//! A login is given up where nobody waits for it any more, but only while it
//! waits itself, for a person or to be told more. Once the server has been
//! asked for tokens the login is finished: they would be alive at the server,
//! and nobody would know them.

use tokio::sync::watch;

use crate::error::{Error, ErrorKind};

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Caller(watch::Receiver<()>);

/// The other end: dropped with whoever waits.
#[derive(Debug)]
pub(crate) struct Presence {
    _alive: watch::Sender<()>,
}

impl Caller {
    pub(crate) fn who_waits() -> (Presence, Self) {
        let (alive, here) = watch::channel(());
        (Presence { _alive: alive }, Self(here))
    }

    /// What is only of use to who waits for it.
    ///
    /// # Errors
    ///
    /// Those of `waiting`, and [`ErrorKind::AccessDenied`] when nobody waits.
    pub(crate) async fn unless_gone<T>(
        &self,
        waiting: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut here = self.0.clone();
        tokio::select! {
            biased;
            done = waiting => done,
            // Nothing is sent: this ends with the other end.
            _gone = here.changed() => {
                Err(Error::new(ErrorKind::AccessDenied, "the login was given up"))
            }
        }
    }
}
