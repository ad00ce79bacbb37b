//! What a crate shows to the programs that use it, as text: one line for each
//! public item, sorted.
//!
//! ```text
//! api RUSTDOC-JSON
//! ```
//!
//! Derived traits are told by their `impl` line only. Of the auto traits, only
//! that a type is *not* `Send` or `Sync` is told. `docs/api` keeps the text, and
//! `tests/run api` compares.

use std::collections::HashSet;
use std::io::{self, Write};
use std::process::ExitCode;

use public_api::{Builder, PublicApi};

fn main() -> io::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        writeln!(io::stderr(), "usage: api RUSTDOC-JSON")?;
        return Ok(ExitCode::from(2));
    };
    match lines(&path) {
        Ok(lines) => {
            let mut out = io::stdout().lock();
            for line in lines {
                writeln!(out, "{line}")?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(
                io::stderr(),
                "error: {path} can't be read: {error}\nThe format changes with Rust; \
                 tests/run tells the version that this program reads."
            )?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn lines(path: &str) -> Result<Vec<String>, public_api::Error> {
    let whole = || Builder::from_rustdoc_json(path).omit_blanket_impls(true);
    let written = whole()
        .omit_auto_derived_impls(true)
        .omit_auto_trait_impls(true)
        .build()?;
    let written: HashSet<String> = as_text(&written).collect();
    let all = whole().build()?;
    Ok(as_text(&all)
        .filter(|line| written.contains(line) || is_worth_telling(line))
        .collect())
}

/// Of lines that nobody wrote: a derived trait, or a limit to threads.
fn is_worth_telling(line: &str) -> bool {
    let Some((_, implemented)) = line
        .split_once("impl")
        .filter(|(before, _)| before.is_empty())
    else {
        return false;
    };
    if implemented.contains("core::marker::StructuralPartialEq ") {
        return false;
    }
    const AUTO: [&str; 6] = [
        "core::marker::Freeze",
        "core::marker::Unpin",
        "core::marker::UnsafeUnpin",
        "core::panic::unwind_safe::",
        "core::marker::Send",
        "core::marker::Sync",
    ];
    let threads = implemented.contains("!core::marker::Send ")
        || implemented.contains("!core::marker::Sync ");
    threads || !AUTO.iter().any(|name| implemented.contains(name))
}

fn as_text(api: &PublicApi) -> impl Iterator<Item = String> {
    api.items().map(ToString::to_string)
}
