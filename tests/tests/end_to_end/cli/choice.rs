//! Which profile is meant: by option, variable, `.vault.toml`, or as usual.

use std::path::Path;

use serde_json::json;
use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::support::{Output, Sandbox};

fn status(sandbox: &Sandbox, folder: &Path, before: &[&str], profile: Option<&str>) -> Output {
    let mut arguments = before.to_vec();
    arguments.extend(["status", "--json"]);
    let mut command = sandbox.command(&arguments);
    command.current_dir(folder);
    if let Some(profile) = profile {
        command.env("VAULT_PROFILE", profile);
    }
    command.output().unwrap().into()
}

#[test]
fn the_nearer_rule_chooses_and_status_says_which() {
    let sandbox = Sandbox::new();
    let project = sandbox.home().canonicalize().unwrap().join("project");
    let deep = project.join("src");
    std::fs::create_dir_all(&deep).unwrap();
    let file = project.join(".vault.toml");
    std::fs::write(&file, "profile = \"from-file\"\napp = \"com.example\"\n").unwrap();

    let chosen = |before: &[&str], variable| {
        let status = status(&sandbox, &deep, before, variable);
        assert_eq!(status.code(), Some(3), "{status:?}");
        let status = status.json();
        (status["profile"].clone(), status["chosen_by"].clone())
    };
    assert_eq!(
        chosen(&[], None),
        (json!("from-file"), json!({ "rule": "file", "path": file }))
    );
    assert_eq!(
        chosen(&[], Some("variable")),
        (json!("variable"), json!({ "rule": "environment" }))
    );
    assert_eq!(
        chosen(&["--profile", "option"], Some("variable")),
        (json!("option"), json!({ "rule": "option" }))
    );
    // The file's profile is one of the file's application.
    assert_eq!(
        chosen(&["--app", "other"], None),
        (json!("default"), json!({ "rule": "usual" }))
    );
    std::fs::remove_file(file).unwrap();
    assert_eq!(
        chosen(&[], None),
        (json!("default"), json!({ "rule": "usual" }))
    );
}

#[test]
fn status_says_in_its_line_what_chose_the_profile() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "work");
    let home = sandbox.home().canonicalize().unwrap();
    std::fs::write(home.join(".vault.toml"), "profile = 'work'").unwrap();
    let mut command = sandbox.command(&["status"]);
    let output: Output = command.current_dir(&home).output().unwrap().into();
    let end = format!(", profile chosen by {}/.vault.toml\n", home.display());
    assert!(output.stdout.starts_with("work: logged in"), "{output:?}");
    assert!(output.stdout.ends_with(&end), "{output:?}");
    assert_eq!(output.stdout.lines().count(), 1);
}

#[test]
fn a_file_that_says_more_than_it_may_is_refused() {
    let sandbox = Sandbox::new();
    let home = sandbox.home();
    for text in ["state_dir = '/tmp/x'", "profile = ", "profile = 1"] {
        std::fs::write(home.join(".vault.toml"), text).unwrap();
        let status = status(&sandbox, &home, &[], None);
        assert_eq!(status.code(), Some(2), "{status:?}");
        assert_eq!(status.json()["error"]["code"], "vault_toml_unusable");
        // What needs no profile works all the same.
        let mut command = sandbox.command(&["issuers", "--json"]);
        assert!(command.current_dir(&home).status().unwrap().success());
    }
}
