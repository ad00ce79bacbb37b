//! Many callers that ask for different tokens of one login stand in a queue:
//! its end may be far away, but it comes nearer.

use std::time::Duration;

use url::Url;
use vault_core::ErrorKind;
use vault_core::refresh::policy::RotationPolicy;
use vault_core::session::TokenOptions;
use vault_tests::server::{Endpoint, ServerConfig, Stage};

use crate::scene::Scene;

const PATIENCE_MS: u64 = 4000;

fn scene() -> Scene {
    let config = ServerConfig {
        access_token_lifetime: Duration::from_secs(600),
        ..ServerConfig::default()
    };
    Scene::logged_in(config, RotationPolicy::strict())
}

/// What callers get who ask at once, each from one of the vaults for a
/// resource of its own.
fn ask(scene: &Scene, vaults: u32, resources: u32) -> Vec<Result<(), ErrorKind>> {
    let mut assignment = scene.assignment(1);
    assignment.lock_timeout_ms = PATIENCE_MS;
    let vaults: Vec<_> = (0..vaults).map(|_| assignment.open().unwrap()).collect();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..resources)
            .flat_map(|number| vaults.iter().map(move |session| (number, session)))
            .map(|(number, session)| {
                let api = Url::parse(&format!("https://api-{number}.example/")).unwrap();
                scope.spawn(move || {
                    let token = session
                        .blocking()
                        .token(&TokenOptions::default().resource(&api));
                    token.map(drop).map_err(|error| error.kind())
                })
            })
            .collect();
        callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect()
    })
}

#[test]
fn whoever_stands_at_the_end_waits_while_others_are_served() {
    let scene = scene();
    let latency = Duration::from_millis(500);
    scene.server.configure(|config| config.latency = latency);
    let calls = ask(&scene, 3, 16);
    assert_eq!(calls, vec![Ok(()); 3 * 16]);
    let counts = scene.server.counts();
    // Eight seconds at least, of which each caller allowed four.
    assert_eq!((counts.refreshes_ok, counts.reuse_detected), (16, 0));
}

#[test]
fn nobody_waits_longer_where_nothing_moves() {
    let scene = scene();
    let hold = scene.server.hold(Endpoint::Token, Stage::Arrived);
    let calls = ask(&scene, 2, 3);
    assert_eq!(calls, vec![Err(ErrorKind::LockTimeout); 2 * 3]);
    drop(hold);
}
