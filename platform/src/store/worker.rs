//! A store's own thread.
//!
//! Stores block: on a bus, on a disk, on a person at a prompt. A call can't be
//! taken back, either: a write that "timed out" may land minutes later. So each
//! store has one thread that makes its calls one after the other, and a caller
//! waits for an answer as long as it likes. Whoever gives up is told
//! [`StoreErrorKind::Hung`]; the call goes on, and later ones queue behind it.
//!
//! The thread starts at the first call and ends with the last clone of the
//! worker. In a forked child a new one is started. A process that asks once and
//! ends needs none, if its store keeps deadlines itself
//! ([`StoreWorker::call_here_within`]).

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{SecretStore, StoreError, StoreErrorKind};
use crate::exit::ForkMark;
use crate::fault;
use crate::secret::{THREAD_STACK, wipe_stack};

type Job = Box<dyn FnOnce(&dyn SecretStore) + Send>;

/// A store and the thread that calls it; clones share both.
#[derive(Clone)]
pub struct StoreWorker(Arc<Shared>);

struct Shared {
    store: Arc<dyn SecretStore>,
    thread: Mutex<Option<(ForkMark, Sender<Job>)>>,
    /// Held by a caller that calls the store itself.
    here: Mutex<()>,
}

impl StoreWorker {
    /// Takes a store over; starts nothing yet.
    #[must_use]
    pub fn new(store: Arc<dyn SecretStore>) -> Self {
        Self(Arc::new(Shared {
            store,
            thread: Mutex::new(None),
            here: Mutex::new(()),
        }))
    }

    /// Gives the store itself, for calls that don't block.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn SecretStore> {
        &self.0.store
    }

    /// Calls the store and blocks for at most `deadline`.
    ///
    /// # Errors
    ///
    /// What the call returns; [`StoreErrorKind::Hung`] when the deadline has
    /// passed, and the call may still happen; [`StoreErrorKind::Failed`] when
    /// it panicked.
    pub fn call_within<T: Send + 'static>(
        &self,
        deadline: Duration,
        operation: &'static str,
        call: impl FnOnce(&dyn SecretStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.submit(Box::new(move |store| {
            let called = call(store);
            wipe_stack();
            // Nobody listens any more when the caller gave up.
            answer.send(called).ok();
        }))?;
        match answered.recv_timeout(deadline) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(self.error(StoreErrorKind::Hung, operation)),
            Err(RecvTimeoutError::Disconnected) => Err(self
                .error(StoreErrorKind::Failed, operation)
                .because(PANICKED)),
        }
    }

    /// The same, on the caller's thread where the store
    /// [keeps deadlines](SecretStore::keeps_deadlines) itself and nobody else is
    /// calling it. That ends by the store's deadlines, and not at `deadline`.
    ///
    /// # Errors
    ///
    /// As of [`StoreWorker::call_within`].
    pub fn call_here_within<T: Send + 'static>(
        &self,
        deadline: Duration,
        operation: &'static str,
        call: impl FnOnce(&dyn SecretStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.0.store.keeps_deadlines()
            && !self.has_thread()
            && let Ok(_turn) = self.0.here.try_lock()
        {
            let called = guarded(&*self.0.store, call);
            wipe_stack();
            return called.unwrap_or_else(|| {
                let failed = self.error(StoreErrorKind::Failed, operation);
                Err(failed.because(PANICKED))
            });
        }
        self.call_within(deadline, operation, call)
    }

    /// Calls the store and resolves when it has answered, however long that
    /// takes. Runs on any runtime. The call is made even if the future is
    /// dropped.
    ///
    /// # Errors
    ///
    /// What the call returns; [`StoreErrorKind::Failed`] when it panicked.
    pub fn call<T, F>(
        &self,
        call: F,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: FnOnce(&dyn SecretStore) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let submitted = self.submit(Box::new(move |store| {
            let called = call(store);
            wipe_stack();
            // Nobody listens any more when the future was dropped.
            answer.send(called).ok();
        }));
        let failed = self.error(StoreErrorKind::Failed, "call");
        async move {
            submitted?;
            match answered.await {
                Ok(result) => result,
                Err(_) => Err(failed.because(PANICKED)),
            }
        }
    }

    fn has_thread(&self) -> bool {
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|(mark, _)| mark.is_here())
    }

    fn submit(&self, job: Job) -> Result<(), StoreError> {
        let mut thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let job = match thread.as_ref() {
            Some((mark, jobs)) if mark.is_here() => match jobs.send(job) {
                Ok(()) => return Ok(()),
                Err(mpsc::SendError(job)) => job,
            },
            _ => job,
        };
        let jobs = self.start()?;
        // The new thread holds the other end.
        jobs.send(job).ok();
        *thread = Some((ForkMark::here(), jobs));
        Ok(())
    }

    fn start(&self) -> Result<Sender<Job>, StoreError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let store = Arc::clone(&self.0.store);
        std::thread::Builder::new()
            .name("vault-store".to_owned())
            .stack_size(THREAD_STACK)
            .spawn(move || {
                for job in queue {
                    // A panic ends the call (its answer's channel closes), not
                    // the thread: what is queued behind it is still called.
                    guarded(&*store, job);
                }
            })
            .map_err(|error| self.error(StoreErrorKind::Failed, "start").because(error))?;
        Ok(jobs)
    }

    fn error(&self, kind: StoreErrorKind, operation: &'static str) -> StoreError {
        StoreError::new(kind, self.0.store.kind(), operation)
    }
}

const PANICKED: &str = "the store panicked";

/// Makes a call; nothing if it panicked. What it left on the stack can be wiped
/// then.
#[inline(never)]
fn guarded<T>(store: &dyn SecretStore, call: impl FnOnce(&dyn SecretStore) -> T) -> Option<T> {
    let call = || {
        fault::point("store:called");
        call(store)
    };
    let called = catch_unwind(AssertUnwindSafe(call));
    if called.is_err() {
        tracing::error!(store = %store.kind(), "a store panicked");
    }
    called.ok()
}

impl fmt::Debug for StoreWorker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("StoreWorker")
            .field(&self.0.store)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::super::encrypted_file::EncryptedFileStore;
    use super::super::memory::MemoryStore;
    use super::super::{ItemName, KeySource, StoreKind, StoreOptions};
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn worker() -> StoreWorker {
        StoreWorker::new(Arc::new(MemoryStore::new()))
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        loop {
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
                return result;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn calls_run_on_one_thread_that_is_not_the_callers() {
        let worker = worker();
        let id = |_: &dyn SecretStore| Ok(std::thread::current().id());
        let first = worker.call_within(LONG, "get", id).expect("answers");
        let second = wait(worker.clone().call(id)).expect("answers");
        assert_eq!(first, second);
        assert_ne!(first, std::thread::current().id());
    }

    #[test]
    fn a_store_that_keeps_deadlines_is_called_on_a_callers_thread_while_it_has_none_of_its_own() {
        let (here, worker) = (std::thread::current().id(), worker());
        let id = |_: &dyn SecretStore| Ok(std::thread::current().id());
        for _ in 0..2 {
            assert_eq!(
                worker.call_here_within(LONG, "get", id).expect("ends"),
                here
            );
        }
        // Whoever asks while another one is asking has a deadline.
        let inner = worker.clone();
        let nested = worker.call_here_within(LONG, "get", move |_| {
            inner.call_here_within(LONG, "get", id)
        });
        let there = nested.expect("ends");
        assert_ne!(there, here);
        // From then on the calls are made one after the other, on that thread.
        let next = worker.call_here_within(LONG, "get", id);
        assert_eq!(next.expect("ends"), there);
    }

    #[test]
    fn a_store_that_may_wait_without_end_is_never_called_on_a_callers_thread() {
        let options = StoreOptions {
            state_root: Some("nowhere".into()),
            key: Some(KeySource::KeyFile("nowhere".into())),
            ..StoreOptions::default()
        };
        let store = EncryptedFileStore::new(&options).expect("opens nothing yet");
        let worker = StoreWorker::new(Arc::new(store));
        let id = |_: &dyn SecretStore| Ok(std::thread::current().id());
        let there = worker.call_here_within(LONG, "get", id).expect("ends");
        assert_ne!(there, std::thread::current().id());
    }

    #[test]
    fn a_call_past_its_deadline_is_hung_and_still_happens() {
        let worker = worker();
        let item = ItemName::new("app", "account").expect("valid");
        let (go, gate) = mpsc::channel::<()>();
        let written = item.clone();
        let hung = worker.call_within(Duration::from_millis(20), "set", move |store| {
            gate.recv().expect("let go");
            store.set(&written, &b"late".to_vec().into())
        });
        let error = hung.expect_err("hung");
        assert_eq!(error.kind, StoreErrorKind::Hung);
        assert_eq!(error.operation, "set");
        assert_eq!(error.store, StoreKind::Memory);
        go.send(()).expect("the call waits");
        let found = worker
            .call_within(LONG, "get", move |store| store.get(&item))
            .expect("answers");
        assert_eq!(found[0].expose(), b"late");
    }

    #[test]
    fn a_panic_is_an_error_and_the_next_call_works() {
        let worker = worker();
        let panicked: Result<(), _> = worker.call_within(LONG, "get", |_| panic!("a bug"));
        assert_eq!(panicked.expect_err("fails").kind, StoreErrorKind::Failed);
        let panicked: Result<(), _> = worker.call_here_within(LONG, "get", |_| panic!("a bug"));
        assert_eq!(panicked.expect_err("fails").kind, StoreErrorKind::Failed);
        assert!(worker.call_here_within(LONG, "get", |_| Ok(())).is_ok());
        let panicked: Result<(), _> = wait(worker.call(|_| panic!("a bug")));
        assert_eq!(panicked.expect_err("fails").kind, StoreErrorKind::Failed);
        assert!(worker.call_within(LONG, "get", |_| Ok(())).is_ok());
    }

    #[test]
    fn a_call_is_made_even_if_its_future_is_dropped() {
        let worker = worker();
        let item = ItemName::new("app", "account").expect("valid");
        let written = item.clone();
        drop(worker.call(move |store| store.set(&written, &b"kept".to_vec().into())));
        let found = wait(worker.call(move |store| store.get(&item))).expect("answers");
        assert_eq!(found.len(), 1);
    }
}
