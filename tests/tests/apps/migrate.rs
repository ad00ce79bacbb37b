//! The move of a login from where an app kept it by itself.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use vault_tests::server::{
    AuthorizationServer, DEFAULT_CLIENT_ID, Endpoint, Fault, ServerConfig, Stage,
};

use crate::machine::{LONG, Machine};
use crate::running::Running;

const APPLICATION: &str = "com.example.migrated";
const SERVICE: &str = "com.example.old";

fn migrate(
    machine: &Machine,
    server: &AuthorizationServer,
    profile: &str,
    from: &[&str],
) -> (Option<i32>, String) {
    start(machine, server, profile, from).end()
}

fn start(machine: &Machine, server: &AuthorizationServer, profile: &str, from: &[&str]) -> Running {
    let mut command = machine.app("migrate");
    command
        .args(["--application", APPLICATION, "--profile", profile])
        .args([
            "--issuer",
            server.issuer(),
            "--client-id",
            DEFAULT_CLIENT_ID,
        ])
        .args(from);
    Running::start(command)
}

/// A file as an app might have written it, with the token of a living login.
fn token_file(machine: &Machine, server: &AuthorizationServer, name: &str) -> (String, String) {
    let login = server.issue_login();
    let path = machine.path(name);
    let text = serde_json::json!({
        "access_token": login.access_token,
        "refresh_token": login.refresh_token,
    });
    fs::write(&path, text.to_string()).unwrap();
    (path.to_str().unwrap().to_owned(), text.to_string())
}

#[test]
fn a_token_in_a_file_moves_and_a_failure_in_between_loses_nothing() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let mut server = AuthorizationServer::start(ServerConfig::default());
    let (file, contents) = token_file(&machine, &server, "tokens.json");
    let aside = format!("{file}.migrating");
    let move_it =
        |server: &AuthorizationServer| migrate(&machine, server, "default", &["file", &file]);

    // Killed before the vault has anything.
    let hold = server.hold(Endpoint::OpenIdMetadata, Stage::Arrived);
    let killed = start(&machine, &server, "default", &["file", &file]);
    assert!(hold.wait_for(1, LONG), "it asks where to send the token");
    killed.signal(Signal::KILL);
    let (code, said) = killed.end();
    assert_eq!(code, None, "{said}");
    assert_eq!(fs::read_to_string(&aside).unwrap(), contents);
    drop(hold);

    // The same, because the server can't be reached.
    server.stop_listening();
    let (code, said) = move_it(&server);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(fs::read_to_string(&aside).unwrap(), contents, "{said}");
    server.listen_again();

    // The vault has it, and could not prove that it works.
    server.fail_next(Endpoint::Token, 1, Fault::unavailable(0));
    let (code, said) = move_it(&server);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(fs::read_to_string(&aside).unwrap(), contents, "{said}");

    let (code, said) = move_it(&server);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("works from the vault, in secret-service"),
        "{said}"
    );
    assert!(!fs::exists(&file).unwrap() && !fs::exists(&aside).unwrap());
    assert_eq!(server.counts().refreshes_ok, 1);

    // Killed after the proof and before the end: the token that is left is
    // spent, and is not shown again.
    fs::write(&aside, &contents).unwrap();
    let (code, said) = move_it(&server);
    assert_eq!(code, Some(0), "{said}");
    assert!(!fs::exists(&aside).unwrap());
    let (code, said) = move_it(&server);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the vault has the login already"), "{said}");
    let counts = server.counts();
    assert_eq!((counts.refreshes_ok, counts.reuse_detected), (2, 0));
    assert_eq!(server.living_logins(), 1);
}

#[test]
fn what_can_not_be_moved_is_left_as_it_is() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let server = AuthorizationServer::start(ServerConfig::default());
    let (file, contents) = token_file(&machine, &server, "tokens.json");
    let from = |more: &[&str]| {
        let from = [&["file", file.as_str()], more].concat();
        migrate(&machine, &server, "kept", &from)
    };
    let (code, said) = from(&["--pointer", "/tokens/refresh"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no text at /tokens/refresh"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), contents);

    let (code, said) = from(&[]);
    assert_eq!(code, Some(0), "{said}");
    // Another login does not take the first one's place.
    let (other, contents) = token_file(&machine, &server, "tokens.json");
    let (code, said) = from(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("holds a login"), "{said}");
    assert_eq!(fs::read_to_string(&other).unwrap(), contents);

    let (code, said) = migrate(&machine, &server, "none", &["file", "/nonexistent/file"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(server.counts().refreshes_ok, 1);
}

/// Makes an entry as the crate `keyring` does.
fn keep_in_keyring(user: &str, token: &str) {
    let label = format!("keyring:{user}@{SERVICE}");
    let mut store = Command::new("secret-tool")
        .args(["store", "--label", &label])
        .args(["service", SERVICE, "username", user])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = store.stdin.take().unwrap();
    input.write_all(token.as_bytes()).unwrap();
    drop(input);
    assert!(store.wait().unwrap().success());
}

/// The entries of the old app, as `secret-tool` lists them.
fn entries() -> String {
    let found = Command::new("secret-tool")
        .args(["search", "--all", "service", SERVICE])
        .output()
        .unwrap();
    String::from_utf8(found.stdout).unwrap()
}

#[test]
fn a_token_in_a_keyring_entry_moves() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let server = AuthorizationServer::start(ServerConfig::default());
    let token = server.issue_login().refresh_token;
    // An earlier call has set it aside, and ended before it removed the first.
    for user in ["alice", "alice.migrating"] {
        keep_in_keyring(user, &token);
    }

    let from = ["keyring", SERVICE, "alice"];
    let (code, said) = migrate(&machine, &server, "keyring", &from);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(entries(), "");
    let counts = server.counts();
    assert_eq!((counts.refreshes_ok, counts.reuse_detected), (1, 0));
    assert!(!server.is_current_refresh_token(&token), "it was spent");

    // The whole way, with nothing set aside before.
    let token = server.issue_login().refresh_token;
    keep_in_keyring("bob", &token);
    let (code, said) = migrate(&machine, &server, "bob", &["keyring", SERVICE, "bob"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!server.is_current_refresh_token(&token), "it was spent");
    assert_eq!((server.living_logins(), entries()), (2, String::new()));
}
