//! A keyring with a blank password: a text file, as on desktops that log in by
//! themselves. It is locked at each start of its daemon until somebody says
//! `Unlock`, and a secret of several lines destroys it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use super::{Desktop, server};

/// A bus of its own that starts gnome-keyring when it is asked for.
struct Session {
    bus: Child,
    address: String,
    place: tempfile::TempDir,
}

impl Session {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let keyrings = place.path().join("keyrings");
        std::fs::create_dir(&keyrings).unwrap();
        std::fs::write(keyrings.join("default"), "Blank").unwrap();
        std::fs::write(
            keyrings.join("Blank.keyring"),
            "[keyring]\ndisplay-name=Blank\nctime=0\nmtime=0\nlock-on-idle=false\nlock-after=false\n",
        )
        .unwrap();
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .env("XDG_DATA_HOME", place.path())
            .env("XDG_RUNTIME_DIR", place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed");
        let mut address = String::new();
        let mut said = BufReader::new(bus.stdout.take().unwrap());
        said.read_line(&mut address).unwrap();
        Self {
            bus,
            address: address.trim_end().to_owned(),
            place,
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .output()
            .expect("is installed")
    }

    fn daemon(&self) -> Option<String> {
        let method = "org.freedesktop.DBus.GetConnectionUnixProcessID";
        let name = "string:org.freedesktop.secrets";
        let to = [
            "--dest=org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            method,
            name,
        ];
        let output = self.run(
            "dbus-send",
            &[&["--session", "--print-reply=literal"][..], &to].concat(),
        );
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.split_whitespace().last().map(str::to_owned)
    }

    /// The next one who asks has another one started.
    fn kill_daemon(&self) -> String {
        let before = self.daemon().expect("a daemon");
        assert!(self.run("kill", &["-KILL", &before]).status.success());
        while self.daemon().is_some() {
            std::thread::yield_now();
        }
        before
    }

    /// Stores as any program might.
    fn store(&self, account: &str, secret: &str) {
        let file = self.place.path().join("secret");
        std::fs::write(&file, secret).unwrap();
        let stored = Command::new("secret-tool")
            .args([
                "store",
                "--label=x",
                "service",
                "other",
                "username",
                account,
            ])
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .stdin(std::fs::File::open(&file).unwrap())
            .status();
        assert!(stored.unwrap().success());
    }

    fn look_up(&self, account: &str) -> Vec<u8> {
        // A search unlocks; a look-up of what is locked does not.
        self.run("secret-tool", &["search", "--unlock", "service", "other"]);
        let arguments = ["lookup", "service", "other", "username", account];
        self.run("secret-tool", &arguments).stdout
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon() {
            self.run("kill", &["-KILL", &daemon]);
        }
        self.bus.kill().ok();
        self.bus.wait().ok();
    }
}

#[test]
fn a_blank_keyring_with_a_login_in_it_survives_fifty_kills_of_its_daemon() {
    let Some(mut desktop) = Desktop::new() else {
        return;
    };
    let session = Session::new();
    desktop.bus.clone_from(&session.address);
    let server = server(Duration::from_secs(600));
    desktop.log_in(&server, &[]);
    let expected = desktop.run(&["token"]).stdout;
    assert!(server.is_valid_access_token(expected.trim_end()));
    for _ in 0..50 {
        let before = session.kill_daemon();
        // Nobody may be asked here, and nobody need be.
        let token = desktop.run(&["token"]);
        assert_eq!(token.code(), Some(0), "{token:?}");
        assert_eq!(token.stdout, expected);
        assert_ne!(session.daemon().expect("was started"), before);
    }
    let refreshed = desktop.run(&["refresh", "--force"]);
    assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
    session.kill_daemon();
    let left = desktop.run(&["logout"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert_eq!(server.living_logins(), 0);
}

/// Why ours are one line of ASCII.
#[test]
fn a_secret_of_two_lines_destroys_a_blank_keyring() {
    let Some(_desktop) = Desktop::new() else {
        return;
    };
    let session = Session::new();
    session.store("one", "one line");
    session.kill_daemon();
    assert_eq!(session.look_up("one"), b"one line");
    session.store("two", "two\n[lines");
    session.kill_daemon();
    assert_eq!(session.look_up("one"), b"");
}
