//! What happens to the logins of a vault, told as it happens: for a window that
//! shows it, or a log. Holds no secret.
//!
//! Told are the deeds of this process. What another one did shows when this one
//! comes to need it: a token as [`EventKind::Adopted`], a logout as
//! [`EventKind::Failed`] of the kind `LoggedOut`.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_broadcast::{InactiveReceiver, Receiver, Sender};
use futures_core::Stream;
use vault_platform::clock::Clock;
use vault_platform::store::StoreKind;

use crate::error::ErrorKind;
use crate::life::milliseconds;

/// Who does not read along loses the oldest events beyond this many.
const KEPT: usize = 64;

/// Something that happened to a login.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// When, in milliseconds since the Unix epoch by the wall clock.
    pub at_ms: u64,
    /// The profile.
    pub profile: String,
    /// What.
    pub kind: EventKind,
}

/// What happened to a login.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// Somebody logged in, or a refresh token was imported.
    LoggedIn,
    /// The login was ended for good.
    LoggedOut,
    /// It was moved to another store.
    Moved {
        /// The store that it is in now.
        to: StoreKind,
    },
    /// This process refreshed.
    Refreshed {
        /// From the first look to the commit, waits included.
        took: Duration,
    },
    /// A token was taken over that another process, or an earlier run, had
    /// stored.
    Adopted,
    /// A refresh that was due failed.
    Failed {
        /// How.
        kind: ErrorKind,
        /// A token that is still valid was served all the same.
        served: bool,
        /// For how long all processes stay away from the server.
        retry_after: Option<Duration>,
    },
}

/// A stream of events, from [`Vault::events`](crate::Vault::events) on. It ends
/// when the vault and its sessions are gone; who reads too slowly misses the
/// oldest.
///
/// It implements `Stream` of the crate futures-core, and works on any runtime.
#[derive(Clone, Debug)]
pub struct Events(Receiver<Event>);

impl Events {
    /// Waits for the next event. `None`: the vault and its sessions are gone.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The next event that was told already, if there is one.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            match self.0.try_recv() {
                Ok(event) => return Some(event),
                Err(async_broadcast::TryRecvError::Overflowed(_)) => {}
                Err(_) => return None,
            }
        }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        Pin::new(&mut self.0).poll_next(context)
    }
}

/// The mouth of a vault.
#[derive(Debug)]
pub(crate) struct Teller {
    sender: Sender<Event>,
    /// Keeps the channel open while nobody listens.
    ears: InactiveReceiver<Event>,
}

impl Default for Teller {
    fn default() -> Self {
        let (mut sender, receiver) = async_broadcast::broadcast(KEPT);
        sender.set_overflow(true);
        Self {
            sender,
            ears: receiver.deactivate(),
        }
    }
}

impl Teller {
    pub(crate) fn listen(&self) -> Events {
        Events(self.ears.activate_cloned())
    }

    pub(crate) fn tell(&self, clock: &dyn Clock, profile: &str, kind: EventKind) {
        let event = Event {
            at_ms: milliseconds(clock.now().wall),
            profile: profile.to_owned(),
            kind,
        };
        // Nobody listens: nobody is told.
        drop(self.sender.try_broadcast(event));
    }
}

#[cfg(test)]
mod tests {
    use vault_platform::clock::ManualClock;

    use super::*;

    #[test]
    fn who_listens_is_told_in_order_and_who_is_slow_misses_the_oldest() {
        let teller = Teller::default();
        let clock = ManualClock::new();
        teller.tell(&clock, "unheard", EventKind::LoggedIn);
        let mut events = teller.listen();
        for number in 0..KEPT + 2 {
            teller.tell(&clock, &number.to_string(), EventKind::Adopted);
        }
        let told: Vec<String> = std::iter::from_fn(|| events.try_next())
            .map(|event| event.profile)
            .collect();
        let wanted: Vec<String> = (2..KEPT + 2).map(|number| number.to_string()).collect();
        assert_eq!(told, wanted);
        drop(teller);
        assert_eq!(pollster::block_on(events.next()), None);
    }
}
