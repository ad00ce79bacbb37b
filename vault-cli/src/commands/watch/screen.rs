//! The terminal while it is the program's alone: the alternate screen without
//! echo, and the way back, however the program ends.

use std::io::{self, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{panic, thread};

use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, enable_raw_mode};
use ratatui::prelude::CrosstermBackend;
use ratatui::{DefaultTerminal, Frame, Terminal};

use crate::signals;

/// Held while something is written to the terminal, and for good once a signal
/// has given it back: nothing is drawn over the shell's lines.
static WRITING: Mutex<()> = Mutex::new(());

/// Set by a panic of any thread: it has given the terminal back.
static PANICKED: AtomicBool = AtomicBool::new(false);

fn writing() -> MutexGuard<'static, ()> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give_back() {
    // A terminal that is gone needs nothing.
    ratatui::try_restore().ok();
    execute!(stdout(), Show).ok();
}

/// The terminal, until it is dropped.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal. A panic of any thread gives it back before it tells
    /// of itself.
    pub(super) fn enter() -> io::Result<Self> {
        let _writing = writing();
        restore_at_signal();
        restore_at_panic();
        let taken = enable_raw_mode()
            .and_then(|()| execute!(stdout(), EnterAlternateScreen))
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match taken {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Fails once another thread has panicked: what it said is to be read.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        let _writing = writing();
        if PANICKED.load(Ordering::SeqCst) {
            return Err(io::Error::other("a thread of this program has panicked"));
        }
        if self.terminal.size()? != self.terminal.current_buffer_mut().area.as_size() {
            execute!(stdout(), Clear(ClearType::All))?;
            self.renew()?;
        }
        self.terminal.draw(draw)?;
        Ok(())
    }

    /// Gives the terminal to what may ask a person something, and takes it
    /// again.
    pub(super) fn aside<T>(&mut self, work: impl FnOnce() -> T) -> io::Result<T> {
        {
            let _writing = writing();
            give_back();
        }
        let done = work();
        let _writing = writing();
        restore_at_signal();
        enable_raw_mode()?;
        execute!(stdout(), EnterAlternateScreen)?;
        self.renew()?;
        Ok(done)
    }

    /// Draws everything next time. To clear the old drawing would ask the
    /// terminal where its cursor is, which not every one answers.
    fn renew(&mut self) -> io::Result<()> {
        self.terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _writing = writing();
        give_back();
        signals::before_the_end(Box::new(|| {}));
    }
}

fn restore_at_panic() {
    let drawing = thread::current().id();
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panicked| {
        {
            // The thread that draws may hold it already.
            let _writing = (thread::current().id() != drawing).then(writing);
            PANICKED.store(true, Ordering::SeqCst);
            give_back();
        }
        tell(panicked);
    }));
}

fn restore_at_signal() {
    signals::before_the_end(Box::new(|| {
        std::mem::forget(writing());
        give_back();
    }));
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
