//! A store with room for one refresh token and not for the next: a token that is used up does not
//! stay there, and one that the sealed file can't take goes there where it fits.

#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use vault_core::platform::store::ItemName;
use vault_core::refresh::policy::RotationPolicy;
use vault_tests::server::{Endpoint, ServerConfig, Stage};
use vault_tests::stand_in::{self, SMALL};

use crate::migration::{BOTH, accounts, is_stopped, other, session};
use crate::scene::{LIFETIME, LONG, Other, Scene, pause, wait_until};

/// The length of a token that the store has room for.
const SHORT: usize = 1000;
/// The length of one that it has not.
const TOO_LONG: usize = 6000;

const KEY_ALONE: [&str; 1] = ["default#key"];

/// A login in that store, at a strict server whose first refresh token has this length. It has no
/// access token yet.
fn logged_in(length: usize, lifetime: Duration) -> Scene {
    stand_in::register();
    let config = ServerConfig {
        access_token_lifetime: lifetime,
        refresh_token_length: length,
        ..ServerConfig::default()
    };
    let scene = Scene::logged_in(config, RotationPolicy::strict());
    session(&scene).blocking().migrate(SMALL).unwrap();
    scene
}

/// From now on the server gives refresh tokens of this length.
fn gives(scene: &Scene, length: usize) {
    scene
        .server
        .configure(|config| config.refresh_token_length = length);
}

/// Whether the store's token is the one that the server takes next.
fn holds_the_newest(scene: &Scene) -> bool {
    let store = stand_in::open(SMALL, &scene.state_root(), &scene.key_file()).unwrap();
    let name = ItemName::new("com.example.scene", "default").unwrap();
    store.get(&name).unwrap().iter().any(|value| {
        let line: Value = serde_json::from_slice(value.expose()).unwrap();
        let token = line["refresh_token"].as_str().unwrap();
        scene.server.is_current_refresh_token(token)
    })
}

fn sealed_file(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let is_sealed = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("sealed.")
    };
    paths.find(is_sealed).expect("a sealed file")
}

/// A process that refreshes, and dies before it has written the copy.
fn dies_after_its_commit(scene: &Scene) {
    let mut dying = other(scene);
    dying.ask("kill refresh.after:Commit");
    dying.order("token");
    dying.wait();
    // What it has spent is still there.
    assert_eq!(accounts(scene, SMALL), BOTH);
    assert!(!holds_the_newest(scene));
}

#[test]
fn a_refresh_takes_a_used_up_token_away_whatever_length_the_next_has() {
    for length in [SHORT, TOO_LONG] {
        let scene = logged_in(SHORT, LIFETIME);
        assert!(holds_the_newest(&scene));
        gives(&scene, TOO_LONG);
        dies_after_its_commit(&scene);
        gives(&scene, length);
        pause(LIFETIME);
        session(&scene).blocking().access_token().unwrap();
        // Who has its token need not have its copy in the store yet.
        let fits = length == SHORT;
        wait_until("the used-up token is gone", || match fits {
            true => holds_the_newest(&scene),
            false => accounts(&scene, SMALL) == KEY_ALONE,
        });

        // Without the folder the store's token would be sent.
        scene.remove_state();
        let mut assignment = scene.assignment(1);
        assignment.store = Some(SMALL);
        let found = assignment.open().unwrap();
        let refreshed = found.blocking().refresh_now(&Default::default());
        assert_eq!(refreshed.is_ok(), fits, "{length}: {refreshed:?}");
        assert_eq!(scene.server.counts().reuse_detected, 0, "{length}");
    }
}

#[test]
fn who_is_served_under_the_lock_takes_a_used_up_token_away() {
    let scene = logged_in(SHORT, LONG);
    gives(&scene, TOO_LONG);
    // It has seen that a refresh is due, and finds that it is made.
    let mut late = other(&scene);
    late.ask("stop refresh.before:TryLock");
    late.order("token");
    wait_until("it stops", || is_stopped(&late));
    dies_after_its_commit(&scene);
    let process = Pid::from_raw(late.id().cast_signed()).unwrap();
    kill_process(process, Signal::CONT).unwrap();
    let answer = late.answer();
    assert!(answer.starts_with("token "), "{answer}");
    assert_eq!(accounts(&scene, SMALL), KEY_ALONE);
    assert_eq!(scene.server.counts().refresh_requests, 1);
}

/// A process in the middle of a refresh whose commit to the sealed file fails, and that file's
/// path: a folder is in its place now, and what was there is in `aside`.
fn refreshes_without_a_file(scene: &Scene) -> (Other, PathBuf) {
    let hold = scene.server.hold(Endpoint::Token, Stage::Answered);
    let mut refreshing = other(scene);
    refreshing.order("token");
    assert!(hold.wait_for(1, LONG));
    let sealed = sealed_file(&scene.state());
    std::fs::rename(&sealed, aside(scene)).unwrap();
    std::fs::create_dir(&sealed).unwrap();
    (refreshing, sealed)
}

fn aside(scene: &Scene) -> PathBuf {
    scene.place().join("aside")
}

#[test]
fn a_token_that_the_file_can_not_take_goes_to_a_store_that_had_no_room_for_the_last() {
    let scene = logged_in(TOO_LONG, LONG);
    assert_eq!(accounts(&scene, SMALL), KEY_ALONE);
    gives(&scene, SHORT);
    let (mut refreshing, sealed) = refreshes_without_a_file(&scene);
    let answer = refreshing.answer();
    assert!(answer.starts_with("token "), "{answer}");
    assert!(holds_the_newest(&scene));
    refreshing.end();

    // What the file holds is older.
    std::fs::remove_dir(&sealed).unwrap();
    std::fs::rename(aside(&scene), &sealed).unwrap();
    session(&scene).blocking().access_token().unwrap();
    let counts = scene.server.counts();
    assert_eq!((counts.refreshes_ok, counts.reuse_detected), (2, 0));
}

#[test]
fn a_token_that_neither_file_nor_store_can_take_waits_for_the_file() {
    let scene = logged_in(SHORT, LONG);
    gives(&scene, TOO_LONG);
    let (mut refreshing, sealed) = refreshes_without_a_file(&scene);
    // Longer than until the second way is tried.
    pause(Duration::from_secs(4));
    assert!(!holds_the_newest(&scene));
    assert_eq!(accounts(&scene, SMALL), BOTH);
    std::fs::remove_dir(&sealed).unwrap();
    let answer = refreshing.answer();
    assert!(answer.starts_with("token "), "{answer}");
    refreshing.end();
    assert_eq!(accounts(&scene, SMALL), KEY_ALONE);
    session(&scene)
        .blocking()
        .refresh_now(&Default::default())
        .unwrap();
    assert_eq!(scene.server.counts().reuse_detected, 0);
}
