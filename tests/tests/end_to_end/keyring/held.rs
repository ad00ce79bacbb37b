//! Keys of logins that the kernel holds for a while (`--remember`), with a real
//! keyring behind them: which call asks the store, and what makes a held key
//! useless. A call is kept from the store by a bus that nobody is behind.

use std::time::Duration;

use vault_core::platform::store::held;

use super::desktop::{Desktop, lock_keyring, replace_daemon, server};
use super::unreachable::NO_BUS;
use crate::support::{Output, wait};

/// So long that it does not pass while a test runs.
const LONG: &str = "10min";

impl Desktop {
    /// A call that asks for remembering, with the keyring or without one.
    fn remembering(&self, time: &str, bus: Option<&str>, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.env("VAULT_REMEMBER", time);
        if let Some(bus) = bus {
            command.env("DBUS_SESSION_BUS_ADDRESS", bus);
        }
        super::finished(command)
    }

    /// The name under which this profile's key is held.
    fn held_name(&self, profile: &str) -> String {
        let mark = std::fs::read(self.sandbox.profile(profile).join("folder")).unwrap();
        let mark: serde_json::Value = serde_json::from_slice(&mark).unwrap();
        format!("login:{}", mark["id"].as_str().unwrap())
    }
}

#[track_caller]
fn asks_the_store(output: &Output) {
    assert_eq!(output.code(), Some(4), "{output:?}");
    assert_eq!(
        output.json()["error"]["code"],
        "store_missing",
        "{output:?}"
    );
}

#[test]
fn a_held_key_spares_the_store_for_whoever_asks_for_it_and_for_nobody_else() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(600));
    desktop.log_in(&server, &[]);
    desktop.log_in(&server, &["--profile", "work"]);
    let plain = desktop.run(&["token"]);
    assert_eq!(plain.code(), Some(0), "{plain:?}");
    let name = desktop.held_name("default");
    assert!(held::held(&name).is_none(), "nobody asked for it");

    let first = desktop.remembering(LONG, None, &["token"]);
    assert_eq!(first.code(), Some(0), "{first:?}");
    assert!(held::held(&name).is_some());
    let keys = std::fs::read_to_string("/proc/keys").unwrap();
    let key = keys.lines().find(|line| line.contains(&name)).unwrap();
    // All for this user, nothing for its group and others.
    assert!(key.contains(" 3f3f0000 "), "{key}");

    let second = desktop.remembering(LONG, Some(NO_BUS), &["token"]);
    assert_eq!(second.code(), Some(0), "{second:?}");
    assert_eq!(second.stdout, first.stdout);
    // Also while the keyring is locked: that is what was asked for.
    lock_keyring();
    let locked = desktop.remembering(LONG, None, &["token"]);
    let asked = desktop.run(&["token", "--json"]);
    replace_daemon(true);
    assert_eq!(locked.stdout, first.stdout, "{locked:?}");
    assert_eq!(asked.json()["error"]["code"], "store_locked", "{asked:?}");

    // Who does not ask for it asks the store; so does another profile.
    let mut command = desktop.command(&["token", "--json"]);
    command.env("DBUS_SESSION_BUS_ADDRESS", NO_BUS);
    asks_the_store(&super::finished(command));
    let work = ["--profile", "work", "token", "--json"];
    asks_the_store(&desktop.remembering(LONG, Some(NO_BUS), &work));
    // Even with the other's key under its name.
    let other = held::held(&name).unwrap();
    let name_of_work = desktop.held_name("work");
    held::hold(&name_of_work, other.expose(), Duration::from_secs(60)).unwrap();
    asks_the_store(&desktop.remembering(LONG, Some(NO_BUS), &work));
    let work = desktop.remembering(LONG, None, &["--profile", "work", "token"]);
    assert_eq!(work.code(), Some(0), "{work:?}");
    assert_ne!(work.stdout, first.stdout);
    // Refreshes ask the store.
    let refresh = ["refresh", "--force", "--json"];
    asks_the_store(&desktop.remembering(LONG, Some(NO_BUS), &refresh));
    let refreshed = desktop.remembering(LONG, None, &["refresh", "--force"]);
    assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
    let newest = desktop.remembering(LONG, Some(NO_BUS), &["token"]);
    assert_eq!(newest.code(), Some(0), "{newest:?}");
    assert_ne!(newest.stdout, first.stdout);
    assert!(server.is_valid_access_token(newest.stdout.trim_end()));
    assert_eq!(desktop.run(&["logout", "--all"]).code(), Some(0));
    assert!(held::held(&name).is_none() && held::held(&name_of_work).is_none());
}

#[test]
fn a_held_key_is_worth_nothing_after_a_logout_and_after_another_login() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(600));
    desktop.log_in(&server, &[]);
    let before = desktop.remembering(LONG, None, &["token"]);
    assert_eq!(before.code(), Some(0), "{before:?}");
    let name = desktop.held_name("default");
    let key = held::held(&name).expect("a key");

    // Another login: its own key is held from the next call on, and the earlier
    // one, had another process held it just then, is not believed.
    desktop.log_in(&server, &[]);
    assert!(held::held(&name).is_none());
    let asked = ["token", "--json"];
    asks_the_store(&desktop.remembering(LONG, Some(NO_BUS), &asked));
    held::hold(&name, key.expose(), Duration::from_secs(60)).unwrap();
    asks_the_store(&desktop.remembering(LONG, Some(NO_BUS), &asked));
    let after = desktop.remembering(LONG, None, &["token"]);
    assert_eq!(after.code(), Some(0), "{after:?}");
    assert_ne!(after.stdout, before.stdout);
    let again = desktop.remembering(LONG, Some(NO_BUS), &["token"]);
    assert_eq!(again.stdout, after.stdout, "{again:?}");

    let key = held::held(&name).expect("a key");
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
    assert!(held::held(&name).is_none());
    held::hold(&name, key.expose(), Duration::from_secs(60)).unwrap();
    for bus in [None, Some(NO_BUS)] {
        let ended = desktop.remembering(LONG, bus, &["token"]);
        assert!(matches!(ended.code(), Some(3 | 4)), "{ended:?}");
        assert_eq!(ended.stdout, "");
    }
    held::release(&name).unwrap();
}

#[test]
fn a_held_key_is_gone_when_its_time_has_passed_and_nothing_prolongs_it() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(600));
    desktop.log_in(&server, &[]);
    let name = desktop.held_name("default");
    let first = desktop.remembering("5s", None, &["token"]);
    assert_eq!(first.code(), Some(0), "{first:?}");
    // A call that would hold it for longer is served by what is held.
    let second = desktop.remembering(LONG, Some(NO_BUS), &["token"]);
    if held::held(&name).is_some() {
        assert_eq!(second.stdout, first.stdout, "{second:?}");
    }
    let mut left = 300;
    while held::held(&name).is_some() && left > 0 {
        wait(Duration::from_millis(100));
        left -= 1;
    }
    let late = ["token", "--json"];
    asks_the_store(&desktop.remembering(LONG, Some(NO_BUS), &late));
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
}
