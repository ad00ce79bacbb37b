//! Check 4: what is stored.

use std::fs;

use serde_json::Value;
use vault_tests::server::Dpop;

use super::bench::{Bench, Row, item};

pub(super) const ROWS: &[Row] = &[
    Row {
        code: "VD401",
        what: "the store has lost the key item",
        act: |bench| {
            bench.store().delete(&item("default#key")).unwrap();
            bench.finds("VD401");
            bench.log_in();
        },
    },
    Row {
        code: "VD402",
        what: "the sealed file is damaged",
        act: |bench| {
            damage(bench);
            bench.finds_and_follows("VD402");
            let kept = bench.finds("VD411");
            assert!(kept.contains("`rm "), "{kept}");
            bench.finds_and_follows("VD411");
        },
    },
    Row {
        code: "VD411",
        what: "a damaged file was set aside",
        act: |bench| {
            fs::write(bench.file("sealed.x.corrupt-1"), "").unwrap();
            mode_600(bench, "sealed.x.corrupt-1");
            bench.finds_and_follows("VD411");
        },
    },
    Row {
        code: "VD403",
        what: "a newer version has moved the login",
        act: |bench| {
            let path = bench.file("folder");
            let before = fs::read_to_string(&path).unwrap();
            fs::write(&path, before.replace("\"v\":1", "\"v\":99")).unwrap();
            let hint = bench.finds("VD403");
            assert!(hint.contains("newer version"), "{hint}");
            fs::write(&path, before).unwrap();
        },
    },
    Row {
        code: "VD404",
        what: "the login belongs to another state folder",
        act: |bench| {
            let path = bench.sandbox.state();
            let elsewhere = bench.sandbox.home().join("state");
            copy(&path, &elsewhere);
            bench.options = vec!["--state-dir".to_owned(), elsewhere.display().to_string()];
            let hint = bench.finds("VD404");
            let named = format!("`--state-dir {}`", path.display());
            assert!(hint.contains(&named), "{hint}");
            bench.options = vec!["--state-dir".to_owned(), path.display().to_string()];
        },
    },
    Row {
        code: "VD405",
        what: "the state folder was wiped",
        act: |bench| {
            fs::remove_dir_all(bench.sandbox.profile("default")).unwrap();
            bench.finds_and_follows("VD405");
        },
    },
    Row {
        code: "VD406",
        what: "the sealed file of another login lies in this one's place",
        act: |bench| {
            bench.sandbox.log_in(&bench.server, "other");
            let sealed = bench.sandbox.sealed_file("default");
            let before = fs::read(&sealed).unwrap();
            fs::copy(bench.sandbox.sealed_file("other"), &sealed).unwrap();
            let hint = bench.finds("VD406");
            assert!(hint.contains("as they were together"), "{hint}");
            fs::write(&sealed, before).unwrap();
        },
    },
    Row {
        code: "VD408",
        what: "the store has lost the token item",
        act: |bench| {
            bench.store().delete(&item("default")).unwrap();
            bench.finds_and_follows("VD408");
        },
    },
    Row {
        code: "VD409",
        what: "the store has lost the DPoP key",
        act: |bench| {
            bench.server.configure(|config| config.dpop = Dpop::Offered);
            bench.sandbox.log_in_with(&bench.server, &["--dpop"]);
            let store = bench.store();
            let name = item("default#key");
            let before = store.get(&name).unwrap().remove(0);
            let mut key: Value = serde_json::from_slice(before.expose()).unwrap();
            let removed = key.as_object_mut().unwrap().remove("dpop");
            assert!(removed.is_some());
            store
                .set(&name, &key.to_string().into_bytes().into())
                .unwrap();
            let hint = bench.finds("VD409");
            assert!(hint.contains("--dpop"), "{hint}");
            store.set(&name, &before).unwrap();
        },
    },
    Row {
        code: "VD410",
        what: "a logout died after its tombstone",
        act: |bench| {
            let sealed = bench.sandbox.sealed_file("default");
            let name = sealed.file_name().unwrap().to_str().unwrap();
            let tombstone = name.replace("sealed.", "tombstone.");
            fs::write(bench.file(&tombstone), "{\"v\":1}\n").unwrap();
            mode_600(bench, &tombstone);
            let hint = bench.finds("VD410");
            assert!(hint.contains("logout"), "{hint}");
            let done = bench.run(&["logout"]);
            assert_eq!(done.code(), Some(0), "{done:?}");
        },
    },
];

fn damage(bench: &Bench) {
    let path = bench.sandbox.sealed_file("default");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

fn mode_600(bench: &Bench, name: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(bench.file(name), fs::Permissions::from_mode(0o600)).unwrap();
}

/// A copy of a folder, as a backup makes it.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    let done = std::process::Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status();
    assert!(done.unwrap().success());
}
