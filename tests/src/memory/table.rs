//! What may be found where, what was found, and the table of both.

use std::collections::BTreeMap;

use comfy_table::{ContentArrangement, Table, presets};

use super::needle::Canary;
use super::process::Scan;

pub(super) const REFRESH_TOKEN: &str = "refresh token";
pub(super) const ACCESS_TOKEN: &str = "access token";
pub(super) const SEALING_KEY: &str = "sealing key";
pub(super) const KEY_FILE: &str = "key file";
pub(super) const CLIENT_SECRET: &str = "client secret";
pub(super) const DPOP_KEY: &str = "DPoP key";

/// The table's columns.
pub(super) const SECRETS: [&str; 6] = [
    REFRESH_TOKEN,
    ACCESS_TOKEN,
    SEALING_KEY,
    KEY_FILE,
    CLIENT_SECRET,
    DPOP_KEY,
];

/// How many copies there may be of one kind of secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// None at all.
    None,
    /// So many, and only in locked memory.
    Locked(usize),
    /// At least one: it is in use at this moment. Shows that the scanner sees it.
    InUse,
    /// Any number: nothing is promised.
    Any,
}

/// Copies of one kind of secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// In locked memory.
    pub(super) locked: usize,
    /// Everywhere else, by form and mapping.
    pub(super) open: BTreeMap<(&'static str, String), usize>,
}

impl Found {
    pub(super) fn in_the_open(&self) -> usize {
        self.open.values().sum()
    }

    fn is(&self, expected: Expected) -> bool {
        match expected {
            Expected::None => self.locked == 0 && self.in_the_open() == 0,
            Expected::Locked(most) => self.locked <= most && self.in_the_open() == 0,
            Expected::InUse => self.locked + self.in_the_open() > 0,
            Expected::Any => true,
        }
    }
}

/// One look into one process.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) program: &'static str,
    pub(super) operation: &'static str,
    pub(super) point: &'static str,
    pub(super) expected: BTreeMap<&'static str, Expected>,
    pub(super) found: BTreeMap<&'static str, Found>,
    /// Memory that could not be read.
    pub(super) unread: Vec<String>,
}

impl Row {
    pub(super) fn new(
        (program, operation, point): (&'static str, &'static str, &'static str),
        expected: &[(&'static str, Expected)],
        canaries: &[Canary],
        scan: &Scan,
    ) -> Self {
        let mut found: BTreeMap<_, Found> = BTreeMap::new();
        for canary in canaries {
            found.entry(canary.name).or_default();
        }
        for copy in &scan.copies {
            let found = found.entry(canaries[copy.canary].name).or_default();
            match copy.locked {
                true => found.locked += 1,
                false => {
                    *found
                        .open
                        .entry((copy.form, copy.place.clone()))
                        .or_default() += 1
                }
            }
        }
        Self {
            program,
            operation,
            point,
            expected: expected.iter().copied().collect(),
            found,
            unread: scan.unread.clone(),
        }
    }

    /// What is expected of a kind of secret: nothing is to be found of what is not named.
    fn expected(&self, secret: &str) -> Expected {
        self.expected.get(secret).copied().unwrap_or(Expected::None)
    }

    /// What is not as it is promised.
    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong: Vec<_> = self
            .found
            .iter()
            .filter(|(secret, found)| !found.is(self.expected(secret)))
            .map(|(secret, found)| {
                let expected = self.expected(secret);
                format!("{secret}: expected {expected:?}, found {}", places(found))
            })
            .collect();
        if !self.unread.is_empty() {
            wrong.push(format!("not read: {}", self.unread.join(", ")));
        }
        wrong
    }

    pub(super) fn name(&self) -> String {
        format!("{}: {}: {}", self.program, self.operation, self.point)
    }

    fn cell(&self, secret: &str) -> String {
        let Some(found) = self.found.get(secret) else {
            return String::new();
        };
        let open = found.in_the_open();
        let count = match (open, found.locked) {
            (0, 0) => "0".to_owned(),
            (0, locked) => format!("{locked} locked"),
            (open, 0) => open.to_string(),
            (open, locked) => format!("{open} + {locked} locked"),
        };
        let expected = match self.expected(secret) {
            Expected::None => "0".to_owned(),
            Expected::Locked(most) => format!("\u{2264}{most} locked"),
            Expected::InUse => "\u{2265}1".to_owned(),
            Expected::Any => "any".to_owned(),
        };
        format!("{count} ({expected})")
    }
}

fn places(found: &Found) -> String {
    let mut places: Vec<_> = found
        .open
        .iter()
        .map(|((form, place), count)| format!("{count} {form} in {place}"))
        .collect();
    if found.locked > 0 {
        places.push(format!("{} locked", found.locked));
    }
    match places.is_empty() {
        true => "none".to_owned(),
        false => places.join(", "),
    }
}

/// The table, and below it what is wrong; with `verbose` also where everything lies.
pub(super) fn render(rows: &[Row], verbose: bool) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["program", "operation", "point"].into_iter().chain(SECRETS));
    let mut notes = String::new();
    let mut wrong = 0;
    for row in rows {
        let cells = SECRETS.iter().map(|secret| row.cell(secret));
        let words = [row.program, row.operation, row.point].map(str::to_owned);
        table.add_row(words.into_iter().chain(cells));
        let problems = row.wrong();
        wrong += usize::from(!problems.is_empty());
        for problem in problems {
            notes.push_str(&format!("wrong: {}: {problem}\n", row.name()));
        }
        for (secret, found) in row.found.iter().filter(|_| verbose) {
            if *found != Found::default() {
                notes.push_str(&format!("  {}: {secret}: {}\n", row.name(), places(found)));
            }
        }
    }
    let right = rows.len() - wrong;
    format!("{table}\ncopies found (expected)\n{notes}{right} looks right, {wrong} wrong")
}
