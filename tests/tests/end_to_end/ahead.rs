//! Refreshing ahead: nobody waits, and of all that do it one refreshes.

use std::time::Duration;

use vault_core::enrolment::Import;
use vault_core::platform::secret::SecretString;
use vault_core::platform::store::{Interaction, KeySource, StoreKind};
use vault_core::session::TokenOptions;
use vault_core::{RefreshToken, Session, Vault};
use vault_tests::server::{AuthorizationServer, ServerConfig};

const LIFETIME: Duration = Duration::from_secs(2);

/// Each vault stands for a process: they share nothing but the files.
fn open(folder: &std::path::Path) -> Session {
    Vault::builder("com.example.ahead")
        .state_root(folder.join("state"))
        .store(StoreKind::EncryptedFile)
        .key_source(KeySource::KeyFile(folder.join("key")))
        .interaction(Interaction::Forbidden)
        .open()
        .unwrap()
        .session("default")
        .unwrap()
}

#[test]
fn one_of_many_refreshes_ahead_and_a_token_is_always_at_hand() {
    let server = AuthorizationServer::start(ServerConfig {
        access_token_lifetime: LIFETIME,
        ..ServerConfig::default()
    });
    let folder = tempfile::tempdir().unwrap();
    vault_core::platform::store::create_key_file(&folder.path().join("key")).unwrap();
    let sessions = [
        open(folder.path()),
        open(folder.path()),
        open(folder.path()),
    ];
    let token = RefreshToken::new(SecretString::from(server.issue_login().refresh_token));
    let import = Import::from_issuer(server.issuer(), "vault-cli");
    sessions[0].blocking().import(import, token).unwrap();
    sessions[0].blocking().access_token().unwrap();

    let keeping: Vec<_> = sessions
        .iter()
        .map(|session| session.keep_fresh(&TokenOptions::default()).unwrap())
        .collect();
    let waited_for = Duration::from_secs(9);
    std::thread::sleep(waited_for);
    let refreshes = server.counts().refreshes_ok;
    for session in &sessions {
        let token = session.blocking().token(&TokenOptions::default()).unwrap();
        assert!(!token.refreshed, "it was there already");
    }
    drop(keeping);

    // A token is renewed when between three quarters and nine tenths of its
    // life are over, by one of three.
    let most = waited_for.as_millis() / (LIFETIME.as_millis() * 3 / 4) + 2;
    assert!(
        u128::from(refreshes) <= most,
        "{refreshes} refreshes, at most {most}"
    );
    assert!(refreshes >= 4, "{refreshes} refreshes in {waited_for:?}");

    // Whoever stops keeping it fresh stops refreshing.
    std::thread::sleep(2 * LIFETIME);
    let counts = server.counts();
    assert!(counts.refreshes_ok <= refreshes + 1);
    assert_eq!(counts.refresh_requests, counts.refreshes_ok);
}
