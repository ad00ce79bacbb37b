//! An application that links vault-core: does one thing after the other, and stays alive in
//! between, so that its memory can be looked into.
//!
//! Two programs run this: `memory_app` has installed the zeroizing allocator, `memory` has not.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;
use vault_core::fault::{self, Action};
use vault_core::login::{DeviceAuthorization, LoginInteraction, LoginRequest};
use vault_core::platform::locked::{AfterFork, LockedBytes};
use vault_core::session::TokenOptions;
use vault_core::{Error, Session};

use super::needle::Canary;
use super::place::beside;
use super::process::{Process, Scan};
use super::sys;
use crate::kills::worker::{Failure, Place, pause};
use crate::server::browser;

/// The argument that makes a program the application.
pub const ARGUMENT: &str = "--app";

/// One thing to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Opens the vault.
    Open(Box<Place>),
    Login {
        issuer: String,
        dpop: bool,
    },
    /// Refreshes, whether that is due or not.
    Refresh,
    Token,
    Inspect,
    Logout,
    /// Asks for a refresh and goes away before it is done.
    GiveUp,
    /// Waits until refreshes that were given up are done.
    Settle,
    /// Drops everything.
    Close,
    /// Puts in a fault.
    Inject(String),
    /// Has the thread panic that passes a point.
    Panic(String),
    /// Has the thread wait at a point that passes it; it says so.
    Park(String),
    /// Goes on at the point.
    GoOn,
    /// Allocates text here and there, one copy in ordinary memory and one in locked.
    Plant(String),
    /// Ends by SIGABRT.
    Abort,
}

/// What the application does; it ends with its input.
///
/// # Errors
///
/// If an order makes no sense.
pub fn work() -> Result<(), Failure> {
    let mut open: Option<Session> = None;
    let mut planted = Vec::new();
    let mut locked = Vec::new();
    let parked = Arc::new((std::sync::Mutex::new(0_usize), std::sync::Condvar::new()));
    fault::record();
    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let session = || open.clone().ok_or("nothing is open");
        let options = TokenOptions::default();
        let outcome = match order {
            Order::Open(place) => {
                open = Some(place.open()?);
                Ok(())
            }
            Order::Login { issuer, dpop } => {
                let request = LoginRequest::new(issuer, "vault-cli").dpop(dpop);
                let session = session()?;
                let done = session.blocking().login(request, Arc::new(Person));
                done.map(drop)
            }
            Order::Refresh => {
                let done = session()?.blocking().refresh_now(&options).map(drop);
                settle();
                done
            }
            Order::Token => session()?.blocking().token(&options).map(drop),
            Order::Inspect => session()?.blocking().inspect().map(drop),
            Order::Logout => session()?.blocking().logout(true).map(drop),
            Order::GiveUp => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?;
                let session = session()?;
                let patience = Duration::from_millis(300);
                let asked = runtime.block_on(async {
                    tokio::time::timeout(patience, session.refresh_now(&options)).await
                });
                match asked {
                    Ok(_) => return Err("the answer was not held back".into()),
                    Err(_) => Ok(()),
                }
            }
            Order::Settle => {
                settle();
                Ok(())
            }
            Order::Close => {
                open = None;
                Ok(())
            }
            Order::Inject(fault) => {
                fault::inject(&fault);
                Ok(())
            }
            Order::Panic(point) => {
                fault::arm(&point, 1, Action::Panic);
                Ok(())
            }
            Order::Park(point) => {
                let parked = parked.clone();
                let wait = move || {
                    say("parked").ok();
                    let (count, changed) = &*parked;
                    let count = count
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    drop(changed.wait_while(count, |count| *count == 0));
                };
                fault::arm(&point, 1, Action::Run(Arc::new(wait)));
                let session = session()?;
                std::thread::spawn(move || {
                    let done = session.blocking().refresh_now(&TokenOptions::default());
                    settle();
                    say(&told(&done.map(drop)))
                });
                continue;
            }
            Order::GoOn => {
                *parked
                    .0
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
                parked.1.notify_all();
                continue;
            }
            Order::Plant(seed) => {
                planted.push(derived(&seed, 0));
                locked.push(LockedBytes::new(
                    derived(&seed, 1).as_bytes(),
                    AfterFork::Wiped,
                ));
                Ok(())
            }
            Order::Abort => std::process::abort(),
        };
        say(&told(&outcome))?;
    }
    Ok(())
}

/// Text that the parent can work out and that is in no message to the child.
pub(super) fn derived(seed: &str, index: u8) -> String {
    use sha2::{Digest as _, Sha256};
    data_encoding::BASE64URL_NOPAD.encode(&Sha256::digest(format!("{seed}/{index}")))
}

fn told(outcome: &Result<(), Error>) -> String {
    match outcome {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn say(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Waits until each refresh that began has ended: one goes on after its token was handed out.
fn settle() {
    let is_over = || {
        let passed = fault::passed();
        let count = |name: &str| passed.iter().filter(|point| *point == name).count();
        count("refresh.after:Finish") >= count("refresh.before:Look")
    };
    for _ in 0..10_000 {
        if is_over() {
            break;
        }
        pause(Duration::from_millis(1));
    }
    pause(Duration::from_millis(20));
}

/// Follows the login's address at once.
struct Person;

impl LoginInteraction for Person {
    fn open_url(&self, url: &Url) -> Result<(), Error> {
        drop(browser::follow_in_background(url.as_str()));
        Ok(())
    }

    fn show_device_code(&self, _code: &DeviceAuthorization) {}

    fn confirm_other_account(&self, _stored: &str, _new: &str) -> bool {
        true
    }
}

/// The application as its parent sees it.
#[derive(Debug)]
pub(super) struct App {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    process: Process,
}

impl App {
    /// Starts it, with the zeroizing allocator or without.
    pub(super) fn start(wiping: bool) -> Result<Self, Failure> {
        Self::spawn(Command::new(match wiping {
            true => beside("memory_app")?,
            false => std::env::current_exe()?,
        }))
    }

    /// The same, in a folder of its own and allowed to leave a core dump there.
    pub(super) fn with_dumps(folder: &std::path::Path) -> Result<Self, Failure> {
        let mut command = Command::new(beside("memory_app")?);
        sys::allow_dumps(command.current_dir(folder));
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Result<Self, Failure> {
        let mut child = command
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            orders: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().ok_or("no standard output")?),
            process: Process::open(child.id())?,
            child,
        })
    }

    /// Gives an order, without waiting for the answer.
    pub(super) fn tell(&mut self, order: &Order) -> Result<(), Failure> {
        let orders = self.orders.as_mut().ok_or("it has ended")?;
        writeln!(orders, "{}", serde_json::to_string(order)?)?;
        Ok(())
    }

    /// The next answer.
    pub(super) fn answer(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err("the application has ended".into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    /// Gives an order that ends so.
    pub(super) fn order(&mut self, order: &Order, expected: &str) -> Result<(), Failure> {
        self.tell(order)?;
        let answer = self.answer()?;
        match answer == expected {
            true => Ok(()),
            false => Err(format!("{order:?}: {answer}").into()),
        }
    }

    pub(super) fn scan(&mut self, canaries: &[Canary]) -> Result<Scan, Failure> {
        Ok(self.process.scan(canaries)?)
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Has it abort, and waits.
    pub(super) fn abort(mut self) -> Result<std::process::ExitStatus, Failure> {
        self.tell(&Order::Abort)?;
        Ok(self.child.wait()?)
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.orders.take();
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
