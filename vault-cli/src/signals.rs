//! Signals wait for a refresh that is between send and commit, and those that
//! end the program let no other begin.
//!
//! Nothing is set up before there is something to wait for: until then they do
//! what they do to any program, and most calls never come to that.
//!
//! INT, TERM and HUP end the program, and TSTP stops it, as they would without
//! this; but first, for 15 s at most, what the server has answered is saved.
//! A second one of them does not wait. On Windows the same holds for Ctrl-C,
//! Ctrl-Break, the closing of the console (where Windows waits for 5 s), logoff
//! and shutdown.
//!
//! While `exec` waits for its command, signals are the command's. On Unix they are
//! this program's again once that has ended, and what a command may hear beside
//! INT, TERM and HUP ends it as these do.

use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

/// Is run once before a signal ends the program.
type LastWork = Box<dyn FnOnce() + Send>;

#[cfg(unix)]
use unix::install;
#[cfg(unix)]
pub(crate) use unix::{
    are_for_the_command, are_for_this_program, end_by, obey, stop_until_continued,
};

#[cfg(windows)]
use windows::install;
#[cfg(windows)]
pub(crate) use windows::{are_for_the_command, obey};

/// Longer than a request may take that is not lost anyhow.
const PATIENCE: Duration = Duration::from_secs(15);

/// For the copy in the store of a token that is saved.
#[cfg(unix)]
const REST: Duration = Duration::from_secs(1);

static LAST_WORK: Mutex<Option<LastWork>> = Mutex::new(None);

/// From now on signals wait.
pub(crate) fn heed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(error) = install() {
            tracing::warn!(%error, "signals will not wait for a refresh");
        }
    });
}

/// Sets what is still to be done if a signal ends the program.
pub(crate) fn before_the_end(work: LastWork) {
    heed();
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
    use std::fs::File;
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
    use std::time::Duration;

    use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process};
    use rustix::termios::tcgetpgrp;
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2};
    use signal_hook::iterator::SignalsInfo;
    use signal_hook::iterator::exfiltrator::WithRawSiginfo;
    use signal_hook::{SigId, flag, low_level};
    use vault_core::platform::clock::{Clock, SystemClock};
    use vault_core::platform::exit::is_ignored;

    use super::{PATIENCE, REST, do_last_work, heed};

    /// How long after a stop its signal may still be heard.
    const LATENESS: Duration = Duration::from_secs(1);

    /// Whether a signal has come that is to end the program.
    static TOLD: OnceLock<Arc<AtomicBool>> = OnceLock::new();

    /// What makes [`TOLD`] true, and the second signal end the program at once.
    static FLAGS: Mutex<Vec<SigId>> = Mutex::new(Vec::new());

    /// What ends this program, once what is under way is saved.
    const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

    /// What a command may hear, too.
    const OF_A_COMMAND: [i32; 3] = [SIGQUIT, SIGUSR1, SIGUSR2];

    /// A signal that has come.
    #[derive(Clone, Copy, Debug)]
    struct Heard {
        signal: i32,
        /// Whether it is known that a process has sent it.
        by_a_process: bool,
    }

    /// Whose signals these are.
    #[derive(Clone, Copy, Debug)]
    enum Meant {
        ThisProgram,
        /// A command's that is about to be started.
        Coming,
        Command(Pid),
        /// A command's that has ended.
        Nobody,
    }

    static MEANT: (Mutex<Meant>, Condvar) = (Mutex::new(Meant::ThisProgram), Condvar::new());

    /// Starts the thread that waits for signals.
    pub(super) fn install() -> io::Result<()> {
        end_at_the_second(&ENDING)?;
        let signals = [&ENDING[..], &[SIGTSTP]].concat();
        hear(&signals, pass_or_act)
    }

    /// One that whoever started this program has ignored stays so.
    fn heeded(signals: &[i32]) -> impl Iterator<Item = i32> {
        signals
            .iter()
            .copied()
            .filter(|signal| !is_ignored(*signal))
    }

    /// Has the first of these make [`TOLD`] true, and the second end the program
    /// at once.
    fn end_at_the_second(signals: &[i32]) -> io::Result<()> {
        let told = TOLD.get_or_init(Arc::default);
        for signal in heeded(signals) {
            // In this order: the first signal finds the flag down and raises
            // it, the second finds it up.
            let flags = [
                flag::register_conditional_default(signal, told.clone())?,
                flag::register(signal, told.clone())?,
            ];
            FLAGS
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(flags);
        }
        Ok(())
    }

    /// Starts a thread that waits for these, from now on.
    fn hear(signals: &[i32], heard: impl Fn(Heard) + Send + 'static) -> io::Result<()> {
        let mut signals = SignalsInfo::<WithRawSiginfo>::new(heeded(signals))?;
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for told in signals.forever() {
                    heard(Heard {
                        signal: told.si_signo,
                        // The kernel's own have codes above 0. Other systems say
                        // less.
                        by_a_process: cfg!(any(target_os = "linux", target_os = "android"))
                            && told.si_code <= 0,
                    });
                }
            })?;
        Ok(())
    }

    fn pass_or_act(heard: Heard) {
        match meant() {
            Meant::Command(command) => pass(heard, command),
            Meant::ThisProgram => act(heard.signal),
            Meant::Coming | Meant::Nobody => {}
        }
    }

    /// Does what the signal does to any program, when what is under way is saved.
    fn act(signal: i32) {
        if signal == SIGTSTP {
            // When it goes on, it refreshes as before.
            vault_core::exit::settle(PATIENCE);
        } else {
            vault_core::exit::end(PATIENCE);
            do_last_work();
            vault_core::exit::rest(REST);
        }
        // Ends or stops the process; without effect it goes on.
        low_level::emulate_default_handler(signal).ok();
    }

    /// Whose signals these are, as soon as that is known.
    fn meant() -> Meant {
        let meant = MEANT.0.lock().unwrap_or_else(PoisonError::into_inner);
        *MEANT
            .1
            .wait_while(meant, |meant| matches!(meant, Meant::Coming))
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn mean(meant: Meant) {
        *MEANT.0.lock().unwrap_or_else(PoisonError::into_inner) = meant;
        MEANT.1.notify_all();
    }

    /// From now on signals are for the command that `start` starts: it decides
    /// whether to end, and this program waits for it.
    pub(crate) fn are_for_the_command(start: impl FnOnce() -> io::Result<Pid>) -> io::Result<Pid> {
        heed();
        mean(Meant::Coming);
        if is_told() {
            // It came before the command: there will be none.
            mean(Meant::ThisProgram);
            obey();
            mean(Meant::Coming);
        }
        let flags = std::mem::take(&mut *FLAGS.lock().unwrap_or_else(PoisonError::into_inner));
        for flag in flags {
            low_level::unregister(flag);
        }
        if let Some(told) = TOLD.get() {
            told.store(false, Ordering::SeqCst);
        }
        let started = hear(&OF_A_COMMAND, pass_or_act).and_then(|()| start());
        match &started {
            Ok(command) => mean(Meant::Command(*command)),
            Err(_) => {
                mean(Meant::ThisProgram);
                end_at_the_second(&ENDING).ok();
            }
        }
        started
    }

    /// From now on signals are for this program again: the command has ended, and
    /// once it was waited for its id may be another process's.
    pub(crate) fn are_for_this_program() {
        // By a thread of its own. The others may still be about to pass on what
        // came before: a Ctrl-C that was the command's does not end the program.
        let ending = [ENDING, OF_A_COMMAND].concat();
        let signals = [&ending[..], &[SIGTSTP]].concat();
        mean(match hear(&signals, |heard| act(heard.signal)) {
            Ok(()) => Meant::Nobody,
            Err(_) => Meant::ThisProgram,
        });
        end_at_the_second(&ending).ok();
    }

    /// A stop that the terminal sent may be heard only when this program goes on,
    /// and then it would look like one that somebody sends from elsewhere: until
    /// when it counts as the terminal's, on the clock since boot.
    static LATE: Mutex<Duration> = Mutex::new(Duration::ZERO);

    /// Stops this program, whose command has stopped, until somebody has it go on.
    pub(crate) fn stop_until_continued() {
        let late = |until| *LATE.lock().unwrap_or_else(PoisonError::into_inner) = until;
        late(Duration::MAX);
        kill_process(getpid(), Signal::STOP).ok();
        late(SystemClock.since_boot() + LATENESS);
    }

    fn is_late() -> bool {
        SystemClock.since_boot() < *LATE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the terminal sends goes to all that run in its foreground, so the
    /// command has it already. What a process sends may be for this one alone.
    fn pass(heard: Heard, command: Pid) {
        let signal = heard.signal;
        if signal == SIGTSTP && is_late() {
            return;
        }
        let from_the_terminal = !heard.by_a_process
            && matches!(signal, SIGINT | SIGQUIT | SIGTSTP)
            && is_in_foreground();
        if !from_the_terminal && let Some(signal) = Signal::from_named_raw(signal) {
            // Held, so that the command does not end meanwhile for this program,
            // and its id is its own.
            let meant = MEANT.0.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*meant, Meant::Command(_)) {
                kill_process(command, signal).ok();
            }
        }
    }

    fn is_in_foreground() -> bool {
        let terminal = File::open("/dev/tty").ok();
        let foreground = terminal.and_then(|terminal| tcgetpgrp(terminal).ok());
        foreground == Some(getpgrp())
    }

    /// Ends this program by the signal that ended its command, if a program can
    /// end by that one.
    pub(crate) fn end_by(signal: i32) {
        low_level::emulate_default_handler(signal).ok();
    }

    /// Lets a signal that has come meanwhile end the program, whose work is
    /// done: whoever sent it sees that it was heard.
    pub(crate) fn obey() {
        if is_told() {
            std::thread::park_timeout(PATIENCE);
        }
    }

    fn is_told() -> bool {
        TOLD.get().is_some_and(|told| told.load(Ordering::SeqCst))
    }
}

#[cfg(windows)]
mod windows {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::signal::windows::{self, CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown};
    use vault_core::platform::exit::end_at_once;

    use super::{PATIENCE, do_last_work, heed};

    /// Whether a command that this program waits for decides what an event does.
    static FOR_THE_COMMAND: AtomicBool = AtomicBool::new(false);

    /// From now on events are for a command: the console tells it too, and this
    /// program waits for it.
    pub(crate) fn are_for_the_command() {
        heed();
        FOR_THE_COMMAND.store(true, Ordering::SeqCst);
    }

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
    pub(super) fn install() -> io::Result<()> {
        let mut events = Events::new()?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    events.next().await;
                    while FOR_THE_COMMAND.load(Ordering::SeqCst) {
                        events.next().await;
                    }
                    TOLD.store(true, Ordering::SeqCst);
                    let ending = std::thread::Builder::new().spawn(|| {
                        vault_core::exit::end(PATIENCE);
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
