//! The one place that prints.
//!
//! Standard output carries the answer and nothing else; notes, progress and
//! errors go to standard error. A reader that went away is no error: whoever
//! pipes into `head` has read enough.

use std::io::{self, ErrorKind, Write};

use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};

/// How to print.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    pub(crate) verbose: u8,
}

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

impl Output {
    /// Prints the answer for people; lines end as given.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        to_standard_output(text.as_bytes())
    }

    /// Prints the answer for scripts: one document. It may hold secrets, so
    /// its bytes are wiped.
    pub(crate) fn document(&self, document: &impl Serialize) -> Result<(), Failure> {
        // Room from the start: growing would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(256 * 1024));
        serde_json::to_writer(&mut *bytes, document)
            .map_err(|error| unwritable(&io::Error::from(error)))?;
        bytes.push(b'\n');
        to_standard_output(&bytes)
    }

    /// Prints the parts of a secret answer as one line.
    pub(crate) fn secret_line(&self, parts: &[&str]) -> Result<(), Failure> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>() + 1;
        let mut line = Zeroizing::new(Vec::with_capacity(length));
        for part in parts {
            line.extend_from_slice(part.as_bytes());
        }
        line.push(b'\n');
        to_standard_output(&line)
    }

    /// Tells something that need not be read.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            to_standard_error(&format!("{text}\n"));
        }
    }

    /// Tells something that should be read.
    pub(crate) fn warning(&self, text: &str) {
        if !self.quiet {
            to_standard_error(&format!("{WARNING}warning:{WARNING:#} {text}\n"));
        }
    }

    /// Tells why something failed that ends no command.
    pub(crate) fn warning_because(&self, text: &str, failure: &Failure) {
        self.warning(text);
        if !self.quiet {
            to_standard_error(&self.causes(failure));
        }
    }

    /// What the message leaves out, for who wants to know.
    fn causes(&self, failure: &Failure) -> String {
        let told = failure.causes.iter().filter(|_| self.verbose > 0);
        told.map(|cause| format!("because: {}\n", visible(cause)))
            .collect()
    }

    /// Tells people something that was asked for: not left out when quiet.
    pub(crate) fn line(&self, text: &str) {
        to_standard_error(&format!("{text}\n"));
    }

    /// Asks people something; they answer on the same line.
    pub(crate) fn prompt(&self, text: &str) {
        to_standard_error(text);
    }

    /// Tells why a command failed. Nothing may have been printed before, in
    /// JSON.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.json {
            // What can't be told can't be told better.
            self.document(&serde_json::json!({ "error": failure })).ok();
        } else {
            self.failure_to_people(failure);
        }
    }

    /// Tells it on standard error, whatever the format.
    pub(crate) fn failure_to_people(&self, failure: &Failure) {
        let Failure { message, hint, .. } = failure;
        let mut text = format!("{ERROR}error:{ERROR:#} {}\n", visible(message));
        text.push_str(&self.causes(failure));
        text.push_str(&format!("{HINT}hint:{HINT:#} {}\n", visible(hint)));
        to_standard_error(&text);
    }
}

/// Replaces what would move the cursor or hide text.
pub(crate) fn visible(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

fn to_standard_output(bytes: &[u8]) -> Result<(), Failure> {
    // Whole lines go straight through the buffer of the standard library.
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(unwritable(&error)),
        Ok(()) => Ok(()),
    }
}

fn to_standard_error(text: &str) {
    // Nobody can be told that nobody listens.
    anstream::stderr().lock().write_all(text.as_bytes()).ok();
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::new(
        "output_unwritable",
        Exit::Failed,
        format!("the answer can't be written to standard output: {error}"),
        "see where standard output goes",
    )
}
