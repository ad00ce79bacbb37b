//! The folder that the lock lies in.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use vault_core::refresh::policy::RotationPolicy;
use vault_tests::server::{Endpoint, ServerConfig, Stage};

use super::fuse::Fuse;
use crate::scene::{LIFETIME, LONG, Other, Scene, errors, pause, wait_until};
use crate::skipped::lacking;

#[test]
fn a_folder_that_was_removed_and_made_again_is_one_lock_for_all() {
    let lifetime = 3 * LIFETIME;
    let config = ServerConfig {
        access_token_lifetime: lifetime,
        ..ServerConfig::default()
    };
    let scene = Scene::logged_in(config, RotationPolicy::strict());
    let mut fleet = scene.fleet(6, 4);
    for rotation in 1..=4 {
        assert_eq!(errors(&fleet.round().unwrap()), Vec::<&str>::new());
        let counts = scene.server.counts();
        assert_eq!(counts.refresh_requests, rotation);
        assert_eq!(counts.peak_concurrent_refreshes, 1);
        assert_eq!(counts.reuse_detected, 0);
        // All have it open.
        pause(lifetime);
        scene.remove_state();
    }
}

fn is_stopped(process: &Other) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    status.rsplit_once(") ").unwrap().1.starts_with('T')
}

/// One has looked and is about to lock, when the folder is moved away and
/// another makes it again and takes "the" lock: two files, and two holders if
/// nobody looked at the path.
#[test]
fn who_would_lock_in_a_folder_that_is_gone_notices() {
    let scene = Scene::logged_in(ServerConfig::default(), RotationPolicy::strict());
    let (mut late, mut early) = (scene.other(), scene.other());
    assert_eq!(late.ask("stop refresh.before:TryLock"), "done");
    late.order("token");
    wait_until("it stops before the lock", || is_stopped(&late));

    std::fs::rename(scene.state(), scene.place().join("gone")).unwrap();
    let hold = scene.server.hold(Endpoint::Token, Stage::Arrived);
    early.order("token");
    assert!(hold.wait_for(1, LONG), "the folder was made again");
    let process = Pid::from_raw(i32::try_from(late.id()).unwrap()).unwrap();
    kill_process(process, Signal::CONT).unwrap();
    pause(std::time::Duration::from_millis(300));
    assert_eq!(hold.stopped(), 1, "two hold the lock");
    drop(hold);

    let token = early.answer();
    assert!(token.starts_with("token"), "{token}");
    assert_eq!(late.answer(), token);
    assert_eq!(scene.server.counts().refresh_requests, 1);
}

/// Whether this test may mount in a namespace of its own.
fn can_mount() -> bool {
    let tried = Command::new("unshare").args(["--mount", "true"]).status();
    let can = tried.is_ok_and(|status| status.success());
    if !can {
        lacking("the right to mount");
    }
    can
}

/// Another process that sees `there` where `here` is.
fn other_with_bind_mount(scene: &Scene, there: &Path, here: &Path, root: &Path) -> Other {
    let mut program = Command::new("unshare");
    program
        .args(["--mount", "sh", "-c"])
        .arg(r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#)
        .arg("sh")
        .args([there, here])
        .arg(std::env::current_exe().unwrap())
        .args(Other::arguments());
    let mut assignment = scene.assignment(1);
    assignment.state_root = root.to_owned();
    Other::start(&mut program, &assignment)
}

#[test]
fn a_login_that_another_folder_keeps_is_refused_until_a_login_takes_over() {
    if !can_mount() {
        return;
    }
    let scene = Scene::logged_in(ServerConfig::default(), RotationPolicy::strict());
    let mut here = scene.other();
    assert!(here.ask("token").starts_with("token"));

    // Another state folder; the store is the same one.
    let root = scene.place().join("elsewhere");
    let items = Scene::items(&root);
    for folder in [&root, items.parent().unwrap(), &items] {
        std::fs::create_dir(folder).unwrap();
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).unwrap();
    }
    let mut there =
        other_with_bind_mount(&scene, &Scene::items(&scene.state_root()), &items, &root);
    let before = scene.server.counts().requests.token;
    let kept = scene.state().display().to_string();
    for order in ["token", "refresh"] {
        let answer = there.ask(order);
        assert!(answer.starts_with("error KeptElsewhere"), "{answer}");
        assert!(answer.contains(&kept), "{answer}");
    }
    assert_eq!(scene.server.counts().requests.token, before);
    assert_eq!(here.ask("refresh"), "done", "nothing has changed here");

    let token = scene.server.issue_login().refresh_token;
    let issuer = scene.server.issuer();
    assert_eq!(there.ask(&format!("import {token} {issuer}")), "done");
    assert!(there.ask("token").starts_with("token"));
    let answer = here.ask("refresh");
    assert!(answer.starts_with("error KeptElsewhere"), "{answer}");
    assert!(answer.contains(root.to_str().unwrap()), "{answer}");
}

#[test]
fn a_network_file_system_is_refused() {
    if !can_mount() {
        return;
    }
    let scene = Scene::strict();
    let fuse = Fuse::open();
    let mut program = Command::new("unshare");
    program
        .args(["--mount", "sh", "-c"])
        .arg(
            r#"mount -i -t fuse.sshfs -o fd=2,rootmode=40700,user_id=0,group_id=0 host: "$1" &&
               shift && exec "$@""#,
        )
        .arg("sh")
        .arg(scene.state())
        .arg(std::env::current_exe().unwrap())
        .args(Other::arguments())
        .stderr(fuse.descriptor());
    let mut other = Other::start(&mut program, &scene.assignment(1));
    let _answering = fuse.answer();
    let answer = other.ask("token");
    assert!(answer.starts_with("error NetworkFileSystem"), "{answer}");
    assert_eq!(scene.server.counts().requests.token, 0);
}

/// The user that the read-only folder is given to, so that its modes count:
/// to the administrator everything is writable.
const NOBODY: u32 = 65534;

fn give_away(path: &Path, folder_mode: u32, file_mode: u32) {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let mut mode = file_mode;
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path(), folder_mode, file_mode);
        }
        mode = folder_mode;
    }
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn a_folder_that_can_only_be_read_serves_a_valid_token_and_spends_none() {
    let lifetime = 8 * LIFETIME;
    let config = ServerConfig {
        access_token_lifetime: lifetime,
        ..ServerConfig::default()
    };
    let scene = Scene::logged_in(config, RotationPolicy::strict());
    let mut writer = scene.other();
    let served = writer.ask("token");
    assert!(served.starts_with("token"), "{served}");
    drop(writer);

    give_away(&scene.state_root(), 0o500, 0o400);
    give_away(&scene.key_file(), 0, 0o400);
    std::fs::set_permissions(scene.place(), PermissionsExt::from_mode(0o755)).unwrap();
    // Where that user may read it too.
    let copy = scene.place().join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut program = Command::new(copy);
    program.args(Other::arguments()).current_dir("/");
    if rustix::process::geteuid().is_root() {
        program.uid(NOBODY).gid(NOBODY);
    }
    let mut reader = Other::start(&mut program, &scene.assignment(1));
    assert_eq!(reader.ask("token"), served);
    let answer = reader.ask("refresh");
    assert!(
        answer.starts_with("error StateFolderUnwritable"),
        "{answer}"
    );

    pause(lifetime);
    let answer = reader.ask("token");
    assert!(
        answer.starts_with("error StateFolderUnwritable"),
        "{answer}"
    );
    assert_eq!(scene.server.counts().requests.token, 1);
    // The temporary folder is removed by its owner.
    drop(reader);
    restore(&scene.state_root());
}

fn restore(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            restore(&path);
        }
    }
}

#[test]
fn a_read_only_file_system_serves_a_valid_token_and_spends_none() {
    if !can_mount() {
        return;
    }
    let scene = Scene::logged_in(ServerConfig::default(), RotationPolicy::strict());
    let mut writer = scene.other();
    let served = writer.ask("token");
    let mut program = Command::new("unshare");
    let root = scene.state_root();
    program
        .args(["--mount", "sh", "-c"])
        .arg(r#"mount --bind -o ro "$1" "$1" && shift && exec "$@""#)
        .arg("sh")
        .arg(&root)
        .arg(std::env::current_exe().unwrap())
        .args(Other::arguments());
    let mut reader = Other::start(&mut program, &scene.assignment(1));
    assert_eq!(reader.ask("token"), served);
    let answer = reader.ask("refresh");
    assert!(
        answer.starts_with("error StateFolderUnwritable"),
        "{answer}"
    );
    assert_eq!(scene.server.counts().requests.token, 1);
}
