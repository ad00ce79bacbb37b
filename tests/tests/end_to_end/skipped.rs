//! Tests that show nothing on a machine say so on standard error, past the
//! harness, which hides what a test prints that passes.

use std::io::Write;

/// Says what this machine lacks, so that a test shows nothing here.
///
/// # Panics
///
/// Where `CI=true`: a machine of CI has to have it.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn lacking(what: &str) {
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!ci, "this machine lacks {what}, and CI=true");
    say(&format!("lacking: {what}"));
}

/// Says which lane of `tests/run` has what a test needs. It is no failure: with
/// CI=true that lane has to run.
pub(crate) fn left_to_lane(lane: &str) {
    say(&format!("skipped: it is for `tests/run {lane}`"));
}

/// In one piece, as a line of its own: `tests/run` counts what is lacking.
fn say(line: &str) {
    let line = format!("\n{line}\n");
    drop(std::io::stderr().write_all(line.as_bytes()));
}
