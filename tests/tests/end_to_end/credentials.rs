//! What a client proves itself with, in a store that is too small for it: it
//! lies in the sealed file then, whose key the store holds.

use std::sync::Arc;

use url::Url;
use vault_core::login::{DeviceAuthorization, Flow, LoginInteraction, LoginRequest};
use vault_core::oauth::ClientCredential;
use vault_core::platform::store::{Interaction, KeySource};
use vault_core::{Error, ErrorKind, Session, Vault};
use vault_tests::server::{
    AuthorizationServer, Client, ClientAuthentication, DeviceApproval, Dpop, ServerConfig,
};
use vault_tests::stand_in::{self, SMALL, SMALL_LIMIT};

use crate::support::Sandbox;

struct Nobody;

impl LoginInteraction for Nobody {
    fn open_url(&self, _url: &Url) -> Result<(), Error> {
        panic!("a device code opens nothing")
    }

    fn show_device_code(&self, _code: &DeviceAuthorization) {}
}

/// Opened anew, as by another process.
fn session(sandbox: &Sandbox) -> Session {
    let vault = Vault::builder("vault-cli")
        .state_root(sandbox.state())
        .store(SMALL)
        .key_source(KeySource::KeyFile(sandbox.key_file()))
        .interaction(Interaction::Forbidden)
        .open();
    vault.unwrap().session("default").unwrap()
}

#[test]
fn a_secret_that_the_store_can_not_hold_lies_in_the_sealed_file() {
    stand_in::register();
    let secret = "canary-".repeat(SMALL_LIMIT / 7);
    let authentication = ClientAuthentication::SecretBasic(secret.clone());
    let server = AuthorizationServer::start(ServerConfig {
        clients: vec![Client::confidential("vault-cli", authentication)],
        dpop: Dpop::Offered,
        device_approval: DeviceApproval::AfterPolls(0),
        ..ServerConfig::default()
    });
    let sandbox = Sandbox::new();
    let request = LoginRequest::new(server.issuer(), "vault-cli")
        .flow(Flow::Device)
        .scope("offline_access")
        .dpop(true)
        .credential(ClientCredential::secret(secret.clone().into()).unwrap());
    let login = session(&sandbox)
        .blocking()
        .login(request, Arc::new(Nobody));
    assert_eq!(login.unwrap().store, SMALL.as_str());
    for _ in 0..2 {
        let refreshed = session(&sandbox)
            .blocking()
            .refresh_now(&Default::default());
        // The DPoP key is in the store all the same.
        assert!(refreshed.unwrap().jkt.is_some());
    }
    for (path, (_, bytes)) in sandbox.stored() {
        let found = bytes.windows(7).any(|window| window == b"canary-");
        assert!(!found, "{}", path.display());
    }

    // Without the sealed file it is gone, and with it nothing else.
    std::fs::write(sandbox.sealed_file("default"), b"damaged").unwrap();
    let refused = session(&sandbox).blocking().access_token().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ClientRefused, "{refused}");
    assert_eq!(server.living_logins(), 1);
    assert_eq!(server.counts().reuse_detected, 0);
}
