//! Which store a login is in: pinned, shown, proved, moved.

use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::support::{Output, Sandbox, login, vault_cli};

fn logged_in() -> (AuthorizationServer, Sandbox) {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    (server, sandbox)
}

/// Without a word of the store.
fn unnamed(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let mut command = sandbox.command(arguments);
    command.env_remove("VAULT_STORE").output().unwrap().into()
}

#[test]
fn a_profile_is_opened_where_it_was_made_and_says_so() {
    let (server, sandbox) = logged_in();
    let token = unnamed(&sandbox, &["token"]);
    assert_eq!(token.code(), Some(0), "{token:?}");
    assert!(server.is_valid_access_token(token.stdout.trim()));
    let status = unnamed(&sandbox, &["status", "--json"]).json();
    assert_eq!(status["store"], "encrypted-file");
    let status = unnamed(&sandbox, &["status"]);
    assert!(
        status.stdout.contains("encrypted-file (sealed files in"),
        "{status:?}"
    );
    let list = unnamed(&sandbox, &["list", "--json"]).json();
    assert_eq!(list["profiles"][0]["store"], "encrypted-file");
    let doctor = unnamed(&sandbox, &["doctor"]);
    assert!(
        doctor
            .stdout
            .contains("VD003 ok      store: encrypted-file (sealed files in"),
        "{doctor:?}"
    );
    // The display copy may be lost or old: the pin is what is shown.
    let copy = sandbox.profile("default").join("profile.json");
    let text = std::fs::read_to_string(&copy).unwrap();
    std::fs::write(&copy, text.replace("encrypted-file", "keychain")).unwrap();
    let list = unnamed(&sandbox, &["list", "--json"]).json();
    assert_eq!(list["profiles"][0]["store"], "encrypted-file");
}

#[test]
fn another_store_than_the_profiles_own_is_refused() {
    let (_server, sandbox) = logged_in();
    for command in ["token", "refresh", "show", "status", "logout"] {
        let refused = vault_cli(&sandbox, &["--json", "--store", "secret-service", command]);
        assert_eq!(refused.code(), Some(4), "{refused:?}");
        let error = &refused.json()["error"];
        assert_eq!(error["code"], "store_refused", "{refused:?}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("encrypted-file") && message.contains("secret-service"));
        assert!(
            error["hint"].as_str().unwrap().contains("migrate --to"),
            "{error}"
        );
    }
    assert_eq!(vault_cli(&sandbox, &["token"]).code(), Some(0));
}

#[test]
fn a_store_that_can_not_be_opened_is_told_before_anyone_is_asked_for_anything() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    let mut arguments = login(&server);
    arguments.extend(["--no-browser", "--json"]);
    let mut command = sandbox.command(&arguments);
    let refused: Output = command
        .env_remove("VAULT_KEY_FILE")
        .output()
        .unwrap()
        .into();
    assert_eq!(refused.code(), Some(4), "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "store_locked");
    assert_eq!(refused.stderr, "", "no address was shown");
    assert_eq!(server.counts().requests.total(), 0);
}

#[test]
fn a_variable_that_is_empty_counts_as_not_set() {
    let (_server, sandbox) = logged_in();
    let mut command = sandbox.command(&["token"]);
    for name in [
        "VAULT_STORE",
        "VAULT_APP",
        "VAULT_PROFILE",
        "VAULT_PASSPHRASE_FILE",
    ] {
        command.env(name, "");
    }
    let token: Output = command.output().unwrap().into();
    assert_eq!(token.code(), Some(0), "{token:?}");
    // The state folder is the usual one then, below the sandbox's home.
    let mut command = sandbox.command(&["list", "--json"]);
    let list: Output = command
        .env("VAULT_STATE_DIR", "")
        .env("VAULT_CA_CERT", "")
        .output()
        .unwrap()
        .into();
    assert_eq!(list.json()["profiles"], serde_json::json!([]), "{list:?}");
    // On the command line nothing is excused.
    let refused = vault_cli(&sandbox, &["--store", "", "token"]);
    assert_eq!(refused.code(), Some(2), "{refused:?}");
}

#[test]
fn a_move_that_can_not_be_made_changes_nothing() {
    let (_server, sandbox) = logged_in();
    let before = sandbox.stored();
    let there = unnamed(&sandbox, &["migrate", "--to", "encrypted-file"]);
    assert_eq!(there.code(), Some(0), "{there:?}");
    assert!(
        there
            .stdout
            .starts_with("default: already in the encrypted-file store ("),
        "{there:?}"
    );
    let there = unnamed(
        &sandbox,
        &["migrate", "--to", "encrypted-file", "--json", "--all"],
    );
    let row = &there.json()["profiles"][0];
    assert_eq!(
        (&row["moved"], &row["remains"]),
        (&false.into(), &false.into())
    );
    for (to, code, exit) in [
        ("memory", "invalid_input", 2),
        #[cfg(target_os = "linux")]
        ("secret-service", "store_missing", 4),
        ("elsewhere", "usage", 2),
    ] {
        let refused = unnamed(&sandbox, &["--json", "migrate", "--to", to]);
        assert_eq!(refused.code(), Some(exit), "{refused:?}");
        let error = &refused.json()["error"];
        assert_eq!(error["code"], code, "{refused:?}");
        assert!(!error["hint"].as_str().unwrap().is_empty(), "{refused:?}");
    }
    let refused = unnamed(
        &sandbox,
        &["--profile", "new", "migrate", "--to", "encrypted-file"],
    );
    assert_eq!(refused.code(), Some(3), "{refused:?}");
    assert!(sandbox.stored() == before);
    assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
}
