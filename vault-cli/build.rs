//! What a release is built from and with.

#![expect(
    clippy::disallowed_methods,
    reason = "how a build script speaks with cargo"
)]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // While it is worked on, each commit would compile the program anew.
    if std::env::var_os("PROFILE").is_some_and(|profile| profile == "release") {
        name_the_commit();
        load_less();
    }
}

/// Finds out which commit it is built from. Without a repository around the
/// sources, as in a package, the build needs none and tells none.
fn name_the_commit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if !root.join(".git").exists() {
        return;
    }
    if let Some(moves) = git(&root, &["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={}", root.join(moves).display());
    }
    if let Some(commit) = git(&root, &["rev-parse", "--short=12", "HEAD"]) {
        println!("cargo::rustc-env=VAULT_CLI_COMMIT={commit}");
    }
}

/// Takes what unwinds the stack into the program. As a library it would be
/// loaded at each start, which takes a twentieth of a call that needs no store;
/// GCC brings it in both shapes.
fn load_less() {
    let is = |name: &str, what: &str| std::env::var(name).is_ok_and(|value| value == what);
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") {
        println!("cargo::rustc-link-lib=static=gcc_eh");
    }
}

/// What git says, if it is there and says anything.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        .output()
        .ok()?;
    let said = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !said.is_empty()).then_some(said)
}
