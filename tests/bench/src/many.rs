//! Many profiles beside one; memory, size, and what a process does that only waits.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use vault_core::RefreshToken;
use vault_core::enrolment::Import;
use vault_core::platform::store::StoreKind;

use crate::place::{Place, Server, beside, installed};
use crate::table::{Row, Table, Unit};
use crate::{Result, measure};

/// gnome-keyring writes its whole file anew for each item: a thousand take it half an hour.
const PROFILES: [(StoreKind, usize); 2] = [
    (StoreKind::EncryptedFile, 1000),
    (StoreKind::SecretService, 200),
];
const ROUNDS: usize = 21;

pub fn measure(table: &mut Table) -> Result<()> {
    let mut server = Server::start(&[])?;
    for (store, count) in PROFILES {
        let (one, many) = (Place::new(store)?, Place::new(store)?);
        one.log_in(&mut server, "default")?;
        fill(&many, &mut server, count)?;
        profiles(table, &one, &many, store, count)?;
    }
    size(table)?;
    let place = Place::new(StoreKind::SecretService)?;
    place.log_in(&mut server, "memory")?;
    memory(table, &place)?;
    idle(table, &place)
}

fn fill(place: &Place, server: &mut Server, count: usize) -> Result<()> {
    for number in 0..count {
        let token = RefreshToken::new(server.issue()?.into());
        let import = Import::from_issuer(&server.issuer, "vault-cli");
        let session = place.session(&format!("many-{number:04}"))?;
        session.blocking().import(import, token)?;
    }
    Ok(())
}

fn profiles(
    table: &mut Table,
    one: &Place,
    many: &Place,
    store: StoreKind,
    count: usize,
) -> Result<()> {
    let lists: [&dyn Fn() -> Command; 2] =
        [&|| many.vault_cli(&["list"]), &|| one.vault_cli(&["list"])];
    let lists = measure::processes(ROUNDS, 1, &lists)?;
    let list = format!("`list` of {count} profiles, {store}");
    let list = Row::new(list, Unit::Milliseconds, lists[0]);
    table.add(list.beside("`list` of one", lists[1]).at_most(50.0));
    // Not in turn with the lists: a long one leaves the processor's caches cold for what comes next.
    let tokens: [&dyn Fn() -> Command; 2] = [
        &|| many.vault_cli(&["token", "--profile", "many-0100"]),
        &|| one.vault_cli(&["token", "--profile", "default"]),
    ];
    let tokens = measure::processes(ROUNDS, 1, &tokens)?;
    let token = format!("a token of one of {count} profiles, {store}");
    let token = Row::new(token, Unit::Milliseconds, tokens[0]);
    table.add(token.beside("of one", tokens[1]).at_most_times(1.1));
    Ok(())
}

fn size(table: &mut Table) -> Result<()> {
    let size = std::fs::metadata(installed("vault-cli")?)?.len();
    table.add(Row::new("size of `vault-cli`", Unit::Megabytes, size as f64 / 1e6).at_most(8.0));
    Ok(())
}

fn memory(table: &mut Table, place: &Place) -> Result<()> {
    let ours = peak(&place.vault_cli(&["token", "--profile", "memory"]))?;
    let nothing = peak(&Command::new(installed("nothing")?))?;
    let row = Row::new("peak memory of `vault-cli token`", Unit::Megabytes, ours);
    table.add(
        row.beside("a program that does nothing", nothing)
            .at_most(12.0),
    );
    Ok(())
}

/// The most memory that the command has, in megabytes, as a small program sees it that starts it:
/// a child begins with what its parent has.
fn peak(command: &Command) -> Result<f64> {
    let mut time = Command::new("/usr/bin/time");
    time.args(["-f", "%M"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            time.env(name, value);
        }
    }
    let mut taken = Vec::new();
    for _ in 0..11 {
        let output = time.output()?;
        if !output.status.success() {
            return Err(format!("{time:?}: {output:?}").into());
        }
        let kilobytes: f64 = String::from_utf8(output.stderr)?.trim().parse()?;
        taken.push(kilobytes * 1024.0 / 1e6);
    }
    Ok(measure::median(taken))
}

/// How often a process runs that keeps a token fresh whose end is far away.
fn idle(table: &mut Table, place: &Place) -> Result<()> {
    const MINUTES: u32 = 2;
    let mut process = Command::new(beside("asker")?)
        .args(place.arguments("memory"))
        .arg("keep")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut ready = String::new();
    BufReader::new(process.stdout.take().ok_or("a pipe")?).read_line(&mut ready)?;
    std::thread::sleep(Duration::from_secs(5));
    let before = switches(process.id())?;
    std::thread::sleep(Duration::from_secs(60) * MINUTES);
    let after = switches(process.id())?;
    process.kill()?;
    process.wait()?;
    let wakes = (after - before) / f64::from(MINUTES);
    let row = Row::new("wake-ups of an idle `keep_fresh`", Unit::PerMinute, wakes);
    table.add(row.at_most(2.0));
    Ok(())
}

/// How often the threads of a process have waited.
fn switches(process: u32) -> Result<f64> {
    let mut sum = 0.0;
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        let voluntary = "voluntary_ctxt_switches:";
        let count = status.lines().find_map(|line| line.strip_prefix(voluntary));
        sum += count.ok_or("no count")?.trim().parse::<f64>()?;
    }
    Ok(sum)
}
