//! Bounds a call in which the `secret-service` crate may show a prompt: it waits
//! for the prompt's end, and without end if the service dies meanwhile.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use super::bus::{Bus, BusError, NAME};
use super::prompt::gone;
use crate::store::StoreErrorKind;

/// How often the service is looked after.
const LOOK: Duration = Duration::from_millis(200);

impl Bus {
    /// Makes a call that ends when the service goes away, or when a prompt that
    /// it shows is not answered for so long. Then the connection is closed, which
    /// ends the crate's wait; services take back what they ask for a client that
    /// is gone. Whether the call still takes effect is not known.
    pub(super) fn watched<T>(
        &self,
        patience: Duration,
        call: impl FnOnce() -> Result<T, BusError>,
    ) -> Result<T, BusError> {
        let service = self.owner()?;
        let (done, until) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let watcher = std::thread::Builder::new()
                .name("vault-watch".to_owned())
                .spawn_scoped(scope, move || self.watch(&service, patience, &until))
                .map_err(|error| BusError::new(StoreErrorKind::Failed, error))?;
            let result = call();
            drop(done);
            match (result, watcher.join()) {
                // What the crate says is only that the connection is closed.
                (Err(_), Ok(Some(why))) => Err(why),
                (result, _) => result,
            }
        })
    }

    /// Closes the connection when it is time, and says why.
    fn watch(&self, service: &str, patience: Duration, until: &Receiver<()>) -> Option<BusError> {
        let mut left = patience;
        loop {
            let pause = LOOK.min(left);
            match until.recv_timeout(pause) {
                Err(RecvTimeoutError::Timeout) => left -= pause,
                _ => return None,
            }
            let why = if !self.owner().is_ok_and(|owner| owner == service) {
                gone()
            } else if left.is_zero() {
                BusError::new(
                    StoreErrorKind::Hung,
                    format!("nobody answered its prompt within {patience:?}"),
                )
            } else {
                continue;
            };
            self.0.clone().close().ok();
            return Some(why);
        }
    }

    /// Who has the service's name at this moment.
    fn owner(&self) -> Result<String, BusError> {
        self.ask_bus("GetNameOwner", &(NAME,))
    }
}
