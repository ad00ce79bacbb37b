//! What a keyring shows of an item to whoever lists it, without its secret.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;
use vault_tests::leaks::kept::{Canary, Kind};
use vault_tests::leaks::search::found_in;
use vault_tests::server::Dpop;

use super::desktop::{Desktop, secret_tool, server};

/// Labels, attributes, schema and times of all items.
fn shown() -> String {
    let found = secret_tool(&["search", "--all", "service", "vault-cli"]);
    let lines = found.lines().filter(|line| !line.starts_with("secret = "));
    lines.collect::<Vec<_>>().join("\n")
}

/// The secret of an account's item.
fn stored(account: &str) -> Value {
    let found = secret_tool(&["lookup", "service", "vault-cli", "username", account]);
    serde_json::from_str(&found).unwrap()
}

fn canary(kind: Kind, value: &[u8]) -> Canary {
    let value = STANDARD.encode(value);
    Canary { kind, value }
}

#[test]
fn labels_and_attributes_of_items_show_no_secret() {
    let Some(desktop) = Desktop::new() else {
        return;
    };
    let server = server(Duration::from_secs(60));
    server.configure(|config| config.dpop = Dpop::Offered);
    desktop.log_in(&server, &["--dpop"]);
    assert_eq!(desktop.run(&["refresh", "--force"]).code(), Some(0));
    let (token, keys) = (stored("default"), stored("default#key"));
    let token = token["refresh_token"].as_str().unwrap();
    let key = |member: &str| URL_SAFE_NO_PAD.decode(keys[member].as_str().unwrap());
    let secrets = [
        canary(Kind::RefreshToken, token.as_bytes()),
        canary(Kind::SealingKey, &key("key").unwrap()),
        canary(Kind::DpopKey, &key("dpop").unwrap()),
    ];
    let items = shown();
    assert!(items.contains("attribute.username = default"), "{items}");
    let found = found_in(&secrets, items.as_bytes()).unwrap();
    assert!(found.is_empty(), "{found:?}");

    // A label that tells it would have been noticed.
    let mut telling = Command::new("secret-tool")
        .args(["store", "--label", token])
        .args(["service", "vault-cli", "username", "telling"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    telling.stdin.take().unwrap().write_all(b"x").unwrap();
    assert!(telling.wait().unwrap().success());
    let found = found_in(&secrets, shown().as_bytes()).unwrap();
    assert!(found.contains(&(Kind::RefreshToken, "as it is")));
    secret_tool(&["clear", "service", "vault-cli", "username", "telling"]);
    assert_eq!(desktop.run(&["logout"]).code(), Some(0));
}
