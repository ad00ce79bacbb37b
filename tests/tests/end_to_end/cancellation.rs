//! Callers that give up in the middle of a refresh: it is finished without
//! them, and its token is there for the next.

use std::time::Duration;

use vault_core::ErrorKind;
use vault_core::refresh::policy::RotationPolicy;
use vault_tests::server::{Endpoint, ServerConfig, Stage};

use crate::scene::{LONG, Scene};

/// A strict server and tokens that live long enough for a test.
fn scene() -> Scene {
    Scene::logged_in(ServerConfig::default(), RotationPolicy::strict())
}

/// The refresh that a caller left is committed: the next caller finds its token.
fn is_finished_without_its_caller(scene: &Scene) {
    let session = scene
        .vault(RotationPolicy::strict())
        .session("default")
        .unwrap();
    session.blocking().access_token().unwrap();
    let counts = scene.server.counts();
    assert_eq!((counts.refresh_requests, counts.reuse_detected), (1, 0));
}

#[test]
fn a_future_that_is_dropped_does_not_tear_the_refresh_apart() {
    let scene = scene();
    let session = scene
        .vault(RotationPolicy::strict())
        .session("default")
        .unwrap();
    let hold = scene.server.hold(Endpoint::Token, Stage::Answered);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let asking = session.access_token();
        let given_up = tokio::time::timeout(Duration::from_millis(300), asking).await;
        assert!(given_up.is_err(), "the answer is held back");
    });
    assert!(hold.wait_for(1, LONG), "the server has rotated");
    drop(hold);
    is_finished_without_its_caller(&scene);
}

#[test]
fn who_waits_in_vain_for_the_own_process_is_told_so() {
    let scene = scene();
    let builder = scene.builder(RotationPolicy::strict());
    let vault = builder.lock_timeout(Duration::from_millis(200)).open();
    let session = vault.unwrap().session("default").unwrap();
    let hold = scene.server.hold(Endpoint::Token, Stage::Answered);
    let error = session.blocking().access_token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LockTimeout, "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("this process's own refresh"), "{text}");
    drop(hold);
    is_finished_without_its_caller(&scene);
}

#[test]
fn a_runtime_that_shuts_down_does_not_tear_the_refresh_apart() {
    let scene = scene();
    let session = scene
        .vault(RotationPolicy::strict())
        .session("default")
        .unwrap();
    let hold = scene.server.hold(Endpoint::Token, Stage::Answered);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    for _ in 0..4 {
        let session = session.clone();
        runtime.spawn(async move { session.access_token().await });
    }
    assert!(hold.wait_for(1, LONG), "the server has rotated");
    runtime.shutdown_background();
    drop((session, hold));
    is_finished_without_its_caller(&scene);
}

#[test]
fn a_caller_whose_deadline_passes_goes_and_the_refresh_goes_on() {
    let scene = scene();
    let impatient = scene
        .builder(RotationPolicy::strict())
        .lock_timeout(Duration::from_millis(200))
        .open()
        .unwrap()
        .session("default")
        .unwrap();
    let hold = scene.server.hold(Endpoint::Token, Stage::Answered);
    let error = impatient.blocking().access_token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LockTimeout);
    assert!(hold.wait_for(1, LONG), "the server has rotated");
    drop(hold);
    is_finished_without_its_caller(&scene);
}
