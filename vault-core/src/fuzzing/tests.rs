//! The corpus, fed to the doors without a fuzzer: seeds, and what was found.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use super::{DOORS, feed};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn every_door_keeps_its_promises_for_every_file_of_the_corpus() {
    let mut broken = BTreeSet::new();
    for (name, door) in DOORS {
        let folder = fuzz().join("corpus").join(name);
        let files = names(&folder);
        assert!(files.len() >= 3, "{name} has seeds");
        for file in files {
            let bytes = fs::read(folder.join(&file)).unwrap();
            // Whole, cut off, and with a byte too many.
            let cuts = (0..bytes.len()).step_by(bytes.len() / 64 + 1);
            let mut inputs: Vec<Vec<u8>> = cuts.map(|end| bytes[..end].to_vec()).collect();
            inputs.push([&bytes[..], b"\0"].concat());
            inputs.push(bytes);
            for input in inputs {
                if catch_unwind(|| door(&input)).is_err() {
                    broken.insert(format!("{name}/{file}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The doors of vault-cli and platform, which their own tests try.
const ELSEWHERE: [&str; 2] = ["credential_helpers", "encrypted_file"];

#[test]
fn every_door_has_a_target_and_a_corpus_and_nothing_else_has() {
    let mut doors: BTreeSet<String> = DOORS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(doors.len(), DOORS.len());
    doors.extend(ELSEWHERE.map(str::to_owned));
    assert_eq!(names(&fuzz().join("corpus")), doors);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let targets = names(&fuzz().join("targets"));
    assert_eq!(targets.len(), doors.len());
    for name in &doors {
        assert!(targets.contains(&format!("{name}.rs")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

#[test]
fn the_corpus_stays_small() {
    let corpus = fuzz().join("corpus");
    let mut bytes = 0;
    for (name, _) in DOORS {
        for file in names(&corpus.join(name)) {
            bytes += fs::metadata(corpus.join(name).join(file)).unwrap().len();
        }
    }
    assert!(bytes < 300 * 1024, "{bytes}");
}

#[test]
fn a_broken_promise_is_noticed() {
    for broken in ["\u{1b}[2J", "fake-refresh-token", &"x".repeat(2000)] {
        assert!(catch_unwind(|| super::assert_fit(broken)).is_err());
    }
    let secret = "a-secret-of-enough-length";
    assert!(catch_unwind(|| super::assert_hidden(&secret, secret, secret.as_bytes())).is_err());
    assert!(catch_unwind(|| feed("no such door", b"")).is_err());
}
