//! Core dumps: one that is made on purpose, and one that must not be.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::app::{App, Order, derived};
use super::needle::{Canary, Needles};
use super::place::{Place, random_text};
use super::sys;
use super::table::{DPOP_KEY, KEY_FILE, REFRESH_TOKEN, SEALING_KEY};
use crate::kills::worker::Failure;
use crate::server::{Dpop, Endpoint, ServerConfig, Stage};

/// What was found out about dumps, in words; what is wrong, in more.
#[derive(Debug, Default)]
pub(super) struct Dumps {
    pub(super) told: Vec<String>,
    pub(super) wrong: Vec<String>,
    /// How many were made and searched.
    pub(super) made: usize,
    /// Which could not be made, and why.
    pub(super) skipped: Vec<String>,
}

/// Where the kernel writes the core dump of a process of a folder; `Err` tells why there is none.
fn pattern() -> Result<(), String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/core_pattern");
    let pattern = text.map_err(|error| error.to_string())?;
    match pattern.trim() {
        "" => Err("core dumps are off".to_owned()),
        pattern if pattern.contains(['|', '/']) => {
            Err(format!("core dumps go elsewhere ({pattern})"))
        }
        _ => Ok(()),
    }
}

/// Every dump.
pub(super) fn all() -> Result<Dumps, Failure> {
    let mut dumps = Dumps::default();
    on_purpose(&mut dumps)?;
    forbidden(&mut dumps)?;
    // One way of making them is enough to know what is in them.
    if dumps.made == 0 {
        let why = dumps.skipped.join("; ");
        dumps
            .wrong
            .push(format!("no core dump could be made: {why}"));
    }
    Ok(dumps)
}

/// An application that may leave a dump, with an open session and two planted secrets: the one in
/// ordinary memory shows that the dump can be searched. It is dumped by gdb's `gcore`, which the
/// system's settings do not concern, and by the kernel where that writes here.
fn on_purpose(dumps: &mut Dumps) -> Result<(), Failure> {
    let mut place = Place::new(ServerConfig {
        dpop: Dpop::Offered,
        ..ServerConfig::default()
    })?;
    let seed = random_text();
    let mut app = App::with_dumps(place.path())?;
    app.order(&Order::Open(Box::new(place.opened())), "done")?;
    let issuer = place.server.issuer().to_owned();
    app.order(&Order::Login { issuer, dpop: true }, "done")?;
    app.order(&Order::Inspect, "done")?;
    app.order(&Order::Plant(seed.clone()), "done")?;
    place.learn()?;
    let names = [REFRESH_TOKEN, SEALING_KEY, DPOP_KEY, KEY_FILE];
    let mut canaries = place.canaries();
    canaries.retain(|canary| names.contains(&canary.name));
    canaries.push(Canary::new(
        "a secret in ordinary memory",
        derived(&seed, 0),
    ));
    canaries.push(Canary::new("a secret in locked memory", derived(&seed, 1)));

    let prefix = place.path().join("debugger");
    match by_debugger(app.id(), &prefix) {
        Ok(dump) => search(dumps, "gdb's gcore", &dump, &canaries)?,
        Err(why) => dumps.skipped.push(format!("gcore: {why}")),
    }
    let written_here = pattern();
    let status = app.abort()?;
    match (written_here, core_in(place.path())?) {
        (Ok(()), Some(dump)) => search(dumps, "the kernel", &dump, &canaries)?,
        (Ok(()), None) => {
            let why = format!("the kernel: no core dump was written ({status})");
            dumps.skipped.push(why);
        }
        (Err(why), _) => dumps.skipped.push(format!("the kernel: {why}")),
    }
    Ok(())
}

/// Has a debugger dump a process that runs on.
fn by_debugger(process: u32, prefix: &Path) -> Result<PathBuf, String> {
    let process = process.to_string();
    let output = Command::new("gcore")
        .arg("-o")
        .arg(prefix)
        .arg(&process)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let mut path = prefix.as_os_str().to_owned();
    path.push(format!(".{process}"));
    let path = PathBuf::from(path);
    match path.is_file() {
        true => Ok(path),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.lines().last().unwrap_or("it made none").to_owned())
        }
    }
}

/// Searches a dump: what was planted in ordinary memory has to be in it, and nothing else.
fn search(dumps: &mut Dumps, maker: &str, dump: &Path, canaries: &[Canary]) -> Result<(), Failure> {
    let bytes = std::fs::read(dump)?;
    let mut found = vec![0_usize; canaries.len()];
    Needles::of(canaries).search(&bytes, |piece, _| found[piece.canary] += 1);
    for (canary, found) in canaries.iter().zip(found) {
        let expected = canary.name.ends_with("ordinary memory");
        if (found > 0) != expected {
            let name = canary.name;
            dumps
                .wrong
                .push(format!("core dump by {maker}: {name}: {found} pieces"));
        }
    }
    dumps.made += 1;
    dumps.told.push(format!(
        "a core dump made on purpose ({} MiB, by {maker}): what was planted in ordinary memory is \
         in it; searched for {} long-lived secrets",
        bytes.len() >> 20,
        canaries.len() - 1
    ));
    Ok(())
}

/// `vault-cli` in the middle of a request, with no limit to the size of dumps, is killed by the
/// signal that makes others leave one.
fn forbidden(dumps: &mut Dumps) -> Result<(), Failure> {
    let place = Place::logged_in()?;
    let hold = place.server.hold(Endpoint::Token, Stage::Answered);
    let mut command = place.vault_cli(&["refresh", "--force"])?;
    sys::allow_dumps(&mut command);
    let mut child = command.spawn()?;
    if !hold.wait_for(1, super::cli::PATIENCE) {
        return Err("vault-cli sent nothing".into());
    }
    send_abort(child.id())?;
    let status = child.wait()?;
    let ended = |status: ExitStatus| status.signal() == Some(libc::SIGABRT);
    let core = core_in(place.path())?;
    if !ended(status) || status.core_dumped() || core.is_some() {
        dumps
            .wrong
            .push(format!("vault-cli killed by SIGABRT: {status}, {core:?}"));
    }
    dumps.told.push(format!(
        "vault-cli killed in the middle of a refresh, dumps unlimited: {status}, {}",
        if core.is_some() {
            "a core dump"
        } else {
            "no core dump"
        }
    ));
    Ok(())
}

fn send_abort(process: u32) -> Result<(), Failure> {
    let mut kill = Command::new("kill");
    kill.args(["-ABRT", &process.to_string()]);
    match kill.status()?.success() {
        true => Ok(()),
        false => Err("SIGABRT could not be sent".into()),
    }
}

/// A core dump in a folder.
fn core_in(folder: &Path) -> io::Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_file() && name.starts_with("core") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
