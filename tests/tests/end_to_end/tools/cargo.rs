//! cargo with its credential provider, against a registry that shows nothing
//! to those without an access token.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::https::{Answer, Event, Host};
use super::{LONGER, SHORT_LIFE, end, have_token, logged_in, run, tool};
use crate::support::{Output, Sandbox};
use std::process::Command;
use std::sync::Arc;
use vault_tests::server::AuthorizationServer;

/// cargo without anything of this test's own cargo.
fn cargo(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let program = PathBuf::from(std::env::var_os("CARGO").expect("cargo runs the tests"));
    let mut command = tool(sandbox, &program);
    let folder = program.parent().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("CARGO_HOME", sandbox.home().join(".cargo"))
        .env("CARGO_TERM_COLOR", "never")
        .args(arguments);
    command
}

/// A crate as a registry gives it, and the line of its index.
fn packed(sandbox: &Sandbox) -> (Vec<u8>, String) {
    let folder = sandbox.home().join("fake-crate");
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = "[package]\nname = \"fake-crate\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\
                    license = \"MIT\"\ndescription = \"none\"\n[workspace]\n";
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    let code = "pub fn answer() -> u32 {\n    42\n}\n";
    std::fs::write(folder.join("src/lib.rs"), code).unwrap();
    let arguments = [
        "package",
        "--quiet",
        "--no-verify",
        "--allow-dirty",
        "--offline",
    ];
    let mut package = cargo(sandbox, &arguments);
    let output = end_in(&mut package, &folder);
    assert_eq!(output.code(), Some(0), "{output:?}");
    let bytes = std::fs::read(folder.join("target/package/fake-crate-1.0.0.crate")).unwrap();
    let checksum = HEXLOWER.encode(&Sha256::digest(&bytes));
    let line = json!({
        "name": "fake-crate", "vers": "1.0.0", "deps": [], "cksum": checksum,
        "features": {}, "yanked": false,
    });
    (bytes, format!("{line}\n"))
}

fn end_in(command: &mut Command, folder: &std::path::Path) -> Output {
    command.current_dir(folder).output().unwrap().into()
}

/// A private registry with one crate.
fn registry(authority: &Arc<AuthorizationServer>, sandbox: &Sandbox) -> Host {
    let (bytes, line) = packed(sandbox);
    let name = Arc::new(std::sync::OnceLock::<String>::new());
    let known = name.clone();
    let host = Host::start(authority, "Bearer", move |request| {
        match request.path.as_str() {
            "/index/config.json" => {
                let host = known.get().unwrap();
                Answer::json(&json!({
                    "dl": format!("https://{host}/dl"),
                    "api": format!("https://{host}"),
                    "auth-required": true,
                }))
            }
            "/index/fa/ke/fake-crate" => Answer::new(200, "text/plain", line.clone()),
            "/dl/fake-crate/1.0.0/download" => {
                Answer::new(200, "application/octet-stream", bytes.clone())
            }
            _ => Answer::new(404, "text/plain", "no such thing"),
        }
    });
    name.set(host.name()).unwrap();
    host
}

/// A program that wants the crate, and a cargo that knows the registry.
fn project(sandbox: &Sandbox, host: &Host) -> PathBuf {
    let folder = sandbox.home().join("project");
    std::fs::create_dir_all(folder.join("src")).unwrap();
    let manifest = "[package]\nname = \"project\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\
                    [workspace]\n[dependencies]\n\
                    fake-crate = { version = \"1\", registry = \"own\" }\n";
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    let code = "fn main() {\n    println!(\"{}\", fake_crate::answer());\n}\n";
    std::fs::write(folder.join("src/main.rs"), code).unwrap();
    let home = sandbox.home().join(".cargo");
    std::fs::create_dir_all(&home).unwrap();
    let config = format!(
        "# mine\n[registries.own]\nindex = \"sparse+https://{}/index/\" # private\n",
        host.name()
    );
    std::fs::write(home.join("config.toml"), config).unwrap();
    folder
}

fn build(sandbox: &Sandbox, host: &Host, project: &std::path::Path) -> Output {
    let mut command = cargo(sandbox, &["run", "--quiet"]);
    command.env("CARGO_HTTP_CAINFO", host.authority_file());
    end_in(&mut command, project)
}

#[test]
fn a_build_from_a_bound_registry_is_given_the_token_and_an_expired_one_is_refreshed_once() {
    let (authority, sandbox) = logged_in();
    let host = registry(&authority, &sandbox);
    let project = project(&sandbox, &host);
    run(&sandbox, &["bind", &host.name()]);
    let mut setup = sandbox.command(&["setup", "cargo", "--write"]);
    let setup = end_in(setup.env_remove("CARGO_HOME"), &sandbox.home());
    assert_eq!(setup.code(), Some(0), "{setup:?}");
    have_token(&authority, &sandbox, SHORT_LIFE);
    authority.configure(|config| config.access_token_lifetime = 60 * SHORT_LIFE);
    let before = authority.counts().refreshes_ok;
    // The registry's description comes late: the token ends with it.
    host.befall([Event::Takes(LONGER)]);
    let built = build(&sandbox, &host, &project);
    assert_eq!(
        (built.code(), built.stdout.as_str()),
        (Some(0), "42\n"),
        "{built:?}"
    );
    assert_eq!(authority.counts().refreshes_ok, before + 1);
    assert!(host.let_in().len() >= 3, "{:?}", host.asked());
    assert!(
        host.shown()
            .iter()
            .all(|shown| shown.starts_with("Bearer "))
    );

    let config = sandbox.home().join(".cargo/config.toml");
    let written = std::fs::read_to_string(&config).unwrap();
    assert!(
        written.starts_with("# mine\n") && written.contains("# private\n"),
        "{written}"
    );
    run(&sandbox, &["setup", "cargo", "--remove"]);
    let left = std::fs::read_to_string(&config).unwrap();
    assert!(!left.contains("credential-provider"), "{left}");
}

#[test]
fn a_registry_that_is_not_bound_gets_nothing() {
    let (authority, sandbox) = logged_in();
    let host = registry(&authority, &sandbox);
    let project = project(&sandbox, &host);
    run(&sandbox, &["bind", &host.name()]);
    run(&sandbox, &["setup", "cargo", "--write"]);
    run(&sandbox, &["unbind", &host.name()]);
    let built = build(&sandbox, &host, &project);
    assert_eq!(built.code(), Some(101), "{built:?}");
    let said = format!(
        "no token is given to {}: no login is bound to it",
        host.name()
    );
    assert!(built.stderr.contains(&said), "{built:?}");
    assert_eq!(host.shown(), Vec::<String>::new());
    drop(end(cargo(&sandbox, &["--version"])));
}

#[test]
fn why_there_is_no_token_is_told_by_cargo() {
    let (authority, sandbox) = logged_in();
    let host = registry(&authority, &sandbox);
    let project = project(&sandbox, &host);
    sandbox.log_in(&authority, "work");
    run(&sandbox, &["bind", &host.name()]);
    run(&sandbox, &["--profile", "work", "bind", &host.name()]);
    run(&sandbox, &["setup", "cargo", "--write"]);
    let built = build(&sandbox, &host, &project);
    assert_eq!(built.code(), Some(101), "{built:?}");
    // The one with the other is what cargo was answered.
    let said = format!(
        "several profiles are bound to {}: default, work; choose one",
        host.name()
    );
    assert!(built.stderr.contains(&said), "{built:?}");
    assert_eq!(host.shown(), Vec::<String>::new());
}
