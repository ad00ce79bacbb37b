//! The table: each row is a figure, what stands beside it, and what it should be.

use std::fmt;

/// What a figure counts.
#[derive(Clone, Copy, PartialEq)]
pub enum Unit {
    Nanoseconds,
    Milliseconds,
    Megabytes,
    PerMinute,
    Instructions,
}

impl Unit {
    fn show(self, value: f64) -> String {
        let (name, digits) = match self {
            Self::Nanoseconds => ("ns", 0),
            Self::Milliseconds => ("ms", if value < 10.0 { 2 } else { 1 }),
            Self::Megabytes => ("MB", 1),
            Self::PerMinute => ("/min", 1),
            Self::Instructions => ("instructions", 0),
        };
        format!("{value:.digits$} {name}")
    }
}

enum Target {
    AtMost(f64),
    Ratio(f64),
}

/// A figure of ours, in a unit.
pub struct Row {
    what: String,
    unit: Unit,
    ours: f64,
    peer: Option<(String, f64)>,
    target: Option<Target>,
}

impl Row {
    pub fn new(what: impl Into<String>, unit: Unit, ours: f64) -> Self {
        Self {
            what: what.into(),
            unit,
            ours,
            peer: None,
            target: None,
        }
    }

    /// Beside it, in the same unit: a peer, or a floor that nobody gets below.
    pub fn beside(mut self, name: &str, value: f64) -> Self {
        self.peer = Some((name.to_owned(), value));
        self
    }

    pub fn at_most(mut self, limit: f64) -> Self {
        self.target = Some(Target::AtMost(limit));
        self
    }

    /// At most so many times what stands beside it.
    pub fn at_most_times(mut self, ratio: f64) -> Self {
        self.target = Some(Target::Ratio(ratio));
        self
    }

    fn ratio(&self) -> Option<f64> {
        self.peer.as_ref().map(|(_, peer)| self.ours / peer)
    }

    fn is_met(&self) -> Option<bool> {
        match self.target.as_ref()? {
            Target::AtMost(limit) => Some(self.ours <= *limit),
            Target::Ratio(limit) => self.ratio().map(|ratio| ratio <= *limit),
        }
    }

    fn cells(&self) -> [String; 6] {
        let none = String::new;
        let peer = |(name, value): &(String, f64)| format!("{name} {}", self.unit.show(*value));
        let target = |target: &Target| match target {
            Target::AtMost(limit) => format!("≤ {}", self.unit.show(*limit)),
            Target::Ratio(ratio) => format!("≤ {ratio} ×"),
        };
        [
            self.what.clone(),
            self.unit.show(self.ours),
            self.peer.as_ref().map_or_else(none, peer),
            self.ratio()
                .map_or_else(none, |ratio| format!("{ratio:.2} ×")),
            self.target.as_ref().map_or_else(none, target),
            self.is_met()
                .map_or_else(none, |met| if met { "yes" } else { "no" }.to_owned()),
        ]
    }
}

/// The rows, and what can't be told in figures.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Table {
    pub fn add(&mut self, row: Row) {
        eprintln!("  {}", row.cells().join(" | "));
        self.rows.push(row);
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
        eprintln!("  {}", self.notes[self.notes.len() - 1]);
    }
}

/// As Markdown has it.
impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["what", "ours", "peer or floor", "ratio", "target", "met"].map(str::to_owned);
        let mut lines: Vec<[String; 6]> = vec![heads];
        lines.extend(self.rows.iter().map(Row::cells));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths: [usize; 6] = std::array::from_fn(|column| width(column).unwrap_or_default());
        for (index, line) in lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(widths) {
                write!(formatter, "| {cell:width$} ")?;
            }
            writeln!(formatter, "|")?;
            if index == 0 {
                for width in widths {
                    write!(formatter, "|{}", "-".repeat(width + 2))?;
                }
                writeln!(formatter, "|")?;
            }
        }
        for note in &self.notes {
            write!(formatter, "\n- {note}")?;
        }
        Ok(())
    }
}
