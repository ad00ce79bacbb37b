//! Checks 1, 2, 8 and 9: the folder, its lock, its history, and other tools'
//! files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use vault_core::platform::folder::{FolderOptions, StateFolder};
use vault_core::platform::lock::LockFile;

use super::bench::{Bench, Row};

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
        code: "VD105",
        what: "the folder can't be written to",
        act: |bench| {
            // Root may write wherever it likes, unless that right is dropped.
            if is_root() {
                let rights = "-dac_override,-dac_read_search";
                bench.through = vec!["setpriv", "--inh-caps", rights, "--bounding-set", rights];
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
