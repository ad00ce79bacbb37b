//! The library on several asynchronous runtimes, and on none: the same login,
//! cached and refreshed.

use vault_core::platform::store::{Interaction, KeySource, StoreKind};
use vault_core::{Session, Vault};
use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::support::Sandbox;

struct Scene {
    server: AuthorizationServer,
    session: Session,
    _sandbox: Sandbox,
}

fn logged_in() -> Scene {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let vault = Vault::builder("vault-cli")
        .state_root(sandbox.state())
        .store(StoreKind::EncryptedFile)
        .key_source(KeySource::KeyFile(sandbox.key_file()))
        .interaction(Interaction::Forbidden)
        .open()
        .unwrap();
    Scene {
        server,
        session: vault.session("default").unwrap(),
        _sandbox: sandbox,
    }
}

/// Asks for the stored token, for the cached one, and for a new one, twice at
/// once.
async fn use_it(scene: &Scene) {
    let session = &scene.session;
    let stored = session.access_token().await.unwrap();
    let cached = session.access_token().await.unwrap();
    assert_eq!(stored.expose(), cached.expose());
    let options = Default::default();
    let (one, other) = futures_lite::future::zip(
        session.replace(&cached, &options),
        session.replace(&cached, &options),
    )
    .await;
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.access_token.expose(), other.access_token.expose());
    assert_ne!(one.access_token.expose(), cached.expose());
    assert_eq!(scene.server.counts().refreshes_ok, 1);
}

#[test]
fn on_tokio_with_one_thread_and_with_many() {
    let one = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    one.block_on(use_it(&logged_in()));
    let many = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    many.block_on(use_it(&logged_in()));
}

#[test]
fn on_smol() {
    smol::block_on(use_it(&logged_in()));
    let scene = logged_in();
    let session = scene.session.clone();
    let task = smol::spawn(async move { session.access_token().await });
    assert!(smol::block_on(task).is_ok());
}

#[test]
fn without_any_runtime() {
    let scene = logged_in();
    let session = scene.session.blocking();
    let stored = session.access_token().unwrap();
    assert_eq!(session.access_token().unwrap().expose(), stored.expose());
    let other = session.replace(&stored, &Default::default()).unwrap();
    assert_ne!(other.access_token.expose(), stored.expose());
    assert_eq!(scene.server.counts().refreshes_ok, 1);
}
