//! Signals wait for a refresh that is between send and commit.
//!
//! INT, TERM and HUP end the program, and TSTP stops it, as they would without
//! this; but first, for 15 s at most, what the server has answered is saved.
//! A second one of them does not wait. On Windows the same holds for Ctrl-C,
//! Ctrl-Break, the closing of the console (where Windows waits for 5 s), logoff
//! and shutdown.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Is run once before a signal ends the program.
type LastWork = Box<dyn FnOnce() + Send>;

#[cfg(unix)]
pub(crate) use unix::{install, obey};

#[cfg(windows)]
pub(crate) use windows::{install, obey};

/// Longer than a request may take that is not lost anyhow.
const PATIENCE: Duration = Duration::from_secs(15);

static LAST_WORK: Mutex<Option<LastWork>> = Mutex::new(None);

/// Sets what is still to be done if a signal ends the program.
pub(crate) fn before_the_end(work: LastWork) {
    *LAST_WORK.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
}

fn do_last_work() {
    let work = LAST_WORK
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(work) = work {
        work();
    }
}

#[cfg(unix)]
mod unix {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, OnceLock};

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};
    use signal_hook::iterator::Signals;
    use signal_hook::{flag, low_level};

    use super::{PATIENCE, do_last_work};

    /// Whether a signal has come that is to end the program.
    static TOLD: OnceLock<Arc<AtomicBool>> = OnceLock::new();

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
                        do_last_work();
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
}

#[cfg(windows)]
mod windows {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::signal::windows::{self, CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown};
    use vault_core::platform::exit::end_at_once;

    use super::{PATIENCE, do_last_work};

    /// STATUS_CONTROL_C_EXIT, as without a handler.
    const ENDED: u32 = 0xC000_013A;

    /// Whether an event has come that is to end the program.
    static TOLD: AtomicBool = AtomicBool::new(false);

    struct Events {
        c: CtrlC,
        r#break: CtrlBreak,
        close: CtrlClose,
        logoff: CtrlLogoff,
        shutdown: CtrlShutdown,
    }

    impl Events {
        fn new() -> io::Result<Self> {
            Ok(Self {
                c: windows::ctrl_c()?,
                r#break: windows::ctrl_break()?,
                close: windows::ctrl_close()?,
                logoff: windows::ctrl_logoff()?,
                shutdown: windows::ctrl_shutdown()?,
            })
        }

        async fn next(&mut self) {
            tokio::select! {
                _ = self.c.recv() => {}
                _ = self.r#break.recv() => {}
                _ = self.close.recv() => {}
                _ = self.logoff.recv() => {}
                _ = self.shutdown.recv() => {}
            }
        }
    }

    /// Starts the thread that waits for events.
    pub(crate) fn install() -> io::Result<()> {
        let mut events = Events::new()?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    events.next().await;
                    TOLD.store(true, Ordering::SeqCst);
                    let ending = std::thread::Builder::new().spawn(|| {
                        vault_core::exit::settle(PATIENCE);
                        do_last_work();
                        end_at_once(ENDED)
                    });
                    if ending.is_ok() {
                        events.next().await;
                    }
                    end_at_once(ENDED)
                })
            })?;
        Ok(())
    }

    /// Lets an event that has come meanwhile end the program, whose work is
    /// done: whoever caused it sees that it was heard.
    pub(crate) fn obey() {
        if TOLD.load(Ordering::SeqCst) {
            std::thread::park_timeout(PATIENCE);
        }
    }
}
