//! What processes that want one answer at the same moment are told.

#![cfg(target_os = "linux")]

#[path = "common/other.rs"]
mod other;

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use other::{Other, answer, orders};
use vault_platform::folder::{FolderOptions, StateFolder};
use vault_platform::handover::{Asker, Turn, take_turn};
use vault_platform::lock::{LockFile, LockGuard};
use vault_platform::secret::SecretBytes;

/// More than anything here takes.
const LONG: Duration = Duration::from_secs(60);

const SHORT: Duration = Duration::from_millis(50);

fn folder_at(path: &Path) -> StateFolder {
    StateFolder::create(path, FolderOptions::default()).expect("a private folder")
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    (place, path)
}

fn secret(text: &str) -> SecretBytes {
    text.as_bytes().to_vec().into()
}

#[track_caller]
fn asker(turn: Turn) -> Asker {
    match turn {
        Turn::Ask(asker) => asker,
        other => panic!("{other:?}"),
    }
}

fn told(turn: &Turn) -> String {
    match turn {
        Turn::Ask(_) => "ask".to_owned(),
        Turn::Given(secret) => format!("given {}", String::from_utf8_lossy(secret.expose())),
        Turn::Alone => "alone".to_owned(),
    }
}

/// Another process, in this folder.
fn process(path: &Path) -> Other {
    Other::start("child_takes_turns", &[path.to_str().expect("utf-8")])
}

#[test]
#[ignore = "a child process of other tests"]
fn child_takes_turns() {
    let mut orders = orders();
    let folder = folder_at(Path::new(&orders.next().expect("a folder")));
    let mut turn = Turn::Alone;
    for order in orders {
        match order.split_once(' ') {
            Some(("hand", text)) => {
                asker(std::mem::replace(&mut turn, Turn::Alone)).hand_over(&secret(text));
                answer("handed");
            }
            _ => {
                let patience = if order == "turn" { LONG } else { SHORT };
                turn = take_turn(&folder, patience);
                answer(&told(&turn));
            }
        }
    }
}

/// One that asks, or has ceased to.
fn lock(folder: &StateFolder) -> LockGuard {
    let lock = LockFile::new(folder, "ask.lock");
    lock.try_lock().expect("locks").expect("is free")
}

/// The sockets of those that wait, once there are so many.
fn letterboxes(path: &Path, count: usize) -> Vec<PathBuf> {
    loop {
        let entries = std::fs::read_dir(path).expect("is there").flatten();
        let names = entries.filter(|entry| {
            entry
                .file_name()
                .display()
                .to_string()
                .starts_with(".tmp-ask-")
        });
        let found: Vec<PathBuf> = names.map(|entry| entry.path()).collect();
        if found.len() == count {
            return found;
        }
        std::thread::yield_now();
    }
}

fn send(to: &Path, letter: &[u8]) {
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.send_to(letter, to).expect("waits");
}

#[test]
fn who_is_alone_asks_and_leaves_nothing_but_the_lock() {
    let (_place, path) = place();
    let folder = folder_at(&path);
    for _ in 0..2 {
        asker(take_turn(&folder, LONG)).hand_over(&secret("the key"));
        drop(asker(take_turn(&folder, LONG)));
    }
    let entries = std::fs::read_dir(&path).expect("is there").flatten();
    let names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["ask.lock"]);
}

#[test]
fn all_who_wait_are_given_what_the_one_that_asked_was_told() {
    let (_place, path) = place();
    let asker = asker(take_turn(&folder_at(&path), LONG));
    let mut others: Vec<Other> = (0..4).map(|_| process(&path)).collect();
    others.iter_mut().for_each(|other| other.order("turn"));
    let waiting = letterboxes(&path, 4);
    assert!(waiting.iter().all(|path| path.exists()));
    asker.hand_over(&secret("the key"));
    for other in &mut others {
        assert_eq!(other.answer(), "given the key");
    }
    letterboxes(&path, 0);
    // It is over: the next one asks again.
    assert_eq!(others[0].ask("turn"), "ask");
    assert_eq!(others[0].ask("hand another"), "handed");
    assert_eq!(others[1].ask("turn"), "ask");
}

#[test]
fn who_is_given_nothing_asks_for_itself() {
    let (_place, path) = place();
    let folder = folder_at(&path);
    let mut other = process(&path);
    // Nothing was told.
    let first = asker(take_turn(&folder, LONG));
    other.order("turn");
    letterboxes(&path, 1);
    drop(first);
    assert_eq!(other.answer(), "alone");
    // Far more was than an answer is.
    let second = asker(take_turn(&folder, LONG));
    other.order("turn");
    letterboxes(&path, 1);
    second.hand_over(&secret(&"x".repeat(100_000)));
    assert_eq!(other.answer(), "alone");
    let _stopped = lock(&folder);
    other.order("turn");
    send(&letterboxes(&path, 1)[0], &[b'x'; 100_000]);
    assert_eq!(other.answer(), "alone");
    // It is stopped, or waits for a person.
    assert_eq!(other.ask("turn soon"), "alone");
    letterboxes(&path, 0);
}

#[test]
fn another_one_asks_when_the_one_that_asked_was_killed() {
    let (_place, path) = place();
    let (mut killed, mut other) = (process(&path), process(&path));
    assert_eq!(killed.ask("turn"), "ask");
    other.order("turn");
    letterboxes(&path, 1);
    killed.kill();
    assert_eq!(other.answer(), "ask");
    letterboxes(&path, 0);
}

#[test]
fn who_was_killed_while_it_waited_is_in_nobodys_way() {
    let (_place, path) = place();
    let folder = folder_at(&path);
    let asking = asker(take_turn(&folder, LONG));
    let (mut killed, mut other) = (process(&path), process(&path));
    killed.order("turn");
    letterboxes(&path, 1);
    killed.kill();
    other.order("turn");
    letterboxes(&path, 2);
    asking.hand_over(&secret("the key"));
    assert_eq!(other.answer(), "given the key");
    letterboxes(&path, 0);
    // Left by one whose like does not come again: it goes with the temporary files.
    drop(UnixDatagram::bind(path.join(".tmp-ask-0")).expect("makes it"));
    folder.sweep_temporaries().expect("sweeps");
    letterboxes(&path, 0);
}

#[test]
fn something_else_in_the_folder_keeps_nobody_from_asking() {
    let (_place, path) = place();
    let folder = folder_at(&path);
    std::fs::create_dir(path.join(".tmp-ask-folder")).expect("makes it");
    std::fs::write(path.join(".tmp-ask-file"), "text").expect("makes it");
    let asking = asker(take_turn(&folder, LONG));
    let mut other = process(&path);
    other.order("turn");
    letterboxes(&path, 3);
    asking.hand_over(&secret("the key"));
    assert_eq!(other.answer(), "given the key");
}

#[test]
fn where_there_can_be_no_lock_everybody_asks() {
    let (_place, path) = place();
    let folder = folder_at(&path);
    std::fs::remove_dir_all(&path).expect("is there");
    assert_eq!(told(&take_turn(&folder, LONG)), "alone");
}

#[test]
fn a_folder_in_memory_is_nobody_elses() {
    assert_eq!(told(&take_turn(&StateFolder::in_memory(), LONG)), "alone");
}
