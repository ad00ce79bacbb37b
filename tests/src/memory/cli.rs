//! The real `vault-cli`, looked into while its request is under way and at the moment of its end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::needle::Canary;
use super::place::{CONFIDENTIAL, Place};
use super::process::{Process, Scan};
use super::sys::{self, Stop};
use super::table::{
    ACCESS_TOKEN, CLIENT_SECRET, Expected, KEY_FILE, REFRESH_TOKEN, Row, SEALING_KEY,
};
use crate::kills::worker::Failure;
use crate::server::{Dpop, Endpoint, Fault, ServerConfig, Stage, browser};

const PROGRAM: &str = "vault-cli";
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const IN_FLIGHT: &str = "the server has the request";
const END: &str = "it is about to end";

/// A request is under way: the refresh token is in it, and keys are in locked memory only.
const USING: [(&str, Expected); 4] = [
    (REFRESH_TOKEN, Expected::InUse),
    (ACCESS_TOKEN, Expected::Any),
    (SEALING_KEY, Expected::Any),
    (KEY_FILE, Expected::Any),
];

/// A program that is traced.
#[derive(Debug)]
pub(super) struct Traced {
    child: Child,
    id: i32,
    process: Process,
}

impl Traced {
    /// Starts it. Its files of /proc are opened before it can make itself undumpable, so that
    /// nobody needs to be root.
    pub(super) fn start(mut command: Command) -> Result<Self, Failure> {
        sys::trace(&mut command);
        let child = command.spawn()?;
        let id = i32::try_from(child.id())?;
        match sys::wait(id)? {
            Stop::Signal(_) => {}
            stop => return Err(format!("the program began with {stop:?}").into()),
        }
        sys::stop_before_the_end(id)?;
        let process = Process::open(child.id())?;
        sys::go_on(id, 0)?;
        Ok(Self { child, id, process })
    }

    pub(super) fn scan(&mut self, canaries: &[Canary]) -> Result<Scan, Failure> {
        Ok(self.process.scan(canaries)?)
    }

    /// Lets it run until it is about to end.
    pub(super) fn run(&mut self) -> Result<(), Failure> {
        loop {
            match sys::wait(self.id)? {
                Stop::Ending => return Ok(()),
                Stop::Signal(signal) => sys::go_on(self.id, signal)?,
                Stop::Ended => return Err("the program ended unseen".into()),
            }
        }
    }

    /// Lets it end.
    pub(super) fn end(mut self) -> Result<(ExitStatus, String), Failure> {
        sys::go_on(self.id, 0)?;
        let status = self.child.wait()?;
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut said)?;
        }
        Ok((status, said))
    }
}

/// Looks into one program at its end, with what is stored then known.
fn at_the_end(
    place: &mut Place,
    mut traced: Traced,
    operation: &'static str,
    expected_code: i32,
) -> Result<Row, Failure> {
    traced.run()?;
    place.learn()?;
    let canaries = place.canaries();
    let scan = traced.scan(&canaries)?;
    let (status, said) = traced.end()?;
    let code = status.code().or(status.signal().map(|signal| -signal));
    if code != Some(expected_code) {
        return Err(format!("{operation}: {status}: {said}").into());
    }
    Ok(Row::new((PROGRAM, operation, END), &[], &canaries, &scan))
}

fn run_to_the_end(
    place: &mut Place,
    operation: &'static str,
    arguments: &[&str],
) -> Result<Row, Failure> {
    let traced = Traced::start(place.vault_cli(arguments)?)?;
    at_the_end(place, traced, operation, 0)
}

/// The same with something on standard input.
fn run_with_input(
    place: &mut Place,
    operation: &'static str,
    arguments: &[&str],
    input: &str,
) -> Result<Row, Failure> {
    let mut command = place.vault_cli(arguments)?;
    command.stdin(Stdio::piped());
    let mut traced = Traced::start(command)?;
    if let Some(mut stdin) = traced.child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    at_the_end(place, traced, operation, 0)
}

/// Every look into a `vault-cli`.
pub(super) fn rows(program: &Path) -> Result<Vec<Row>, Failure> {
    let new = |config| Place::new(config).map(|place| place.with(program));
    let mut rows = Vec::new();

    let mut place = new(ServerConfig::default())?;
    let (issuer, token) = (place.server.issuer().to_owned(), place.issue());
    let import = ["import", "--issuer", &issuer, "--client-id", "vault-cli"];
    rows.push(run_with_input(&mut place, "import", &import, &token)?);
    rows.push(run_to_the_end(&mut place, "token", &["token"])?);
    rows.push(run_to_the_end(
        &mut place,
        "token --json",
        &["token", "--json"],
    )?);
    rows.push(run_to_the_end(&mut place, "show", &["show"])?);
    rows.push(run_to_the_end(&mut place, "status", &["status"])?);

    rows.extend(refresh(&mut place, "refresh", None)?);
    rows.extend(refresh(&mut place, "refresh, interrupted", Some("INT"))?);

    let fault = Fault::unavailable(0);
    place.server.fail_next(Endpoint::Token, 1, fault);
    let failing = Traced::start(place.vault_cli(&["refresh", "--force"])?)?;
    rows.push(at_the_end(
        &mut place,
        failing,
        "refresh, refused for now",
        5,
    )?);
    rows.push(run_to_the_end(&mut place, "logout", &["logout"])?);

    let mut place = new(ServerConfig::default())?;
    rows.push(login(&mut place, "login", &[])?);

    let config = ServerConfig {
        dpop: Dpop::Offered,
        ..ServerConfig::default()
    };
    let mut place = new(config)?;
    rows.push(login(&mut place, "login --dpop", &["--dpop"])?);
    rows.extend(refresh(&mut place, "refresh with DPoP", None)?);

    let mut place = new(ServerConfig::default())?;
    let (issuer, token) = (
        place.server.issuer().to_owned(),
        place.issue_for(CONFIDENTIAL),
    );
    let secret = place.path().join("client-secret");
    std::fs::write(&secret, &place.client_secret)?;
    let secret = secret.to_string_lossy().into_owned();
    let mut import = vec!["import", "--issuer", &issuer, "--client-id", CONFIDENTIAL];
    import.extend(["--client-secret-file", &secret]);
    rows.push(run_with_input(
        &mut place,
        "import, confidential",
        &import,
        &token,
    )?);
    let mut looks = refresh(&mut place, "refresh, confidential", None)?;
    looks[0].expected.insert(CLIENT_SECRET, Expected::InUse);
    rows.extend(looks);
    Ok(rows)
}

/// A refresh, looked into while its answer is held back and at its end.
fn refresh(
    place: &mut Place,
    operation: &'static str,
    signal: Option<&str>,
) -> Result<Vec<Row>, Failure> {
    let hold = place.server.hold(Endpoint::Token, Stage::Answered);
    let mut traced = Traced::start(place.vault_cli(&["refresh", "--force"])?)?;
    if !hold.wait_for(1, PATIENCE) {
        return Err(format!("{operation}: nothing was sent").into());
    }
    let canaries = place.canaries();
    let scan = traced.scan(&canaries)?;
    let mut expected = USING.to_vec();
    expected.push((super::table::DPOP_KEY, Expected::Any));
    let in_flight = Row::new((PROGRAM, operation, IN_FLIGHT), &expected, &canaries, &scan);
    if let Some(signal) = signal {
        let id = traced.id.to_string();
        Command::new("kill")
            .args([&format!("-{signal}"), &id])
            .status()?;
    }
    drop(hold);
    let code = if signal.is_some() { -libc::SIGINT } else { 0 };
    let ended = at_the_end(place, traced, operation, code)?;
    Ok(vec![in_flight, ended])
}

/// A login with a browser, which is this process.
fn login(place: &mut Place, operation: &'static str, more: &[&str]) -> Result<Row, Failure> {
    let issuer = place.server.issuer().to_owned();
    let mut arguments = vec!["login", "--issuer", &issuer, "--client-id", "vault-cli"];
    arguments.extend([
        "--scope",
        "openid",
        "--scope",
        "offline_access",
        "--no-browser",
    ]);
    arguments.extend(more);
    let mut traced = Traced::start(place.vault_cli(&arguments)?)?;
    let mut stderr = BufReader::new(traced.child.stderr.take().ok_or("no standard error")?);
    loop {
        let mut line = String::new();
        if stderr.read_line(&mut line)? == 0 {
            return Err(format!("{operation}: no address was shown").into());
        }
        if line.starts_with("http") {
            browser::follow(line.trim_end())?;
            break;
        }
    }
    at_the_end(place, traced, operation, 0)
}
