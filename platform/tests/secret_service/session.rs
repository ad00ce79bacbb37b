//! The session bus that the test runs in, and the service on it.

use std::io::Write;
use std::process::{Command, Stdio};

/// Who answers on this bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    GnomeKeyring,
    KeePassXc,
    KWallet,
    /// Whom the test puts there.
    Nobody,
}

#[expect(clippy::disallowed_methods, reason = "the test's own switches")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

pub(crate) fn say(text: &str) {
    let line = format!("\n{text}\n");
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("standard error");
}

impl Service {
    /// `None` where no lane has made a session.
    pub(crate) fn of_this_session() -> Option<Self> {
        let named = variable("VAULT_TEST_SECRET_SERVICE")?;
        let all = [
            Self::GnomeKeyring,
            Self::KeePassXc,
            Self::KWallet,
            Self::Nobody,
        ];
        let found = all.into_iter().find(|service| service.name() == named);
        Some(found.unwrap_or_else(|| panic!("no service {named}")))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GnomeKeyring => "gnome-keyring",
            Self::KeePassXc => "keepassxc",
            Self::KWallet => "kwallet",
            Self::Nobody => "nobody",
        }
    }

    /// The name of its program.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::KWallet => "kwalletd5",
            other => other.name(),
        }
    }

    /// Whether the lane's script starts and ends it, and it saves a moment after
    /// it has answered.
    pub(crate) fn is_scripted(self) -> bool {
        matches!(self, Self::KeePassXc | Self::KWallet)
    }

    /// Kills it without a warning.
    pub(crate) fn kill(self) {
        match self {
            Self::KeePassXc | Self::KWallet => script(&["kill"]),
            _ => {
                let before = daemon().expect("a daemon");
                signal("-KILL", before);
                while daemon() == Some(before) {
                    std::thread::yield_now();
                }
            }
        }
    }

    /// Starts it unlocked, in the place of another one if there is one.
    pub(crate) fn start(self) {
        if self.is_scripted() {
            return script(&["start"]);
        }
        let before = daemon();
        let mut process = Command::new("gnome-keyring-daemon")
            .args(["--replace", "--unlock", "--components=secrets"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring is installed");
        let mut password = process.stdin.take().expect("piped");
        password.write_all(b"pass").expect("takes the password");
        drop(password);
        process.wait().expect("goes to the background");
        // The old one may still be on its way out.
        while daemon().is_none() || daemon() == before {
            std::thread::yield_now();
        }
    }

    /// Starts it with its database or wallet closed.
    pub(crate) fn start_locked(self) {
        assert!(self.is_scripted());
        script(&["start-locked"]);
    }

    /// Ends it, and starts it unlocked.
    pub(crate) fn restart(self) {
        if self.is_scripted() {
            self.kill();
        }
        self.start();
    }

    /// Waits until what was stored outlives a kill. gnome-keyring has it on disk
    /// before it answers; the others save a moment later.
    pub(crate) fn await_saved(self) {
        if self.is_scripted() {
            script(&["await-saved"]);
        }
    }
}

/// Has the lane's script do something.
fn script(what: &[&str]) {
    let script = variable("VAULT_TEST_SERVICE").expect("the lane's script");
    let status = Command::new(&script).args(what).status();
    assert!(status.expect("starts").success(), "{script} {what:?}");
}

pub(crate) fn call_bus(arguments: &[&str]) -> Option<String> {
    let output = Command::new("dbus-send")
        .args(["--session", "--print-reply=literal"])
        .args(arguments)
        .output()
        .expect("dbus-send is installed");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(said)
}

/// Gives the process id of who owns the service's name.
pub(crate) fn daemon() -> Option<u32> {
    let said = call_bus(&[
        "--dest=org.freedesktop.DBus",
        "/org/freedesktop/DBus",
        "org.freedesktop.DBus.GetConnectionUnixProcessID",
        "string:org.freedesktop.secrets",
    ])?;
    said.split_whitespace().last()?.parse().ok()
}

pub(crate) fn lock_keyring(service: Service) {
    if service.is_scripted() {
        // KeePassXC locks through a prompt, for which the caller has to stay;
        // KWallet only what one client sees.
        service.kill();
        return service.start_locked();
    }
    let locked = call_bus(&[
        "--dest=org.freedesktop.secrets",
        "/org/freedesktop/secrets",
        "org.freedesktop.Secret.Service.Lock",
        "array:objpath:/org/freedesktop/secrets/aliases/default",
    ]);
    assert!(locked.is_some());
}

pub(crate) fn signal(name: &str, process: u32) {
    let status = Command::new("kill")
        .args([name, &process.to_string()])
        .status()
        .expect("kill runs");
    assert!(status.success());
}

/// What `secret-tool` says on both of its outputs. Again where KWallet goes on
/// with another key than it, as in one of 170 sessions.
pub(crate) fn secret_tool(arguments: &[&str], input: &str) -> String {
    let differ = ["Can't find session", "Received invalid secret"];
    let said = (0..5).map(|_| secret_tool_once(arguments, input));
    let mut agreed = said.skip_while(|said| differ.iter().any(|words| said.contains(words)));
    agreed.next().expect("a session in which both have one key")
}

fn secret_tool_once(arguments: &[&str], input: &str) -> String {
    let mut process = Command::new("secret-tool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("secret-tool is installed");
    let mut pipe = process.stdin.take().expect("piped");
    pipe.write_all(input.as_bytes()).expect("takes input");
    drop(pipe);
    let output = process.wait_with_output().expect("ends");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
