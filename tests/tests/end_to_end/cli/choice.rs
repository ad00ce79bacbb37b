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

/// JSON is text, and a path need not be.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_whose_name_is_no_text_is_told_as_far_as_it_is() {
    use std::os::unix::ffi::OsStrExt as _;

    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    let home = sandbox.home().canonicalize().unwrap();
    let project = home.join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&project).unwrap();
    let file = project.join(".vault.toml");
    std::fs::write(&file, "profile = 'work'").unwrap();
    let path = format!("{}/caf\u{fffd}/.vault.toml", home.display());
    for code in [3, 0] {
        let told = status(&sandbox, &project, &[], None);
        assert_eq!(told.code(), Some(code), "{told:?}");
        let chosen_by = json!({ "rule": "file", "path": path });
        assert_eq!(told.json()["chosen_by"], chosen_by);
        let mut command = sandbox.command(&["status"]);
        let line: Output = command.current_dir(&project).output().unwrap().into();
        assert_eq!(line.code(), Some(code), "{line:?}");
        assert!(line.stdout.contains(&path), "{line:?}");
        if code == 3 {
            sandbox.log_in(&server, "work");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_path_of_a_file_that_is_not_followed_can_not_reach_the_terminal_as_it_is() {
    let sandbox = Sandbox::new();
    let home = sandbox.home().canonicalize().unwrap();
    let project = home.join("pro\u{7}ject");
    std::fs::create_dir(&project).unwrap();
    let file = project.join(".vault.toml");
    std::fs::write(&file, "profile = 'other'").unwrap();
    let nobody = Some(65534);
    if std::os::unix::fs::chown(&file, nobody, None).is_err() {
        // Only root can give a file away.
        assert!(!rustix::process::geteuid().is_root());
        crate::skipped::lacking("root, to give a file away");
        return;
    }
    let told = status(&sandbox, &project, &[], None);
    let warning = format!(
        "warning: {}/pro\u{fffd}ject/.vault.toml is another user's: it is not followed\n",
        home.display()
    );
    assert_eq!(told.stderr, warning, "{told:?}");
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
