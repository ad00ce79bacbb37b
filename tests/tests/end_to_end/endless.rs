//! A program that would wait for ever: no time that it names is too long to be
//! counted with.

use std::sync::Arc;
use std::time::Duration;

use vault_core::login::{DeviceAuthorization, Flow, LoginInteraction, LoginRequest};
use vault_core::platform::store::{KeySource, StoreKind};
use vault_core::session::TokenOptions;
use vault_core::{BoundHost, Error, Session, Vault};
use vault_tests::server::{AuthorizationServer, DEFAULT_CLIENT_ID, DeviceApproval, ServerConfig};
use vault_tests::stand_in::{self, OTHER};

use crate::support::Sandbox;

const FOR_EVER: Duration = Duration::MAX;

/// A vault whose person may be asked: then a read of the store also waits for
/// the unlocking.
fn open(sandbox: &Sandbox, store: Option<StoreKind>) -> Session {
    let mut builder = Vault::builder("com.example.endless")
        .state_root(sandbox.state())
        .key_source(KeySource::KeyFile(sandbox.key_file()))
        .lock_timeout(FOR_EVER)
        .store_deadline(FOR_EVER)
        .request_timeout(FOR_EVER);
    if let Some(store) = store {
        builder = builder.store(store);
    }
    builder.open().unwrap().session("default").unwrap()
}

struct Person;

impl LoginInteraction for Person {
    fn open_url(&self, _url: &url::Url) -> Result<(), Error> {
        panic!("a device code opens nothing")
    }

    fn show_device_code(&self, _code: &DeviceAuthorization) {}
}

#[test]
fn who_waits_for_ever_is_served_like_anybody() {
    stand_in::register();
    let server = AuthorizationServer::start(ServerConfig {
        device_approval: DeviceApproval::AfterPolls(0),
        ..ServerConfig::default()
    });
    let sandbox = Sandbox::new();
    let session = open(&sandbox, Some(StoreKind::EncryptedFile));
    let session = session.blocking();
    let request = LoginRequest::new(server.issuer(), DEFAULT_CLIENT_ID)
        .flow(Flow::Device)
        .timeout(FOR_EVER);
    session.login(request, Arc::new(Person)).unwrap();
    session.access_token().unwrap();
    let all = TokenOptions::default();
    assert!(session.refresh_now(&all).unwrap().refreshed);
    let host: BoundHost = "https://git.example.com".parse().unwrap();
    assert!(session.bind(&host).unwrap());
    assert!(session.unbind(&host).unwrap());
    session.diagnose().unwrap();
    session.migrate(OTHER).unwrap();

    // As another program, which knows nothing yet and names no store.
    let moved = open(&sandbox, None);
    let moved = moved.blocking();
    assert_eq!(moved.inspect().unwrap().store, OTHER.as_str());
    assert!(moved.refresh_now(&all).unwrap().refreshed);
    moved.logout(true).unwrap();
    assert_eq!(server.living_logins(), 0);
    assert_eq!(server.counts().reuse_detected, 0);
}
