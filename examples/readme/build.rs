//! Takes the README's lines out, for the program that runs them (`src/main.rs`).

#![expect(clippy::unwrap_used, reason = "how a build script ends")]

use std::path::Path;

const README: &str = "../../README.md";
/// The one thing that is not as it stands there.
const ISSUER: &str = "\"https://login.example.com\"";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={README}");
    let readme = std::fs::read_to_string(README).unwrap();
    let (_, rest) = readme.split_once("```rust,no_run\n").unwrap();
    let (lines, _) = rest.split_once("```").unwrap();
    assert_eq!(lines.matches(ISSUER).count(), 1);
    let lines = lines.replace(ISSUER, "crate::issuer()");
    let folder = std::env::var("OUT_DIR").unwrap();
    std::fs::write(Path::new(&folder).join("readme.rs"), lines).unwrap();
}
