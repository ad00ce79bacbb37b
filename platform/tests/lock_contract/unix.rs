//! Forks, modes and links.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::suite::{Case, cases};
use super::{Bench, is_free, lock_at, locking, sys, taken};
use vault_platform::lock::LockError;

pub(super) const CASES: &[Case<Bench>] = cases![
    a_forked_child_does_not_keep_a_dead_parents_lock,
    a_guard_dropped_in_a_forked_child_leaves_the_parents_lock,
    the_file_is_its_users_own,
    a_link_in_the_files_place_is_refused,
    a_file_that_others_may_write_to_is_refused,
    #[cfg(target_os = "linux")]
    there_is_one_kernel_lock_on_a_file_opened_for_reading_and_writing,
];

/// Forks a child that stays until it is killed, and waits until it runs.
pub(super) fn forked_child_that_stays() -> i32 {
    let (mut ready, mut child_ready) = std::io::pipe().expect("a pipe");
    let (child_waits, keep) = std::io::pipe().expect("a pipe");
    let child = sys::fork(|| {
        child_ready.write_all(b"x").ok();
        // Nobody writes: this lasts until the parent or the test kills it.
        let mut child_waits = &child_waits;
        child_waits.read_exact(&mut [0]).ok();
    });
    drop(child_ready);
    ready.read_exact(&mut [0]).expect("the child runs");
    // The pipe's end must outlive the child; the process's end closes it.
    std::mem::forget(keep);
    child
}

fn a_forked_child_does_not_keep_a_dead_parents_lock(bench: &Bench) {
    let path = bench.path();
    let lock = lock_at(&path);
    let mut other = locking(&path);
    assert_eq!(other.ask("lock"), "locked");
    let grandchild = other.ask("fork").parse().expect("a process id");
    let held = !is_free(&lock);
    other.kill();
    let freed = is_free(&lock);
    sys::kill(grandchild);
    assert!(held, "the parent has it");
    assert!(freed, "the grandchild kept the lock");
}

fn a_guard_dropped_in_a_forked_child_leaves_the_parents_lock(bench: &Bench) {
    let lock = lock_at(&bench.path());
    let mut guard = Some(taken(&lock));
    let child = sys::fork(|| drop(guard.take()));
    assert_eq!(sys::wait_for(child), 0);
    assert!(!is_free(&lock), "still locked");
    drop(guard);
    assert!(is_free(&lock));
}

fn the_file_is_its_users_own(bench: &Bench) {
    let path = bench.path();
    let _guard = taken(&lock_at(&path));
    let mode = |path| std::fs::metadata(path).expect("there").mode() & 0o777;
    assert_eq!(
        (mode(path.clone()), mode(path.join("lock"))),
        (0o700, 0o600)
    );
}

fn a_link_in_the_files_place_is_refused(bench: &Bench) {
    let path = bench.path();
    let lock = lock_at(&path);
    let elsewhere = bench.path();
    std::fs::write(&elsewhere, "").expect("writes");
    symlink(elsewhere, path.join("lock")).expect("links");
    assert!(matches!(lock.try_lock(), Err(LockError::Folder(_))));
}

fn a_file_that_others_may_write_to_is_refused(bench: &Bench) {
    let path = bench.path();
    let lock = lock_at(&path);
    drop(taken(&lock));
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(path.join("lock"), open).expect("chmod");
    assert!(matches!(lock.try_lock(), Err(LockError::Folder(_))));
}

#[cfg(target_os = "linux")]
fn there_is_one_kernel_lock_on_a_file_opened_for_reading_and_writing(bench: &Bench) {
    let path = bench.path();
    let _guard = taken(&lock_at(&path));
    // What the kernel says of the descriptors that lead to the file.
    let found: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .expect("lists")
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let file = std::fs::read_link(entry.path()).ok()?;
            let info = std::path::Path::new("/proc/self/fdinfo").join(entry.file_name());
            (file == path.join("lock")).then(|| std::fs::read_to_string(info).expect("reads"))
        })
        .collect();
    let [info] = &found[..] else {
        panic!("one descriptor: {found:?}");
    };
    let value = |name| {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {info}"))
    };
    let flags = u32::from_str_radix(value("flags:").trim(), 8).expect("octal");
    let access = rustix::fs::OFlags::ACCMODE.bits();
    assert_eq!(flags & access, rustix::fs::OFlags::RDWR.bits());
    let lock = value("lock:");
    assert!(lock.contains("FLOCK") && lock.contains("WRITE"), "{lock}");
}
