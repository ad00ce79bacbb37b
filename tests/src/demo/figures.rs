//! What the demo came to: counted at the server, measured by those who asked.

use std::io::Write;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::fleet::Call;
use crate::server::Counts;

/// The figures; as JSON, the names of the fields are the keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Figures {
    /// The kind of store that held the login.
    pub(super) store: String,
    pub(super) processes: usize,
    /// Of each process.
    pub(super) tasks: usize,
    /// Of an access token, after the login's own.
    pub(super) lifetimes: usize,
    /// That got a token.
    pub(super) calls: usize,
    /// Requests with a refresh token that reached the server, whatever came of
    /// them.
    pub(super) refreshes: u64,
    /// Refresh tokens that reached the server a second time.
    pub(super) reuse_detected: u64,
    /// Logins that the server, or one of the callers, knows as dead.
    pub(super) logins_lost: u64,
    /// The median of the time from asking for a token to having it, in
    /// microseconds.
    pub(super) p50_us: u64,
    /// The time that 99 of 100 calls took at most, in microseconds.
    pub(super) p99_us: u64,
}

impl Figures {
    /// Puts together what the server counted and what the callers got.
    pub(super) fn of(store: String, calls: &[Call], counts: &Counts, living_logins: usize) -> Self {
        let mut times: Vec<u64> = calls.iter().map(|call| call.took_us).collect();
        times.sort_unstable();
        let gone = counts.logins.saturating_sub(living_logins as u64);
        let told_so = calls.iter().any(|call| call.login_lost);
        Self {
            store,
            processes: super::PROCESSES,
            tasks: super::TASKS,
            lifetimes: super::LIFETIMES,
            calls: calls.iter().filter(|call| call.token.is_some()).count(),
            refreshes: counts.refresh_requests,
            reuse_detected: counts.reuse_detected,
            logins_lost: gone.max(u64::from(told_so)),
            p50_us: percentile(&times, 50),
            p99_us: percentile(&times, 99),
        }
    }

    /// Says what is wrong with them, if anything is.
    pub(super) fn judge(&self) -> Result<(), String> {
        let asked = self.processes * self.tasks * self.lifetimes;
        let mut wrong = Vec::new();
        if self.refreshes != self.lifetimes as u64 {
            let (seen, due) = (self.refreshes, self.lifetimes);
            wrong.push(format!("the server saw {seen} refreshes instead of {due}"));
        }
        if self.reuse_detected != 0 {
            wrong.push(format!(
                "{} times a used token was sent",
                self.reuse_detected
            ));
        }
        if self.logins_lost != 0 {
            wrong.push("the login was lost".to_owned());
        }
        if self.calls != asked {
            wrong.push(format!("only {} of {asked} calls got a token", self.calls));
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong.join("; ")),
        }
    }

    /// Prints them for a program.
    pub(super) fn print_json(&self) -> std::io::Result<()> {
        writeln!(std::io::stdout(), "{}", serde_json::to_string(self)?)
    }

    /// Prints them for a person.
    pub(super) fn print_table(&self) -> std::io::Result<()> {
        let asked = self.processes * self.tasks * self.lifetimes;
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_FULL_CONDENSED)
            .set_header(["", "figure", "due"])
            .add_row(row("calls served", self.calls, asked))
            .add_row(row(
                "refreshes, counted at the server",
                self.refreshes,
                self.lifetimes,
            ))
            .add_row(row("reuse detections", self.reuse_detected, 0))
            .add_row(row("logins lost", self.logins_lost, 0))
            .add_row(row(
                "time to a token, median",
                milliseconds(self.p50_us),
                "",
            ))
            .add_row(row("time to a token, p99", milliseconds(self.p99_us), ""));
        for column in [1, 2] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(std::io::stdout(), "{table}")
    }
}

fn row(title: &str, figure: impl ToString, due: impl ToString) -> [String; 3] {
    [title.to_owned(), figure.to_string(), due.to_string()]
}

/// Shows microseconds as milliseconds.
pub(super) fn milliseconds(microseconds: u64) -> String {
    format!("{}.{} ms", microseconds / 1000, microseconds % 1000 / 100)
}

/// The smallest value that at least `percent` of 100 values don't exceed, of
/// values in order; 0 of none.
pub(super) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Figures {
        Figures {
            store: "encrypted-file".to_owned(),
            processes: 8,
            tasks: 8,
            lifetimes: 10,
            calls: 640,
            refreshes: 10,
            reuse_detected: 0,
            logins_lost: 0,
            p50_us: 1,
            p99_us: 2,
        }
    }

    #[test]
    fn one_figure_that_is_not_due_is_a_failure() {
        assert_eq!(good().judge(), Ok(()));
        let mut bad = vec![good(); 5];
        bad[0].refreshes = 11;
        bad[1].refreshes = 9;
        bad[2].reuse_detected = 1;
        bad[3].logins_lost = 1;
        bad[4].calls = 639;
        for figures in bad {
            assert!(figures.judge().is_err(), "{figures:?}");
        }
    }

    #[test]
    fn the_json_has_the_keys_that_scripts_read() {
        let json = serde_json::to_string(&good()).unwrap();
        assert_eq!(
            json,
            r#"{"store":"encrypted-file","processes":8,"tasks":8,"lifetimes":10,"calls":640,"refreshes":10,"reuse_detected":0,"logins_lost":0,"p50_us":1,"p99_us":2}"#
        );
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 50), 50);
        assert_eq!(percentile(&hundred, 99), 99);
        assert_eq!(percentile(&[7], 99), 7);
        assert_eq!(percentile(&[], 50), 0);
    }
}
