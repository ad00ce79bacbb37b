//! The lock file itself.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use vault_core::display::LoginState;
use vault_core::refresh::policy::RotationPolicy;
use vault_tests::server::{Endpoint, Rotation, ServerConfig, Stage};

use crate::scene::{LIFETIME, LONG, Other, Scene, errors, now, pause, tell, wait_until};

const LOCKS: [&str; 2] = ["lock", "login.lock"];

fn forgiving() -> Scene {
    let config = ServerConfig {
        access_token_lifetime: LIFETIME,
        rotation: Rotation::Grace(LONG),
        ..ServerConfig::default()
    };
    Scene::logged_in(config, RotationPolicy::window(LONG, 3))
}

#[test]
fn a_leftover_lock_file_blocks_nobody() {
    let scene = Scene::logged_in(ServerConfig::default(), RotationPolicy::strict());
    for name in LOCKS {
        // What a dead process of another design would have left.
        let file = scene.state().join(name);
        std::fs::write(&file, "4194305\n").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let mut fleet = scene.fleet(4, 2);
    assert_eq!(errors(&fleet.round().unwrap()), Vec::<&str>::new());
    assert_eq!(scene.server.counts().refresh_requests, 1);
}

#[test]
fn the_lock_file_is_never_deleted() {
    let scene = forgiving();
    let identity = |name: &str| std::fs::metadata(scene.state().join(name)).unwrap().ino();
    let before = LOCKS.map(identity);
    let mut fleet = scene.fleet(4, 2);
    for _ in 0..2 {
        assert_eq!(errors(&fleet.round().unwrap()), Vec::<&str>::new());
        pause(LIFETIME);
    }
    drop(fleet);
    assert_eq!(LOCKS.map(identity), before, "after refreshes");

    let mut killed = scene.other();
    let hold = scene.server.hold(Endpoint::Token, Stage::Arrived);
    killed.order("token");
    assert!(hold.wait_for(1, LONG));
    killed.kill();
    drop(hold);
    assert_eq!(LOCKS.map(identity), before, "after a kill");

    let session = scene.session();
    session.blocking().logout(true).unwrap();
    assert_eq!(LOCKS.map(identity), before, "after a logout");
    scene.log_in(&session);
    session.blocking().access_token().unwrap();
    assert_eq!(LOCKS.map(identity), before, "after another login");
}

/// Every lock that a process holds: the file, how it was opened, and what the
/// kernel says of it.
fn locks_of(process: u32) -> Vec<(PathBuf, u32, String)> {
    let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let mut locks = Vec::new();
    for descriptor in descriptors {
        let descriptor = descriptor.unwrap();
        let Ok(file) = std::fs::read_link(descriptor.path()) else {
            continue;
        };
        let number = descriptor.file_name();
        let number = number.to_str().unwrap();
        let info = std::fs::read_to_string(format!("/proc/{process}/fdinfo/{number}"));
        let info = info.unwrap_or_default();
        let value = |name| info.lines().find_map(|line| line.strip_prefix(name));
        if let Some(lock) = value("lock:") {
            let flags = value("flags:").unwrap().trim();
            let flags = u32::from_str_radix(flags, 8).unwrap();
            locks.push((file, flags, lock.to_owned()));
        }
    }
    locks
}

#[test]
fn there_is_one_kind_of_lock_on_an_own_file_opened_for_reading_and_writing() {
    let scene = Scene::strict();
    let mut holder = scene.other();
    let hold = scene.server.hold(Endpoint::Token, Stage::Arrived);
    holder.order("token");
    assert!(hold.wait_for(1, LONG));
    let locks = locks_of(holder.id());
    drop(hold);
    assert!(holder.answer().starts_with("token"));

    let [(file, flags, kind)] = &locks[..] else {
        panic!("one lock: {locks:?}");
    };
    // Not the token's file, which must stay free to be replaced; and where no
    // other user comes.
    assert_eq!(*file, scene.state().join("lock"));
    assert_eq!(std::fs::metadata(file).unwrap().len(), 0);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&scene.state()), mode(file)), (0o700, 0o600));
    let access_mode = flags & rustix::fs::OFlags::ACCMODE.bits();
    assert_eq!(access_mode, rustix::fs::OFlags::RDWR.bits());
    assert!(kind.contains("FLOCK") && kind.contains("WRITE"), "{kind}");
}

/// A library that stands before the C library and says what a file system
/// without locks says.
fn no_locks(place: &Path, errno: &str) -> PathBuf {
    let source = place.join("no_locks.c");
    let library = place.join(format!("{errno}.so"));
    let text = format!(
        "#include <errno.h>\nint flock(int file, int how) {{ errno = {errno}; return -1; }}\n"
    );
    std::fs::write(&source, text).unwrap();
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.unwrap().success());
    library
}

#[test]
fn without_locks_nothing_is_spent_and_a_valid_token_is_served() {
    let scene = Scene::logged_in(ServerConfig::default(), RotationPolicy::strict());
    for errno in ["ENOLCK", "ENOSYS", "EOPNOTSUPP"] {
        let library = no_locks(scene.place(), errno);
        let mut program = Other::program();
        program.env("LD_PRELOAD", &library);
        let mut other = Other::start(&mut program, &scene.assignment(1));
        let answer = other.ask("token");
        assert!(answer.starts_with("error LockUnsupported"), "{answer}");
    }
    assert_eq!(scene.server.counts().requests.token, 0);

    let mut with_locks = scene.other();
    let served = with_locks.ask("token");
    let mut program = Other::program();
    program.env("LD_PRELOAD", no_locks(scene.place(), "ENOLCK"));
    let mut without = Other::start(&mut program, &scene.assignment(1));
    assert_eq!(without.ask("token"), served);
    assert_eq!(scene.server.counts().requests.token, 1);
}

#[test]
fn a_holder_that_was_killed_frees_the_lock() {
    let scene = forgiving();
    let (mut holder, mut waiter) = (scene.other(), scene.other());
    let hold = scene.server.hold(Endpoint::Token, Stage::Arrived);
    holder.order("token");
    assert!(hold.wait_for(1, LONG));
    waiter.order("token");
    pause(Duration::from_millis(100));
    assert_eq!(hold.stopped(), 1, "the second one waits");
    let began = now();
    holder.kill();
    assert!(hold.wait_for(2, LONG));
    tell(&format!(
        "the next request came {:?} after the kill of the holder",
        now() - began
    ));
    drop(hold);
    assert!(waiter.answer().starts_with("token"));
}

fn signal(process: &Other, signal: Signal) {
    let process = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    kill_process(process, signal).unwrap();
}

/// Stops the holder at this stage of its request, and what it says in the end.
fn log_out_past_a_stopped_holder(stage: Stage) -> String {
    let scene = Scene::strict();
    let mut impatient = scene.assignment(1);
    impatient.lock_timeout_ms = 300;
    let mut holder = scene.other();
    let mut waiter = Other::start(&mut Other::program(), &impatient);
    let mut leaver = scene.other();
    let hold = scene.server.hold(Endpoint::Token, stage);
    holder.order("token");
    assert!(hold.wait_for(1, LONG));
    signal(&holder, Signal::STOP);

    let answer = waiter.ask("token");
    assert!(answer.starts_with("error LockTimeout"), "{answer}");
    let began = now();
    leaver.order("logout");
    wait_until("others know of the logout", || {
        let names = std::fs::read_dir(scene.state()).unwrap();
        names.filter_map(Result::ok).any(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("tombstone.")
        })
    });
    let known = now() - began;
    let answer = waiter.ask("token");
    assert!(answer.starts_with("error LoggedOut"), "{answer}");
    assert_eq!(leaver.answer(), "done");
    tell(&format!(
        "a logout past a stopped holder: known after {known:?}, done after {:?}",
        now() - began
    ));

    drop(hold);
    signal(&holder, Signal::CONT);
    let end = holder.answer();
    for process in [&mut waiter, &mut leaver, &mut holder] {
        let answer = process.ask("token");
        assert!(answer.starts_with("error LoggedOut"), "{answer}");
    }
    assert_eq!(scene.server.living_logins(), 0);
    let vault = scene.vault(RotationPolicy::strict());
    let (_, summary) = vault.profiles().unwrap().pop().unwrap();
    assert_eq!(summary.unwrap().state, LoginState::LoggedOut);
    end
}

#[test]
fn a_stopped_holder_stops_neither_deadlines_nor_a_logout() {
    // It comes back with new tokens for a login that is gone.
    let end = log_out_past_a_stopped_holder(Stage::Answered);
    assert!(end.starts_with("error LoggedOut"), "{end}");
    // Its token was revoked before the server acted on its request.
    let end = log_out_past_a_stopped_holder(Stage::Arrived);
    assert!(end.starts_with("error LoginRequired"), "{end}");
}
