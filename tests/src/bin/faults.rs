//! Runs the fault matrix; see `vault_tests::faults`.
//!
//! ```text
//! faults [--list] [--json] [TEXT]…
//! ```
//!
//! With texts, only the rows whose names hold one of them. Exits 1 if a row is
//! wrong, and with `CI=true` in the environment also if one is skipped.

use std::io::{self, Write};
use std::process::ExitCode;

#[cfg(unix)]
fn main() -> io::Result<ExitCode> {
    use vault_tests::faults::{self, Verdict};

    let mut texts: Vec<String> = std::env::args().skip(1).collect();
    let mut option = |name: &str| {
        let before = texts.len();
        texts.retain(|text| text != name);
        texts.len() < before
    };
    let (list, json) = (option("--list"), option("--json"));
    let inside = option(INSIDE);
    let mut out = io::stdout().lock();
    if let Some(unknown) = texts.iter().find(|text| text.starts_with("--")) {
        writeln!(io::stderr(), "error: unknown option {unknown}")?;
        return Ok(ExitCode::from(2));
    }
    let mut rows = faults::all();
    rows.retain(|row| {
        let name = format!("{}: {}", row.group, row.name);
        texts.is_empty() || texts.iter().any(|text| name.contains(text.as_str()))
    });
    if list {
        for row in &rows {
            writeln!(out, "{}: {}", row.group, row.name)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if !inside && let Some(exit) = run_as_root()? {
        return Ok(exit);
    }
    let findings = faults::run(&rows);
    if json {
        writeln!(out, "{}", faults::as_json(&findings))?;
    } else {
        writeln!(out, "{}", faults::as_table(&findings))?;
    }
    let ci = is_ci();
    let failed = findings.iter().any(|finding| match finding.verdict {
        Verdict::Right => false,
        Verdict::Wrong { .. } => true,
        Verdict::Skipped { .. } => ci,
    });
    Ok(if failed || findings.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Says that this process was started by another one like it.
#[cfg(unix)]
const INSIDE: &str = "--inside-a-namespace";

/// Some rows mount file systems. Who may not, may in a user namespace of their
/// own, where the system has them: the program is run again in one.
#[cfg(target_os = "linux")]
fn run_as_root() -> io::Result<Option<ExitCode>> {
    use std::process::Command;

    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]);
        command
    };
    let is_root = rustix::process::geteuid().is_root();
    let may = || unshare().arg("true").output();
    if is_root || !may().is_ok_and(|tried| tried.status.success()) {
        return Ok(None);
    }
    let status = unshare()
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg(INSIDE)
        .status()?;
    Ok(Some(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }))
}

#[cfg(all(unix, not(target_os = "linux")))]
fn run_as_root() -> io::Result<Option<ExitCode>> {
    Ok(None)
}

#[cfg(unix)]
fn is_ci() -> bool {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is a program: whether it runs in CI is told by the environment"
    )]
    std::env::var("CI").is_ok_and(|value| value == "true")
}

#[cfg(not(unix))]
fn main() -> io::Result<ExitCode> {
    writeln!(io::stderr(), "the fault matrix runs on Unix systems only")?;
    Ok(ExitCode::FAILURE)
}
