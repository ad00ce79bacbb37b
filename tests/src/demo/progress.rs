//! What a person sees while the demo runs: facts on standard output, and how
//! far it is on standard error, as a moving bar on a terminal and as plain
//! lines elsewhere. Where a program reads the figures, nothing at all.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How a person is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Moving,
    Lines,
    Silent,
}

/// Tells how far the demo is.
#[derive(Debug)]
pub(super) struct Progress {
    manner: Manner,
}

impl Progress {
    pub(super) fn new(silent: bool) -> Self {
        let manner = match (silent, std::io::stderr().is_terminal()) {
            (true, _) => Manner::Silent,
            (false, true) => Manner::Moving,
            (false, false) => Manner::Lines,
        };
        Self { manner }
    }

    /// Tells a fact under its title.
    pub(super) fn fact(&self, title: &str, fact: &str) {
        if self.manner != Manner::Silent {
            // The figures don't depend on who reads this.
            drop(writeln!(std::io::stdout(), "{title:<12} {fact}"));
        }
    }

    /// Leaves a line free before the next fact.
    pub(super) fn pause(&self) {
        if self.manner != Manner::Silent {
            drop(writeln!(std::io::stdout()));
        }
    }

    fn line(&self, line: &str) {
        if self.manner != Manner::Silent {
            drop(writeln!(std::io::stderr(), "{line}"));
        }
    }

    /// Shows that something goes on, until the result is dropped.
    pub(super) fn busy(&self, what: &str) -> Busy {
        match self.manner {
            Manner::Silent => Busy(None),
            Manner::Lines => {
                self.line(what);
                Busy(None)
            }
            Manner::Moving => {
                let spinner = ProgressBar::new_spinner().with_message(what.to_owned());
                spinner.enable_steady_tick(Duration::from_millis(100));
                Busy(Some(spinner))
            }
        }
    }

    /// Begins to count.
    pub(super) fn count(&self, total: usize) -> Count<'_> {
        let bar = (self.manner == Manner::Moving).then(|| {
            let style = ProgressStyle::with_template("{prefix:<12} {bar:30} {pos:>2}/{len} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(total.try_into().unwrap_or(u64::MAX));
            bar.set_style(style);
            bar.set_prefix("Lifetimes");
            bar.tick();
            bar
        });
        Count {
            progress: self,
            total,
            done: 0,
            bar,
        }
    }
}

/// Something that goes on.
#[derive(Debug)]
pub(super) struct Busy(Option<ProgressBar>);

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(spinner) = &self.0 {
            spinner.finish_and_clear();
        }
    }
}

/// A number of things of which one after the other gets done.
#[derive(Debug)]
pub(super) struct Count<'a> {
    progress: &'a Progress,
    total: usize,
    done: usize,
    bar: Option<ProgressBar>,
}

impl Count<'_> {
    /// One more is done.
    pub(super) fn advance(&mut self, remark: &str) {
        self.done += 1;
        match &self.bar {
            Some(bar) => {
                bar.set_message(remark.to_owned());
                bar.inc(1);
            }
            None => {
                let title = format!("Lifetime {}/{}", self.done, self.total);
                self.progress.line(&format!("{title:<14} {remark}"));
            }
        }
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        // The bar stays as far as it came, and leaves the cursor at its end.
        if let Some(bar) = &self.bar {
            bar.abandon();
            self.progress.line("");
        }
    }
}
