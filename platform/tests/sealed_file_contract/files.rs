//! Sealed files in a folder, as the vault keeps them.

use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use vault_platform::folder::{FolderOptions, StateFolder};
use vault_platform::sealed_file::{SealingKey, header, open, seal};

use super::other::{Other, answer, orders};
use super::suite::{Case, cases};
use super::{Bench, KEY};

pub(super) const CASES: &[Case<Bench>] = cases![
    what_was_written_is_read_by_another_process,
    an_absent_file_is_told_from_a_damaged_one,
    a_reader_never_sees_a_mix_while_another_process_replaces,
    writers_at_once_leave_one_of_their_files,
    a_killed_writer_leaves_the_old_file_or_the_new_one,
    what_a_dead_writer_left_is_not_listed_and_is_swept_up,
    what_was_prepared_appears_as_a_whole_or_not_at_all,
    a_damaged_file_is_set_aside_and_replaced,
    a_file_beyond_the_limit_is_not_read,
    #[cfg(unix)]
    the_file_is_its_users_own,
];

const NAME: &str = "token.sealed";

/// A mebibyte and what seals it.
const LIMIT: usize = (1 << 20) + 1000;

fn folder_at(path: &Path) -> StateFolder {
    StateFolder::create(path, FolderOptions::default()).expect("a private folder")
}

/// A file whose header and contents name each other, of a length of its own.
fn sealed(key: &SealingKey, letter: char) -> Vec<u8> {
    let length = 1000 * (1 + letter as usize % 8);
    let payload = letter.to_string().repeat(length);
    seal(key, &[letter as u8], payload.as_bytes())
}

/// Reads the file, and asks that it is one of those above; gives its letter.
fn letter_in(key: &SealingKey, folder: &StateFolder) -> char {
    let found = folder.read(NAME, LIMIT).expect("reads").expect("there");
    let opened = open(key, found.expose()).expect("opens");
    let letter = char::from(header(found.expose()).expect("sealed")[0]);
    let length = 1000 * (1 + letter as usize % 8);
    assert_eq!(opened.expose().len(), length);
    assert!(opened.expose().iter().all(|byte| *byte == letter as u8));
    letter
}

fn temporaries(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).expect("lists");
    entries
        .filter(|entry| {
            let name = entry.as_ref().expect("lists").file_name();
            name.to_str().is_some_and(|name| name.starts_with(".tmp-"))
        })
        .count()
}

/// Another process that reads and writes in this folder.
fn other(path: &Path) -> Other {
    let test = "files::child_seals";
    Other::start(test, &[path.to_str().expect("utf-8")])
}

#[test]
#[ignore = "a child process of the contract"]
fn child_seals() {
    let mut orders = orders();
    let folder = folder_at(Path::new(&orders.next().expect("a folder")));
    let key = SealingKey::from_bytes(KEY);
    let mut kept = Vec::new();
    let write = |letter| folder.replace(NAME, &sealed(&key, letter)).expect("writes");
    for order in orders {
        match order.split_once(' ').unwrap_or((&order, "")) {
            ("read", _) => answer(&letter_in(&key, &folder).to_string()),
            // Again and again, until it is killed.
            ("replace", letters) => {
                answer("begins");
                loop {
                    letters.chars().for_each(write);
                }
            }
            ("prepare", _) => {
                kept.push(folder.prepare(NAME, 8000).expect("prepares"));
                answer("prepared");
            }
            _ => panic!("{order}"),
        }
    }
}

fn what_was_written_is_read_by_another_process(bench: &Bench) {
    let path = bench.path();
    let folder = folder_at(&path);
    let mut other = other(&path);
    for letter in ['a', 'b', 'h', 'g'] {
        folder
            .replace(NAME, &sealed(&bench.key, letter))
            .expect("writes");
        assert_eq!(other.ask("read"), letter.to_string());
    }
    let long = vec![b'x'; 1 << 20];
    let whole = seal(&bench.key, b"", &long);
    folder.replace(NAME, &whole).expect("writes");
    let found = folder.read(NAME, LIMIT).expect("reads").expect("there");
    assert!(open(&bench.key, found.expose()).expect("opens").expose() == long);
}

fn an_absent_file_is_told_from_a_damaged_one(bench: &Bench) {
    let folder = folder_at(&bench.path());
    assert!(folder.read(NAME, LIMIT).expect("reads").is_none());
    folder.replace(NAME, b"").expect("writes");
    let found = folder.read(NAME, LIMIT).expect("reads").expect("there");
    assert!(open(&bench.key, found.expose()).is_err());
    folder.remove(NAME).expect("removes");
    assert!(folder.read(NAME, LIMIT).expect("reads").is_none());
}

fn a_reader_never_sees_a_mix_while_another_process_replaces(bench: &Bench) {
    let path = bench.path();
    let folder = folder_at(&path);
    folder
        .replace(NAME, &sealed(&bench.key, 'a'))
        .expect("writes");
    let mut other = other(&path);
    assert_eq!(other.ask("replace abcdefgh"), "begins");
    let (mut seen, mut changes) = ('a', 0);
    while changes < 30 {
        let found = letter_in(&bench.key, &folder);
        changes += u32::from(found != seen);
        seen = found;
        // Else the writer has no chance where no open file is replaced.
        std::thread::park_timeout(Duration::from_millis(1));
    }
    other.kill();
}

fn writers_at_once_leave_one_of_their_files(bench: &Bench) {
    let path = bench.path();
    let folder = folder_at(&path);
    let begin = Barrier::new(4);
    std::thread::scope(|scope| {
        for letter in ['a', 'b', 'c', 'd'] {
            let (begin, folder) = (&begin, &folder);
            scope.spawn(move || {
                begin.wait();
                for _ in 0..10 {
                    folder
                        .replace(NAME, &sealed(&bench.key, letter))
                        .expect("writes");
                }
            });
        }
    });
    assert!("abcd".contains(letter_in(&bench.key, &folder)));
    assert_eq!(folder.names().expect("lists"), [NAME]);
    assert_eq!(temporaries(&path), 0);
}

fn a_killed_writer_leaves_the_old_file_or_the_new_one(bench: &Bench) {
    let path = bench.path();
    let folder = folder_at(&path);
    folder
        .replace(NAME, &sealed(&bench.key, 'a'))
        .expect("writes");
    for round in 0..8 {
        let mut other = other(&path);
        assert_eq!(other.ask("replace bcdefgh"), "begins");
        std::thread::park_timeout(Duration::from_millis(round));
        other.kill();
        letter_in(&bench.key, &folder);
    }
    folder.sweep_temporaries().expect("sweeps");
    assert_eq!(temporaries(&path), 0);
}

fn what_a_dead_writer_left_is_not_listed_and_is_swept_up(bench: &Bench) {
    let path = bench.path();
    let folder = folder_at(&path);
    folder
        .replace(NAME, &sealed(&bench.key, 'a'))
        .expect("writes");
    let mut other = other(&path);
    assert_eq!(other.ask("prepare"), "prepared");
    other.kill();
    assert_eq!(temporaries(&path), 1);
    assert_eq!(folder.names().expect("lists"), [NAME]);
    folder.sweep_temporaries().expect("sweeps");
    assert_eq!(temporaries(&path), 0);
    assert_eq!(letter_in(&bench.key, &folder), 'a');
}

fn what_was_prepared_appears_as_a_whole_or_not_at_all(bench: &Bench) {
    let path = bench.path();
    let folder = folder_at(&path);
    folder
        .replace(NAME, &sealed(&bench.key, 'a'))
        .expect("writes");
    let mut prepared = folder.prepare(NAME, 10).expect("prepares");
    assert_eq!(letter_in(&bench.key, &folder), 'a');
    prepared.commit(&sealed(&bench.key, 'h')).expect("commits");
    assert_eq!(letter_in(&bench.key, &folder), 'h');
    drop(folder.prepare(NAME, 100_000).expect("prepares"));
    assert_eq!(letter_in(&bench.key, &folder), 'h');
    assert_eq!(temporaries(&path), 0);
}

fn a_damaged_file_is_set_aside_and_replaced(bench: &Bench) {
    let folder = folder_at(&bench.path());
    let mut damaged = sealed(&bench.key, 'a');
    damaged[100] ^= 1;
    folder.replace(NAME, &damaged).expect("writes");
    let aside = folder.set_aside(NAME).expect("renames");
    assert!(folder.read(NAME, LIMIT).expect("reads").is_none());
    folder
        .replace(NAME, &sealed(&bench.key, 'b'))
        .expect("writes");
    assert_eq!(letter_in(&bench.key, &folder), 'b');
    let kept = folder.read(&aside, LIMIT).expect("reads").expect("there");
    assert!(kept.expose() == damaged);
}

fn a_file_beyond_the_limit_is_not_read(bench: &Bench) {
    let folder = folder_at(&bench.path());
    let file = sealed(&bench.key, 'a');
    folder.replace(NAME, &file).expect("writes");
    assert!(folder.read(NAME, file.len()).is_ok());
    assert!(folder.read(NAME, file.len() - 1).is_err());
}

#[cfg(unix)]
fn the_file_is_its_users_own(bench: &Bench) {
    use std::os::unix::fs::PermissionsExt;

    let path = bench.path();
    let folder = folder_at(&path);
    for letter in ['a', 'b'] {
        folder
            .replace(NAME, &sealed(&bench.key, letter))
            .expect("writes");
        let file = std::fs::metadata(path.join(NAME)).expect("there");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(path.join(NAME), open).expect("chmod");
    assert!(folder.read(NAME, LIMIT).is_err());
}
