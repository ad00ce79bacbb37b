//! A user's desktop with a secret service, and what a person can see and do
//! there.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use vault_tests::server::{AuthorizationServer, ServerConfig, browser};

use crate::skipped::left_to_lane;
use crate::support::{Output, Running, Sandbox, login, wait};

/// What a command that neither prompts nor waits never takes, on any machine.
const HANGS: Duration = Duration::from_secs(60);

/// A user's desktop: the sandbox, and the keyring of the session.
pub(super) struct Desktop {
    pub(super) sandbox: Sandbox,
    pub(super) bus: String,
    _turn: MutexGuard<'static, ()>,
}

impl Desktop {
    /// One with gnome-keyring; `None`, and said, where this lane is not asked
    /// for.
    pub(super) fn new() -> Option<Self> {
        let desktop = Self::with("gnome-keyring")?;
        // Whatever a test that failed has left.
        if is_locked() {
            replace_daemon(true);
        }
        desktop.clear();
        Some(desktop)
    }

    /// One with this service, which is unlocked.
    pub(super) fn with(service: &str) -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        if variable("VAULT_TEST_SECRET_SERVICE").as_deref() != Some(service) {
            left_to_lane("keyring");
            return None;
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let bus = variable("DBUS_SESSION_BUS_ADDRESS").expect("a session bus");
        Some(Self {
            sandbox: Sandbox::new(),
            bus,
            _turn: turn,
        })
    }

    fn clear(&self) {
        for application in ["vault-cli", "vault.test.keyring"] {
            secret_tool(&["clear", "service", application]);
        }
    }

    /// The program, which is told neither a store nor a key.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        command
            .env_remove("VAULT_STORE")
            .env_remove("VAULT_KEY_FILE")
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus);
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        finished(self.command(arguments))
    }

    pub(super) fn log_in(&self, server: &AuthorizationServer, more: &[&str]) -> Output {
        let mut arguments = login(server);
        arguments.extend(["--no-browser", "--json"]);
        arguments.extend(more);
        let mut running = Running::start(self.command(&arguments));
        if let Some(url) = running.line_that_starts_with("http") {
            browser::follow(&url).unwrap();
        }
        let output = running.finish();
        assert_eq!(output.code(), Some(0), "{output:?}");
        assert_eq!(output.json()["store"], "secret-service");
        output
    }

    /// As many processes as told, all of them started before one is waited
    /// for.
    pub(super) fn at_once(&self, processes: usize, arguments: &[&str]) -> Vec<Output> {
        let running: Vec<_> = (0..processes)
            .map(|_| self.command(arguments).spawn().unwrap())
            .collect();
        running
            .into_iter()
            .map(|process| process.wait_with_output().unwrap().into())
            .collect()
    }
}

/// Runs to the end, which must come soon.
pub(super) fn finished(mut command: Command) -> Output {
    let mut process = command.spawn().unwrap();
    let pause = Duration::from_millis(20);
    for _ in 0..HANGS.as_millis() / pause.as_millis() {
        if process.try_wait().unwrap().is_some() {
            return process.wait_with_output().unwrap().into();
        }
        wait(pause);
    }
    process.kill().unwrap();
    panic!("{command:?} hangs");
}

#[expect(clippy::disallowed_methods, reason = "the lane's own switch")]
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What `secret-tool` says on both of its outputs.
pub(super) fn secret_tool(arguments: &[&str]) -> String {
    let output = Command::new("secret-tool").args(arguments).output();
    let output = output.expect("secret-tool is installed");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The accounts of an application's items, as the keyring lists them.
pub(super) fn accounts(application: &str) -> Vec<String> {
    let found = secret_tool(&["search", "--all", "service", application]);
    let mut accounts: Vec<String> = found
        .lines()
        .filter_map(|line| line.strip_prefix("attribute.username = "))
        .map(str::to_owned)
        .collect();
    accounts.sort();
    accounts
}

fn call_bus(arguments: &[&str]) -> String {
    let output = Command::new("dbus-send")
        .args(["--session", "--print-reply=literal"])
        .args(arguments)
        .output()
        .expect("dbus-send is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The process id of who owns the service's name.
fn daemon() -> Option<u32> {
    let said = call_bus(&[
        "--dest=org.freedesktop.DBus",
        "/org/freedesktop/DBus",
        "org.freedesktop.DBus.GetConnectionUnixProcessID",
        "string:org.freedesktop.secrets",
    ]);
    said.split_whitespace().last()?.parse().ok()
}

/// The daemon's process id, and when it started: ids are used again.
pub(super) fn daemon_and_its_start() -> (u32, u64) {
    let process = daemon().expect("a daemon");
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name in parentheses may have spaces; the start is field 22.
    let after_name = stat.rsplit_once(')').expect("a name").1;
    let start = after_name.split_whitespace().nth(19).expect("a start");
    (process, start.parse().unwrap())
}

/// The daemon, which answers nobody until this is dropped.
pub(super) struct Stopped(Pid);

impl Stopped {
    pub(super) fn new() -> Self {
        let daemon = daemon().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let daemon = daemon.expect("a daemon");
        kill_process(daemon, Signal::STOP).unwrap();
        Self(daemon)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).ok();
    }
}

/// How many threads a process has that waits for something.
pub(super) fn threads_asleep(process: u32) -> usize {
    let of_process = |name: &str| format!("/proc/{process}/{name}");
    let is_asleep = || {
        let stat = std::fs::read_to_string(of_process("stat")).unwrap();
        let state = stat.rsplit_once(')').expect("a name").1;
        assert!(!state.starts_with(" Z"), "it has ended");
        state.starts_with(" S")
    };
    // It sleeps on its way too, but not for long.
    let mut looks = 0;
    while looks < 20 {
        wait(Duration::from_millis(10));
        looks = if is_asleep() { looks + 1 } else { 0 };
    }
    std::fs::read_dir(of_process("task")).unwrap().count()
}

pub(super) fn lock_keyring() {
    call_bus(&[
        "--dest=org.freedesktop.secrets",
        "/org/freedesktop/secrets",
        "org.freedesktop.Secret.Service.Lock",
        "array:objpath:/org/freedesktop/secrets/aliases/default",
    ]);
    assert!(is_locked());
}

pub(super) fn is_locked() -> bool {
    let said = call_bus(&[
        "--dest=org.freedesktop.secrets",
        "/org/freedesktop/secrets/aliases/default",
        "org.freedesktop.DBus.Properties.Get",
        "string:org.freedesktop.Secret.Collection",
        "string:Locked",
    ]);
    assert!(said.contains("boolean"), "{said}");
    said.contains("true")
}

/// Replaces the daemon by one that a session's start has unlocked, or by one
/// that nobody has.
pub(super) fn replace_daemon(unlocked: bool) {
    let before = daemon();
    let mut command = Command::new("gnome-keyring-daemon");
    command.args(["--replace", "--components=secrets"]);
    if unlocked {
        command.arg("--unlock");
    }
    let mut process: Child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("gnome-keyring is installed");
    let mut password = process.stdin.take().unwrap();
    // Nobody reads it where nothing is unlocked.
    password.write_all(b"pass").ok();
    drop(password);
    process.wait().unwrap();
    // The old one may still be on its way out.
    while daemon().is_none() || daemon() == before {
        wait(Duration::from_millis(10));
    }
}

pub(super) fn server(access_token_lifetime: Duration) -> AuthorizationServer {
    AuthorizationServer::start(ServerConfig {
        access_token_lifetime,
        ..ServerConfig::default()
    })
}
