//! The program with the store that a Linux desktop has: a real gnome-keyring.
//!
//! Runs where `VAULT_TEST_SECRET_SERVICE` is `gnome-keyring`, inside a session
//! bus of its own whose keyring is unlocked, as `tests/lanes/with-keyring` makes
//! it; lane `keyring` of `tests/run`. All tests share the one keyring and take
//! turns.

#![cfg(target_os = "linux")]

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vault_tests::server::{AuthorizationServer, ServerConfig, browser};

use crate::support::{Output, Running, Sandbox, login, vault_cli, wait};

mod blank;

/// A bus where nobody listens.
const NO_BUS: &str = "unix:path=/nonexistent/bus";
/// What a command that neither prompts nor waits never takes, on any machine.
const HANGS: Duration = Duration::from_secs(60);

/// A user's desktop: the sandbox, and the keyring of the session.
struct Desktop {
    sandbox: Sandbox,
    bus: String,
    _turn: MutexGuard<'static, ()>,
}

impl Desktop {
    /// `None`, and said, where this lane is not asked for.
    fn new() -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        if variable("VAULT_TEST_SECRET_SERVICE").as_deref() != Some("gnome-keyring") {
            say("skipped: VAULT_TEST_SECRET_SERVICE is not \"gnome-keyring\"");
            return None;
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let bus = variable("DBUS_SESSION_BUS_ADDRESS").expect("a session bus");
        // Whatever a test that failed has left.
        if is_locked() {
            replace_daemon(true);
        }
        for application in ["vault-cli", "vault.test.keyring"] {
            secret_tool(&["clear", "service", application]);
        }
        Some(Self {
            sandbox: Sandbox::new(),
            bus,
            _turn: turn,
        })
    }

    /// The program, which is told neither a store nor a key.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        command
            .env_remove("VAULT_STORE")
            .env_remove("VAULT_KEY_FILE")
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        finished(self.command(arguments))
    }

    fn log_in(&self, server: &AuthorizationServer, more: &[&str]) -> Output {
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
    fn at_once(&self, processes: usize, arguments: &[&str]) -> Vec<Output> {
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
fn finished(mut command: Command) -> Output {
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
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// What `secret-tool` says on both of its outputs.
fn secret_tool(arguments: &[&str]) -> String {
    let output = Command::new("secret-tool").args(arguments).output();
    let output = output.expect("secret-tool is installed");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The accounts of an application's items, as the keyring lists them.
fn accounts(application: &str) -> Vec<String> {
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
fn daemon_and_its_start() -> (u32, u64) {
    let process = daemon().expect("a daemon");
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name in parentheses may have spaces; the start is field 22.
    let after_name = stat.rsplit_once(')').expect("a name").1;
    let start = after_name.split_whitespace().nth(19).expect("a start");
    (process, start.parse().unwrap())
}

fn lock_keyring() {
    call_bus(&[
        "--dest=org.freedesktop.secrets",
        "/org/freedesktop/secrets",
        "org.freedesktop.Secret.Service.Lock",
        "array:objpath:/org/freedesktop/secrets/aliases/default",
    ]);
    assert!(is_locked());
}

fn is_locked() -> bool {
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
fn replace_daemon(unlocked: bool) {
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

fn server(access_token_lifetime: Duration) -> AuthorizationServer {
    AuthorizationServer::start(ServerConfig {
        access_token_lifetime,
        ..ServerConfig::default()
    })
}

#[test]
fn a_login_is_two_items_and_a_logout_leaves_none() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(60));
    let answer = desktop.log_in(&server, &[]).json();
    assert_eq!(
        answer["provider"],
        "org.freedesktop.secrets (gnome-keyring)"
    );
    assert_eq!(accounts("vault-cli"), ["default", "default#key"]);

    // A rotation replaces an item, it adds none.
    let refreshed = desktop.run(&["refresh", "--force"]);
    assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
    assert_eq!(accounts("vault-cli"), ["default", "default#key"]);

    desktop.log_in(&server, &["--profile", "work"]);
    assert_eq!(accounts("vault-cli").len(), 4);
    let left = desktop.run(&["logout"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert_eq!(accounts("vault-cli"), ["work", "work#key"]);
    let left = desktop.run(&["logout", "--all"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert_eq!(accounts("vault-cli"), [""; 0]);
    assert_eq!(server.living_logins(), 0);
}

#[test]
fn the_items_of_another_application_are_left_alone() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(60));
    desktop.log_in(&server, &["--app", "vault.test.keyring"]);
    assert_eq!(accounts("vault-cli"), [""; 0]);
    assert_eq!(accounts("vault.test.keyring"), ["default", "default#key"]);
    assert_eq!(desktop.run(&["logout"]).code(), Some(3));
    assert_eq!(accounts("vault.test.keyring").len(), 2);
    let left = desktop.run(&["--app", "vault.test.keyring", "logout"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert_eq!(accounts("vault.test.keyring"), [""; 0]);
}

#[test]
fn sixteen_processes_make_one_refresh() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let life = Duration::from_secs(2);
    let server = server(life);
    desktop.log_in(&server, &[]);
    wait(life);
    // So long that nothing expires while they start.
    server.configure(|config| config.access_token_lifetime = Duration::from_secs(60));
    let answers = desktop.at_once(16, &["token"]);
    for answer in &answers {
        assert_eq!((answer.code(), answer.stderr.as_str()), (Some(0), ""));
        assert_eq!(answer.stdout, answers[0].stdout);
    }
    assert!(server.is_valid_access_token(answers[0].stdout.trim_end()));
    let counts = server.counts();
    assert_eq!((counts.refresh_requests, counts.reuse_detected), (1, 0));
    assert_eq!(accounts("vault-cli"), ["default", "default#key"]);
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
}

/// gnome-keyring 42 aborts when many processes connect at once in the way that
/// the usual crates do; see `secret_service` in vault-platform. The variable
/// `VAULT_TEST_ROUNDS` asks for more rounds (`tests/run --keyring-trial`).
#[test]
fn sixty_four_cold_processes_do_not_kill_the_keyring() {
    const PROCESSES: usize = 64;
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let rounds: usize = variable("VAULT_TEST_ROUNDS").map_or(3, |text| text.parse().unwrap());
    let server = server(Duration::from_secs(24 * 3600));
    desktop.log_in(&server, &[]);
    let before = daemon_and_its_start();
    let began = std::time::Instant::now();
    for _ in 0..rounds {
        let answers = desktop.at_once(PROCESSES, &["token"]);
        for answer in &answers {
            assert_eq!((answer.code(), answer.stderr.as_str()), (Some(0), ""));
            assert_eq!(answer.stdout, answers[0].stdout);
        }
        assert!(server.is_valid_access_token(answers[0].stdout.trim_end()));
        assert_eq!(daemon_and_its_start(), before);
    }
    let took = began.elapsed();
    let (process, start) = before;
    say(&format!(
        "{rounds} rounds of {PROCESSES} cold `vault-cli token` at once: {} tokens in {:.1} s; \
         the keyring is process {process}, started at tick {start}, as in the beginning",
        rounds * PROCESSES,
        took.as_secs_f64(),
    ));
    assert_eq!(server.counts().refresh_requests, 0);
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
}

#[test]
fn a_locked_keyring_is_locked_and_not_a_login_that_is_gone() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let life = Duration::from_secs(2);
    let server = server(life);
    desktop.log_in(&server, &[]);
    wait(life);
    let stored = desktop.sandbox.stored();

    let everything_says_locked = || {
        let new = login(&server);
        let new = [&new[..], &["--no-browser", "--profile", "new"]].concat();
        for arguments in [&["token"][..], &["refresh", "--force"], &["show"], &new] {
            let arguments = [arguments, &["--json"]].concat();
            let refused = desktop.run(&arguments);
            assert_eq!(refused.code(), Some(4), "{arguments:?} {refused:?}");
            let error = &refused.json()["error"];
            assert_eq!(error["code"], "store_locked", "{arguments:?} {error}");
        }
    };
    lock_keyring();
    everything_says_locked();
    // As after a start of the session without a password.
    replace_daemon(false);
    assert!(is_locked());
    everything_says_locked();
    assert_eq!(server.counts().refresh_requests, 0);
    let now = desktop.sandbox.stored();
    for (path, content) in &stored {
        assert_eq!(now.get(path), Some(content), "{}", path.display());
    }

    replace_daemon(true);
    let token = desktop.run(&["token"]);
    assert_eq!(token.code(), Some(0), "{token:?}");
    assert!(server.is_valid_access_token(token.stdout.trim_end()));
    assert_eq!(server.counts().refresh_requests, 1);
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
    assert_eq!(accounts("vault-cli"), [""; 0]);
}

#[test]
fn a_login_moves_into_the_keyring_and_back_while_others_ask() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let life = Duration::from_secs(2);
    let server = server(life);
    desktop.sandbox.log_in(&server, "default");
    desktop.sandbox.log_in(&server, "work");
    assert_eq!(accounts("vault-cli"), [""; 0]);
    let key_file = desktop.sandbox.key_file();
    let key_file = ["--key-file", key_file.to_str().unwrap()];
    wait(life);

    // The login has expired: of all these one refreshes, and none loses it.
    let with_key = |arguments: &[&str]| desktop.command(&[&key_file, arguments].concat());
    let asking: Vec<_> = (0..8)
        .map(|_| with_key(&["token"]).spawn().unwrap())
        .collect();
    let moved = finished(with_key(&["migrate", "--all", "--to", "secret-service"]));
    assert_eq!(moved.code(), Some(0), "{moved:?}");
    assert!(
        moved
            .stdout
            .starts_with("default: moved from the encrypted-file store to secret-service (org"),
        "{moved:?}"
    );
    for process in asking {
        let answer = Output::from(process.wait_with_output().unwrap());
        assert_eq!((answer.code(), answer.stderr.as_str()), (Some(0), ""));
    }
    assert_eq!(
        accounts("vault-cli"),
        ["default", "default#key", "work", "work#key"]
    );
    let items = desktop.sandbox.state().join("vault-cli").join("items");
    let left = std::fs::read_dir(items)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["params"]);

    // Who names the old store is told; who names none is served.
    let refused = vault_cli(&desktop.sandbox, &["token", "--json"]);
    assert_eq!(
        refused.json()["error"]["code"],
        "store_refused",
        "{refused:?}"
    );
    let status = desktop.run(&["status", "--json"]).json();
    assert_eq!(status["store"], "secret-service");
    assert_eq!(desktop.run(&["refresh", "--force"]).code(), Some(0));

    // A locked keyring moves nothing.
    lock_keyring();
    let refused = finished(with_key(&["migrate", "--to", "encrypted-file", "--json"]));
    assert_eq!(refused.code(), Some(4), "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "store_locked");
    replace_daemon(true);

    let back = finished(with_key(&["migrate", "--to", "encrypted-file", "--json"]));
    assert_eq!(back.code(), Some(0), "{back:?}");
    assert_eq!(back.json()["moved"], true);
    assert_eq!(accounts("vault-cli"), ["work", "work#key"]);
    assert_eq!(finished(with_key(&["refresh", "--force"])).code(), Some(0));
    assert_eq!(finished(with_key(&["logout", "--all"])).code(), Some(0));
    assert_eq!(accounts("vault-cli"), [""; 0]);
    let counts = server.counts();
    assert_eq!((counts.reuse_detected, server.living_logins()), (0, 0));
}

#[test]
fn without_a_secret_service_the_store_is_missing_and_nothing_takes_its_place() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(60));
    let without = |arguments: &[&str]| {
        let mut command = desktop.command(arguments);
        command.env("DBUS_SESSION_BUS_ADDRESS", NO_BUS);
        finished(command)
    };
    let mut arguments = login(&server);
    arguments.extend(["--no-browser", "--json"]);
    let refused = without(&arguments);
    assert_eq!(refused.code(), Some(4), "{refused:?}");
    let error = &refused.json()["error"];
    assert_eq!(error["code"], "store_missing");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("--store encrypted-file"), "{hint}");
    assert_eq!(server.counts().requests.authorize, 0);

    // A login that is there is not lost by a session without a bus.
    desktop.log_in(&server, &[]);
    let refused = without(&["token", "--json"]);
    assert_eq!(refused.code(), Some(4), "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "store_missing");
    assert_eq!(desktop.run(&["token"]).code(), Some(0));
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
}
