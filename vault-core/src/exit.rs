//! A process should not end between the sending of a refresh token and the
//! saving of the next one: normal exit waits for it, bounded.
//!
//! A program that is ended by a signal can wait too: [`settle`] is what its
//! handler calls. Against SIGKILL nothing helps; there the mark tells the next
//! process what happened.

use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::time::Duration;

use vault_platform::exit::ForkMark;

static IN_FLIGHT: Mutex<Count> = Mutex::new(Count {
    process: None,
    refreshes: 0,
});
static LANDED: Condvar = Condvar::new();

/// How long normal exit waits: longer than a request may take.
const EXIT_DEADLINE: Duration = Duration::from_secs(20);

/// How many refreshes of which process. A child of fork has the parent's
/// memory and none of its refreshes.
#[derive(Debug)]
struct Count {
    process: Option<ForkMark>,
    refreshes: usize,
}

impl Count {
    /// The count of this process.
    fn here(&mut self) -> &mut usize {
        let here = Some(ForkMark::here());
        if self.process != here {
            self.process = here;
            self.refreshes = 0;
        }
        &mut self.refreshes
    }
}

/// A token is spent and its successor not saved, as long as this lives.
#[derive(Debug)]
pub(crate) struct InFlight(());

impl InFlight {
    pub(crate) fn begin() -> Self {
        static EXIT_GUARD: Once = Once::new();
        EXIT_GUARD.call_once(|| {
            if !vault_platform::exit::at_exit(wait_at_exit) {
                tracing::warn!("normal exit can't be made to wait for a refresh in flight");
            }
        });
        let mut in_flight = IN_FLIGHT.lock().unwrap_or_else(PoisonError::into_inner);
        *in_flight.here() += 1;
        Self(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut in_flight = IN_FLIGHT.lock().unwrap_or_else(PoisonError::into_inner);
        let refreshes = in_flight.here();
        *refreshes = refreshes.saturating_sub(1);
        LANDED.notify_all();
    }
}

/// Waits until no refresh of this process is between send and commit, at most
/// for `deadline`. Returns whether that was reached.
pub fn settle(deadline: Duration) -> bool {
    let in_flight = IN_FLIGHT.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut in_flight, _) = LANDED
        .wait_timeout_while(in_flight, deadline, |count| *count.here() > 0)
        .unwrap_or_else(PoisonError::into_inner);
    *in_flight.here() == 0
}

extern "C" fn wait_at_exit() {
    settle(EXIT_DEADLINE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settling_waits_for_what_is_in_flight_and_no_longer() {
        let flight = InFlight::begin();
        assert!(!settle(Duration::from_millis(10)));
        let landing = std::thread::spawn(move || drop(flight));
        assert!(settle(Duration::from_secs(10)));
        landing.join().unwrap();
    }
}
