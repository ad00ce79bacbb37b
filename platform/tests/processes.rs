//! What several processes see of each other: locks, counters, files.
//!
//! The second process is this test binary again, running one of the `child_…`
//! tests, which take their orders from standard input and answer on standard
//! output.

#[cfg(unix)]
#[path = "common/sys.rs"]
mod sys;

#[cfg(unix)]
use std::io::Read;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering;

use vault_platform::counters::SharedWords;
use vault_platform::folder::{FolderOptions, StateFolder};
use vault_platform::lock::{LockError, LockFile};

/// Another process of this binary.
struct Other {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Other {
    fn start(test: &str, folder: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", test, "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let orders = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        let mut other = Self {
            process,
            orders,
            answers,
        };
        other.order(folder.to_str().expect("utf-8"));
        other
    }

    fn order(&mut self, line: &str) {
        writeln!(self.orders, "{line}").expect("the child reads");
    }

    /// Gives the next answer; the test harness's own lines are skipped.
    fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            let length = self.answers.read_line(&mut line).expect("the child writes");
            assert!(length > 0, "the child ended");
            if let Some(at) = line.find("answer: ") {
                return line[at + 8..].trim_end().to_owned();
            }
        }
    }

    fn kill(mut self) {
        self.process.kill().expect("kills");
        self.process.wait().expect("ends");
    }
}

fn orders() -> impl Iterator<Item = String> {
    std::io::stdin().lines().map(|line| line.expect("orders"))
}

fn answer(text: &str) {
    let mut output = std::io::stdout();
    writeln!(output, "answer: {text}").expect("the parent reads");
    output.flush().expect("the parent reads");
}

fn folder_at(path: &Path) -> StateFolder {
    StateFolder::create(path, FolderOptions::default()).expect("a private folder")
}

#[test]
#[ignore = "a child process of other tests"]
fn child_locks() {
    let mut orders = orders();
    let folder = folder_at(Path::new(&orders.next().expect("a folder")));
    let lock = LockFile::new(&folder, "lock");
    let mut guard = None;
    for order in orders {
        match order.as_str() {
            "lock" => {
                guard = lock.try_lock().expect("works");
                answer(if guard.is_some() { "locked" } else { "busy" });
            }
            "unlock" => {
                drop(guard.take());
                answer("unlocked");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
#[ignore = "a child process of other tests"]
fn child_counts() {
    let mut orders = orders();
    let folder = folder_at(Path::new(&orders.next().expect("a folder")));
    let words = SharedWords::open(&folder, "shared").expect("maps");
    for order in orders {
        let index = order.parse().expect("an index");
        let before = words.word(index).fetch_add(1, Ordering::SeqCst);
        answer(&before.to_string());
    }
}

#[test]
fn two_processes_exclude_each_other() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    let lock = LockFile::new(&folder_at(&path), "lock");
    let mut other = Other::start("child_locks", &path);

    let guard = lock.try_lock().expect("works").expect("free");
    other.order("lock");
    assert_eq!(other.answer(), "busy");
    drop(guard);
    other.order("lock");
    assert_eq!(other.answer(), "locked");
    assert!(lock.try_lock().expect("works").is_none());
    other.order("unlock");
    assert_eq!(other.answer(), "unlocked");
    assert!(lock.try_lock().expect("works").is_some());
    other.kill();
    assert!(path.join("lock").exists(), "the lock file stays");
}

#[test]
fn a_killed_holder_frees_the_lock() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    let lock = LockFile::new(&folder_at(&path), "lock");
    let mut other = Other::start("child_locks", &path);
    other.order("lock");
    assert_eq!(other.answer(), "locked");
    assert!(lock.try_lock().expect("works").is_none());
    other.kill();
    assert!(lock.try_lock().expect("works").is_some());
}

#[test]
fn one_process_does_not_get_a_lock_twice() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let disk = folder_at(&place.path().join("state"));
    for folder in [disk, StateFolder::in_memory()] {
        let lock = LockFile::new(&folder, "lock");
        let guard = lock.try_lock().expect("works").expect("free");
        assert!(lock.try_lock().expect("works").is_none());
        let elsewhere = LockFile::new(&folder, "login.lock");
        assert!(elsewhere.try_lock().expect("works").is_some());
        drop(guard);
        assert!(lock.try_lock().expect("works").is_some());
    }
}

#[test]
fn a_lock_file_that_was_moved_and_made_again_is_noticed() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    let lock = LockFile::new(&folder_at(&path), "lock");
    let first = lock.try_lock().expect("works").expect("free");
    assert!(first.is_in_place());
    // Not removed: before Windows 10 a file that is open keeps its name.
    std::fs::rename(path.join("lock"), path.join("gone")).expect("renames");
    assert!(!first.is_in_place());
    let second = lock.try_lock().expect("works").expect("a new file");
    assert!(second.is_in_place());
    assert!(!first.is_in_place());
}

#[test]
fn a_lock_in_a_folder_that_was_removed_and_made_again_is_refused() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    let lock = LockFile::new(&folder_at(&path), "lock");
    let mut guard = lock.try_lock().expect("works");
    assert!(guard.is_some(), "free");
    // Windows renames no folder in which a file is open.
    if cfg!(windows) {
        guard = None;
    }
    std::fs::rename(&path, place.path().join("gone")).expect("renames");
    let fresh = folder_at(&path);
    assert!(guard.is_none_or(|guard| !guard.is_in_place()));
    assert!(matches!(lock.try_lock(), Err(LockError::Replaced { .. })));
    assert!(
        LockFile::new(&fresh, "lock")
            .try_lock()
            .expect("works")
            .is_some()
    );

    std::fs::remove_dir_all(place.path().join("gone")).expect("removes");
    assert!(matches!(lock.try_lock(), Err(LockError::Replaced { .. })));
}

#[test]
fn two_mappings_see_each_other() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    let folder = folder_at(&path);
    let here = SharedWords::open(&folder, "shared").expect("maps");
    let there = SharedWords::open(&folder, "shared").expect("maps");
    here.word(3).store(7, Ordering::SeqCst);
    assert_eq!(there.word(3).load(Ordering::SeqCst), 7);

    let mut other = Other::start("child_counts", &path);
    other.order("3");
    assert_eq!(other.answer(), "7");
    assert_eq!(here.word(3).load(Ordering::SeqCst), 8);
    here.word(511).store(u64::MAX, Ordering::SeqCst);
    other.order("511");
    assert_eq!(other.answer(), u64::MAX.to_string());
    other.kill();
    drop(there);

    assert!(here.is_in_place());
    std::fs::rename(path.join("shared"), path.join("gone")).expect("renames");
    assert!(!here.is_in_place());
}

#[cfg(unix)]
#[test]
fn counters_in_a_folder_that_cannot_be_written_to_can_be_read() {
    use std::os::unix::fs::PermissionsExt;

    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    let folder = folder_at(&path);
    let writer = SharedWords::open(&folder, "shared").expect("maps");
    writer.word(0).store(5, Ordering::SeqCst);
    let file = path.join("shared");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).expect("chmod");
    let reader = SharedWords::open(&folder, "shared").expect("maps");
    assert_eq!(reader.word(0).load(Ordering::SeqCst), 5);
    // To the administrator everything is writable.
    if !rustix::process::geteuid().is_root() {
        assert!(!reader.writable());
        reader.word(0).store(9, Ordering::SeqCst);
        assert_eq!(writer.word(0).load(Ordering::SeqCst), 5);
    }
}

#[cfg(unix)]
/// Forks a child that stays until it is killed, and waits until it runs.
fn forked_child_that_stays() -> i32 {
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

#[cfg(unix)]
#[test]
#[ignore = "a child process of other tests"]
fn child_locks_and_forks() {
    let mut orders = orders();
    let folder = folder_at(Path::new(&orders.next().expect("a folder")));
    let guard = LockFile::new(&folder, "lock")
        .try_lock()
        .expect("works")
        .expect("free");
    let grandchild = forked_child_that_stays();
    answer(&grandchild.to_string());
    orders.next();
    drop(guard);
}

#[cfg(unix)]
#[test]
fn a_forked_child_does_not_keep_a_dead_parents_lock() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    let lock = LockFile::new(&folder_at(&path), "lock");
    let mut other = Other::start("child_locks_and_forks", &path);
    let grandchild = other.answer().parse().expect("a process id");
    assert!(
        lock.try_lock().expect("works").is_none(),
        "the parent has it"
    );
    other.kill();
    let freed = lock.try_lock().expect("works");
    sys::kill(grandchild);
    assert!(freed.is_some(), "the grandchild kept the lock");
}

#[cfg(unix)]
#[test]
fn a_guard_dropped_in_a_forked_child_leaves_the_parents_lock() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    let folder = folder_at(&path);
    let lock = LockFile::new(&folder, "lock");
    let guard = lock.try_lock().expect("works").expect("free");
    let mut guard = Some(guard);
    let child = sys::fork(|| {
        drop(guard.take());
    });
    assert_eq!(sys::wait_for(child), 0);
    assert!(lock.try_lock().expect("works").is_none(), "still locked");
    drop(guard);
    assert!(lock.try_lock().expect("works").is_some());
}

#[test]
fn many_processes_create_one_file_of_counters() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    folder_at(&path);
    let mut others: Vec<Other> = (0..6)
        .map(|_| Other::start("child_counts", &path))
        .collect();
    for other in &mut others {
        other.order("0");
    }
    let mut seen: Vec<u64> = others
        .iter_mut()
        .map(|other| other.answer().parse().expect("a number"))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    others.into_iter().for_each(Other::kill);
    let length = std::fs::metadata(path.join("shared")).expect("there").len();
    assert_eq!(length, 4096);
}
