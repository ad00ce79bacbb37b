//! Goes looking for secrets in the memory of real processes.
//!
//! The tokens, keys and client secrets of each run are random and nowhere else, so that whatever
//! is found of one was copied. Every readable mapping is searched, for the plain bytes and their
//! hexadecimal, base64 and UTF-16 forms, and for copies that have lost their beginning. Registers
//! and what the kernel holds (pipes, sockets) are not.
//!
//! `vault-cli` is the real program, traced: it is looked into while the server has its request and
//! when it is about to end, all its work done. An application that links vault-core is looked into
//! after each thing that it does, while it lives, with the zeroizing allocator and without.

pub mod app;
mod broken;
mod cli;
mod dump;
mod looks;
mod needle;
mod place;
mod process;
mod sys;
mod table;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use crate::kills::worker::Failure;

/// Looks into one `vault-cli` only, such as a release build, where the compiler copies otherwise.
///
/// # Errors
///
/// If the program does not do what it should.
pub fn one(program: &Path, verbose: bool) -> Result<ExitCode, Failure> {
    let rows = cli::rows(program)?;
    writeln!(std::io::stdout(), "{}", table::render(&rows, verbose))?;
    let is_wrong = rows.iter().any(|row| !row.wrong().is_empty());
    Ok(ExitCode::from(u8::from(is_wrong)))
}

/// Looks everywhere and tells what was found.
///
/// # Errors
///
/// If a program does not do what it should.
pub fn main(verbose: bool) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout();
    let mut rows = cli::rows(&place::beside("vault-cli")?)?;
    rows.extend(looks::rows(true)?);
    rows.extend(looks::rows(false)?);
    writeln!(out, "{}", table::render(&rows, verbose))?;
    let mut wrong = rows.iter().filter(|row| !row.wrong().is_empty()).count();

    let mut noticed = 0;
    let variants = broken::variants()?;
    for (name, rows) in &variants {
        let problems: Vec<_> = rows.iter().flat_map(table::Row::wrong).collect();
        match problems.first() {
            Some(first) => {
                noticed += 1;
                writeln!(out, "broken variant: {name}: noticed ({first})")?;
            }
            None => writeln!(out, "wrong: broken variant: {name}: not noticed")?,
        }
    }
    wrong += variants.len() - noticed;

    let dumps = dump::all()?;
    for line in &dumps.told {
        writeln!(out, "{line}")?;
    }
    for line in &dumps.wrong {
        writeln!(out, "wrong: {line}")?;
    }
    for line in &dumps.skipped {
        writeln!(out, "not made: a core dump by {line}")?;
    }
    wrong += dumps.wrong.len();
    writeln!(
        out,
        "{} looks, {wrong} wrong, {noticed} of {} broken variants noticed, {} core dumps searched",
        rows.len(),
        variants.len(),
        dumps.made,
    )?;
    Ok(ExitCode::from(u8::from(wrong > 0)))
}
