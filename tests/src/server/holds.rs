//! Stops requests at a chosen point until a test lets them go.
//!
//! Races are made to happen: a test holds the token endpoint, waits until its processes have
//! arrived, does what it wants to happen *during* a refresh (a kill, a logout), and releases.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{Endpoint, Shared};

/// Where a request is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// It was read to its end and not acted on.
    Arrived,
    /// It was acted on, and nothing of the answer was sent.
    Answered,
}

/// Keeps requests stopped while it lives; dropping it lets them go.
#[derive(Debug)]
pub struct Hold {
    shared: Arc<Shared>,
    place: (Endpoint, Stage),
    gate: Arc<Gate>,
}

impl Hold {
    /// Blocks the calling thread until so many requests are stopped here; `false` if the time
    /// is over first.
    pub fn wait_for(&self, requests: usize, timeout: Duration) -> bool {
        let stopped = self.gate.stopped();
        let (stopped, _) = self
            .gate
            .changed
            .wait_timeout_while(stopped, timeout, |stopped| *stopped < requests)
            .unwrap_or_else(PoisonError::into_inner);
        *stopped >= requests
    }

    /// How many requests are stopped here.
    pub fn stopped(&self) -> usize {
        *self.gate.stopped()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.holds.close(self.place, &self.gate);
        self.gate.released.send_replace(true);
    }
}

#[derive(Debug, Default)]
struct Gate {
    stopped: Mutex<usize>,
    changed: Condvar,
    released: watch::Sender<bool>,
}

impl Gate {
    fn stopped(&self) -> MutexGuard<'_, usize> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places where requests are stopped now.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<HashMap<(Endpoint, Stage), Arc<Gate>>>);

impl Holds {
    /// Stops requests at a place; a second hold of the same place takes over the new ones.
    pub(super) fn open(shared: &Arc<Shared>, endpoint: Endpoint, stage: Stage) -> Hold {
        let gate = Arc::new(Gate::default());
        let place = (endpoint, stage);
        shared.holds.gates().insert(place, Arc::clone(&gate));
        Hold {
            shared: Arc::clone(shared),
            place,
            gate,
        }
    }

    /// Waits here if the place is held.
    pub(super) async fn pass(&self, endpoint: Endpoint, stage: Stage) {
        let Some(gate) = self.gates().get(&(endpoint, stage)).map(Arc::clone) else {
            return;
        };
        let mut released = gate.released.subscribe();
        *gate.stopped() += 1;
        gate.changed.notify_all();
        // An error means that the sender is gone, and we hold it: both are a release.
        let _: Result<_, _> = released.wait_for(|&released| released).await.map(drop);
        *gate.stopped() -= 1;
    }

    fn close(&self, place: (Endpoint, Stage), gate: &Arc<Gate>) {
        let mut gates = self.gates();
        if gates
            .get(&place)
            .is_some_and(|known| Arc::ptr_eq(known, gate))
        {
            gates.remove(&place);
        }
    }

    fn gates(&self) -> MutexGuard<'_, HashMap<(Endpoint, Stage), Arc<Gate>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
