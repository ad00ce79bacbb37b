//! A line of the terminal that shows that something is waited for. It turns
//! until it is dropped, and then is gone.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::crossterm::terminal::{Clear, ClearType, size};
use ratatui::crossterm::{cursor::MoveToColumn, queue, style::Print};
use ratatui::text::Span;

const FRAMES: [char; 4] = ['|', '/', '-', '\\'];
const TURN: Duration = Duration::from_millis(120);

/// A line that turns, on standard error. Only where that is a terminal.
#[derive(Debug)]
pub(crate) struct Spinner {
    /// What the line says. `None` ends it.
    says: Option<Sender<String>>,
    turning: Option<JoinHandle<()>>,
}

impl Spinner {
    /// Begins to turn. On a terminal that can't erase a line nothing is shown.
    pub(crate) fn start() -> Self {
        let (says, heard) = channel();
        #[expect(clippy::disallowed_methods, reason = "what the terminal can do")]
        let can_erase = std::env::var_os("TERM").is_none_or(|kind| kind != "dumb");
        let turning = can_erase
            .then(|| {
                std::thread::Builder::new()
                    .name("spinner".into())
                    .spawn(|| turn(heard))
            })
            .and_then(Result::ok);
        Self {
            says: Some(says),
            turning,
        }
    }

    /// What the line says from now on: one line, without what moves a cursor.
    pub(crate) fn say(&self, text: String) {
        if let Some(says) = &self.says {
            says.send(text).ok();
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.says = None;
        if let Some(turning) = self.turning.take() {
            turning.join().ok();
        }
    }
}

fn turn(heard: Receiver<String>) {
    let mut text = String::new();
    for frame in FRAMES.iter().cycle() {
        match heard.recv_timeout(TURN) {
            Ok(said) => text = said,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        draw(&shortened(&format!("{frame} {text}"))).ok();
    }
    draw("").ok();
}

/// Puts this in place of what the cursor's line shows.
fn draw(line: &str) -> io::Result<()> {
    let mut terminal = io::stderr().lock();
    queue!(
        terminal,
        MoveToColumn(0),
        Clear(ClearType::CurrentLine),
        Print(line)
    )?;
    terminal.flush()
}

/// As much of this as fits into the terminal's line: what went on in the next
/// one would stay there.
fn shortened(line: &str) -> String {
    let columns = size().map_or(80, |(columns, _)| usize::from(columns));
    fitting(line, columns.saturating_sub(1))
}

fn fitting(line: &str, columns: usize) -> String {
    let mut fits = String::new();
    for character in line.chars() {
        fits.push(character);
        if Span::raw(&fits).width() > columns {
            fits.pop();
            break;
        }
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn a_line_is_cut_where_the_terminal_ends() {
        assert_eq!(fitting("| waiting", 20), "| waiting");
        assert_eq!(fitting("| waiting", 9), "| waiting");
        assert_eq!(fitting("| waiting", 4), "| wa");
        assert_eq!(fitting("| 日本", 5), "| 日");
        assert_eq!(fitting("| waiting", 0), "");
    }
}
