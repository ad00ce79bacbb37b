//! A person's machine: a home, the session's keyring, and a browser that notes
//! what it is to open.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use url::Url;
use vault_tests::server::{AuthorizationServer, DEFAULT_CLIENT_ID, browser};

/// Longer than anything here may take.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// How often is looked.
const STEP: Duration = Duration::from_millis(50);

/// Keeps a copy of each page that it is to open.
const BROWSER: &str = "#!/bin/sh
set -e
cp \"${1#file://}\" \"$HOME/pages/$$.part\"
mv \"$HOME/pages/$$.part\" \"$HOME/pages/$$.html\"
";

pub(crate) struct Machine {
    home: tempfile::TempDir,
    apps: PathBuf,
    /// There is one keyring.
    _turn: MutexGuard<'static, ()>,
}

impl Machine {
    /// `None`, and said, where this lane is not asked for.
    pub(crate) fn new() -> Option<Self> {
        static TURN: Mutex<()> = Mutex::new(());
        let Some(apps) = std::env::var_os("VAULT_TEST_APPS") else {
            // Past the harness, which hides what a test prints that passes.
            let line = b"\nskipped: it is for `tests/run apps`\n";
            drop(std::io::stderr().write_all(line));
            return None;
        };
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let machine = Self {
            home: tempfile::tempdir().unwrap(),
            apps: apps.into(),
            _turn: turn,
        };
        for folder in ["pages", "state", "credentials"] {
            let folder = machine.path(folder);
            fs::create_dir(&folder).unwrap();
            fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).unwrap();
        }
        fs::write(machine.path("browser"), BROWSER).unwrap();
        fs::set_permissions(machine.path("browser"), PermissionsExt::from_mode(0o700)).unwrap();
        Some(machine)
    }

    /// A path in the home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// An app, not started yet, that sees nothing of this process's environment
    /// but the session.
    pub(crate) fn app(&self, name: &str) -> Command {
        let program = self.apps.join(name);
        assert!(program.is_file(), "{} is not there", program.display());
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .env("BROWSER", self.path("browser"))
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        for name in ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// The address that an app wants opened, or has just opened.
    pub(crate) fn page(&self) -> Url {
        eventually("an app opens the browser", || {
            let mut pages = fs::read_dir(self.path("pages")).unwrap();
            let page = pages.find_map(|page| {
                let page = page.unwrap().path();
                (page.extension()? == "html").then_some(page)
            })?;
            let text = fs::read_to_string(&page).unwrap();
            fs::remove_file(page).unwrap();
            let (_, rest) = text.split_once("0; url=").expect("a page that redirects");
            let (address, _) = rest.split_once('"').expect("the end of an attribute");
            Some(address.replace("&amp;", "&").parse().unwrap())
        })
    }

    /// The person logs in: opens the page, and is sent back to the app.
    pub(crate) fn log_in_there(&self) {
        let page = browser::follow(self.page().as_str()).unwrap();
        assert_eq!(page.status, 200, "{page:?}");
    }

    /// How often apps wanted the browser that nobody has looked at.
    pub(crate) fn unseen_pages(&self) -> usize {
        fs::read_dir(self.path("pages")).unwrap().count()
    }
}

/// What every app has to be told.
pub(crate) fn arguments(server: &AuthorizationServer) -> Vec<String> {
    let pairs = [
        ("--issuer", server.issuer().to_owned()),
        ("--client-id", DEFAULT_CLIENT_ID.to_owned()),
        ("--api", server.url("/userinfo")),
    ];
    pairs
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
}

/// Waits until there is something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LONG.as_millis() / STEP.as_millis() {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(STEP);
    }
    panic!("it does not happen that {what}");
}
