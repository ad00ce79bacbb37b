//! What is Windows' own: the Credential Manager, also with tokens that are too large for it.

use std::time::Duration;

use vault_core::platform::store::{self, StoreKind, StoreOptions};
use vault_tests::server::{AuthorizationServer, ServerConfig, browser};

use crate::support::{Output, Running, Sandbox, login, wait};

const LIFE: Duration = Duration::from_secs(4);

/// A program of a name of its own: the store outlives the test.
struct Program {
    sandbox: Sandbox,
    application: String,
}

impl Program {
    fn new() -> Self {
        let number = u64::from_le_bytes(vault_core::platform::random::bytes());
        Self {
            sandbox: Sandbox::new(),
            application: format!("com.example.cli.{number:016x}"),
        }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let all = [&["--app", &self.application][..], arguments].concat();
        let mut command = self.sandbox.command(&all);
        command
            .env_remove("VAULT_STORE")
            .env_remove("VAULT_KEY_FILE");
        command
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> Output {
        let output: Output = self.command(arguments).output().unwrap().into();
        assert_eq!(output.code(), Some(0), "{arguments:?} {output:?}");
        output
    }

    /// What the store has of it.
    fn accounts(&self) -> Vec<String> {
        let store = store::open(StoreKind::CredentialManager, &StoreOptions::default()).unwrap();
        let items = store.list(&self.application).unwrap();
        items.iter().map(|item| item.account().to_owned()).collect()
    }
}

#[test]
fn a_login_in_the_credential_manager_serves_until_its_logout() {
    // The second is more than the store takes: the sealed file alone has it.
    for (length, accounts) in [
        (64, &["default", "default#key"][..]),
        (6000, &["default#key"]),
    ] {
        let server = AuthorizationServer::start(ServerConfig {
            access_token_lifetime: LIFE,
            refresh_token_length: length,
            ..ServerConfig::default()
        });
        let program = Program::new();
        let mut arguments = login(&server);
        arguments.push("--no-browser");
        let mut running = Running::start(program.command(&arguments));
        let url = running.line_that_starts_with("http").unwrap();
        drop(browser::follow(&url));
        let logged_in = running.finish();
        assert_eq!(logged_in.code(), Some(0), "{logged_in:?}");
        assert_eq!(program.accounts(), accounts);

        for generation in 1..=2 {
            wait(LIFE);
            let token = program.done(&["token"]);
            assert!(
                server.is_valid_access_token(token.stdout.trim()),
                "{token:?}"
            );
            assert_eq!(server.counts().refreshes_ok, generation);
            assert_eq!(program.accounts(), accounts);
        }
        let status = program.done(&["status"]);
        assert!(status.stdout.contains("credential-manager"), "{status:?}");
        let list = program.done(&["list"]);
        assert!(list.stdout.contains("alice"), "{list:?}");
        let shown = program.done(&["show", "--json"]).json();
        assert_eq!(shown["refresh_token"]["length"], length);
        program.done(&["doctor"]);
        program.done(&["logout"]);
        assert_eq!(server.living_logins(), 0);
        assert_eq!(program.accounts(), [""; 0]);
        assert_eq!(server.counts().reuse_detected, 0);
    }
}
