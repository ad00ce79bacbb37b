//! A logout whose server is away: the login ends here at once, and there as
//! soon as the server can be reached.

use std::path::PathBuf;

use vault_tests::server::{
    AuthorizationServer, Client, ClientAuthentication, Endpoint, Fault, Reply, ServerConfig, Stage,
};

use crate::support::{Output, Sandbox, vault_cli};

fn server() -> AuthorizationServer {
    AuthorizationServer::start(ServerConfig::default())
}

/// Where a revocation of one login's token ends the person's other logins, too.
fn server_with_one_grant() -> AuthorizationServer {
    AuthorizationServer::start(ServerConfig {
        one_grant_per_client: true,
        ..ServerConfig::default()
    })
}

/// The notes of revocations that wait.
fn notes(sandbox: &Sandbox) -> Vec<PathBuf> {
    let is_note = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("revoke.")
    };
    sandbox.stored().into_keys().filter(is_note).collect()
}

/// How many items the store holds.
fn items(sandbox: &Sandbox) -> usize {
    let folder = sandbox.state().join("vault-cli").join("items");
    let is_item =
        |path: &PathBuf| path.starts_with(&folder) && path.extension() == Some("item".as_ref());
    let stored = sandbox.stored();
    stored.keys().filter(|path| is_item(path)).count()
}

/// Logged out while the server fails to revoke.
fn left(server: &AuthorizationServer, fault: Fault) -> (Sandbox, Output) {
    let sandbox = Sandbox::new();
    sandbox.log_in(server, "default");
    server.fail_always(Endpoint::Revoke, fault);
    let left = vault_cli(&sandbox, &["logout"]);
    server.clear_faults(Endpoint::Revoke);
    (sandbox, left)
}

#[test]
fn a_logout_without_its_server_is_made_good_by_the_next_command_that_reaches_it() {
    for command in ["login", "import", "logout", "doctor"] {
        let mut server = server();
        let sandbox = Sandbox::new();
        let canary = server.issue_login().refresh_token;
        assert_eq!(
            sandbox.import(&server, "work", &canary).status.code(),
            Some(0)
        );
        if command == "logout" {
            sandbox.log_in(&server, "default");
        }
        let before = items(&sandbox);
        server.stop_listening();
        let left = vault_cli(&sandbox, &["--profile", "work", "logout"]);
        assert_eq!(left.code(), Some(0), "{left:?}");
        assert!(left.stdout.contains("not revoked yet"), "{left:?}");
        assert!(left.stderr.contains("tries again"), "{left:?}");
        let token = vault_cli(&sandbox, &["--profile", "work", "token"]);
        assert_eq!(token.code(), Some(3), "{token:?}");
        assert_eq!(notes(&sandbox).len(), 1, "{command}");
        for (path, (_, bytes)) in sandbox.stored() {
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(&canary), "{}", path.display());
        }
        if command == "doctor" {
            let ill = vault_cli(&sandbox, &["doctor"]);
            assert_eq!(ill.code(), Some(1), "{ill:?}");
            assert!(ill.stdout.contains("VD601 FAILED"), "{ill:?}");
        }

        server.listen_again();
        assert!(server.family_alive(&canary));
        match command {
            "login" => drop(sandbox.log_in(&server, "default")),
            // Of another client: one of the same would be a newer login.
            "import" => {
                let issuer = server.issuer();
                let import = ["import", "--issuer", issuer, "--client-id", "another"];
                let imported = sandbox.run_with_input(&import, "another-token");
                assert_eq!(imported.code(), Some(0), "{imported:?}");
            }
            command => {
                let done = vault_cli(&sandbox, &[command]);
                assert_eq!(done.code(), Some(0), "{done:?}");
            }
        }
        assert!(!server.family_alive(&canary), "{command}");
        assert_eq!(notes(&sandbox), Vec::<PathBuf>::new(), "{command}");
        assert!(items(&sandbox) <= before, "{command}");
        let token = vault_cli(&sandbox, &["--profile", "work", "token"]);
        assert_eq!(token.code(), Some(3), "{token:?}");
        let doctor = vault_cli(&sandbox, &["doctor"]);
        assert!(!doctor.stdout.contains("VD601"), "{doctor:?}");
    }
}

#[test]
fn a_token_that_comes_after_the_logout_is_revoked_when_the_server_can_be_reached() {
    let server = server();
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    server.fail_always(Endpoint::Revoke, Fault::unavailable(1));
    let hold = server.hold(Endpoint::Token, Stage::Answered);
    let refresh = sandbox.command(&["refresh", "--force"]).spawn().unwrap();
    assert!(hold.wait_for(1, std::time::Duration::from_secs(30)));
    // Without the lock, and it keeps nothing itself.
    let left = vault_cli(&sandbox, &["logout", "--no-revoke"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert_eq!(notes(&sandbox).len(), 0);
    drop(hold);
    let refreshed: Output = refresh.wait_with_output().unwrap().into();
    assert_eq!(refreshed.code(), Some(3), "{refreshed:?}");
    assert_eq!((notes(&sandbox).len(), items(&sandbox)), (1, 1));
    server.clear_faults(Endpoint::Revoke);
    assert_eq!(vault_cli(&sandbox, &["doctor"]).code(), Some(0));
    assert_eq!(server.living_logins(), 0);
    assert_eq!((notes(&sandbox).len(), items(&sandbox)), (0, 0));
}

#[test]
fn of_two_tokens_of_one_login_the_newer_one_waits() {
    let server = server();
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    server.fail_always(Endpoint::Revoke, Fault::unavailable(1));
    let hold = server.hold(Endpoint::Token, Stage::Answered);
    let refresh = sandbox.command(&["refresh", "--force"]).spawn().unwrap();
    assert!(hold.wait_for(1, std::time::Duration::from_secs(30)));
    let left = vault_cli(&sandbox, &["logout"]);
    assert!(left.stdout.contains("not revoked yet"), "{left:?}");
    let before = sandbox.stored();
    drop(hold);
    refresh.wait_with_output().unwrap();
    assert_eq!((notes(&sandbox).len(), items(&sandbox)), (1, 1));
    let changed = sandbox.stored().iter().any(|(path, stored)| {
        path.extension() == Some("item".as_ref()) && before.get(path) != Some(stored)
    });
    assert!(changed, "the token of the logout is kept");
    server.clear_faults(Endpoint::Revoke);
    assert_eq!(vault_cli(&sandbox, &["doctor"]).code(), Some(0));
    assert_eq!(server.living_logins(), 0);
}

#[test]
fn what_waits_is_found_without_its_note() {
    let server = server();
    let (sandbox, _) = left(&server, Fault::unavailable(1));
    for note in notes(&sandbox) {
        std::fs::remove_file(note).unwrap();
    }
    assert_eq!(vault_cli(&sandbox, &["doctor"]).code(), Some(0));
    assert_eq!(server.living_logins(), 0);
}

#[test]
fn only_what_may_succeed_later_is_kept() {
    let kept = [
        Fault::unavailable(1),
        Fault::status(429),
        Fault::status(500),
        Fault::Drop,
    ];
    for fault in kept {
        let (sandbox, left) = left(&server(), fault);
        assert_eq!(left.code(), Some(0), "{left:?}");
        assert_eq!(notes(&sandbox).len(), 1, "{left:?}");
    }
    let refused = [
        Fault::status(400),
        Fault::status(404),
        Fault::oauth_error(401, "invalid_client"),
        Fault::oauth_error(400, "unsupported_token_type"),
        Fault::Instead(Reply::empty(302)),
    ];
    for fault in refused {
        let (sandbox, left) = left(&server(), fault);
        assert_eq!(left.code(), Some(0), "{left:?}");
        assert!(left.stdout.contains("is not revoked\n"), "{left:?}");
        assert!(left.stderr.contains("nothing of it"), "{left:?}");
        assert_eq!(notes(&sandbox), Vec::<PathBuf>::new(), "{left:?}");
        assert_eq!(items(&sandbox), 0);
        assert_eq!(vault_cli(&sandbox, &["token"]).code(), Some(3));
    }
}

#[test]
fn a_revocation_that_is_refused_later_is_given_up() {
    let server = server();
    let (sandbox, _) = left(&server, Fault::unavailable(1));
    server.fail_always(Endpoint::Revoke, Fault::oauth_error(401, "invalid_client"));
    assert_eq!(vault_cli(&sandbox, &["doctor"]).code(), Some(0));
    assert_eq!(notes(&sandbox), Vec::<PathBuf>::new());
    assert_eq!(items(&sandbox), 0);
}

#[test]
fn a_logout_that_does_not_revoke_keeps_nothing() {
    let mut server = server();
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    server.stop_listening();
    let left = vault_cli(&sandbox, &["logout", "--no-revoke", "--json"]);
    assert_eq!(left.json()["revocation_queued"], false, "{left:?}");
    assert_eq!(notes(&sandbox), Vec::<PathBuf>::new());
    assert_eq!(items(&sandbox), 0);
}

#[test]
fn a_refresh_of_another_profile_revokes_what_waits() {
    let server = server();
    let sandbox = Sandbox::new();
    sandbox.import(&server, "work", &server.issue_login().refresh_token);
    sandbox.log_in(&server, "default");
    server.fail_always(Endpoint::Revoke, Fault::unavailable(1));
    vault_cli(&sandbox, &["logout"]);
    server.clear_faults(Endpoint::Revoke);
    assert_eq!(server.living_logins(), 2);
    let vault = vault_core::Vault::builder("vault-cli")
        .state_root(sandbox.state())
        .store(vault_core::platform::store::StoreKind::EncryptedFile)
        .key_source(vault_core::platform::store::KeySource::KeyFile(
            sandbox.key_file(),
        ))
        .open()
        .unwrap();
    let session = vault.session("work").unwrap();
    session.blocking().access_token().unwrap();
    let began = std::time::Instant::now();
    while server.living_logins() > 1 {
        assert!(began.elapsed().as_secs() < 30, "it is never revoked");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// The login works, and goes on doing so once nothing waits any more.
fn no_revocation_ends_it(server: &AuthorizationServer, sandbox: &Sandbox) {
    for command in [
        &["refresh", "--force"][..],
        &["doctor"],
        &["refresh", "--force"],
    ] {
        let done = vault_cli(sandbox, command);
        assert_eq!(done.code(), Some(0), "{command:?}: {done:?}");
    }
    assert_eq!(notes(sandbox), Vec::<PathBuf>::new());
    // Its key and its token.
    assert!(items(sandbox) <= 2, "{}", items(sandbox));
    assert!(server.living_logins() > 0);
}

#[test]
fn a_login_revokes_what_waits_before_it_has_tokens_of_its_own() {
    let server = server_with_one_grant();
    let (sandbox, _) = left(&server, Fault::unavailable(1));
    assert_eq!((notes(&sandbox).len(), server.living_logins()), (1, 1));
    sandbox.log_in(&server, "default");
    assert_eq!((notes(&sandbox).len(), server.living_logins()), (0, 1));
    no_revocation_ends_it(&server, &sandbox);
    assert_eq!(server.living_logins(), 1);
}

#[test]
fn a_revocation_that_waits_on_does_not_end_a_login_that_was_made_since() {
    let server = server_with_one_grant();
    let (sandbox, _) = left(&server, Fault::unavailable(1));
    server.fail_always(Endpoint::Revoke, Fault::unavailable(1));
    sandbox.log_in(&server, "default");
    assert_eq!(notes(&sandbox).len(), 1);
    server.clear_faults(Endpoint::Revoke);
    no_revocation_ends_it(&server, &sandbox);
}

#[test]
fn a_revocation_that_waits_does_not_end_a_token_that_is_imported() {
    let server = server_with_one_grant();
    let (sandbox, _) = left(&server, Fault::unavailable(1));
    let token = server.issue_login().refresh_token;
    let imported = sandbox.import(&server, "default", &token);
    assert_eq!(imported.code(), Some(0), "{imported:?}");
    assert!(server.family_alive(&token));
    no_revocation_ends_it(&server, &sandbox);
}

#[test]
fn a_newer_login_that_has_ended_too_keeps_no_revocation_from_being_made() {
    let server = server();
    let (sandbox, _) = left(&server, Fault::unavailable(1));
    server.fail_always(Endpoint::Revoke, Fault::unavailable(1));
    sandbox.log_in(&server, "default");
    vault_cli(&sandbox, &["logout"]);
    assert_eq!((notes(&sandbox).len(), server.living_logins()), (2, 2));
    server.clear_faults(Endpoint::Revoke);
    assert_eq!(vault_cli(&sandbox, &["doctor"]).code(), Some(0));
    assert_eq!((notes(&sandbox).len(), server.living_logins()), (0, 0));
}

#[test]
fn a_confidential_client_proves_itself_to_the_revocation_too() {
    let server = server();
    let secret = "canary-of-a-secret".to_owned();
    server.configure(|config| {
        config.clients = vec![Client::confidential(
            "vault-cli",
            ClientAuthentication::SecretBasic(secret.clone()),
        )];
    });
    let sandbox = Sandbox::new();
    let file = sandbox.home().join("secret");
    std::fs::write(&file, &secret).unwrap();
    let arguments = ["--client-secret-file", file.to_str().unwrap()];
    let login = sandbox.log_in_with(&server, &arguments);
    assert_eq!(login.code(), Some(0), "{login:?}");
    server.fail_always(Endpoint::Revoke, Fault::unavailable(1));
    vault_cli(&sandbox, &["logout"]);
    assert_eq!(notes(&sandbox).len(), 1);
    for (path, (_, bytes)) in sandbox.stored() {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(&secret), "{}", path.display());
    }
    server.clear_faults(Endpoint::Revoke);
    assert_eq!(vault_cli(&sandbox, &["doctor"]).code(), Some(0));
    assert_eq!(server.living_logins(), 0);
}

#[test]
fn of_all_profiles_one_that_fails_does_not_keep_the_others_logged_in() {
    let server = server();
    let sandbox = Sandbox::new();
    for profile in ["broken", "default", "work"] {
        sandbox.log_in(&server, profile);
    }
    // Nothing can be written into it: no tombstone, so no logout.
    let folder = sandbox.profile("broken");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "not a folder").unwrap();
    let left = vault_cli(&sandbox, &["logout", "--all", "--json"]);
    let report = left.json();
    for profile in ["default", "work"] {
        let token = vault_cli(&sandbox, &["--profile", profile, "token"]);
        assert_eq!(token.code(), Some(3), "{report}");
    }
    assert_eq!(server.living_logins(), 1, "{report}");
}

#[test]
fn a_server_that_offers_no_revocation_is_told_as_such() {
    let server = server();
    server.configure(|config| {
        let name = "revocation_endpoint".to_owned();
        config.metadata_changes = vec![(name, serde_json::Value::Null)];
    });
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let left = vault_cli(&sandbox, &["logout"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert!(left.stderr.contains("offers no revocation"), "{left:?}");
    assert_eq!(notes(&sandbox), Vec::<PathBuf>::new());
    assert_eq!(vault_cli(&sandbox, &["token"]).code(), Some(3));
}
