//! The encrypted-file store under a passphrase: from a file, from systemd, held
//! by the kernel for a while, and changed.

use std::path::PathBuf;
use std::process::Command;

use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::support::{Output, Running, Sandbox, login};

/// A sandbox whose store has a passphrase.
struct Scene {
    server: AuthorizationServer,
    sandbox: Sandbox,
}

/// What the program says at `-vv` when it derives a key.
#[cfg(target_os = "linux")]
const DERIVES: &str = "deriving the store's key";

impl Scene {
    fn new() -> Self {
        let scene = Self {
            server: AuthorizationServer::start(ServerConfig::default()),
            sandbox: Sandbox::new(),
        };
        let mut arguments = login(&scene.server);
        arguments.push("--no-browser");
        let words = scene.words("passphrase", "correct horse");
        let mut command = scene.without_key(&arguments);
        command.env("VAULT_PASSPHRASE_FILE", words);
        let mut running = Running::start(command);
        let url = running.line_that_starts_with("http").expect("an address");
        drop(vault_tests::server::browser::follow(&url));
        let output = running.finish();
        assert_eq!(output.code(), Some(0), "{output:?}");
        scene
    }

    /// A private file with a passphrase.
    fn words(&self, name: &str, words: &str) -> PathBuf {
        let path = self.sandbox.home().join(name);
        vault_core::platform::store::create_key_file(&path).unwrap();
        std::fs::write(&path, words).unwrap();
        path
    }

    fn without_key(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        command.env_remove("VAULT_KEY_FILE");
        command
    }

    fn run(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
        let mut command = self.without_key(arguments);
        command.envs(variables.iter().copied());
        command.output().unwrap().into()
    }
}

#[test]
fn without_a_passphrase_and_without_a_terminal_it_fails_at_once() {
    let scene = Scene::new();
    let output = scene.run(&[], &["--json", "token"]);
    assert_eq!(output.code(), Some(4), "{output:?}");
    let error = &output.json()["error"];
    assert_eq!(error["code"], "store_locked", "{output:?}");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("--passphrase-file"), "{output:?}");
}

#[test]
fn a_credential_of_systemd_is_found_by_its_name() {
    let scene = Scene::new();
    let folder = scene.sandbox.home().join("credentials");
    std::fs::create_dir(&folder).unwrap();
    let words = scene.words("again", "correct horse\n");
    std::fs::rename(words, folder.join("vault-passphrase")).unwrap();
    let folder = folder.to_str().unwrap();
    let output = scene.run(&[("CREDENTIALS_DIRECTORY", folder)], &["token"]);
    assert_eq!(output.code(), Some(0), "{output:?}");
    assert!(scene.server.is_valid_access_token(output.stdout.trim()));
}

#[test]
fn a_changed_passphrase_opens_the_login_and_the_old_one_does_not() {
    let scene = Scene::new();
    let old = scene.sandbox.home().join("passphrase");
    let old = old.to_str().unwrap();
    let new = scene.words("new", "battery staple");
    let new = new.to_str().unwrap();
    let change = |with: &str| {
        scene.run(
            &[("VAULT_PASSPHRASE_FILE", with)],
            &["--json", "passphrase", "--new-passphrase-file", new],
        )
    };
    let refused = change(new);
    assert_eq!(refused.code(), Some(4), "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "store_key_wrong");
    let changed = change(old);
    assert_eq!(changed.code(), Some(0), "{changed:?}");

    let wrong = scene.run(&[("VAULT_PASSPHRASE_FILE", old)], &["--json", "token"]);
    assert_eq!(
        wrong.json()["error"]["code"],
        "store_key_wrong",
        "{wrong:?}"
    );
    let forced = ["refresh", "--force"];
    let right = scene.run(&[("VAULT_PASSPHRASE_FILE", new)], &forced);
    assert_eq!(right.code(), Some(0), "{right:?}");

    // Nobody is there to be asked for another one.
    let unasked = scene.run(&[("VAULT_PASSPHRASE_FILE", new)], &["--json", "passphrase"]);
    assert_eq!(unasked.code(), Some(2), "{unasked:?}");
    assert_eq!(unasked.json()["error"]["code"], "passphrase_unusable");
}

#[cfg(target_os = "linux")]
#[test]
fn a_remembered_key_is_derived_by_one_call_only() {
    let scene = Scene::new();
    let words = scene.sandbox.home().join("passphrase");
    let words = [("VAULT_PASSPHRASE_FILE", words.to_str().unwrap())];
    let derived = |output: &Output| output.stderr.matches(DERIVES).count();

    // Every call derives as long as nobody asked for something else.
    for _ in 0..2 {
        let output = scene.run(&words, &["-vv", "token"]);
        assert_eq!(
            (output.code(), derived(&output)),
            (Some(0), 1),
            "{output:?}"
        );
    }
    let first = scene.run(&words, &["-vv", "--remember", "10min", "token"]);
    if first.stderr.contains("can't be remembered") {
        crate::skipped::lacking("key rings in the kernel");
        return;
    }
    assert_eq!((first.code(), derived(&first)), (Some(0), 1), "{first:?}");
    for variables in [&words[..], &[]] {
        let output = scene.run(variables, &["-vv", "refresh", "--force"]);
        assert_eq!(
            (output.code(), derived(&output)),
            (Some(0), 0),
            "{output:?}"
        );
    }
    // The key is gone from the kernel when the passphrase is another one.
    let key = scene.sandbox.key_file();
    let change = ["passphrase", "--new-key-file", key.to_str().unwrap()];
    let changed = scene.run(&words, &change);
    assert_eq!(changed.code(), Some(0), "{changed:?}");
    let locked = scene.run(&[], &["--json", "token"]);
    assert_eq!(locked.code(), Some(4), "{locked:?}");
}

#[test]
fn a_passphrase_file_that_is_named_counts_and_not_the_variable_of_a_key_file() {
    let scene = Scene::new();
    let words = scene.sandbox.home().join("passphrase");
    let named = ["--passphrase-file", words.to_str().unwrap()];
    let key = scene.sandbox.key_file();
    let key = key.to_str().unwrap();
    let refresh = [&named[..], &["refresh", "--force"]].concat();
    let output = scene.run(&[("VAULT_KEY_FILE", key)], &refresh);
    assert_eq!(output.code(), Some(0), "{output:?}");
    for command in ["refresh", "token"] {
        let both = [&named[..], &["--key-file", key, command]].concat();
        let output = scene.run(&[], &both);
        assert_eq!(output.code(), Some(2), "{output:?}");
        assert!(
            output.stderr.contains("can't both be the key"),
            "{output:?}"
        );
    }
}
