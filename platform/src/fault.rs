//! Named points at which tests end, stop or hold up a process, and faults that
//! they put in on purpose: to make crashes and races happen instead of hoping
//! for them.
//!
//! Only with the feature `fault-points`, which no program that ships turns on.
//! Without it every point is empty and nothing here can be switched. With it a
//! point does nothing until code of a test arms it in its own process; neither
//! the environment nor a file can.

#[cfg(feature = "fault-points")]
pub use armed::{
    Action, FileEvent, StandIn, arm, inject, is_injected, observe_files, passed, point, record,
    stand_in,
};
#[cfg(feature = "fault-points")]
pub(crate) use armed::{file_event, file_point, stand_in_for};

/// Does not make the contents of files durable: their fsync is left out.
pub const SKIP_FILE_SYNC: &str = "skip-file-sync";

/// Takes each lock, also one that somebody else has.
pub const SKIP_LOCK: &str = "skip-lock";

/// Gives up at the first sharing violation (Windows): nothing is tried again
/// that another process's open file stands in the way of.
pub const SKIP_BUSY_RETRY: &str = "skip-busy-retry";

/// Has each process ask for what another is asking for at this moment.
pub const SKIP_HANDOVER: &str = "skip-handover";

/// Gives no file a second name, as Android and FAT don't (Unix).
pub const REFUSE_LINKS: &str = "refuse-links";

/// Does not make the names in folders durable: the folders' fsync is left out.
pub const SKIP_FOLDER_SYNC: &str = "skip-folder-sync";

/// Frees secret text as a plain `String` is freed.
pub const SKIP_WIPE: &str = "skip-wipe";

/// A place between two steps.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub const fn point(_name: &str) {}

#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub(crate) const fn file_point(_file: &str, _step: &str) {}

/// Whether this process has a fault.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
#[must_use]
pub const fn is_injected(_fault: &str) -> bool {
    false
}

#[cfg(feature = "fault-points")]
mod armed {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    use crate::store::{SecretStore, StoreError, StoreKind, StoreOptions};

    /// What happens at a point.
    #[derive(Clone)]
    #[non_exhaustive]
    pub enum Action {
        /// SIGKILL to the own process, or its like (`TerminateProcess`).
        Kill,
        /// SIGSTOP to the own process (nothing where there is none).
        Stop,
        /// The thread waits.
        Pause(Duration),
        /// The thread panics.
        Panic,
        /// Code of the test runs.
        Run(Arc<dyn Fn() + Send + Sync>),
    }

    impl std::fmt::Debug for Action {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str(match self {
                Self::Kill => "Kill",
                Self::Stop => "Stop",
                Self::Pause(_) => "Pause",
                Self::Panic => "Panic",
                Self::Run(_) => "Run",
            })
        }
    }

    /// Something that a state folder did to its files, for a test that keeps
    /// account of what a power failure would take away.
    #[derive(Clone, Copy, Debug)]
    #[non_exhaustive]
    pub enum FileEvent<'a> {
        /// A new file was created.
        Created(&'a Path),
        /// A file's contents were made durable.
        FileSynced(&'a Path),
        /// A folder's names were made durable.
        FolderSynced(&'a Path),
    }

    /// Makes a store that stands in for one that this machine has not.
    pub type StandIn = fn(&StoreOptions) -> Result<Arc<dyn SecretStore>, StoreError>;

    type Observer = Arc<dyn Fn(FileEvent<'_>) + Send + Sync>;

    #[derive(Default)]
    struct State {
        injected: Vec<String>,
        armed: Option<Armed>,
        passed: Option<Vec<String>>,
        observer: Option<Observer>,
        stand_ins: Vec<(StoreKind, StandIn)>,
    }

    struct Armed {
        point: String,
        left: usize,
        action: Action,
    }

    /// Spares the lock as long as nothing is switched on.
    static SWITCHED: AtomicBool = AtomicBool::new(false);
    static STATE: Mutex<Option<State>> = Mutex::new(None);

    fn state() -> MutexGuard<'static, Option<State>> {
        STATE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(change: impl FnOnce(&mut State)) {
        change(state().get_or_insert_default());
        SWITCHED.store(true, Ordering::Release);
    }

    fn is_switched() -> bool {
        SWITCHED.load(Ordering::Acquire)
    }

    /// Puts a fault into this process from now on.
    pub fn inject(fault: &str) {
        change(|state| state.injected.push(fault.to_owned()));
    }

    /// Whether this process has a fault.
    #[must_use]
    pub fn is_injected(fault: &str) -> bool {
        is_switched()
            && state()
                .as_ref()
                .is_some_and(|state| state.injected.iter().any(|name| name == fault))
    }

    /// Arms a point: at its `nth` passing from now on (1 is the next), the
    /// action is taken, once. One point is armed at a time.
    pub fn arm(point: &str, nth: usize, action: Action) {
        change(|state| {
            state.armed = Some(Armed {
                point: point.to_owned(),
                left: nth,
                action,
            });
        });
    }

    /// Begins to note the points that are passed.
    pub fn record() {
        change(|state| state.passed = Some(Vec::new()));
    }

    /// The points that were passed since [`record`], in order.
    #[must_use]
    pub fn passed() -> Vec<String> {
        let state = state();
        let passed = state.as_ref().and_then(|state| state.passed.clone());
        passed.unwrap_or_default()
    }

    /// Has the test told what state folders do to their files.
    pub fn observe_files(observer: impl Fn(FileEvent<'_>) + Send + Sync + 'static) {
        change(|state| state.observer = Some(Arc::new(observer)));
    }

    /// Has stores of this kind made by the test.
    pub fn stand_in(kind: StoreKind, make: StandIn) {
        change(|state| state.stand_ins.push((kind, make)));
    }

    pub(crate) fn stand_in_for(kind: StoreKind) -> Option<StandIn> {
        let state = state();
        let mut stand_ins = state.iter().flat_map(|state| &state.stand_ins);
        stand_ins.find(|(of, _)| *of == kind).map(|(_, make)| *make)
    }

    /// A place between two steps.
    ///
    /// # Panics
    ///
    /// Where it is armed with [`Action::Panic`].
    pub fn point(name: &str) {
        if !is_switched() {
            return;
        }
        if let Some(action) = armed_at(name) {
            act(&action, name);
        }
        // A point counts as passed when its action is over.
        if let Some(state) = state().as_mut()
            && let Some(passed) = &mut state.passed
        {
            passed.push(name.to_owned());
        }
    }

    /// A place between two steps that are done to a file of a state folder.
    /// Of its name counts what is the same for every login.
    pub(crate) fn file_point(file: &str, step: &str) {
        if is_switched() {
            let kind = match file.rsplit_once('.') {
                Some((_, "item")) => "item",
                Some((kind, _)) => kind,
                None => file,
            };
            point(&format!("file.{kind}:{step}"));
        }
    }

    pub(crate) fn file_event(event: FileEvent<'_>) {
        if is_switched() {
            let observer = state().as_ref().and_then(|state| state.observer.clone());
            if let Some(observer) = observer {
                observer(event);
            }
        }
    }

    fn armed_at(name: &str) -> Option<Action> {
        let mut state = state();
        let state = state.as_mut()?;
        let armed = state.armed.as_mut().filter(|armed| armed.point == name)?;
        armed.left = armed.left.saturating_sub(1);
        if armed.left > 0 {
            return None;
        }
        state.armed.take().map(|armed| armed.action)
    }

    fn act(action: &Action, name: &str) {
        match action {
            Action::Kill => kill(),
            Action::Stop => stop(),
            #[expect(
                clippy::disallowed_methods,
                reason = "a test wants this thread held up"
            )]
            Action::Pause(time) => std::thread::sleep(*time),
            Action::Panic => panic!("armed to panic at {name}"),
            Action::Run(code) => code(),
        }
    }

    #[cfg(unix)]
    fn kill() {
        use rustix::process::{Signal, getpid, kill_process};

        kill_process(getpid(), Signal::KILL).ok();
        // A signal to the own process arrives before `kill` returns, but to
        // some thread of it.
        loop {
            std::thread::park();
        }
    }

    #[cfg(windows)]
    fn kill() {
        crate::sys::terminate(9);
    }

    #[cfg(not(any(unix, windows)))]
    fn kill() {
        std::process::abort();
    }

    #[cfg(unix)]
    fn stop() {
        use rustix::process::{Signal, getpid, kill_process};

        kill_process(getpid(), Signal::STOP).ok();
        // Another thread may take the signal, and this one would run on until
        // it is told.
        act(&Action::Pause(Duration::from_millis(200)), "stop");
    }

    #[cfg(not(unix))]
    fn stop() {}
}
