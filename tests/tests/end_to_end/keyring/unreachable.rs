//! A Secret Service that can't be reached: no bus, a bus that nobody is behind,
//! one that never speaks, a service that never answers. The program says so and
//! ends; no other store takes its place, and no login is lost.
//!
//! The buses are made here; what needs `dbus-daemon` runs in the lane `keyring`.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use zbus::blocking::connection;

use super::desktop::{finished, server, variable};
use crate::skipped::left_to_lane;
use crate::support::{Output, Sandbox, login};

/// A bus where nobody listens.
pub(super) const NO_BUS: &str = "unix:path=/nonexistent/bus";

/// The program on a desktop with this session bus, or without one.
pub(super) fn run(sandbox: &Sandbox, bus: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = sandbox.command(arguments);
    command
        .env_remove("VAULT_STORE")
        .env_remove("VAULT_KEY_FILE")
        // Where a bus is looked for that no variable names.
        .env("XDG_RUNTIME_DIR", sandbox.home());
    if let Some(bus) = bus {
        command.env("DBUS_SESSION_BUS_ADDRESS", bus);
    }
    finished(command)
}

/// Each command that needs the store ends with exit code 4, says `code`, why,
/// and what to do. No browser opens, and nothing is stored.
#[track_caller]
fn everything_says(sandbox: &Sandbox, bus: Option<&str>, code: &str, why: &str, what_to_do: &str) {
    let server = server(Duration::from_secs(60));
    let login = [&login(&server)[..], &["--no-browser"]].concat();
    let commands = [&["token"][..], &["refresh", "--force"], &["logout"], &login];
    let before = sandbox.stored();
    let (answers, plain) = std::thread::scope(|scope| {
        let json = |arguments: &[&str]| run(sandbox, bus, &[arguments, &["--json"]].concat());
        let running = commands.map(|arguments| scope.spawn(move || json(arguments)));
        let plain = run(sandbox, bus, &["token"]);
        (running.map(|answer| answer.join().unwrap()), plain)
    });
    for (arguments, answer) in commands.iter().zip(answers) {
        assert_eq!(answer.code(), Some(4), "{bus:?} {arguments:?} {answer:?}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], code, "{bus:?} {arguments:?} {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(why), "{bus:?} {arguments:?} {message}");
        let hint = error["hint"].as_str().unwrap();
        assert!(hint.contains(what_to_do), "{bus:?} {arguments:?} {hint}");
    }
    assert_eq!((plain.code(), plain.stdout.as_str()), (Some(4), ""));
    assert!(plain.stderr.contains(why), "{plain:?}");
    assert!(plain.stderr.contains(what_to_do), "{plain:?}");
    assert_eq!(server.counts().requests.authorize, 0);
    assert_eq!(sandbox.stored(), before);
}

/// What is said where no store can be had.
const CHOICES: &str = "--store encrypted-file";
/// What is said where one is there and silent.
const TRY_AGAIN: &str = "try again";

#[test]
fn without_a_session_bus_the_store_is_missing_and_nothing_takes_its_place() {
    let sandbox = Sandbox::new();
    for bus in [None, Some(NO_BUS), Some("rubbish"), Some("")] {
        let why = "secret-service store is not available";
        everything_says(&sandbox, bus, "store_missing", why, CHOICES);
    }
}

#[test]
fn a_session_bus_that_never_speaks_is_hung() {
    let sandbox = Sandbox::new();
    let path = sandbox.home().join("silent");
    let _silent = UnixListener::bind(&path).unwrap();
    let bus = format!("unix:path={}", path.display());
    let why = "does not answer";
    everything_says(&sandbox, Some(&bus), "store_hung", why, TRY_AGAIN);
}

/// A bus with this service, which is started by it if a program is named.
struct Bus {
    process: Child,
    address: String,
}

impl Bus {
    /// `None`, and said, where nobody has seen to it that there is a bus.
    fn start(place: &Path, services: &str) -> Option<Self> {
        if variable("VAULT_TEST_SECRET_SERVICE").is_none() {
            left_to_lane("keyring");
            return None;
        }
        let config = place.join("bus.conf");
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             {services}<policy context=\"default\"><allow send_destination=\"*\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            place.join("bus").display()
        );
        std::fs::write(&config, text).unwrap();
        let mut process = Command::new("dbus-daemon")
            .args(["--nofork", "--print-address", "--config-file"])
            .arg(config)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed");
        let mut address = String::new();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        said.read_line(&mut address).unwrap();
        Some(Self {
            process,
            address: address.trim_end().to_owned(),
        })
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn a_service_that_never_answers_is_hung() {
    let sandbox = Sandbox::new();
    let Some(bus) = Bus::start(&sandbox.home(), "") else {
        return;
    };
    let _mute = connection::Builder::address(bus.address.as_str())
        .and_then(|builder| builder.name("org.freedesktop.secrets"))
        .and_then(connection::Builder::build)
        .unwrap();
    let why = "does not answer";
    everything_says(&sandbox, Some(&bus.address), "store_hung", why, TRY_AGAIN);
}

#[test]
fn a_service_that_is_started_and_never_comes_is_hung() {
    let sandbox = Sandbox::new();
    let place = sandbox.home();
    std::fs::write(
        place.join("org.freedesktop.secrets.service"),
        "[D-BUS Service]\nName=org.freedesktop.secrets\nExec=/bin/sleep 60\n",
    )
    .unwrap();
    let services = format!("<servicedir>{}</servicedir>", place.display());
    let Some(bus) = Bus::start(&place, &services) else {
        return;
    };
    let why = "does not answer";
    everything_says(&sandbox, Some(&bus.address), "store_hung", why, TRY_AGAIN);
}

#[test]
fn a_bus_without_a_secret_service_is_missing() {
    let sandbox = Sandbox::new();
    let Some(bus) = Bus::start(&sandbox.home(), "") else {
        return;
    };
    let why = "no program on the session bus is a secret service";
    everything_says(&sandbox, Some(&bus.address), "store_missing", why, CHOICES);
}
