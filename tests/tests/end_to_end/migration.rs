//! A login that moves from store to store while other processes go on. That it survives a kill at
//! every point is shown by [`vault_tests::kills`]; here is what others see of it.

#![cfg(target_os = "linux")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use url::Url;
use vault_core::login::{DeviceAuthorization, Flow, LoginInteraction, LoginRequest};
use vault_core::platform::store::StoreKind;
use vault_core::refresh::policy::RotationPolicy;
use vault_core::{Error, ErrorKind, Session};
use vault_tests::server::{DeviceApproval, ServerConfig};
use vault_tests::stand_in::{self, OTHER, SMALL, SMALL_LIMIT};

use crate::scene::{LIFETIME, Other, Scene, errors, pause, wait_until};

const FILES: StoreKind = StoreKind::EncryptedFile;
pub(crate) const BOTH: [&str; 2] = ["default", "default#key"];

/// A login in the encrypted-file store of a strict server.
fn logged_in() -> Scene {
    stand_in::register();
    Scene::strict()
}

/// As an application that names no store.
pub(crate) fn session(scene: &Scene) -> Session {
    let mut assignment = scene.assignment(1);
    assignment.store = None;
    assignment.open().unwrap()
}

pub(crate) fn other(scene: &Scene) -> Other {
    let mut assignment = scene.assignment(1);
    assignment.store = None;
    Other::start(&mut Other::program(), &assignment)
}

pub(crate) fn accounts(scene: &Scene, kind: StoreKind) -> Vec<String> {
    let application = "com.example.scene";
    stand_in::accounts(kind, &scene.state_root(), &scene.key_file(), application).unwrap()
}

pub(crate) fn is_stopped(process: &Other) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    status.rsplit_once(") ").unwrap().1.starts_with('T')
}

#[test]
fn a_move_leaves_nothing_behind_and_a_process_that_runs_follows_it() {
    let scene = logged_in();
    let running = session(&scene);
    running.blocking().access_token().unwrap();
    let mut another = other(&scene);
    for (from, to) in [(FILES, OTHER), (OTHER, SMALL), (SMALL, FILES)] {
        assert_eq!(
            another.ask(&format!("migrate {to}")),
            format!("from {from} to {to}, copied")
        );
        assert_eq!(accounts(&scene, from), [""; 0]);
        assert_eq!(accounts(&scene, to), BOTH);
        assert_eq!(running.pinned_store().unwrap(), Some(to));
        pause(LIFETIME);
        // It refreshes, and writes its copy to the store where the login is now.
        running.blocking().access_token().unwrap();
        let stored = running.blocking().inspect().unwrap();
        assert_eq!(stored.store, to.as_str());
        another.ask("token");
        assert_eq!(accounts(&scene, from), [""; 0]);
        assert_eq!(accounts(&scene, to), BOTH);
    }
    assert_eq!(
        another.ask("migrate encrypted-file"),
        "from encrypted-file to encrypted-file, copied"
    );
    assert_eq!(another.ask("logout"), "done");
    assert_eq!(accounts(&scene, FILES), [""; 0]);
    let counts = scene.server.counts();
    assert_eq!(
        (counts.reuse_detected, scene.server.living_logins()),
        (0, 0)
    );
}

#[test]
fn eight_processes_lose_nothing_while_their_login_moves_to_and_fro() {
    let scene = logged_in();
    let mut assignment = scene.assignment(4);
    assignment.store = None;
    let mut fleet = Scene::fleet_of(8, &assignment);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let moves = scope.spawn(|| {
            let session = session(&scene);
            let mut moves = 0;
            while !over.load(Ordering::Acquire) {
                for to in [OTHER, SMALL, FILES] {
                    session.blocking().migrate(to).unwrap();
                    moves += 1;
                }
            }
            moves
        });
        for _ in 0..5 {
            let calls = fleet.round().unwrap();
            assert_eq!(errors(&calls), Vec::<&str>::new());
            assert_eq!(calls.len(), 32);
            pause(LIFETIME);
        }
        over.store(true, Ordering::Release);
        let moves = moves.join().unwrap();
        crate::scene::tell(&format!("{moves} moves"));
        assert!(moves >= 3, "{moves}");
    });
    let counts = scene.server.counts();
    assert_eq!(counts.reuse_detected, 0);
    assert_eq!(counts.peak_concurrent_refreshes, 1);
    assert_eq!(counts.refresh_requests, counts.refreshes_ok);
    assert!(counts.refreshes_ok >= 5, "{}", counts.refreshes_ok);
    // The chain goes on.
    session(&scene)
        .blocking()
        .refresh_now(&Default::default())
        .unwrap();
    for kind in [OTHER, SMALL] {
        assert_eq!(accounts(&scene, kind), [""; 0]);
    }
}

#[test]
fn who_named_the_old_store_is_told_where_the_login_is() {
    let scene = logged_in();
    let named = scene.session();
    named.blocking().access_token().unwrap();
    session(&scene).blocking().migrate(OTHER).unwrap();
    for error in [
        named.blocking().access_token().unwrap_err(),
        named
            .blocking()
            .refresh_now(&Default::default())
            .unwrap_err(),
        named.blocking().logout(false).unwrap_err(),
        scene.session().blocking().access_token().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::StoreRefused);
        let text = error.to_string();
        assert!(
            text.contains("kept in the keychain store, not in encrypted-file"),
            "{text}"
        );
    }
    assert_eq!(accounts(&scene, FILES), [""; 0]);
    session(&scene).blocking().access_token().unwrap();
    // It comes from where the login is, whatever the vault names.
    named.blocking().migrate(FILES).unwrap();
    named.blocking().access_token().unwrap();
}

/// A move that died before it cleaned up, a refresh, and then the state folder is gone: what the old
/// store still had would be taken, and its token is used up.
#[test]
fn a_refresh_leaves_no_older_copy_in_a_store_that_the_login_has_left() {
    let scene = logged_in();
    session(&scene).blocking().access_token().unwrap();
    let mut dying = other(&scene);
    dying.ask("kill migrate.before:DeleteOld");
    dying.order(&format!("migrate {OTHER}"));
    dying.wait();
    assert_eq!(accounts(&scene, FILES), BOTH);
    assert_eq!(session(&scene).pinned_store().unwrap(), Some(OTHER));
    pause(LIFETIME);
    session(&scene).blocking().access_token().unwrap();
    assert_eq!(accounts(&scene, FILES), [""; 0]);
    assert_eq!(accounts(&scene, OTHER), BOTH);

    scene.remove_state();
    let in_the_old_one = scene.session();
    let error = in_the_old_one.blocking().access_token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotLoggedIn, "{error:?}");
    let mut assignment = scene.assignment(1);
    assignment.store = Some(OTHER);
    let found = assignment.open().unwrap();
    found.blocking().refresh_now(&Default::default()).unwrap();
    assert_eq!(scene.server.counts().reuse_detected, 0);
}

#[test]
fn a_token_that_the_store_can_not_hold_stays_sealed_in_the_folder() {
    stand_in::register();
    let config = ServerConfig {
        refresh_token_length: SMALL_LIMIT * 2,
        ..ServerConfig::default()
    };
    let scene = Scene::logged_in(config, RotationPolicy::strict());
    let session = session(&scene);
    session.blocking().access_token().unwrap();
    // Then the sealed file is the only copy: it must be the newest.
    let folder = scene.state();
    let sealed = std::fs::read_dir(&folder).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("sealed.").then(|| path.clone())
    });
    std::fs::remove_file(sealed.unwrap()).unwrap();
    let report = session.blocking().migrate(SMALL).unwrap();
    assert!(!report.copied && report.remains.is_none(), "{report:?}");
    assert_eq!(accounts(&scene, SMALL), ["default#key"]);
    assert_eq!(accounts(&scene, FILES), [""; 0]);
    session.blocking().refresh_now(&Default::default()).unwrap();
    assert_eq!(scene.server.counts().reuse_detected, 0);
}

#[test]
fn a_logout_in_the_middle_of_a_move_is_final() {
    for point in [
        "migrate.before:WriteKeyItem",
        "migrate.before:Pin",
        "migrate.after:Pin",
    ] {
        let scene = logged_in();
        session(&scene).blocking().access_token().unwrap();
        let mut moving = other(&scene);
        moving.ask(&format!("stop {point}"));
        moving.order("migrate keychain");
        wait_until("it stops", || is_stopped(&moving));
        let report = session(&scene).blocking().logout(false).unwrap();
        assert!(report.remains, "{point}");
        let process = Pid::from_raw(moving.id().cast_signed()).unwrap();
        kill_process(process, Signal::CONT).unwrap();
        let answer = moving.answer();
        assert!(answer.starts_with("error LoggedOut"), "{point}: {answer}");
        for kind in [FILES, OTHER] {
            assert_eq!(accounts(&scene, kind), [""; 0], "{point} {kind}");
        }
        let error = session(&scene).blocking().access_token().unwrap_err();
        assert!(error.is_login_required(), "{point}: {error:?}");
    }
}

#[test]
fn a_login_of_another_folder_is_not_written_over() {
    let scene = logged_in();
    let elsewhere = scene.place().join("elsewhere");
    let builder = scene
        .builder(RotationPolicy::strict())
        .state_root(&elsewhere);
    let another = builder.open().unwrap().session("default").unwrap();
    scene.log_in(&another);
    another.blocking().migrate(OTHER).unwrap();
    // As if the store were the user's one and the folders two.
    let store = "stand-in.keychain";
    std::fs::rename(elsewhere.join(store), scene.state_root().join(store)).unwrap();
    let session = session(&scene);
    let error = session.blocking().migrate(OTHER).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::KeptElsewhere, "{error:?}");
    assert!(error.to_string().contains("another folder"), "{error}");
    assert_eq!(session.pinned_store().unwrap(), Some(FILES));
    session.blocking().access_token().unwrap();
    // Nor is it deleted by what cleans up.
    session.blocking().logout(false).unwrap();
    assert_eq!(accounts(&scene, OTHER), BOTH);
}

#[test]
fn what_can_not_be_is_refused_and_changes_nothing() {
    let scene = logged_in();
    let session = session(&scene);
    let error = session.blocking().migrate(StoreKind::Memory).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
    // A store that can't be used: there is a file where its folder should be.
    std::fs::write(scene.state_root().join("stand-in.keychain"), "in the way").unwrap();
    let error = session.blocking().migrate(OTHER).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StoreRefused, "{error:?}");
    assert_eq!(session.pinned_store().unwrap(), Some(FILES));
    session.blocking().access_token().unwrap();
    session.blocking().logout(false).unwrap();
    let error = session.blocking().migrate(SMALL).unwrap_err();
    assert!(error.is_login_required(), "{error:?}");
}

/// A new login names another store than the old one is in.
#[test]
fn a_login_into_another_store_that_dies_leaves_the_old_one() {
    for (point, survives) in [
        ("login.before:WriteKeyItem", true),
        // The first that is written is the store's proof.
        ("file.item:durable 2", true),
        ("login.after:WriteKeyItem", false),
    ] {
        let scene = logged_in();
        session(&scene).blocking().access_token().unwrap();
        let before = session(&scene).blocking().inspect().unwrap().login_id;
        let mut assignment = scene.assignment(1);
        assignment.store = Some(OTHER);
        let mut dying = Other::start(&mut Other::program(), &assignment);
        dying.ask(&format!("kill {point}"));
        let token = scene.server.issue_login().refresh_token;
        dying.order(&format!("import {token} {}", scene.server.issuer()));
        dying.wait();
        let after = session(&scene);
        after.blocking().refresh_now(&Default::default()).unwrap();
        let inspection = after.blocking().inspect().unwrap();
        assert_eq!(inspection.login_id == before, survives, "{point}");
        // A logout leaves nothing, wherever it was.
        assert!(!after.blocking().logout(false).unwrap().remains);
        for kind in [FILES, OTHER] {
            assert_eq!(accounts(&scene, kind), [""; 0], "{point} {kind}");
        }
    }
}

#[test]
fn a_login_into_another_store_leaves_nothing_in_the_old_one() {
    let scene = logged_in();
    let mut assignment = scene.assignment(1);
    assignment.store = Some(OTHER);
    scene.log_in(&assignment.open().unwrap());
    assert_eq!(accounts(&scene, FILES), [""; 0]);
    assert_eq!(accounts(&scene, OTHER), BOTH);
    session(&scene).blocking().access_token().unwrap();
}

#[test]
fn a_login_into_another_store_asks_about_another_account_too() {
    struct Person(AtomicBool);

    impl LoginInteraction for Person {
        fn open_url(&self, _url: &Url) -> Result<(), Error> {
            panic!("a device code opens nothing")
        }

        fn show_device_code(&self, _code: &DeviceAuthorization) {}

        fn confirm_other_account(&self, stored: &str, new: &str) -> bool {
            assert_eq!((stored, new), ("alice", "bob"));
            self.0.store(true, Ordering::SeqCst);
            false
        }
    }

    let scene = logged_in();
    let log_in = |store: StoreKind| {
        let vault = scene.builder(RotationPolicy::strict()).store(store);
        let session = vault.open().unwrap().session("default").unwrap();
        let request = LoginRequest::new(scene.server.issuer(), "vault-cli")
            .flow(Flow::Device)
            .scope("openid")
            .scope("offline_access");
        let person = Arc::new(Person(AtomicBool::default()));
        let made = session.blocking().login(request, person.clone());
        (
            made.map(drop).map_err(|error| error.kind()),
            person.0.load(Ordering::SeqCst),
        )
    };
    let approval = DeviceApproval::AfterPolls(0);
    scene
        .server
        .configure(|config| config.device_approval = approval);
    assert_eq!(log_in(FILES), (Ok(()), false));
    let living = scene.server.living_logins();
    scene
        .server
        .configure(|config| config.subject = "bob".to_owned());
    for store in [FILES, OTHER] {
        let refused = (Err(ErrorKind::AccessDenied), true);
        assert_eq!(log_in(store), refused, "{store}");
        assert_eq!(scene.server.living_logins(), living, "{store}: given back");
    }
    let kept = session(&scene);
    kept.blocking().refresh_now(&Default::default()).unwrap();
    scene
        .server
        .configure(|config| config.subject = "alice".to_owned());
    assert_eq!(log_in(OTHER), (Ok(()), false));
    assert_eq!(accounts(&scene, OTHER), BOTH);
}
