//! Suites of cases that are counted, so that a run says how many there were.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One case of a suite: its name, which is a sentence, and what it asks.
pub(crate) type Case<T> = (&'static str, fn(&T));

/// Names functions as cases.
macro_rules! cases {
    ($($(#[$where:meta])* $case:ident),* $(,)?) => {
        &[$($(#[$where])* (stringify!($case), $case)),*]
    };
}
pub(crate) use cases;

/// Runs every case and tidies up after it, says `contract: NAME PASSED/ALL` on
/// standard error, whether or not output is captured, and fails with the list of
/// all that failed.
pub(crate) fn run<T>(name: &str, cases: &[Case<T>], bench: &T, tidy: impl Fn(&T)) {
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|(case, check)| {
            let checked = catch_unwind(AssertUnwindSafe(|| check(bench)));
            tidy(bench);
            let why = checked.err()?;
            let why = why
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| why.downcast_ref::<&str>().copied())
                .unwrap_or("a panic");
            Some(format!("{case}: {why}"))
        })
        .collect();
    let passed = cases.len() - failures.len();
    say(&format!("contract: {name} {passed}/{}", cases.len()));
    assert!(
        failures.is_empty(),
        "{name} fails in {} of {} cases:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

/// Writes a line past the test harness, in one piece.
pub(crate) fn say(line: &str) {
    std::io::stderr()
        .write_all(format!("\n{line}\n").as_bytes())
        .expect("standard error");
}
