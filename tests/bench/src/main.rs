//! Measures what the vault costs, beside peers and floors in the same run, and prints one table.
//!
//! ```text
//! bench [GROUP…]        every group, or only these
//! ```
//!
//! Nothing here fails for being slow: what a figure should be stands beside it. `tests/bench/run`
//! builds what is measured and starts this inside a session bus with an unlocked gnome-keyring.

mod agent;
mod cached;
mod cold;
mod indulgent;
mod instructions;
mod many;
mod measure;
mod place;
mod refresh;
mod table;

use std::error::Error;

use table::Table;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

type Measure = fn(&mut Table) -> Result<()>;

const GROUPS: [(&str, Measure); 5] = [
    ("cached", cached::measure),
    ("cold", cold::measure),
    ("refresh", refresh::measure),
    ("many", many::measure),
    ("instructions", instructions::measure),
];

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
    if let Some(unknown) = wanted
        .iter()
        .find(|one| GROUPS.iter().all(|(name, _)| name != one))
    {
        return Err(format!("there is no group {unknown}").into());
    }
    let mut table = Table::default();
    for (name, measure) in GROUPS.into_iter().filter(|(name, _)| is_wanted(name)) {
        eprintln!("measuring {name}");
        measure(&mut table)?;
    }
    println!("{}\n\n{table}", measure::machine());
    Ok(())
}
