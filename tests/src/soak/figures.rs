//! What the soak came to: counted at the servers, told by the callers, read
//! from the history.

use std::io::Write;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use vault_core::session::TokenOptions;

use super::Failure;
use super::arguments::Soak;
use super::chain::{Chain, chains};
use super::crew::Processes;
use super::faults::Outages;
use super::kills::Kills;
use super::place::{Kind, Login, Place};
use super::tally::Tally;
use crate::server::RefreshOutcome;

/// How long the last refresh may take to be written down.
const SETTLE: Duration = Duration::from_secs(10);

/// The figures; as JSON, the names of the fields are the keys.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    seconds: u64,
    seed: u64,
    /// At a time.
    processes: usize,
    threads: usize,
    #[serde(rename = "process_ends")]
    ends: Processes,
    kills: Kills,
    logins: Vec<LoginFigures>,
}

#[derive(Clone, Debug, Serialize)]
struct LoginFigures {
    server: &'static str,
    #[serde(skip)]
    kind: Kind,
    /// Refresh requests that reached the server.
    requests: usize,
    /// That spent the newest refresh token.
    rotations: usize,
    /// That sent a spent one inside the window.
    replays: usize,
    /// That met a fault before they were acted on.
    not_acted_on: usize,
    /// That were refused: `invalid_grant` and its like.
    refused: usize,
    /// The most at one moment.
    at_once: u64,
    logins_lost: u64,
    /// The generation that is stored at the end.
    generation: u64,
    /// What the history says by itself.
    chain: Option<Chain>,
    broken: Option<String>,
    outages: usize,
    calls: usize,
    served: usize,
    /// Without a token, with a transient error, during an outage.
    failed_in_outages: usize,
    /// Every other call without a token.
    unserved: usize,
    /// An example of those.
    why: Option<String>,
    /// Calls after the end of all faults. None of them is excused.
    last_calls: u64,
    tokens_shown: u64,
    /// Of these, not taken by the resource.
    tokens_dead: u64,
    p50_us: u32,
    p99_us: u32,
    max_us: u32,
}

impl Figures {
    pub(super) fn of(
        soak: &Soak,
        place: &Place,
        kills: Kills,
        ends: Processes,
        tallies: &[Tally],
        outages: &[Outages],
    ) -> Result<Self, Failure> {
        let mut logins = Vec::new();
        for ((login, tally), outages) in place.logins().iter().zip(tallies).zip(outages) {
            logins.push(LoginFigures::of(login, tally, outages)?);
        }
        Ok(Self {
            seconds: soak.time.as_secs(),
            seed: soak.seed,
            processes: soak.processes,
            threads: soak.threads,
            ends,
            kills,
            logins,
        })
    }

    /// Says what is wrong with them.
    pub(super) fn judge(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.logins.len() != 2 {
            wrong.push("no process told anything".to_owned());
        }
        if self.ends.ended_badly != 0 {
            wrong.push(format!(
                "{} processes did not end well",
                self.ends.ended_badly
            ));
        }
        for login in &self.logins {
            let problems = login.judge((self.processes * self.threads) as u64);
            wrong.extend(
                problems
                    .into_iter()
                    .map(|problem| format!("{}: {problem}", login.server)),
            );
        }
        wrong
    }

    pub(super) fn print_json(&self) -> std::io::Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        writeln!(std::io::stdout(), "{json}")
    }

    pub(super) fn print_table(&self) -> std::io::Result<()> {
        let mut table = Table::new();
        let mut header = vec![String::new()];
        header.extend(self.logins.iter().map(|login| login.server.to_owned()));
        table
            .load_style(presets::UTF8_FULL_CONDENSED)
            .set_header(header);
        let columns: Vec<_> = self.logins.iter().map(LoginFigures::rows).collect();
        let names = columns.first().cloned().unwrap_or_default();
        for (row, (name, _)) in names.iter().enumerate() {
            let mut cells = vec![(*name).to_owned()];
            cells.extend(columns.iter().map(|column| column[row].1.clone()));
            table.add_row(cells);
        }
        for column in 1..=self.logins.len() {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut stdout = std::io::stdout().lock();
        writeln!(
            stdout,
            "{table}\n\n{} s, {} processes of {} threads at a time, {} started; {} killed, {} of \
             them in the middle of a rotation (window), {} spared there (strict)",
            self.seconds,
            self.processes,
            self.threads,
            self.ends.started,
            self.kills.total,
            self.kills.in_flight,
            self.kills.spared,
        )
    }
}

impl LoginFigures {
    fn of(login: &Login, tally: &Tally, outages: &Outages) -> Result<Self, Failure> {
        // One more, by somebody else: it would not go through on a dead login,
        // and it finds what the last kill left.
        let alive = login
            .session
            .blocking()
            .refresh_now(&TokenOptions::default());
        // It has its token before the line is in the history.
        vault_core::exit::settle(SETTLE);
        let generation = login.session.blocking().inspect()?.generation.0;
        let (chain, broken) = match chains(&login.session.history()?) {
            Ok(chains) if chains.len() == 1 => (chains.into_values().next(), None),
            Ok(chains) => (None, Some(format!("{} logins instead of 1", chains.len()))),
            Err(broken) => (None, Some(broken)),
        };
        let counts = login.server.counts();
        let log = login.server.refresh_log();
        let of = |outcome| {
            log.iter()
                .filter(|record| record.outcome == outcome)
                .count()
        };
        let (rotations, replays) = (of(RefreshOutcome::Rotated), of(RefreshOutcome::Replayed));
        let not_acted_on = of(RefreshOutcome::NotProcessed);

        let told_lost = tally.failures.iter().any(|call| call.login_lost) || alive.is_err();
        let gone = counts
            .logins
            .saturating_sub(login.server.living_logins() as u64);
        let excused = |call: &&super::tally::FailedCall| {
            call.transient && !call.last && outages.excuse(call.from_ms, call.to_ms)
        };
        let failed_in_outages = tally.failures.iter().filter(excused).count();
        let unserved = tally.failures.iter().find(|call| !excused(call));
        let mut times = tally.served_us.clone();
        times.sort_unstable();
        let part = |hundredths: usize| {
            let at = (times.len() * hundredths / 100).min(times.len().saturating_sub(1));
            times.get(at).copied().unwrap_or_default()
        };
        Ok(Self {
            server: login.profile,
            kind: login.kind,
            requests: log.len(),
            rotations,
            replays,
            not_acted_on,
            refused: log.len() - rotations - replays - not_acted_on,
            at_once: counts.peak_concurrent_refreshes,
            logins_lost: gone.max(u64::from(told_lost)),
            generation,
            chain,
            broken,
            outages: outages.len(),
            calls: tally.served_us.len() + tally.failures.len(),
            served: tally.served_us.len(),
            failed_in_outages,
            unserved: tally.failures.len() - failed_in_outages,
            why: unserved.map(|call| call.error.clone()),
            last_calls: tally.last,
            tokens_shown: tally.shown,
            tokens_dead: tally.dead,
            p50_us: part(50),
            p99_us: part(99),
            max_us: part(100),
        })
    }

    fn judge(&self, threads: u64) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut must = |right: bool, problem: String| {
            if !right {
                wrong.push(problem);
            }
        };
        must(
            self.refused == 0,
            format!("{} requests were refused", self.refused),
        );
        must(self.logins_lost == 0, "the login was lost".to_owned());
        if self.kind == Kind::Strict {
            must(self.replays == 0, format!("{} replays", self.replays));
            must(
                self.at_once <= 1,
                format!("{} requests at one moment", self.at_once),
            );
        }
        // The login itself is generation 1.
        must(
            self.generation == self.rotations as u64 + 1,
            format!(
                "{} rotations led to generation {}",
                self.rotations, self.generation
            ),
        );
        if let Some(broken) = &self.broken {
            must(false, format!("the history is broken: {broken}"));
        }
        if let Some(chain) = &self.chain {
            must(
                (chain.first, chain.last) == (1, self.generation),
                format!(
                    "the history knows generations {} to {}",
                    chain.first, chain.last
                ),
            );
        }
        must(
            self.unserved == 0,
            format!(
                "{} calls got no token without an outage: {}",
                self.unserved,
                self.why.as_deref().unwrap_or_default()
            ),
        );
        must(
            self.last_calls == threads,
            format!("{} last calls of {threads}", self.last_calls),
        );
        must(
            self.tokens_dead == 0,
            format!("{} tokens were not taken", self.tokens_dead),
        );
        must(self.rotations > 0, "nothing happened".to_owned());
        wrong
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let chain = match &self.chain {
            Some(chain) => format!(
                "{} to {}, {} recovered",
                chain.first, chain.last, chain.recovered
            ),
            None => "broken".to_owned(),
        };
        vec![
            ("refresh requests", self.requests.to_string()),
            ("  rotations", self.rotations.to_string()),
            ("  replays inside the window", self.replays.to_string()),
            (
                "  met by a fault, not acted on",
                self.not_acted_on.to_string(),
            ),
            ("  refused (invalid_grant)", self.refused.to_string()),
            ("logins lost", self.logins_lost.to_string()),
            ("chain in the history", chain),
            ("outages", self.outages.to_string()),
            ("calls", self.calls.to_string()),
            ("  got a token", self.served.to_string()),
            (
                "  transient error in an outage",
                self.failed_in_outages.to_string(),
            ),
            ("  other", self.unserved.to_string()),
            ("last calls, after all faults", self.last_calls.to_string()),
            (
                "tokens shown to the resource",
                format!("{}, {} dead", self.tokens_shown, self.tokens_dead),
            ),
            (
                "ms to a token, p50 / p99 / max",
                format!(
                    "{:.3} / {:.1} / {:.0}",
                    f64::from(self.p50_us) / 1e3,
                    f64::from(self.p99_us) / 1e3,
                    f64::from(self.max_us) / 1e3
                ),
            ),
        ]
    }
}
