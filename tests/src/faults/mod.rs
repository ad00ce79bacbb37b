//! The fault matrix: what a caller gets, what is stored, and what the server
//! sees when one thing goes wrong.
//!
//! **What it is.** A table of rows. Each makes a fresh login in a folder of its
//! own against a strict server of its own, puts in one fault, asks for a token
//! through the library's blocking interface, and compares everything that can
//! be seen with what the row says: the caller's answer, each byte of what is
//! stored, the requests that the token endpoint read, whether the login lives,
//! and what is had once the fault is gone.
//!
//! **Why.** A refresh token can be spent once. Every error path is a way to
//! lose a login, and none of them is on the way that a developer walks.
//!
//! **What it promises.** A row asserts all of this, whether it names it or
//! not: what it does not say must not have changed. The faults are real where
//! the machine allows it: a full disk is a full file system, a key without
//! permission is refused by the kernel. A row that can't be made on a machine
//! is skipped and says why.
//!
//! **What it leaves to others.** Races, crashes and kills.

mod act;
mod bench;
mod check;
mod clockwork;
mod place;
mod report;
mod restriction;
mod row;
mod rows;
mod servers;
mod stored;
#[cfg(target_os = "linux")]
mod sys;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

pub use report::{as_json, as_table};
pub use row::Row;
use row::Scenario;
pub use rows::all;

/// How many rows run at once: most of a row's time is waiting.
const THREADS: usize = 6;

/// How a row went.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// All is as the row says.
    Right,
    /// Something is not; in which ways.
    Wrong {
        /// What differs, one line each.
        problems: Vec<String>,
    },
    /// It can't be made on this machine.
    Skipped {
        /// Why.
        reason: String,
    },
}

/// A row and what was seen.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What kind of fault.
    pub group: &'static str,
    /// The fault.
    pub name: String,
    /// What the caller got.
    pub caller: String,
    /// What differs in what is stored.
    pub stored: String,
    /// How many requests the token endpoint read.
    pub requests: Option<u64>,
    /// Whether the login lives at the server.
    pub alive: Option<bool>,
    /// What was had once the fault was gone.
    pub afterwards: String,
    /// How it went.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Finding {
    fn new(row: &Row) -> Self {
        Self {
            group: row.group,
            name: row.name.clone(),
            caller: String::new(),
            stored: String::new(),
            requests: None,
            alive: None,
            afterwards: String::new(),
            verdict: Verdict::Right,
        }
    }

    fn wrong(&mut self, problem: impl Into<String>) {
        match &mut self.verdict {
            Verdict::Wrong { problems } => problems.push(problem.into()),
            verdict => {
                *verdict = Verdict::Wrong {
                    problems: vec![problem.into()],
                };
            }
        }
    }
}

/// Why a row came to no verdict of its own.
#[derive(Debug)]
enum Stop {
    /// It can't be made here.
    Skip(String),
    /// Setting it up failed.
    Broken(String),
}

impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Broken(format!("the row could not be set up: {error:?}"))
    }
}

/// Runs the rows, a few at a time; findings come in the rows' order.
#[must_use]
pub fn run(rows: &[Row]) -> Vec<Finding> {
    let next = AtomicUsize::new(0);
    let findings = Mutex::new(vec![None; rows.len()]);
    thread::scope(|scope| {
        for _ in 0..THREADS.min(rows.len()) {
            scope.spawn(|| {
                while let Some((number, row)) = {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    rows.get(number).map(|row| (number, row))
                } {
                    let finding = run_row(row);
                    if let Ok(mut findings) = findings.lock() {
                        findings[number] = Some(finding);
                    }
                }
            });
        }
    });
    let findings = findings.into_inner().unwrap_or_default();
    findings.into_iter().flatten().collect()
}

fn run_row(row: &Row) -> Finding {
    let mut finding = Finding::new(row);
    let ran = catch_unwind(AssertUnwindSafe(|| match &row.scenario {
        Scenario::Fault(fault) => bench::run(fault, &mut finding),
        Scenario::Time(script) => clockwork::run(script, &mut finding),
    }));
    match ran {
        Ok(Ok(())) => {}
        Ok(Err(Stop::Skip(reason))) => finding.verdict = Verdict::Skipped { reason },
        Ok(Err(Stop::Broken(reason))) => finding.wrong(reason),
        Err(_) => finding.wrong("it panicked"),
    }
    finding
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_rows_have_one_name() {
        let rows = all();
        let names: HashSet<_> = rows.iter().map(|row| (row.group, &row.name)).collect();
        assert_eq!(names.len(), rows.len());
    }

    #[test]
    fn a_row_that_says_something_else_is_wrong() {
        let mut rows = all();
        rows.retain(|row| row.group == "answer" && row.name == "503");
        let wrong = rows[0].clone().requests(2);
        rows.push(wrong);
        let findings = run(&rows);
        assert!(
            matches!(findings[0].verdict, Verdict::Right),
            "{findings:?}"
        );
        assert!(matches!(&findings[1].verdict, Verdict::Wrong { problems } if problems.len() == 1));
    }
}
