//! Instructions of the hot paths, as callgrind counts them: they tell of a change that time on a
//! busy machine hides. What they were is kept in `instructions.json`; with `BENCH_KEEP` set,
//! what they are is written there.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use vault_core::platform::store::StoreKind;

use crate::Result;
use crate::place::{Place, Server, beside, installed};
use crate::table::{Row, Table, Unit};

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json");

/// Another compiler or processor explains as much; a regression is more.
const TOLERANCE: f64 = 1.05;

/// Reads a token endpoint's answer.
const CLASSIFY: &str = "*oauth::answer::classify*";

pub fn measure(table: &mut Table) -> Result<()> {
    let mut server = Server::start(&[])?;
    let place = Place::new(StoreKind::EncryptedFile)?;
    place.log_in(&mut server, "default")?;
    let [state, key, _, profile] = place.arguments("default");
    let hot = |what: &str, times: u32| -> Result<Command> {
        let mut command = Command::new(beside("hot")?);
        command
            .args([what, &times.to_string()])
            .args([&state, &key, &profile]);
        Ok(command)
    };
    // What a program does before and after is in both counts.
    let each = |what: &str, few: u32, more: u32| -> Result<f64> {
        let (less, all) = (
            count(&hot(what, few)?, None)?,
            count(&hot(what, more)?, None)?,
        );
        Ok((all - less) / f64::from(more - few))
    };
    // The first process after a login has more to do.
    hot("cached", 1)?.output()?;
    let answers = 8;
    let counts = BTreeMap::from([
        ("valid token in process", each("cached", 1_000, 401_000)?),
        ("a sealed file opened, 2 KiB", each("open", 100, 4_100)?),
        (
            "a vault opened and its token read, encrypted file",
            each("look", 2, 82)?,
        ),
        ("a refresh, whole", each("refresh", 2, 22)?),
        (
            "a token response read",
            count(&hot("refresh", answers)?, Some(CLASSIFY))? / f64::from(answers),
        ),
        (
            "cold `vault-cli token`, encrypted file",
            count(&place.command(&installed("vault-cli")?, &["token"]), None)?,
        ),
    ]);
    let kept = std::fs::read_to_string(KEPT).unwrap_or_else(|_| "{}".to_owned());
    let kept: BTreeMap<String, f64> = serde_json::from_str(&kept)?;
    for (what, count) in &counts {
        let row = Row::new(*what, Unit::Instructions, *count);
        table.add(match kept.get(*what) {
            Some(before) => row.beside("kept", *before).at_most_times(TOLERANCE),
            None => row,
        });
    }
    if std::env::var_os("BENCH_KEEP").is_some() {
        let whole: BTreeMap<_, _> = counts
            .iter()
            .map(|(what, count)| (what, count.round()))
            .collect();
        std::fs::write(
            Path::new(KEPT),
            serde_json::to_string_pretty(&whole)? + "\n",
        )?;
    }
    Ok(())
}

/// The instructions of a program, or of one function of it and what that calls.
fn count(command: &Command, function: Option<&str>) -> Result<f64> {
    let mut callgrind = Command::new("valgrind");
    callgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    if let Some(function) = function {
        callgrind.arg(format!("--toggle-collect={function}"));
    }
    callgrind
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            callgrind.env(name, value);
        }
    }
    let output = callgrind.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    match collected.map(|(_, count)| count.trim().parse::<f64>()) {
        Some(Ok(count)) if output.status.success() && count > 0.0 => Ok(count),
        _ => Err(format!("{callgrind:?}: {said}").into()),
    }
}
