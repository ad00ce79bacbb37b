//! The process that is killed: does what its order says, armed with a fault.
//!
//! The order comes as a line of JSON on standard input, the reports go out as lines of JSON. No
//! token leaves the process: fingerprints do.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;
use vault_core::fault::{self, Action};
use vault_core::login::{DeviceAuthorization, LoginInteraction, LoginRequest};
use vault_core::platform::clock::{BootId, Clock, Now, SystemClock};
use vault_core::platform::store::{Interaction, KeySource, StoreKind};
use vault_core::refresh::policy::RotationPolicy;
use vault_core::session::TokenOptions;
use vault_core::{Error, Session, Vault};

use super::power::Ledger;
use crate::leaks::kept;
use crate::server::{browser, fingerprint};
use crate::stand_in;

/// Longer than a worker's refresh is held up.
const EXIT_PATIENCE: Duration = Duration::from_secs(20);

/// The failure of a program of the tests.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The application whose vault it is. Where other runs share the store, what makes it one run's
/// own follows.
pub const APPLICATION: &str = "com.example.kills";

/// The profile that is logged in.
pub const PROFILE: &str = "default";

/// The argument that makes the program `kills` a worker.
pub const ARGUMENT: &str = "--worker";

/// Which vault is opened, and by which clock it lives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The application's name.
    pub application: String,
    /// Where the login is made.
    pub store: StoreKind,
    /// It is opened where it is pinned, which may be a stand-in.
    pub pinned: bool,
    /// Where the state folders lie.
    pub root: PathBuf,
    /// The key of the encrypted-file store.
    pub key_file: PathBuf,
    /// How far the clocks are ahead, in milliseconds: tokens expire without waiting.
    pub ahead_ms: u64,
    /// The machine was started again since the login.
    pub rebooted: bool,
    /// What a login records about its server.
    pub policy: RotationPolicy,
    /// How long another process is waited for, in milliseconds.
    pub lock_timeout_ms: u64,
}

impl Place {
    /// Opens the vault anew, as a new process would.
    ///
    /// # Errors
    ///
    /// As [`vault_core::VaultBuilder::open`].
    pub fn open(&self) -> Result<Session, Error> {
        let mut builder = Vault::builder(&self.application);
        if self.pinned {
            stand_in::register();
        } else {
            builder = builder.store(self.store);
        }
        builder
            .state_root(&self.root)
            .key_source(KeySource::KeyFile(self.key_file.clone()))
            .interaction(Interaction::Forbidden)
            .rotation_policy(self.policy)
            .lock_timeout(Duration::from_millis(self.lock_timeout_ms))
            .clock(Arc::new(ShiftedClock {
                ahead: Duration::from_millis(self.ahead_ms),
                rebooted: self.rebooted,
            }))
            .open()?
            .session(PROFILE)
    }
}

/// The machine's clocks, but later, and perhaps in another run of the machine.
#[derive(Debug)]
struct ShiftedClock {
    ahead: Duration,
    rebooted: bool,
}

impl Clock for ShiftedClock {
    fn now(&self) -> Now {
        let now = SystemClock.now();
        let BootId(mut boot) = now.boot;
        let mut since_boot = now.since_boot + self.ahead;
        if self.rebooted {
            boot[0] ^= 0xff;
            since_boot = Duration::from_secs(20) + now.since_boot / 1000;
        }
        Now {
            boot: BootId(boot),
            since_boot,
            wall: now.wall + self.ahead,
        }
    }
}

/// What a worker is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// With which vault.
    pub place: Place,
    /// What, one after the other.
    pub acts: Vec<Act>,
    /// The point that is armed.
    pub fault: Option<Armed>,
    /// Faults that are put in.
    pub inject: Vec<String>,
}

/// One thing that is done and reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Act {
    /// Asks for an access token that is valid for so many milliseconds.
    Token {
        /// What is asked for, in milliseconds.
        min_valid_ms: u64,
    },
    /// Refreshes, as a person would.
    Refresh,
    /// Logs in with a browser.
    Login {
        /// The server.
        issuer: String,
    },
    /// Logs out and revokes.
    Logout,
    /// Moves to another store.
    Migrate {
        /// Which.
        to: StoreKind,
    },
    /// Binds the login to a host.
    Bind {
        /// Its name.
        host: String,
    },
    /// Takes that back.
    Unbind {
        /// Its name.
        host: String,
    },
    /// Ends the process normally while another of its threads has asked for a token and the server
    /// has not answered.
    ExitInFlight,
    /// Has nothing more sent, as a process does that will end, while another of its threads has
    /// asked for a token and is held up at the armed point, before the send.
    EndBeforeSend,
    /// Ends the process normally at that moment. After the vault's own part of the exit there is
    /// more to do, as a program's other libraries may have, until the refresh is over.
    ExitBeforeSend,
    /// Forks without `exec` while another thread has asked for a token and the server has not
    /// answered; the child asks, too. The first report is the child's.
    ForkInFlight,
    /// The same, but the child reports and then only stays, for some seconds.
    ForkAndStay,
    /// The same, but the child ends normally, at once.
    ForkAndExit,
}

/// An armed point.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Armed {
    /// Its name.
    pub point: String,
    /// At which passing, 1 being the first.
    pub nth: usize,
    /// What happens there.
    pub effect: Effect,
}

/// What happens at an armed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Effect {
    /// The process is killed.
    Kill,
    /// The process stops until it is told to go on.
    Stop,
    /// The thread panics.
    Panic,
    /// The thread waits for so many milliseconds.
    Pause(u64),
    /// What was not made durable is lost, and the process is killed. Of each thing that was not
    /// made durable a bit of the number, stirred, decides; with zero all of it is lost.
    PowerLoss(u64),
}

/// What came of an act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The fingerprint of the access token.
    pub token: Option<String>,
    /// The kind of the error.
    pub error: Option<String>,
    /// The error as a person sees it.
    pub message: Option<String>,
    /// From asking to having, in milliseconds.
    pub took_ms: u64,
    /// The points that were passed so far.
    pub passed: Vec<String>,
}

impl Report {
    fn of<T>(result: Result<T, Error>, token: impl FnOnce(&T) -> Option<String>) -> Self {
        match result {
            Ok(value) => Self {
                token: token(&value),
                ..Self::default()
            },
            Err(error) => Self {
                error: Some(format!("{:?}", error.kind())),
                message: Some(format!("{error:?}")),
                ..Self::default()
            },
        }
    }
}

/// Starts a worker: `program` makes the command that ends up in [`work`].
///
/// # Errors
///
/// If the process can't be started.
pub fn start(mut program: Command, order: &Order) -> std::io::Result<Child> {
    let mut child = program
        .arg(ARGUMENT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut orders) = child.stdin.take() {
        writeln!(orders, "{}", serde_json::to_string(order)?)?;
    }
    Ok(child)
}

/// What a worker process does.
///
/// # Errors
///
/// If its order makes no sense, or the vault can't be opened.
pub fn work() -> Result<(), Failure> {
    kept::log();
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let order: Order = serde_json::from_str(&line)?;
    let session = order.place.open()?;
    for name in &order.inject {
        fault::inject(name);
    }
    fault::record();
    if let Some(armed) = &order.fault {
        fault::arm(&armed.point, armed.nth, action(armed.effect, &order)?);
    }
    for act in &order.acts {
        let began = SystemClock.since_boot();
        let mut report = act.carry_out(&session);
        let took = SystemClock.since_boot().saturating_sub(began);
        report.took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        say(&report)?;
    }
    // A refresh goes on after its token was handed out.
    let is_quiet = || {
        let passed = fault::passed();
        let count = |name: &str| passed.iter().filter(|point| *point == name).count();
        count("refresh.before:Look") == 0 || count("refresh.after:Finish") > 0
    };
    for _ in 0..5000 {
        if is_quiet() {
            break;
        }
        pause(Duration::from_millis(1));
    }
    say(&Report {
        passed: fault::passed(),
        ..Report::default()
    })?;
    Ok(())
}

fn action(effect: Effect, order: &Order) -> std::io::Result<Action> {
    Ok(match effect {
        Effect::Kill => Action::Kill,
        Effect::Stop => Action::Stop,
        Effect::Panic => Action::Panic,
        Effect::Pause(milliseconds) => Action::Pause(Duration::from_millis(milliseconds)),
        Effect::PowerLoss(kept) => {
            let ledger = Ledger::begin(&order.place.root)?;
            Action::Run(Arc::new(move || ledger.fail_power(kept)))
        }
    })
}

impl Act {
    fn carry_out(&self, session: &Session) -> Report {
        let blocking = session.blocking();
        let print = |token: &vault_core::AccessToken| Some(fingerprint(token.expose()));
        match self {
            Self::Token { min_valid_ms } => {
                let options = wanted(*min_valid_ms);
                Report::of(blocking.token(&options), |token| print(&token.access_token))
            }
            Self::Refresh => {
                let options = TokenOptions::default();
                Report::of(blocking.refresh_now(&options), |token| {
                    print(&token.access_token)
                })
            }
            Self::Login { issuer } => {
                let request = LoginRequest::new(issuer, "vault-cli");
                Report::of(blocking.login(request, Arc::new(Person)), |_| None)
            }
            Self::Logout => Report::of(blocking.logout(true), |_| None),
            Self::Migrate { to } => Report::of(blocking.migrate(*to), |_| None),
            Self::Bind { host } => {
                Report::of(host.parse().and_then(|host| blocking.bind(&host)), |_| None)
            }
            Self::Unbind { host } => {
                Report::of(host.parse().and_then(|host| blocking.unbind(&host)), |_| {
                    None
                })
            }
            Self::ExitInFlight => {
                let asking = session.clone();
                std::thread::spawn(move || asking.blocking().access_token());
                wait_for_send();
                end_normally()
            }
            Self::EndBeforeSend => {
                let asked = ask_and_reach_the_point(session);
                let ended = vault_core::exit::end(EXIT_PATIENCE);
                match asked.join() {
                    Ok(report) if ended => report,
                    asked => Report {
                        error: Some(format!("the end came to {ended}, the asking to {asked:?}")),
                        ..Report::default()
                    },
                }
            }
            Self::ExitBeforeSend => {
                // Registered before the vault's own, this runs after it.
                vault_core::platform::exit::at_exit(linger);
                ask_and_reach_the_point(session);
                end_normally()
            }
            Self::ForkInFlight => fork_in_flight(session, || {
                let report = Self::Token { min_valid_ms: 0 }.carry_out(session);
                say(&report).is_ok()
            }),
            Self::ForkAndStay => fork_in_flight(session, || {
                let said = say(&Report::default()).is_ok();
                pause(Duration::from_secs(8));
                said
            }),
            Self::ForkAndExit => fork_in_flight(session, || end_normally()),
        }
    }
}

/// Forks while a thread of this process has sent a refresh.
fn fork_in_flight(session: &Session, child: impl FnOnce() -> bool) -> Report {
    let asking = session.clone();
    let asked = std::thread::spawn(move || asking.blocking().access_token());
    wait_for_send();
    let ended = super::sys::in_forked_child(child);
    drop(asked.join());
    Report {
        error: (ended != Ok(true)).then(|| format!("the child ended with {ended:?}")),
        ..Report::default()
    }
}

/// What is wanted of an access token.
#[must_use]
pub fn wanted(min_valid_ms: u64) -> TokenOptions {
    TokenOptions::default().min_valid(Duration::from_millis(min_valid_ms))
}

/// Has another thread ask for a token, and waits until it is held up at the armed point. That
/// counts as passed only when it goes on, so an earlier one is waited for, and a little longer.
fn ask_and_reach_the_point(session: &Session) -> std::thread::JoinHandle<Report> {
    let asking = session.clone();
    let asked = std::thread::spawn(move || Act::Token { min_valid_ms: 0 }.carry_out(&asking));
    while !has_passed("refresh.after:Claim") {
        pause(Duration::from_millis(1));
    }
    pause(Duration::from_millis(200));
    asked
}

/// What else is done at exit: it takes until the refresh is over, within limits.
extern "C" fn linger() {
    for _ in 0..6000 {
        if has_passed("refresh.after:Finish") {
            break;
        }
        pause(Duration::from_millis(1));
    }
}

/// Waits until a refresh of this process has begun to send.
fn wait_for_send() {
    while !has_passed("refresh.before:Send") {
        pause(Duration::from_millis(1));
    }
    pause(Duration::from_millis(50));
}

fn has_passed(point: &str) -> bool {
    fault::passed().iter().any(|passed| passed == point)
}

#[expect(clippy::exit, reason = "a normal exit is what is tested")]
fn end_normally() -> ! {
    std::process::exit(0)
}

#[expect(clippy::disallowed_methods, reason = "a test's thread waits")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn say(report: &Report) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let line = serde_json::to_string(report)?;
    kept::output(kept::Place::Errors, &line);
    writeln!(stdout, "{line}")?;
    stdout.flush()
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
