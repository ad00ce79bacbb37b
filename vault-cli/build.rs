//! Finds out which commit a release is built from. Without a repository around
//! the sources, as in a package, the build needs none and tells none.

#![expect(
    clippy::disallowed_methods,
    reason = "how a build script speaks with cargo"
)]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // While it is worked on, each commit would compile the program anew.
    let is_release = std::env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if !is_release || !root.join(".git").exists() {
        return;
    }
    if let Some(moves) = git(&root, &["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={}", root.join(moves).display());
    }
    if let Some(commit) = git(&root, &["rev-parse", "--short=12", "HEAD"]) {
        println!("cargo::rustc-env=VAULT_CLI_COMMIT={commit}");
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
