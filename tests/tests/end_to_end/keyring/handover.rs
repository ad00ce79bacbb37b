//! A login's key handed over by a process that asks the keyring at this moment:
//! this test, which has the lock, and sends to the socket of the real program
//! that waits. A call is kept from the keyring by a bus that nobody is
//! behind.

use std::fs::DirEntry;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use vault_core::platform::folder::{FolderOptions, StateFolder};
use vault_core::platform::lock::{LockFile, LockGuard};

use super::desktop::{Desktop, server};
use super::unreachable::NO_BUS;
use crate::support::Output;

/// Another process that asks.
struct Asker {
    place: PathBuf,
    _lock: LockGuard,
}

impl Asker {
    fn new(desktop: &Desktop) -> Self {
        let place = desktop.sandbox.profile("default");
        let folder = StateFolder::create(&place, FolderOptions::default()).unwrap();
        let lock = LockFile::new(&folder, "ask.lock").try_lock().unwrap();
        let _lock = lock.expect("nobody asks");
        Self { place, _lock }
    }

    /// Runs the program, which waits for what it then is given.
    fn gives(&self, desktop: &Desktop, bus: &str, key: &[u8]) -> Output {
        let mut command = desktop.command(&["token", "--json"]);
        command.env("DBUS_SESSION_BUS_ADDRESS", bus);
        let process = command.spawn().unwrap();
        let letterbox = loop {
            let mut files = std::fs::read_dir(&self.place).unwrap().flatten();
            let is_one = |file: &DirEntry| file.file_name().display().to_string().contains("ask-");
            if let Some(found) = files.find(is_one) {
                break found.path();
            }
        };
        let socket = UnixDatagram::unbound().unwrap();
        socket.send_to(key, letterbox).unwrap();
        process.wait_with_output().unwrap().into()
    }
}

/// The key item as the keyring has it.
fn key() -> Vec<u8> {
    let arguments = ["lookup", "service", "vault-cli", "username", "default#key"];
    let output = Command::new("secret-tool").args(arguments).output();
    let key = output.expect("secret-tool is installed").stdout;
    assert!(!key.is_empty());
    key
}

#[test]
fn a_key_that_is_handed_over_spares_the_keyring() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(600));
    desktop.log_in(&server, &[]);
    let plain = desktop.run(&["token", "--json"]);
    assert_eq!(plain.code(), Some(0), "{plain:?}");
    let key = key();

    let asker = Asker::new(&desktop);
    let given = asker.gives(&desktop, NO_BUS, &key);
    assert_eq!(given.code(), Some(0), "{given:?}");
    assert_eq!(given.json()["access_token"], plain.json()["access_token"]);

    // What is not the key is worth nothing, and costs nothing.
    let half = &key[..key.len() / 2];
    for useless in [&b""[..], b"\xff\xfe", half, &key.repeat(9)] {
        let given = asker.gives(&desktop, NO_BUS, useless);
        assert_eq!(given.code(), Some(4), "{given:?}");
        assert_eq!(given.json()["error"]["code"], "store_missing", "{given:?}");
        let given = asker.gives(&desktop, &desktop.bus, useless);
        assert_eq!(given.stdout, plain.stdout, "{given:?}");
    }
}

#[test]
fn a_key_of_a_login_that_has_ended_is_worth_nothing() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(600));
    desktop.log_in(&server, &[]);
    let old = key();
    desktop.log_in(&server, &[]);
    let plain = desktop.run(&["token", "--json"]);
    assert_eq!(plain.code(), Some(0), "{plain:?}");

    // Of an earlier login.
    let asker = Asker::new(&desktop);
    let given = asker.gives(&desktop, &desktop.bus, &old);
    assert_eq!(given.stdout, plain.stdout, "{given:?}");

    // Of the last one, which somebody has logged out.
    let last = key();
    assert_ne!(last, old);
    drop(asker);
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
    let asker = Asker::new(&desktop);
    let given = asker.gives(&desktop, &desktop.bus, &last);
    assert_eq!(given.code(), Some(3), "{given:?}");
    assert_eq!(given.json()["error"]["code"], "logged_out", "{given:?}");
}

#[test]
fn who_is_stopped_while_it_asks_holds_nobody_up_for_long() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(600));
    desktop.log_in(&server, &[]);
    let plain = desktop.run(&["token"]);
    let stopped = Asker::new(&desktop);
    let answers = desktop.at_once(8, &["token"]);
    for answer in answers {
        assert_eq!(answer.code(), Some(0), "{answer:?}");
        assert_eq!(answer.stdout, plain.stdout);
    }
    drop(stopped);
}
