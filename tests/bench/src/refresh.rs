//! What a refresh adds to the server's own answer time, and how long those wait who did not make
//! it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use vault_core::platform::store::StoreKind;
use vault_core::session::TokenOptions;

use crate::Result;
use crate::agent::OidcAgent;
use crate::measure::median;
use crate::place::{Place, Server, beside};
use crate::table::{Row, Table, Unit};

const ROUNDS: usize = 31;
const ROUNDS_OF_MANY: usize = 11;

pub fn measure(table: &mut Table) -> Result<()> {
    // The server takes so long for an answer.
    let mut server = Server::start(&["--latency", "0.05"])?;
    for store in [StoreKind::EncryptedFile, StoreKind::SecretService] {
        added(table, &mut server, store)?;
    }
    // So long that all are waiting before it answers.
    let mut server = Server::start(&["--latency", "0.5"])?;
    let agent = agent()?;
    for store in [StoreKind::EncryptedFile, StoreKind::SecretService] {
        for (processes, limit) in [(8, 20.0), (64, 80.0)] {
            let last = waiting(&mut server, store, processes)?;
            let what = format!("{processes} waiting for a refresh, to the last, {store}");
            let row = Row::new(what, Unit::Milliseconds, last).at_most(limit);
            let peer = "8 oidc-token that want a new one";
            table.add(if processes == 8 {
                row.beside(peer, agent)
            } else {
                row
            });
        }
    }
    Ok(())
}

/// Eight programs that ask `oidc-agent` for a token that lives longer than the one it has, from
/// the first answer to the last; its server answers at once.
fn agent() -> Result<f64> {
    let agent = OidcAgent::start()?;
    let mut taken = Vec::new();
    for round in 0..=ROUNDS_OF_MANY {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let mut command = agent.token();
                std::thread::spawn(move || {
                    let output = command.args(["--time", "90000"]).output();
                    output.map(|output| (output.status.success(), Instant::now()))
                })
            })
            .collect();
        let mut ended = Vec::new();
        for thread in threads {
            let (succeeded, at) = thread.join().map_err(|_| "a thread ended")??;
            if !succeeded {
                return Err("oidc-token failed".into());
            }
            ended.push(at);
        }
        ended.sort();
        if round > 0 {
            taken.push((ended[7] - ended[0]).as_secs_f64() * 1e3);
        }
    }
    Ok(median(taken))
}

/// A refresh in a process that has its session, beside the bare request: the same server, a new
/// connection, the same form.
fn added(table: &mut Table, server: &mut Server, store: StoreKind) -> Result<()> {
    let place = Place::new(store)?;
    place.log_in(server, "default")?;
    let session = place.session("default")?;
    let options = TokenOptions::default();
    let mut bare = server.issue()?;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let began = Instant::now();
        bare = request(&server.issuer, &bare)?;
        let request = began.elapsed().as_secs_f64() * 1e3;
        let began = Instant::now();
        session.blocking().refresh_now(&options)?;
        let refresh = began.elapsed().as_secs_f64() * 1e3;
        if round > 0 {
            floor.push(request);
            ours.push(refresh);
        }
    }
    let (ours, floor) = (median(ours), median(floor));
    let what = format!("what a refresh adds, {store}");
    table.add(Row::new(what, Unit::Milliseconds, ours - floor).at_most(15.0));
    let what = format!("a whole refresh, {store}");
    table.add(Row::new(what, Unit::Milliseconds, ours).beside("the bare request", floor));
    Ok(())
}

/// Sends a refresh token and gives the next one.
fn request(issuer: &str, refresh_token: &str) -> Result<String> {
    let address = issuer.strip_prefix("http://").ok_or("plain HTTP")?;
    let mut stream = TcpStream::connect(address)?;
    let form =
        format!("grant_type=refresh_token&client_id=vault-cli&refresh_token={refresh_token}");
    let head = "content-type: application/x-www-form-urlencoded\r\nconnection: close\r\n";
    let length = form.len();
    write!(
        stream,
        "POST /token HTTP/1.1\r\nhost: {address}\r\n{head}content-length: {length}\r\n\r\n{form}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no body")?;
    let body: Value = serde_json::from_str(body)?;
    let next = body["refresh_token"].as_str();
    Ok(next
        .ok_or_else(|| format!("the server refused: {body}"))?
        .to_owned())
}

/// From the token of the process that refreshed to the token of the last one, in milliseconds.
fn waiting(server: &mut Server, store: StoreKind, processes: usize) -> Result<f64> {
    let place = Place::new(store)?;
    place.log_in(server, "default")?;
    let mut askers = Vec::new();
    for _ in 0..processes {
        askers.push(Asker::start(&place)?);
    }
    for asker in &mut askers {
        asker.line()?;
    }
    let mut taken = Vec::new();
    for round in 0..=ROUNDS_OF_MANY {
        let last = last(&mut askers)?;
        if round > 0 {
            taken.push(last);
        }
    }
    Ok(median(taken))
}

/// One round of it.
fn last(askers: &mut [Asker]) -> Result<f64> {
    let now = clock_gettime(ClockId::Monotonic);
    let at = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64 + 100_000_000;
    for asker in &mut *askers {
        writeln!(asker.orders, "{at}")?;
    }
    let (mut first, mut last) = (None, 0.0_f64);
    for asker in askers {
        let line = asker.line()?;
        let (time, refreshed) = line.split_once(' ').ok_or("an asker ended")?;
        let time: f64 = time.parse()?;
        last = last.max(time);
        if refreshed == "true" && first.replace(time).is_some() {
            return Err("two processes refreshed".into());
        }
    }
    let first = first.ok_or("nobody refreshed")?;
    Ok((last - first) / 1e6)
}

struct Asker {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Asker {
    fn start(place: &Place) -> Result<Self> {
        let mut process = Command::new(beside("asker")?)
            .args(place.arguments("default"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self {
            orders: process.stdin.take().ok_or("a pipe")?,
            answers: BufReader::new(process.stdout.take().ok_or("a pipe")?),
            process,
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
