//! A store that asks a person, who takes long; and one that is locked while a
//! program runs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use vault_core::ErrorKind;
use vault_core::fault;
use vault_core::platform::clock::ManualClock;
use vault_core::platform::store::memory::MemoryStore;
use vault_core::platform::store::{Interaction, StoreKind};
use vault_core::refresh::policy::RotationPolicy;
use vault_core::session::TokenOptions;
use vault_tests::server::{Endpoint, Fault, Reply, ServerConfig};

use super::hooked::Hooked;
use super::scene::{LIFETIME, Scene, pause};

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
    fault::stand_in(KIND, |_| Ok(Arc::new(Hooked::open(KIND, &ITEMS, ask))));
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

/// Another that no other test has.
const LOCKING: StoreKind = StoreKind::ProtectedKeychain;

static LOCKED_ITEMS: LazyLock<MemoryStore> = LazyLock::new(MemoryStore::new);
static IS_LOCKED: AtomicBool = AtomicBool::new(false);
static PROMPTS: AtomicUsize = AtomicUsize::new(0);

/// The person says yes.
fn unlock(interaction: Interaction) {
    if interaction == Interaction::Allowed && IS_LOCKED.swap(false, Ordering::SeqCst) {
        PROMPTS.fetch_add(1, Ordering::SeqCst);
    }
}

/// KeePassXC locks itself after a while. The program knows its key by then, so that nothing is read
/// from the store but under the lock, where nobody can be asked.
#[test]
fn a_store_that_was_locked_later_is_unlocked_for_a_caller_and_not_for_a_refresh_ahead() {
    fault::stand_in(LOCKING, |_| {
        Ok(Arc::new(Hooked {
            is_locked: || IS_LOCKED.load(Ordering::SeqCst),
            unlock,
            ..Hooked::open(LOCKING, &LOCKED_ITEMS, || {})
        }))
    });
    let scene = Scene::strict();
    let session = |interaction| {
        let builder = scene.builder(RotationPolicy::strict()).store(LOCKING);
        let vault = builder.interaction(interaction).open().unwrap();
        vault.session("locking").unwrap()
    };
    let (asking, silent) = (
        session(Interaction::Allowed),
        session(Interaction::Forbidden),
    );
    scene.log_in(&asking);
    for session in [&asking, &silent] {
        session.blocking().access_token().unwrap();
    }
    let prompts = || PROMPTS.load(Ordering::SeqCst);

    IS_LOCKED.store(true, Ordering::SeqCst);
    let guard = asking.keep_fresh(&TokenOptions::default()).unwrap();
    pause(LIFETIME + LIFETIME / 2);
    assert_eq!(prompts(), 0, "nobody waits for it");
    assert!(asking.metrics().failed <= 2, "{:?}", asking.metrics());
    drop(guard);
    let error = silent.blocking().access_token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreLocked);
    assert_eq!(prompts(), 0, "nobody may be asked");

    asking.blocking().access_token().unwrap();
    assert_eq!(prompts(), 1);
    silent.blocking().access_token().unwrap();
    assert_eq!(scene.server.counts().reuse_detected, 0);
}

/// As on a laptop that is closed: who keeps a token fresh does not fill the events with what it
/// could not do, and makes no request before it may.
#[test]
fn a_refresh_ahead_that_fails_is_tried_again_when_it_may_succeed() {
    let scene = Scene::strict();
    let session = scene.session();
    session.blocking().access_token().unwrap();
    let asked = || scene.server.counts().refresh_requests;
    let before = asked();
    let later = Reply::empty(503).retry_after(30);
    scene
        .server
        .fail_always(Endpoint::Token, Fault::Instead(later));
    let _guard = session.keep_fresh(&TokenOptions::default()).unwrap();
    pause(6 * LIFETIME);
    assert_eq!(asked(), before + 1);
    let told = session.metrics();
    assert_eq!(told.failed + told.served_despite, 1, "{told:?}");
}
