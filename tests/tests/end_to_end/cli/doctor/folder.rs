//! Checks 1, 2, 8 and 9: the folder, its lock, its history, and other tools'
//! files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use vault_core::platform::folder::{FolderOptions, StateFolder};
use vault_core::platform::lock::LockFile;

use super::bench::{Bench, Row};
use crate::skipped::lacking;

pub(super) const ROWS: &[Row] = &[
    Row {
        code: "VD101",
        what: "everybody may write to the folder",
        act: |bench| {
            mode(bench, 0o777);
            bench.finds_and_follows("VD101");
        },
    },
    Row {
        code: "VD102",
        what: "the folder is another user's",
        act: |bench| {
            if !is_root() {
                lacking("root, to give a folder away");
                return;
            }
            let profile = bench.sandbox.profile("default");
            std::os::unix::fs::chown(profile, Some(12_345), None).unwrap();
            bench.finds_and_follows("VD102");
        },
    },
    Row {
        code: "VD103",
        what: "a link stands in the folder's place",
        act: |bench| {
            let profile = bench.sandbox.profile("default");
            let moved = bench.sandbox.home().join("moved");
            fs::rename(&profile, &moved).unwrap();
            symlink(&moved, &profile).unwrap();
            let hint = bench.finds("VD103");
            assert!(hint.contains(&*profile.to_string_lossy()), "{hint}");
            fs::remove_file(&profile).unwrap();
            fs::rename(&moved, &profile).unwrap();
        },
    },
    Row {
        code: "VD104",
        what: "the folder is on sshfs",
        act: |bench| {
            let mount = "mount -i -t fuse.sshfs -o fd=0,rootmode=40700,user_id=0,group_id=0 \
                         host: \"$0\"";
            let profile = bench.sandbox.profile("default");
            if !bench.mounts(mount, &profile) {
                return;
            }
            bench.brings_fuse = true;
            let hint = bench.finds("VD104");
            assert!(
                hint.contains("on a local disk with `--state-dir`"),
                "{hint}"
            );
            let local = bench.sandbox.home().join("local");
            bench.options = vec!["--state-dir".to_owned(), local.display().to_string()];
            let moved = ["--state-dir", local.to_str().unwrap()];
            let done = bench.sandbox.log_in_with(&bench.server, &moved);
            assert_eq!(done.code(), Some(0), "{done:?}");
        },
    },
    Row {
        code: "VD106",
        what: "the disk is full",
        act: |bench| {
            let state = bench.sandbox.state();
            if !bench.mounts_small_disk("512k", &state) {
                return;
            }
            let ballast = bench.sandbox.home().join("ballast");
            fs::write(&ballast, vec![1; 1 << 20]).unwrap();
            let hint = bench.finds("VD106");
            assert!(hint.contains("no token was spent"), "{hint}");
            assert_ne!(bench.refresh().code(), Some(0));
            assert_eq!(bench.server.counts().refresh_requests, 0);
            fs::remove_file(&ballast).unwrap();
        },
    },
    Row {
        code: "VD105",
        what: "the folder can't be written to",
        act: |bench| {
            // Root may write wherever it likes, unless that right is dropped.
            if is_root() {
                let rights = "-dac_override,-dac_read_search";
                let through = ["setpriv", "--inh-caps", rights, "--bounding-set", rights];
                bench.through = through.map(str::to_owned).to_vec();
            }
            mode(bench, 0o500);
            bench.finds_and_follows("VD105");
        },
    },
    Row {
        code: "VD201",
        what: "the lock is held",
        act: |bench| {
            let profile = bench.sandbox.profile("default");
            let folder = StateFolder::open(&profile, FolderOptions::default());
            let held = LockFile::new(&folder.unwrap().unwrap(), "lock").try_lock();
            let held = held.unwrap().expect("it is free");
            let hint = bench.finds("VD201");
            assert!(hint.contains("fuser -v"), "{hint}");
            drop(held);
        },
    },
    Row {
        code: "VD202",
        what: "a file system where every lock is given",
        act: |bench| {
            let library = every_lock(&bench.sandbox.home());
            let loaded = format!("LD_PRELOAD={}", library.display());
            bench.through = vec!["env".to_owned(), loaded];
            let hint = bench.finds("VD202");
            assert!(
                hint.contains("on a local disk with `--state-dir`"),
                "{hint}"
            );
            // One that keeps its word.
            bench.through.clear();
        },
    },
    Row {
        code: "VD801",
        what: "a rotation is missing in the history",
        act: |bench| {
            for _ in 0..3 {
                assert_eq!(bench.refresh().code(), Some(0));
            }
            change_history(bench, |lines| {
                lines.remove(2);
            });
            bench.finds_and_follows("VD801");
            bench.is_healthy();
            assert_eq!(bench.refresh().code(), Some(0));
        },
    },
    Row {
        code: "VD802",
        what: "a line of the history is torn",
        act: |bench| {
            change_history(bench, |lines| lines.insert(0, r#"{"v":1,"at_ms":2,"ev"#));
            bench.finds_and_follows("VD802");
        },
    },
    Row {
        code: "VD901",
        what: "another tool's password in a readable file",
        act: |bench| {
            let file = bench.sandbox.home().join(".netrc");
            fs::write(&file, "machine h login u password canary\n").unwrap();
            let (_, report) = bench.doctor();
            assert!(!report.to_string().contains("canary"), "{report}");
            let hint = bench.finds("VD901");
            assert!(hint.contains("credential helper"), "{hint}");
            fs::write(&file, "machine h login u\n").unwrap();
        },
    },
];

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A library that has the system say yes to every lock.
fn every_lock(place: &Path) -> PathBuf {
    let (source, library) = (place.join("locks.c"), place.join("locks.so"));
    let yes = "int flock(int file, int how) { (void)file; (void)how; return 0; }\n";
    fs::write(&source, yes).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]);
    let made = compiler.args([&library, &source]).status().unwrap();
    assert!(made.success());
    library
}

fn mode(bench: &Bench, mode: u32) {
    let profile = bench.sandbox.profile("default");
    fs::set_permissions(profile, fs::Permissions::from_mode(mode)).unwrap();
}

fn change_history(bench: &Bench, change: fn(&mut Vec<&str>)) {
    let path = bench.file("history");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines = text.lines().collect();
    change(&mut lines);
    fs::write(path, lines.join("\n") + "\n").unwrap();
}
