//! Where a login's tokens are sent, over its life: the server is asked again
//! when its description has grown old, and when its address is of no use.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use vault_core::Session;
use vault_core::platform::clock::ManualClock;
use vault_core::refresh::policy::RotationPolicy;
use vault_core::session::TokenOptions;
use vault_tests::server::{Endpoint, Fault, Requests, ServerConfig};

use super::scene::Scene;

/// How long the server's description is good; its access tokens no longer.
const LIFE: Duration = Duration::from_secs(600);

struct Life {
    scene: Scene,
    clock: Arc<ManualClock>,
}

impl Life {
    fn new() -> Self {
        let config = ServerConfig {
            access_token_lifetime: LIFE,
            metadata_cache_control: Some("public, max-age=600"),
            ..ServerConfig::default()
        };
        Self {
            scene: Scene::logged_in(config, RotationPolicy::strict()),
            clock: Arc::new(ManualClock::new()),
        }
    }

    fn session(&self) -> Session {
        let builder = self.scene.builder(RotationPolicy::strict());
        let vault = builder.clock(self.clock.clone()).open().unwrap();
        vault.session("default").unwrap()
    }

    /// A login that was told this token endpoint; afterwards the server
    /// announces the right one.
    fn told(&self, endpoint: &str) -> Session {
        let server = &self.scene.server;
        let change = ("token_endpoint".to_owned(), endpoint.into());
        server.configure(|config| config.metadata_changes = vec![change]);
        let session = self.session();
        self.scene.log_in(&session);
        server.configure(|config| config.metadata_changes.clear());
        session
    }

    fn requests(&self) -> Requests {
        self.scene.server.counts().requests
    }
}

fn refresh(session: &Session) {
    let all = TokenOptions::default();
    session.blocking().refresh_now(&all).unwrap();
}

#[test]
fn a_description_that_has_grown_old_is_asked_for_once_before_a_refresh() {
    let life = Life::new();
    let session = life.told(&life.scene.server.url("/gone"));
    life.clock.advance(LIFE);
    let before = life.requests();
    refresh(&session);
    let after = life.requests();
    assert_eq!(after.openid_metadata, before.openid_metadata + 1);
    assert_eq!(after.other, before.other, "the old address was not tried");
    // It was committed with the tokens, for all.
    refresh(&life.session());
    assert_eq!(life.requests().openid_metadata, after.openid_metadata);

    life.clock.advance(LIFE);
    let before = life.requests();
    let sessions: Vec<_> = (0..8).map(|_| life.session()).collect();
    std::thread::scope(|scope| {
        for session in &sessions {
            scope.spawn(|| session.blocking().access_token().unwrap());
        }
    });
    let after = life.requests();
    assert_eq!(after.token, before.token + 1);
    assert_eq!(after.openid_metadata, before.openid_metadata + 1);
}

#[test]
fn what_is_known_serves_on_if_the_server_does_not_describe_itself() {
    let life = Life::new();
    let session = life.session();
    life.scene.log_in(&session);
    life.clock.advance(LIFE);
    for endpoint in [Endpoint::OpenIdMetadata, Endpoint::OAuthMetadata] {
        life.scene.server.fail_always(endpoint, Fault::status(500));
    }
    let before = life.requests();
    refresh(&session);
    let after = life.requests();
    assert_eq!(after.openid_metadata, before.openid_metadata + 1);
    // It is left alone for a while.
    refresh(&session);
    assert_eq!(life.requests().openid_metadata, after.openid_metadata);
    assert_eq!(life.scene.server.counts().reuse_detected, 0);
}

#[test]
fn an_address_where_nobody_listens_is_looked_up_once_more() {
    let life = Life::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let session = life.told(&format!("http://{address}/token"));
    let before = life.requests();
    refresh(&session);
    let after = life.requests();
    assert_eq!(after.openid_metadata, before.openid_metadata + 1);
    assert_eq!(after.token, before.token + 1);
    refresh(&session);
    assert_eq!(life.requests().openid_metadata, after.openid_metadata);
}

#[test]
fn another_machine_is_not_believed_over_plain_http() {
    let life = Life::new();
    let session = life.told(&life.scene.server.url("/gone"));
    let elsewhere = ("token_endpoint".to_owned(), "https://127.0.0.2/".into());
    let server = &life.scene.server;
    server.configure(|config| config.metadata_changes = vec![elsewhere]);
    let error = session
        .blocking()
        .refresh_now(&TokenOptions::default())
        .unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    assert!(server.living_logins() > 0);
}
