//! The refresher's own thread, with its own runtime: a rotation is not torn
//! apart by a caller that gives up, nor by a runtime that goes down, and the
//! API works from any runtime and from none. It starts at the first need.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use vault_platform::secret::{THREAD_STACK, wipe_thread_stack};

use crate::error::{Error, ErrorKind, Result};
use crate::exit::AtWork;
use crate::login::Caller;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The thread, once it runs.
#[derive(Debug, Default)]
pub(crate) struct Refresher {
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    work: mpsc::UnboundedSender<Work>,
    /// A child of fork has the memory of the thread, not the thread.
    process: u32,
}

impl Refresher {
    /// Runs work on the thread, detached from the caller.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let process = vault_platform::exit::process_id();
        let usable = running
            .as_ref()
            .is_some_and(|running| running.process == process && !running.work.is_closed());
        if !usable {
            *running = Some(Running {
                work: start()?,
                process,
            });
        }
        let closed = || Error::new(ErrorKind::Closed, "the refresher has ended");
        let running = running.as_ref().ok_or_else(closed)?;
        let at_work = AtWork::begin();
        let work = async move {
            work.await;
            // What was computed with secrets is still on this thread's stack.
            wipe_thread_stack();
            drop(at_work);
        };
        running.work.send(Box::pin(work)).map_err(|_| closed())
    }

    /// Runs work on the thread and waits for what comes of it. The work goes
    /// on if the caller does not wait.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.spawn(async move {
            let done = work.await;
            wipe_thread_stack();
            drop(reply.send(done));
        })?;
        answer.await.unwrap_or_else(|_| Err(panicked()))
    }
}

/// The error of a caller whose work ended without an answer.
pub(crate) fn panicked() -> Error {
    Error::new(
        ErrorKind::Internal,
        "the refresher failed in the middle of its work",
    )
}

/// Runs work that calls back into the application, on a thread of its own: a
/// callback may take as long as a person does, and may ask for a token itself.
/// On the refresher's thread it would hold up every other refresh, and wait
/// for itself. Whether the work goes on if the caller does not wait is its own
/// decision.
pub(crate) async fn run_aside<T: Send + 'static, W>(
    work: impl FnOnce(Caller) -> W + Send + 'static,
) -> Result<T>
where
    W: Future<Output = Result<T>> + Send + 'static,
{
    let runtime = runtime()?;
    let (_presence, caller) = Caller::who_waits();
    let (reply, answer) = oneshot::channel();
    let at_work = AtWork::begin();
    std::thread::Builder::new()
        .name("vault-login".to_owned())
        .stack_size(THREAD_STACK)
        .spawn(move || {
            let done = runtime.block_on(work(caller));
            drop(runtime);
            wipe_thread_stack();
            drop((reply.send(done), at_work));
        })
        .map_err(not_started)?;
    answer.await.unwrap_or_else(|_| Err(panicked()))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(not_started)
}

fn not_started(error: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Internal,
        "a thread of the vault can't be started",
    )
    .because(error)
}

fn start() -> Result<mpsc::UnboundedSender<Work>> {
    let runtime = runtime()?;
    let (sender, mut receiver) = mpsc::unbounded_channel::<Work>();
    std::thread::Builder::new()
        .name("vault-refresher".to_owned())
        .stack_size(THREAD_STACK)
        .spawn(move || {
            runtime.block_on(async move {
                let mut tasks = tokio::task::JoinSet::new();
                loop {
                    tokio::select! {
                        work = receiver.recv() => match work {
                            Some(work) => { tasks.spawn(work); }
                            None => break,
                        },
                        // A task that panicked has dropped its reply and its
                        // lock; the others go on.
                        Some(_ended) = tasks.join_next() => wipe_thread_stack(),
                    }
                }
                while tasks.join_next().await.is_some() {}
            });
        })
        .map_err(not_started)?;
    Ok(sender)
}
