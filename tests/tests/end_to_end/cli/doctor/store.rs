//! Check 3: the store.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::bench::{Bench, Row};
use crate::skipped::lacking;
use crate::support::Sandbox;

pub(super) const ROWS: &[Row] = &[
    Row {
        code: "VD301",
        what: "there is no session bus",
        act: |bench| {
            // A new machine: nobody is logged in yet.
            bench.sandbox = Sandbox::new();
            options(bench, &["--store", "secret-service"]);
            let hint = bench.finds("VD301");
            assert!(hint.contains("--store encrypted-file"), "{hint}");
            options(bench, &["--store", "encrypted-file", "--key-file"]);
            let key = bench.sandbox.key_file();
            bench.options.push(key.display().to_string());
        },
    },
    Row {
        code: "VD302",
        what: "the store's key is not named",
        act: |bench| {
            bench.without = vec!["VAULT_KEY_FILE"];
            let hint = bench.finds("VD302");
            assert!(hint.contains("`--key-file FILE`"), "{hint}");
            options(bench, &["--key-file"]);
            let key = bench.sandbox.key_file();
            bench.options.push(key.display().to_string());
        },
    },
    Row {
        code: "VD303",
        what: "a session bus that never speaks",
        act: |bench| {
            // A new machine: nobody is logged in yet.
            bench.sandbox = Sandbox::new();
            let bus = bench.sandbox.home().join("bus");
            let silent = UnixListener::bind(&bus).unwrap();
            let named = format!("DBUS_SESSION_BUS_ADDRESS=unix:path={}", bus.display());
            bench.through = vec!["env".to_owned(), named];
            options(bench, &["--store", "secret-service"]);
            let hint = bench.finds("VD303");
            assert!(hint.contains("waits for somebody at a prompt"), "{hint}");
            drop(silent);
            // There is no other store to be had here than this one.
            options(bench, &["--store", "encrypted-file"]);
        },
    },
    Row {
        code: "VD307",
        what: "others may read the store's key",
        act: |bench| {
            let key = bench.sandbox.key_file();
            fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
            let hint = bench.finds("VD307");
            assert!(hint.contains("permissions of what is named"), "{hint}");
            let text = bench.run(&["doctor"]).stdout;
            assert!(
                text.contains(&format!("{} is open", key.display())),
                "{text}"
            );
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        },
    },
    Row {
        code: "VD308",
        what: "the store's own disk is full",
        act: |bench| {
            let items = bench.sandbox.state().join("vault-cli").join("items");
            if !bench.mounts_small_disk("64k", &items) {
                return;
            }
            let ballast = bench.sandbox.home().join("ballast");
            fs::write(&ballast, vec![1; 1 << 17]).unwrap();
            let hint = bench.finds("VD308");
            assert!(hint.contains("what the store itself says"), "{hint}");
            let text = bench.run(&["doctor"]).stdout;
            assert!(text.contains("No space left"), "{text}");
            fs::remove_file(&ballast).unwrap();
        },
    },
    Row {
        code: "VD304",
        what: "another store is named than the login is in",
        act: |bench| {
            options(bench, &["--store", "keyutils"]);
            let hint = bench.finds("VD304");
            assert!(hint.contains("leave out `--store`"), "{hint}");
            options(bench, &[]);
        },
    },
    Row {
        code: "VD305",
        what: "another key file is named",
        act: |bench| {
            let other = bench.sandbox.home().join("key");
            vault_core::platform::store::create_key_file(&other).unwrap();
            options(bench, &["--key-file", other.to_str().unwrap()]);
            bench.finds("VD305");
            options(bench, &[]);
        },
    },
    Row {
        code: "VD306",
        what: "an item of the store is damaged",
        act: |bench| {
            let items = bench.sandbox.state().join("vault-cli").join("items");
            let files: Vec<_> = fs::read_dir(items)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            let before: Vec<_> = files.iter().map(|path| fs::read(path).unwrap()).collect();
            for path in &files {
                fs::write(path, "not what was written").unwrap();
            }
            bench.finds("VD306");
            for (path, bytes) in files.iter().zip(before) {
                fs::write(path, bytes).unwrap();
            }
        },
    },
    Row {
        code: "VD309",
        what: "the store forgets everything at a reboot",
        act: |bench| {
            let Some(moved) = in_key_ring(bench, 64) else {
                return;
            };
            let hint = bench.finds("VD309");
            assert!(hint.contains("migrate --to KIND"), "{hint}");
            moved.back(bench);
        },
    },
    Row {
        code: "VD407",
        what: "the token is larger than the store takes",
        act: |bench| {
            let Some(moved) = in_key_ring(bench, 5000) else {
                return;
            };
            let hint = bench.finds("VD407");
            assert!(hint.contains("migrate --to KIND"), "{hint}");
            moved.back(bench);
        },
    },
];

fn options(bench: &mut Bench, options: &[&str]) {
    bench.options = options.iter().map(|option| (*option).to_owned()).collect();
}

/// A login in the kernel's key ring, which is shared by all tests.
struct InKeyRing;

/// `None`, and said, where this kernel lets nobody use its key ring.
fn in_key_ring(bench: &mut Bench, token_length: usize) -> Option<InKeyRing> {
    bench
        .server
        .configure(|config| config.refresh_token_length = token_length);
    let profile = format!("doctor-{}-{token_length}", std::process::id());
    bench.without = vec!["VAULT_STORE"];
    options(bench, &["--profile", &profile]);
    let arguments = ["--profile", &profile, "--store", "keyutils"];
    let output = bench.sandbox.log_in_with(&bench.server, &arguments);
    if output.code() == Some(4) {
        lacking("key rings in the kernel");
        options(bench, &[]);
        return None;
    }
    assert_eq!(output.code(), Some(0), "{output:?}");
    Some(InKeyRing)
}

impl InKeyRing {
    /// What the hint says.
    fn back(self, bench: &mut Bench) {
        let moved = bench.run(&["migrate", "--to", "encrypted-file"]);
        assert_eq!(moved.code(), Some(0), "{moved:?}");
    }
}
