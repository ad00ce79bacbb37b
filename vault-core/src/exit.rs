//! A process should not end between the sending of a refresh token and the
//! saving of the next one: normal exit waits for it, bounded, and lets no other
//! be sent.
//!
//! A program that is ended by a signal can do so too: [`end`] is what it calls
//! where it hears of one, and [`settle`] if it goes on afterwards. They take a
//! lock: a thread or a task may call them, the handler of `sigaction` may not.
//! Against SIGKILL nothing helps; there the mark tells the next process what
//! happened.

use std::sync::{Condvar, Mutex, MutexGuard, Once, OnceLock, PoisonError};
use std::time::Duration;

use vault_platform::exit::ForkMark;

/// Refreshes, from before their mark is written until nothing is left to save or
/// to take back.
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

/// How many things of which process.
#[derive(Debug)]
struct Count {
    process: Option<ForkMark>,
    things: usize,
    /// No further one begins.
    closed: bool,
}

impl Count {
    const fn of(process: Option<ForkMark>) -> Self {
        Self {
            process,
            things: 0,
            closed: false,
        }
    }

    /// The count of this process. A child of fork has the parent's memory and
    /// none of its threads, and does not end because the parent does.
    fn here(&mut self) -> &mut Self {
        let here = Some(ForkMark::here());
        if self.process != here {
            *self = Self::of(here);
        }
        self
    }
}

impl Going {
    const fn new() -> Self {
        Self {
            count: Mutex::new(Count::of(None)),
            ended: Condvar::new(),
        }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more, and tells whether it may begin: otherwise it is not
    /// counted.
    fn begin(&self) -> bool {
        let mut count = self.count();
        let count = count.here();
        if !count.closed {
            count.things += 1;
        }
        !count.closed
    }

    fn end(&self) {
        let mut count = self.count();
        let count = count.here();
        count.things = count.things.saturating_sub(1);
        self.ended.notify_all();
    }

    /// Lets nothing begin any more. What goes on may end.
    fn close(&self) {
        self.count().here().closed = true;
    }

    fn is_closed(&self) -> bool {
        self.count().here().closed
    }

    /// Waits until nothing goes on, and tells whether that was reached.
    fn wait(&self, deadline: Duration) -> bool {
        let going_on = |count: &mut Count| count.here().things > 0;
        let (mut count, _) = self
            .ended
            .wait_timeout_while(self.count(), deadline, going_on)
            .unwrap_or_else(PoisonError::into_inner);
        count.here().things == 0
    }
}

/// A token may be marked, or spent and its successor not saved, as long as this
/// lives.
#[derive(Debug)]
pub(crate) struct InFlight(());

impl InFlight {
    /// `None` once this process is ending.
    pub(crate) fn begin() -> Option<Self> {
        prepare();
        if !IN_FLIGHT.begin() {
            return None;
        }
        Some(Self(()))
    }

    /// Whether the token may still be sent. From the moment on that this is so,
    /// the end of the process waits for what comes of it.
    pub(crate) fn may_send(&self) -> bool {
        !IN_FLIGHT.is_closed()
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
    static EXIT_GUARD: Once = Once::new();
    // Before there is anything to wait for: what begins while the process ends
    // could come too late to be guarded.
    EXIT_GUARD.call_once(|| {
        if !vault_platform::exit::at_exit(wait_at_exit) {
            tracing::warn!("normal exit can't be made to wait for a refresh in flight");
        }
    });
    if let Some(preparation) = PREPARATION.get() {
        preparation();
    }
}

/// Waits until no refresh of this process is between send and commit, at most
/// for `deadline`. Returns whether that was reached. The next refresh may begin
/// at once: a program that ends calls [`end`].
pub fn settle(deadline: Duration) -> bool {
    IN_FLIGHT.wait(deadline)
}

/// From now on this process sends no refresh. Then waits as [`settle`] does, at
/// most for `deadline`, and returns whether the process may end: nothing is sent
/// and not saved, and no mark is left of what was not sent.
///
/// There is no way back: who asks for a token that would have to be refreshed is
/// told [`ErrorKind::Closed`](crate::ErrorKind::Closed). All else goes on, a login
/// that is to be saved, too, and so do other processes, a child of fork among
/// them. Normal exit does this by itself, for 30 s at most.
pub fn end(deadline: Duration) -> bool {
    IN_FLIGHT.close();
    settle(deadline)
}

/// Waits until nothing goes on behind the callers' backs, at most for
/// `deadline`: a new token is handed out before its copy is in the store, and
/// until then it is in memory. Returns whether that was reached.
pub fn rest(deadline: Duration) -> bool {
    AT_WORK.wait(deadline)
}

extern "C" fn wait_at_exit() {
    end(EXIT_DEADLINE);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn settling_waits_for_what_is_in_flight_and_no_longer() {
        let flight = InFlight::begin().unwrap();
        assert!(flight.may_send());
        assert!(!settle(Duration::from_millis(10)));
        let landing = std::thread::spawn(move || drop(flight));
        assert!(settle(Duration::from_secs(10)));
        landing.join().unwrap();
    }

    /// On a count of its own: there is no way back, and the other tests of this
    /// process refresh.
    #[test]
    fn at_the_end_what_goes_on_may_end_and_nothing_begins() {
        let going = Going::new();
        assert!(going.begin() && !going.is_closed());
        going.close();
        assert!(going.is_closed());
        assert!(!going.begin());
        assert!(!going.wait(Duration::from_millis(10)));
        // What was refused is not waited for.
        going.end();
        assert!(going.wait(Duration::ZERO));
        assert!(!going.begin());
        assert!(going.wait(Duration::ZERO));
    }

    #[test]
    fn the_end_of_another_process_is_not_this_ones() {
        let going = Going::new();
        assert!(going.begin());
        going.close();
        // So a child of fork finds it: the memory of another process.
        going.count().process = None;
        assert!(going.wait(Duration::ZERO));
        assert!(!going.is_closed());
        assert!(going.begin());
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
