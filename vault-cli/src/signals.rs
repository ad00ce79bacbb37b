//! Signals wait for a refresh that is between send and commit.
//!
//! INT, TERM and HUP end the program, and TSTP stops it, as they would without
//! this; but first, for 15 s at most, what the server has answered is saved.
//! A second one of them does not wait.

/// Is run once before a signal ends the program.
type LastWork = Box<dyn FnOnce() + Send>;

#[cfg(unix)]
pub(crate) use unix::{before_the_end, install, obey};

#[cfg(not(unix))]
pub(crate) use elsewhere::{before_the_end, install, obey};

#[cfg(unix)]
mod unix {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, OnceLock, PoisonError};
    use std::time::Duration;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};
    use signal_hook::iterator::Signals;
    use signal_hook::{flag, low_level};

    use super::LastWork;

    /// Longer than a request may take that is not lost anyhow.
    const PATIENCE: Duration = Duration::from_secs(15);

    /// Whether a signal has come that is to end the program.
    static TOLD: OnceLock<Arc<AtomicBool>> = OnceLock::new();

    static LAST_WORK: Mutex<Option<LastWork>> = Mutex::new(None);

    /// Starts the thread that waits for signals.
    pub(crate) fn install() -> io::Result<()> {
        let told = TOLD.get_or_init(Arc::default);
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // In this order: the first signal finds the flag down and raises
            // it, the second finds it up.
            flag::register_conditional_default(signal, told.clone())?;
            flag::register(signal, told.clone())?;
        }
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGTSTP])?;
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    vault_core::exit::settle(PATIENCE);
                    if signal != SIGTSTP {
                        let work = LAST_WORK
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .take();
                        if let Some(work) = work {
                            work();
                        }
                    }
                    // Ends or stops the process; without effect it goes on.
                    low_level::emulate_default_handler(signal).ok();
                }
            })?;
        Ok(())
    }

    /// Lets a signal that has come meanwhile end the program, whose work is
    /// done: whoever sent it sees that it was heard.
    pub(crate) fn obey() {
        if TOLD.get().is_some_and(|told| told.load(Ordering::SeqCst)) {
            std::thread::park_timeout(PATIENCE);
        }
    }

    /// Sets what is still to be done if a signal ends the program.
    pub(crate) fn before_the_end(work: LastWork) {
        *LAST_WORK.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use super::LastWork;

    /// Does nothing here: normal exit waits by itself.
    #[expect(clippy::unnecessary_wraps, reason = "the same shape as on unix")]
    pub(crate) fn install() -> std::io::Result<()> {
        Ok(())
    }

    pub(crate) fn before_the_end(_work: LastWork) {}

    pub(crate) fn obey() {}
}
