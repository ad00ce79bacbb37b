//! What the lock promises, as cases that are counted.
//!
//! That a network file system is refused, and what becomes of a session whose
//! folder or lock is lost, is asked end to end, where file systems are mounted.

#[path = "common/other.rs"]
mod other;
#[path = "common/suite.rs"]
mod suite;
#[cfg(unix)]
#[path = "common/sys.rs"]
mod sys;
#[cfg(unix)]
#[path = "lock_contract/unix.rs"]
mod unix;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use other::{Other, answer, orders};
use suite::{Case, cases};
use vault_platform::folder::{FolderOptions, StateFolder};
use vault_platform::lock::{LockError, LockFile, LockGuard};

const CASES: &[Case<Bench>] = cases![
    another_process_is_kept_out_and_keeps_out,
    another_handle_of_this_process_is_kept_out,
    other_names_and_folders_are_other_locks,
    threads_are_never_within_at_the_same_time,
    processes_are_never_within_at_the_same_time,
    the_end_of_its_process_frees_it,
    a_kill_frees_it,
    a_program_that_was_started_meanwhile_does_not_keep_it,
    the_file_is_empty_and_stays,
    what_another_program_left_in_the_file_blocks_nobody,
    a_file_that_was_moved_and_made_again_is_noticed,
    a_folder_that_was_moved_and_made_again_is_refused,
    something_else_in_the_files_place_is_refused,
    a_folder_in_memory_locks_as_well,
];

#[test]
fn the_lock_keeps_the_contract() {
    let bench = Bench {
        place: tempfile::tempdir().expect("a temporary folder"),
        folders: AtomicU32::new(0),
    };
    #[cfg(unix)]
    let cases = &[CASES, unix::CASES].concat();
    #[cfg(not(unix))]
    let cases = CASES;
    suite::run("lock", cases, &bench, |_| ());
}

/// Where the cases lock.
struct Bench {
    place: tempfile::TempDir,
    folders: AtomicU32,
}

impl Bench {
    /// Gives each case a folder of its own, not made yet.
    fn path(&self) -> PathBuf {
        let number = self.folders.fetch_add(1, Ordering::Relaxed);
        self.place.path().join(number.to_string())
    }
}

fn folder_at(path: &Path) -> StateFolder {
    StateFolder::create(path, FolderOptions::default()).expect("a private folder")
}

fn lock_at(path: &Path) -> LockFile {
    LockFile::new(&folder_at(path), "lock")
}

fn taken(lock: &LockFile) -> LockGuard {
    lock.try_lock().expect("works").expect("free")
}

fn is_free(lock: &LockFile) -> bool {
    lock.try_lock().expect("works").is_some()
}

/// Another process that locks in this folder.
fn locking(path: &Path) -> Other {
    Other::start("child_locks", &[path.to_str().expect("utf-8")])
}

#[test]
#[ignore = "a child process of the contract"]
fn child_locks() {
    let mut orders = orders();
    let folder = folder_at(Path::new(&orders.next().expect("a folder")));
    let lock = LockFile::new(&folder, "lock");
    let mut guard = None;
    for order in orders {
        match order.split_once(' ').unwrap_or((&order, "")) {
            ("lock", _) => {
                guard = lock.try_lock().expect("works");
                answer(if guard.is_some() { "locked" } else { "busy" });
            }
            ("unlock", _) => {
                drop(guard.take());
                answer("unlocked");
            }
            ("count", times) => {
                count_on(&lock, &folder, times.parse().expect("a number"));
                answer("counted");
            }
            ("start", port) => start_program(port),
            #[cfg(unix)]
            ("fork", _) => answer(&unix::forked_child_that_stays().to_string()),
            ("end", _) => {
                std::mem::forget(guard.take());
                return;
            }
            _ => panic!("{order}"),
        }
    }
}

fn another_process_is_kept_out_and_keeps_out(bench: &Bench) {
    let path = bench.path();
    let lock = lock_at(&path);
    let mut other = locking(&path);
    let guard = taken(&lock);
    assert_eq!(other.ask("lock"), "busy");
    drop(guard);
    assert_eq!(other.ask("lock"), "locked");
    assert!(!is_free(&lock));
    assert_eq!(other.ask("unlock"), "unlocked");
    assert!(is_free(&lock));
}

fn another_handle_of_this_process_is_kept_out(bench: &Bench) {
    let path = bench.path();
    let lock = lock_at(&path);
    let guard = taken(&lock);
    for other in [lock.clone(), lock_at(&path)] {
        assert!(!is_free(&other));
    }
    // Who was refused has closed the file again, which frees nothing.
    assert!(!is_free(&lock));
    drop(guard);
    assert!(is_free(&lock_at(&path)));
}

fn other_names_and_folders_are_other_locks(bench: &Bench) {
    let path = bench.path();
    let _guard = taken(&lock_at(&path));
    assert!(is_free(&LockFile::new(&folder_at(&path), "login.lock")));
    assert!(is_free(&lock_at(&bench.path())));
}

/// Tries until the lock is free.
fn patiently(lock: &LockFile) -> LockGuard {
    loop {
        match lock.try_lock().expect("works") {
            Some(guard) => break guard,
            None => std::thread::yield_now(),
        }
    }
}

/// Adds to the number in a file, each time under the lock.
fn count_on(lock: &LockFile, folder: &StateFolder, times: u32) {
    for _ in 0..times {
        let guard = patiently(lock);
        folder
            .replace("number", (number(folder) + 1).to_string().as_bytes())
            .expect("writes");
        drop(guard);
    }
}

fn number(folder: &StateFolder) -> u32 {
    let Some(found) = folder.read("number", 10).expect("reads") else {
        return 0;
    };
    let text = std::str::from_utf8(found.expose()).expect("a number");
    text.parse().expect("a number")
}

fn threads_are_never_within_at_the_same_time(bench: &Bench) {
    const THREADS: usize = 4;
    let path = bench.path();
    let lock = lock_at(&path);
    let (begin, within) = (Barrier::new(THREADS), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                begin.wait();
                for _ in 0..50 {
                    let guard = patiently(&lock);
                    assert_eq!(within.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    within.fetch_sub(1, Ordering::SeqCst);
                    drop(guard);
                }
            });
        }
    });
    assert!(is_free(&lock));
}

fn processes_are_never_within_at_the_same_time(bench: &Bench) {
    const TIMES: u32 = 15;
    let path = bench.path();
    let mut others: Vec<Other> = (0..4).map(|_| locking(&path)).collect();
    for other in &mut others {
        other.order(&format!("count {TIMES}"));
    }
    for other in &mut others {
        assert_eq!(other.answer(), "counted");
    }
    assert_eq!(number(&folder_at(&path)), 4 * TIMES);
}

fn the_end_of_its_process_frees_it(bench: &Bench) {
    let path = bench.path();
    let lock = lock_at(&path);
    let mut other = locking(&path);
    assert_eq!(other.ask("lock"), "locked");
    assert!(!is_free(&lock));
    other.order("end");
    let freed = (0..3000).any(|_| {
        std::thread::park_timeout(Duration::from_millis(10));
        is_free(&lock)
    });
    assert!(freed);
}

fn a_kill_frees_it(bench: &Bench) {
    let path = bench.path();
    let lock = lock_at(&path);
    let mut other = locking(&path);
    assert_eq!(other.ask("lock"), "locked");
    assert!(!is_free(&lock));
    other.kill();
    assert!(is_free(&lock));
}

/// Starts a program that stays: it waits for a byte from the port.
#[expect(
    clippy::zombie_processes,
    reason = "it outlives this process, which is killed"
)]
fn start_program(port: &str) {
    let mut program = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "child_waits", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut orders = program.stdin.take().expect("piped");
    writeln!(orders, "{port}").expect("the program reads");
}

#[test]
#[ignore = "a child process of the contract"]
fn child_waits() {
    let port: u16 = orders()
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    let mut parent = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    let mut byte = [0];
    parent.read_exact(&mut byte).expect("a byte");
    parent.write_all(&byte).expect("the parent reads");
}

fn a_program_that_was_started_meanwhile_does_not_keep_it(bench: &Bench) {
    let path = bench.path();
    let lock = lock_at(&path);
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let port = listener.local_addr().expect("a port").port();
    let mut other = locking(&path);
    assert_eq!(other.ask("lock"), "locked");
    other.order(&format!("start {port}"));
    let (mut program, _) = listener.accept().expect("it starts");
    other.kill();
    assert!(is_free(&lock));
    // It was there all the time.
    program.write_all(b"x").expect("it reads");
    program.read_exact(&mut [0]).expect("it answers");
}

fn the_file_is_empty_and_stays(bench: &Bench) {
    let path = bench.path();
    let lock = lock_at(&path);
    let guard = taken(&lock);
    let length = || std::fs::metadata(path.join("lock")).expect("there").len();
    assert_eq!(length(), 0);
    let made = || {
        let file = std::fs::metadata(path.join("lock")).expect("there");
        #[cfg(unix)]
        return std::os::unix::fs::MetadataExt::ino(&file);
        #[cfg(not(unix))]
        return file.created().expect("a time");
    };
    let first = made();
    drop(guard);
    let mut other = locking(&path);
    other.ask("lock");
    other.kill();
    assert!(is_free(&lock));
    assert_eq!((length(), made()), (0, first));
}

fn what_another_program_left_in_the_file_blocks_nobody(bench: &Bench) {
    let path = bench.path();
    folder_at(&path)
        .replace("lock", b"4194305\n")
        .expect("writes");
    let lock = lock_at(&path);
    let guard = taken(&lock);
    assert!(guard.is_in_place());
    assert!(!is_free(&lock));
    drop(guard);
    let left = folder_at(&path).read("lock", 100).expect("reads");
    assert_eq!(left.expect("there").expose(), b"4194305\n");
}

fn a_file_that_was_moved_and_made_again_is_noticed(bench: &Bench) {
    let path = bench.path();
    let lock = lock_at(&path);
    let first = taken(&lock);
    assert!(first.is_in_place());
    // Not removed: before Windows 10 a file that is open keeps its name.
    std::fs::rename(path.join("lock"), path.join("gone")).expect("renames");
    assert!(!first.is_in_place());
    let second = taken(&lock);
    assert!(second.is_in_place());
    assert!(!first.is_in_place());
}

fn a_folder_that_was_moved_and_made_again_is_refused(bench: &Bench) {
    let path = bench.path();
    let lock = lock_at(&path);
    let mut guard = Some(taken(&lock));
    // Windows renames no folder in which a file is open.
    if cfg!(windows) {
        guard = None;
    }
    let gone = bench.path();
    std::fs::rename(&path, &gone).expect("renames");
    let fresh = lock_at(&path);
    assert!(guard.is_none_or(|guard| !guard.is_in_place()));
    let is_refused = || matches!(lock.try_lock(), Err(LockError::Replaced { .. }));
    assert!(is_refused());
    assert!(is_free(&fresh));
    std::fs::remove_dir_all(gone).expect("removes");
    assert!(is_refused());
}

fn something_else_in_the_files_place_is_refused(bench: &Bench) {
    let path = bench.path();
    let lock = lock_at(&path);
    std::fs::create_dir(path.join("lock")).expect("creates");
    assert!(matches!(lock.try_lock(), Err(LockError::Folder(_))));
    std::fs::remove_dir(path.join("lock")).expect("removes");
    assert!(is_free(&lock));
}

fn a_folder_in_memory_locks_as_well(_bench: &Bench) {
    let folder = StateFolder::in_memory();
    let lock = LockFile::new(&folder, "lock");
    let guard = taken(&lock);
    assert!(guard.is_in_place());
    assert!(!is_free(&LockFile::new(&folder, "lock")));
    assert!(is_free(&LockFile::new(&folder, "login.lock")));
    assert!(is_free(&LockFile::new(&StateFolder::in_memory(), "lock")));
    drop(guard);
    assert!(is_free(&lock));
}
