//! A store that asks a person, who takes long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use vault_core::fault;
use vault_core::platform::clock::ManualClock;
use vault_core::platform::store::StoreKind;
use vault_core::platform::store::memory::MemoryStore;
use vault_core::refresh::policy::RotationPolicy;
use vault_tests::server::ServerConfig;

use super::hooked::Hooked;
use super::scene::Scene;

/// One that no other test has.
const KIND: StoreKind = StoreKind::AndroidKeystore;

/// How long the access tokens live, and the person takes.
const LIFE: Duration = Duration::from_secs(100);

static ITEMS: LazyLock<MemoryStore> = LazyLock::new(MemoryStore::new);
static CLOCK: LazyLock<ManualClock> = LazyLock::new(ManualClock::new);
static ASKS: AtomicBool = AtomicBool::new(false);

fn ask() {
    if ASKS.swap(false, Ordering::SeqCst) {
        CLOCK.advance(LIFE);
    }
}

#[test]
fn a_token_that_expires_while_a_person_is_asked_is_not_given() {
    fault::stand_in(KIND, |_| {
        Ok(Arc::new(Hooked {
            kind: KIND,
            items: &ITEMS,
            before_get: ask,
        }))
    });
    let config = ServerConfig {
        access_token_lifetime: LIFE,
        ..ServerConfig::default()
    };
    let scene = Scene::logged_in(config, RotationPolicy::strict());
    let session = || {
        let builder = scene.builder(RotationPolicy::strict()).store(KIND);
        let vault = builder.clock(Arc::new(CLOCK.clone())).open().unwrap();
        vault.session("asking").unwrap()
    };
    scene.log_in(&session());
    let token = || session().blocking().access_token().unwrap();
    let (first, again) = (token(), token());
    assert_eq!(first.expose(), again.expose());
    ASKS.store(true, Ordering::SeqCst);
    assert_ne!(token().expose(), first.expose());
    assert!(!ASKS.load(Ordering::SeqCst), "a person was asked");
}
