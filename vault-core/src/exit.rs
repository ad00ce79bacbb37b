//! A process should not end between the sending of a refresh token and the
//! saving of the next one: normal exit waits for it, bounded.
//!
//! A program that is ended by a signal can wait too: [`settle`] is what it
//! calls where it hears of one. It takes a lock: a thread or a task may call
//! it, the handler of `sigaction` may not. Against SIGKILL nothing helps; there the mark tells the next
//! process what happened.

use std::sync::{Condvar, Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::time::Duration;

use vault_platform::exit::ForkMark;

/// Refreshes between send and commit.
static IN_FLIGHT: Going = Going::new();
/// Everything that the vault's own threads do.
static AT_WORK: Going = Going::new();

/// What is to be done before the first of them.
static PREPARATION: OnceLock<fn()> = OnceLock::new();

/// How long normal exit waits: longer than a request may take, if its vault
/// was not told otherwise, and its commit.
const EXIT_DEADLINE: Duration = Duration::from_secs(30);

/// Things that go on in this process.
struct Going {
    count: Mutex<Count>,
    ended: Condvar,
}

/// How many things of which process. A child of fork has the parent's memory
/// and none of its threads.
#[derive(Debug)]
struct Count {
    process: Option<ForkMark>,
    things: usize,
}

impl Count {
    /// The count of this process.
    fn here(&mut self) -> &mut usize {
        let here = Some(ForkMark::here());
        if self.process != here {
            self.process = here;
            self.things = 0;
        }
        &mut self.things
    }
}

impl Going {
    const fn new() -> Self {
        let count = Count {
            process: None,
            things: 0,
        };
        Self {
            count: Mutex::new(count),
            ended: Condvar::new(),
        }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        *self.count().here() += 1;
    }

    fn end(&self) {
        let mut count = self.count();
        let things = count.here();
        *things = things.saturating_sub(1);
        self.ended.notify_all();
    }

    /// Waits until nothing goes on, and tells whether that was reached.
    fn wait(&self, deadline: Duration) -> bool {
        let going_on = |count: &mut Count| *count.here() > 0;
        let (mut count, _) = self
            .ended
            .wait_timeout_while(self.count(), deadline, going_on)
            .unwrap_or_else(PoisonError::into_inner);
        *count.here() == 0
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
        prepare();
        IN_FLIGHT.begin();
        Self(())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        IN_FLIGHT.end();
    }
}

/// A thread of the vault is at work, as long as this lives.
#[derive(Debug)]
pub(crate) struct AtWork(());

impl AtWork {
    pub(crate) fn begin() -> Self {
        prepare();
        AT_WORK.begin();
        Self(())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.end();
    }
}

/// Has this called before the vault begins what [`settle`] or [`rest`] would
/// wait for: once for each, on any thread. A program that handles signals only
/// to wait for that can begin to handle them then. The first that is set stays.
pub fn before_work(preparation: fn()) {
    PREPARATION.set(preparation).ok();
}

fn prepare() {
    if let Some(preparation) = PREPARATION.get() {
        preparation();
    }
}

/// Waits until no refresh of this process is between send and commit, at most
/// for `deadline`. Returns whether that was reached.
pub fn settle(deadline: Duration) -> bool {
    IN_FLIGHT.wait(deadline)
}

/// Waits until nothing goes on behind the callers' backs, at most for
/// `deadline`: a new token is handed out before its copy is in the store, and
/// until then it is in memory. Returns whether that was reached.
pub fn rest(deadline: Duration) -> bool {
    AT_WORK.wait(deadline)
}

extern "C" fn wait_at_exit() {
    settle(EXIT_DEADLINE);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn settling_waits_for_what_is_in_flight_and_no_longer() {
        let flight = InFlight::begin();
        assert!(!settle(Duration::from_millis(10)));
        let landing = std::thread::spawn(move || drop(flight));
        assert!(settle(Duration::from_secs(10)));
        landing.join().unwrap();
    }

    #[test]
    fn whoever_wants_to_prepare_is_told_before_each_work() {
        static TOLD: AtomicUsize = AtomicUsize::new(0);
        before_work(|| {
            TOLD.fetch_add(1, Ordering::SeqCst);
        });
        drop(InFlight::begin());
        let flights = TOLD.load(Ordering::SeqCst);
        assert!(flights > 0);
        drop(AtWork::begin());
        assert!(TOLD.load(Ordering::SeqCst) > flights);
    }

    #[test]
    fn rest_comes_when_the_last_work_has_ended() {
        let (one, other) = (AtWork::begin(), AtWork::begin());
        drop(one);
        assert!(!rest(Duration::from_millis(10)));
        let ending = std::thread::spawn(move || drop(other));
        assert!(rest(Duration::from_secs(10)));
        ending.join().unwrap();
    }
}
