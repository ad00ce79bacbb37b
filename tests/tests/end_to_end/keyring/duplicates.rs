//! Two items of one name in a real keyring: an application, a backup or another
//! machine's copy has put a second one there. The right one is chosen by login
//! and generation, whichever the keyring lists first, and the other one goes.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use vault_tests::server::AuthorizationServer;

use super::desktop::{Desktop, accounts, secret_tool, server};
use crate::support::wait;

const TOKEN: &str = "default";
const KEY: &str = "default#key";

/// The secret of the one item of this account.
fn secret(account: &str) -> String {
    let found = secret_tool(&["lookup", "service", "vault-cli", "username", account]);
    assert!(found.starts_with('{'), "{account}");
    found
}

/// The same, once it is another than this.
fn await_another(account: &str, older: &str) -> String {
    for _ in 0..600 {
        let now = secret(account);
        if now != older {
            return now;
        }
        wait(Duration::from_millis(50));
    }
    panic!("{account} stays as it is");
}

/// Puts these items in the place of what is stored for the account.
fn store(account: &str, secrets: &[&str]) {
    let names = ["service", "vault-cli", "username", account];
    secret_tool(&[&["clear"][..], &names].concat());
    for (copy, secret) in secrets.iter().enumerate() {
        let copy = copy.to_string();
        // An attribute more makes it another item, which is found all the same.
        let mut process = Command::new("secret-tool")
            .args(["store", "--label", "a copy"])
            .args(names)
            .args(["copy", &copy])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = process.stdin.take().unwrap();
        input.write_all(secret.as_bytes()).unwrap();
        drop(input);
        assert!(process.wait().unwrap().success());
    }
    let stored = accounts("vault-cli");
    let of_it = stored.iter().filter(|stored| *stored == account);
    assert_eq!(of_it.count(), secrets.len());
}

/// In both orders: which one is listed first is the keyring's to say.
fn orders<'a>(right: &'a str, wrong: &'a str) -> [[&'a str; 2]; 2] {
    [[right, wrong], [wrong, right]]
}

#[test]
fn of_two_token_items_the_newer_generation_is_sent() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    for newer_first in 0..2 {
        let server = server(Duration::from_secs(60));
        desktop.log_in(&server, &[]);
        let older = secret(TOKEN);
        assert_eq!(desktop.run(&["refresh", "--force"]).code(), Some(0));
        // The program may end before a slow keyring has its copy.
        let newer = await_another(TOKEN, &older);
        store(TOKEN, &orders(&newer, &older)[newer_first]);
        // The items are all that is left of it.
        std::fs::remove_file(desktop.sandbox.sealed_file("default")).unwrap();
        let refreshed = desktop.run(&["refresh", "--force"]);
        assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
        assert_eq!(server.counts().reuse_detected, 0);
        assert_eq!(accounts("vault-cli"), [TOKEN, KEY]);
        // What is left is the one that was just received.
        let left = secret(TOKEN);
        assert!(left != older && left != newer);
        let token = desktop.run(&["token"]);
        assert!(server.is_valid_access_token(token.stdout.trim_end()));
        assert_eq!(desktop.run(&["logout"]).code(), Some(0));
        assert_eq!(accounts("vault-cli"), [""; 0]);
        assert_eq!(server.living_logins(), 0);
    }
}

#[test]
fn a_token_item_of_another_login_is_not_sent_however_new_it_is() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    for right_first in 0..2 {
        let server = server(Duration::from_secs(60));
        desktop.log_in(&server, &[]);
        for _ in 0..3 {
            assert_eq!(desktop.run(&["refresh", "--force"]).code(), Some(0));
        }
        let another = secret(TOKEN);
        desktop.log_in(&server, &[]);
        let right = secret(TOKEN);
        store(TOKEN, &orders(&right, &another)[right_first]);
        std::fs::remove_file(desktop.sandbox.sealed_file("default")).unwrap();
        let refreshed = desktop.run(&["refresh", "--force"]);
        assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
        assert_eq!(accounts("vault-cli"), [TOKEN, KEY]);
        assert_eq!(desktop.run(&["logout"]).code(), Some(0));
        let counts = server.counts();
        // A replaced login is not revoked; the one that was used is.
        assert_eq!((counts.reuse_detected, server.living_logins()), (0, 1));
    }
}

/// A login whose key item has that of the login before beside it.
fn log_in_beside_another_key(desktop: &Desktop, server: &AuthorizationServer, right_first: usize) {
    desktop.log_in(server, &[]);
    let another = secret(KEY);
    desktop.log_in(server, &[]);
    store(KEY, &orders(&secret(KEY), &another)[right_first]);
}

#[test]
fn of_two_key_items_the_one_of_the_login_that_is_here_opens_it() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    for right_first in 0..2 {
        let server = server(Duration::from_secs(60));
        log_in_beside_another_key(&desktop, &server, right_first);
        for _ in 0..2 {
            let refreshed = desktop.run(&["refresh", "--force"]);
            assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
        }
        assert_eq!(server.counts().reuse_detected, 0);
        // A key is written at login only, and then the other one goes.
        desktop.log_in(&server, &[]);
        assert_eq!(accounts("vault-cli"), [TOKEN, KEY]);
        assert_eq!(desktop.run(&["token"]).code(), Some(0));
        assert_eq!(desktop.run(&["logout"]).code(), Some(0));
        assert_eq!(accounts("vault-cli"), [""; 0]);
    }
}

/// Neither is of a sealed file that is here: the one whose token is in the
/// keyring, too, brings the login back.
#[test]
fn of_two_key_items_after_the_folder_was_wiped_the_one_with_a_token_is_taken() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    for right_first in 0..2 {
        let server = server(Duration::from_secs(60));
        log_in_beside_another_key(&desktop, &server, right_first);
        std::fs::remove_dir_all(desktop.sandbox.state()).unwrap();
        for arguments in [&["token"][..], &["refresh", "--force"]] {
            let served = desktop.run(arguments);
            assert_eq!(served.code(), Some(0), "{served:?}");
        }
        let counts = server.counts();
        assert_eq!((counts.refreshes_ok, counts.reuse_detected), (2, 0));
        assert_eq!(accounts("vault-cli"), [TOKEN, KEY, KEY]);
        // The other one may be the only key of a login that is kept elsewhere:
        // a logout leaves the items, and what they hold is of no use any more.
        assert_eq!(desktop.run(&["logout"]).code(), Some(0));
        assert_eq!(accounts("vault-cli"), [TOKEN, KEY, KEY]);
        assert_eq!(server.living_logins(), 1);
        desktop.log_in(&server, &[]);
        assert_eq!(accounts("vault-cli"), [TOKEN, KEY]);
        assert_eq!(desktop.run(&["logout"]).code(), Some(0));
        assert_eq!(accounts("vault-cli"), [""; 0]);
    }
}

/// The login before it, whose key an application or a backup has put back, is nobody's here: of
/// it there is neither a sealed file nor a token.
#[test]
fn after_a_logout_beside_another_key_nobody_is_logged_in() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    for right_first in 0..2 {
        let server = server(Duration::from_secs(60));
        log_in_beside_another_key(&desktop, &server, right_first);
        assert_eq!(desktop.run(&["logout"]).code(), Some(0));
        assert_eq!(accounts("vault-cli"), [TOKEN, KEY, KEY]);
        for arguments in [&["token"][..], &["refresh", "--force"], &["status"]] {
            let refused = desktop.run(arguments);
            assert_eq!(refused.code(), Some(3), "{arguments:?} {refused:?}");
            let said = [refused.stdout.as_str(), refused.stderr.as_str()].concat();
            assert!(said.contains("logged out"), "{arguments:?} {said}");
        }
        assert_eq!(server.living_logins(), 1);
        desktop.log_in(&server, &[]);
        assert_eq!(accounts("vault-cli"), [TOKEN, KEY]);
        assert_eq!(desktop.run(&["token"]).code(), Some(0));
        assert_eq!(desktop.run(&["logout"]).code(), Some(0));
        assert_eq!(accounts("vault-cli"), [""; 0]);
    }
}
