//! All runs, in random order and several at once, and the table of what came of them.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use vault_core::fault::{
    DELETE_BEFORE_PIN, PIN_BEFORE_WRITE, SKIP_FILE_SYNC, SKIP_FOLDER_SYNC, SKIP_MARK,
};
use vault_core::platform::store::StoreKind;

use super::run::{self, Finding, Point};
use super::scenario::{End, Outcome, Phase, Scenario, Server, Work};
use super::scene::since_boot;
use super::worker::Failure;

/// How many runs are under way at once: they wait for each other's processes most of the time.
const AT_ONCE: usize = 6;

/// A rule that is broken is noticed at the first try, or the test is no good.
const BROKEN_RUNS: usize = 2;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often each point is tried in each scenario.
    pub runs: usize,
    /// How often where the machine loses its power.
    pub power_runs: usize,
    /// At most so many runs, by lot; `None` for all. Those with a broken rule are not drawn.
    pub at_most: Option<usize>,
    /// Where the logins are kept.
    pub store: StoreKind,
    /// The length of their refresh tokens in bytes.
    pub token_length: usize,
    /// Only points whose name contains this.
    pub point: Option<String>,
    /// Only the work of this name.
    pub work: Option<String>,
    /// What each power failure takes away: a number that an earlier run printed.
    pub chance: Option<u64>,
    /// One document of JSON instead of the table.
    pub json: bool,
    /// Decides the order of the runs, and what a power failure takes away.
    pub seed: u64,
}

/// What came of the runs of one point in one scenario.
#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    work: &'static str,
    end: &'static str,
    server: &'static str,
    point: String,
    phase: String,
    runs: usize,
    recovered: usize,
    typed: usize,
    served: usize,
    lost: usize,
    wrong: usize,
    example: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    seed: u64,
    seconds: u64,
    runs: usize,
    wrong: usize,
    unnoticed: &'a [&'a str],
    rows: &'a [Row],
}

struct Job<'a> {
    row: usize,
    scenario: Scenario,
    point: &'a Point,
    chance: u64,
}

/// The scenarios that keep their promises.
const SOUND: [Scenario; 16] = [
    Scenario::kill(Work::Refresh, Server::Window),
    Scenario::kill(Work::Refresh, Server::Strict),
    Scenario::kill(Work::Refresh, Server::Unknown),
    Scenario::kill(Work::RefreshAhead, Server::Strict),
    Scenario::kill(Work::Login, Server::Strict),
    Scenario::kill(Work::Logout, Server::Strict),
    Scenario::kill(Work::Migrate, Server::Strict),
    Scenario::kill(Work::Bind, Server::Strict),
    Scenario::kill(Work::Unbind, Server::Strict),
    Scenario::power_loss(Work::Refresh, Server::Window),
    Scenario::power_loss(Work::Refresh, Server::Strict),
    Scenario::power_loss(Work::Login, Server::Strict),
    Scenario::power_loss(Work::Logout, Server::Strict),
    Scenario::power_loss(Work::Migrate, Server::Strict),
    Scenario::power_loss(Work::Bind, Server::Strict),
    Scenario::power_loss(Work::Unbind, Server::Strict),
];

/// Scenarios with a rule that is broken: a promise must be seen to fail.
const BROKEN: [Scenario; 5] = [
    Scenario::kill(Work::Refresh, Server::Strict).broken(SKIP_MARK),
    Scenario::power_loss(Work::Refresh, Server::Strict).broken(SKIP_FILE_SYNC),
    Scenario::power_loss(Work::Refresh, Server::Strict).broken(SKIP_FOLDER_SYNC),
    Scenario::kill(Work::Migrate, Server::Strict).broken(DELETE_BEFORE_PIN),
    Scenario::kill(Work::Migrate, Server::Strict).broken(PIN_BEFORE_WRITE),
];

/// Makes all runs and prints what came of them.
///
/// # Errors
///
/// If a run could not be made at all.
pub fn main(options: &Options) -> Result<ExitCode, Failure> {
    let began = since_boot();
    let mut plan: Vec<(Scenario, Vec<Point>)> = Vec::new();
    for scenario in scenarios(options) {
        let mut points = run::undisturbed(&scenario)?;
        if let Some(wanted) = &options.point {
            points.retain(|point| point.name.contains(wanted.as_str()));
        }
        if scenario.broken.is_some() {
            points.retain(|point| match scenario.work {
                Work::Migrate => point.name.starts_with("migrate."),
                _ => matches!(point.phase, Phase::Spent | Phase::Committed),
            });
        }
        plan.push((scenario, points));
    }
    let mut rows = Vec::new();
    let mut jobs = Vec::new();
    let mut chance = Random(options.seed | 1);
    for (scenario, points) in &plan {
        let runs = match (scenario.end, scenario.broken) {
            (_, Some(_)) => options.runs.min(BROKEN_RUNS),
            (End::Kill, None) => options.runs,
            (End::PowerLoss, None) => options.power_runs,
        };
        for point in points {
            for number in 0..runs {
                // The first loses everything, the others as it comes.
                let stirred = if number == 0 { 0 } else { chance.next() };
                jobs.push(Job {
                    row: rows.len(),
                    scenario: *scenario,
                    point,
                    chance: options.chance.unwrap_or(stirred),
                });
            }
            rows.push(Row {
                work: scenario.work_name(),
                end: scenario.end_name(),
                server: scenario.server_name(),
                point: match point.nth {
                    1 => point.name.clone(),
                    nth => format!("{} #{nth}", point.name),
                },
                phase: format!("{:?}", point.phase).to_lowercase(),
                ..Row::default()
            });
        }
    }
    for last in (1..jobs.len()).rev() {
        jobs.swap(last, chance.below(last + 1));
    }
    if let Some(most) = options.at_most {
        let mut drawn = 0;
        jobs.retain(|job| {
            drawn += usize::from(job.scenario.broken.is_none());
            job.scenario.broken.is_some() || drawn <= most
        });
    }
    let total = jobs.len();
    if !options.json {
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "{total} runs at {} points, seed {}",
            rows.len(),
            options.seed
        )?;
    }
    let rows = make(jobs, rows);
    let seconds = since_boot().saturating_sub(began);
    let caught = BROKEN
        .iter()
        .filter(|scenario| can_be_made(scenario, options))
        .map(|scenario| caught(&rows, scenario.end_name()));
    let missed: Vec<&str> = caught.filter_map(Result::err).collect();
    let missed = if options.point.is_some() || options.work.is_some() {
        Vec::new()
    } else {
        missed
    };
    let wrong: usize = sound(&rows).map(|row| row.wrong).sum();
    if options.json {
        let document = Document {
            seed: options.seed,
            seconds: seconds.as_secs(),
            runs: total,
            wrong,
            unnoticed: &missed,
            rows: &rows,
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string_pretty(&document)?)?;
    } else {
        show(&rows, seconds, &missed)?;
    }
    Ok(ExitCode::from(u8::from(wrong > 0 || !missed.is_empty())))
}

fn scenarios(options: &Options) -> impl Iterator<Item = Scenario> {
    let all = SOUND.into_iter().chain(BROKEN);
    let is_wanted = |scenario: &Scenario| {
        let wanted = options.work.as_deref();
        wanted.is_none_or(|wanted| wanted == scenario.work_name())
    };
    all.filter(|scenario| can_be_made(scenario, options))
        .filter(is_wanted)
        .map(|scenario| scenario.kept(options.store, options.token_length))
}

/// What a power failure takes is known of files that have numbers, not of a system's own store.
fn can_be_made(scenario: &Scenario, options: &Options) -> bool {
    scenario.end == End::Kill || (cfg!(unix) && options.store == StoreKind::EncryptedFile)
}

fn sound(rows: &[Row]) -> impl Iterator<Item = &Row> {
    let is_broken = |row: &&Row| !BROKEN.iter().any(|scenario| scenario.end_name() == row.end);
    rows.iter().filter(is_broken)
}

fn caught<'a>(rows: &[Row], rule: &'a str) -> Result<&'a str, &'a str> {
    match rows.iter().any(|row| row.end == rule && row.wrong > 0) {
        true => Ok(rule),
        false => Err(rule),
    }
}

fn make(jobs: Vec<Job<'_>>, rows: Vec<Row>) -> Vec<Row> {
    let style = "{elapsed} [{bar:40}] {pos} of {len} runs, {eta} left";
    let all = jobs.len() as u64;
    let progress = ProgressBar::new(all);
    if let Ok(style) = ProgressStyle::with_template(style) {
        progress.set_style(style);
    }
    let queue = Mutex::new(jobs);
    let rows = Mutex::new(rows);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(job) = job else { return };
                    let found = run::run(&job.scenario, job.point, job.chance);
                    let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(row) = rows.get_mut(job.row) {
                        row.add(found, job.chance);
                    }
                    progress.inc(1);
                    // Where there is no terminal for a bar, a line now and then.
                    let made = progress.position();
                    if progress.is_hidden() && made.is_multiple_of((all / 20).max(1)) {
                        writeln!(std::io::stderr(), "{made} of {all} runs").ok();
                    }
                }
            });
        }
    });
    progress.finish_and_clear();
    rows.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Row {
    fn add(&mut self, found: Result<Finding, Failure>, chance: u64) {
        self.runs += 1;
        let wrong = match found {
            Ok(finding) => {
                match finding.outcome {
                    Outcome::Recovered | Outcome::Done => self.recovered += 1,
                    Outcome::Unconfirmed => self.typed += 1,
                    Outcome::Lost => self.lost += 1,
                }
                self.served += usize::from(finding.served);
                finding.wrong
            }
            Err(error) => Some(format!("no run: {error}")),
        };
        if let Some(wrong) = wrong {
            self.wrong += 1;
            self.example
                .get_or_insert(format!("{wrong} (chance {chance})"));
        }
    }
}

/// The table, then a line for each scenario, then the verdict.
fn show(rows: &[Row], took: Duration, missed: &[&str]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut table = head(["work", "end", "server", "phase", "point"]);
    for row in rows {
        table.add_row(row.cells([row.work, row.end, row.server, &row.phase, &row.point]));
    }
    writeln!(out, "{table}")?;
    let mut sums: BTreeMap<[&str; 4], Row> = BTreeMap::new();
    for row in rows {
        let sum = sums
            .entry([row.work, row.end, row.server, &row.phase])
            .or_default();
        sum.runs += row.runs;
        sum.recovered += row.recovered;
        sum.typed += row.typed;
        sum.served += row.served;
        sum.lost += row.lost;
        sum.wrong += row.wrong;
    }
    let mut table = head(["work", "end", "server", "phase"]);
    for (names, sum) in &sums {
        table.add_row(sum.cells(*names));
    }
    writeln!(out, "\n{table}")?;
    for row in sound(rows) {
        if let Some(example) = &row.example {
            writeln!(
                out,
                "wrong: {}, {}, {}, {}: {example}",
                row.work, row.end, row.server, row.point
            )?;
        }
    }
    for rule in missed {
        writeln!(out, "wrong: nobody noticed the broken rule {rule}")?;
    }
    let of = |end: &str| -> (usize, usize) {
        let rows = rows.iter().filter(|row| row.end == end);
        rows.fold((0, 0), |sum, row| (sum.0 + row.wrong, sum.1 + row.runs))
    };
    for scenario in BROKEN {
        let (wrong, runs) = of(scenario.end_name());
        if runs == 0 {
            continue;
        }
        let rule = scenario.end_name();
        writeln!(
            out,
            "broken on purpose, {rule}: noticed in {wrong} of {runs} runs"
        )?;
    }
    let runs: usize = rows.iter().map(|row| row.runs).sum();
    let wrong: usize = sound(rows).map(|row| row.wrong).sum();
    let seconds = took.as_secs();
    writeln!(out, "{runs} runs in {seconds} s, {wrong} not as promised")
}

const FIGURES: [&str; 6] = ["runs", "recovered", "typed", "served", "lost", "wrong"];

fn head<const N: usize>(names: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(names.into_iter().chain(FIGURES));
    for column in N..N + FIGURES.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

impl Row {
    fn cells<const N: usize>(&self, names: [&str; N]) -> Vec<String> {
        let figures = [
            self.runs,
            self.recovered,
            self.typed,
            self.served,
            self.lost,
            self.wrong,
        ];
        let names = names.into_iter().map(str::to_owned);
        names.chain(figures.iter().map(usize::to_string)).collect()
    }
}

/// xorshift64 (Marsaglia 2003): the order can be had again from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }
}
