//! `setup` of git and docker: written, written again, and taken back.

use std::path::Path;

use serde_json::{Value, json};

use super::{end, logged_in, program, run, tool};
use crate::support::{Output, Sandbox};

fn setup(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let mut command = tool(sandbox, program(sandbox));
    command.arg("setup").args(arguments);
    let output = end(command);
    assert_eq!(output.code(), Some(0), "{output:?}");
    output
}

#[test]
fn gits_configuration_keeps_what_else_is_there() {
    let (_server, sandbox) = logged_in();
    run(&sandbox, &["bind", "git.example"]);
    run(&sandbox, &["bind", "other.example:8443"]);
    let file = sandbox.home().join(".gitconfig");
    let before = "# mine\n[credential]\n\thelper = cache\n[credential \"https://git.example\"]\n\thelper = store\n\tusername = alice\n";
    std::fs::write(&file, before).unwrap();
    let printed = setup(&sandbox, &["git"]);
    assert!(
        printed
            .stdout
            .contains("--add credential.https://other.example:8443.helper")
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);

    setup(&sandbox, &["git", "--write"]);
    let once = std::fs::read_to_string(&file).unwrap();
    setup(&sandbox, &["git", "--write"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), once);
    assert!(
        once.starts_with("# mine\n") && once.contains("username = alice"),
        "{once}"
    );
    let helpers = |url: &str| {
        let mut git = tool(&sandbox, "git");
        git.env("GIT_CONFIG_NOSYSTEM", "1");
        git.args([
            "config",
            "--null",
            "--get-urlmatch",
            "credential.helper",
            url,
        ]);
        end(git).stdout
    };
    for url in ["https://git.example/a", "https://other.example:8443/a"] {
        assert!(helpers(url).contains("credential git"), "{url} {once}");
    }
    assert_eq!(helpers("https://third.example"), "cache\0");

    // What git asks is answered.
    let mut fill = tool(&sandbox, "bash");
    fill.env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
    fill.args([
        "-c",
        "printf 'protocol=https\\nhost=other.example:8443\\n\\n' | git credential fill",
    ]);
    let filled = end(fill);
    let token = run(&sandbox, &["token"]).stdout;
    assert!(
        filled.stdout.contains(&format!("password={token}")),
        "{filled:?}"
    );

    run(&sandbox, &["unbind", "git.example"]);
    for _ in 0..2 {
        setup(&sandbox, &["git", "--remove"]);
        let left = std::fs::read_to_string(&file).unwrap();
        assert!(
            !left.contains("credential git") && left.contains("helper = store"),
            "{left}"
        );
        assert_eq!(helpers("https://third.example"), "cache\0");
    }
}

/// What was chosen by option holds for what the tool calls, too, from anywhere.
#[test]
fn what_options_choose_stands_in_what_the_tool_calls() {
    let (_server, sandbox) = logged_in();
    run(&sandbox, &["bind", "git.example"]);
    let without_variables = |program: &str| {
        let mut command = tool(&sandbox, program);
        command
            .env_remove("VAULT_STATE_DIR")
            .env_remove("VAULT_STORE")
            .env_remove("VAULT_KEY_FILE");
        command
    };
    let mut command = without_variables(&program(&sandbox));
    // A path from here, which the tool would look for from elsewhere.
    let place = sandbox.state().parent().unwrap().to_owned();
    command
        .current_dir(&place)
        .args(["--state-dir", "state", "--key-file", "key"])
        .args(["setup", "git", "--write"]);
    let written = end(command);
    assert_eq!(written.code(), Some(0), "{written:?}");
    let mut fill = without_variables("bash");
    fill.env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .args([
            "-c",
            "printf 'protocol=https\\nhost=git.example\\n\\n' | git credential fill",
        ]);
    let filled = end(fill);
    let token = run(&sandbox, &["token"]).stdout;
    let answer = format!("password={token}");
    assert!(filled.stdout.contains(&answer), "{filled:?}");
}

/// Sets git up where that can't be done, with this folder's programs first.
fn refused_by_git(sandbox: &Sandbox, first: Option<&Path>) -> Output {
    let file = sandbox.home().join(".gitconfig");
    let before = std::fs::read_to_string(&file).unwrap();
    let mut command = tool(sandbox, program(sandbox));
    if let Some(folder) = first {
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", folder.display()));
    }
    command.args(["setup", "git", "--write"]);
    let refused = end(command);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("nothing was changed"),
        "{refused:?}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    refused
}

#[test]
fn git_is_not_set_up_in_front_of_a_helper_that_would_keep_the_token() {
    let (_server, sandbox) = logged_in();
    run(&sandbox, &["bind", "git.example"]);
    run(&sandbox, &["bind", "other.example"]);
    let file = sandbox.home().join(".gitconfig");
    let host = "[credential \"https://git.example\"]\n\tusername = alice\n";
    let store = "[credential]\n\thelper = store\n";
    std::fs::write(&file, format!("{host}{store}")).unwrap();
    let refused = refused_by_git(&sandbox, None);
    for part in [
        "git.example",
        "store",
        "credential.helper in ",
        ".gitconfig",
    ] {
        assert!(refused.stderr.contains(part), "{refused:?}");
    }
    // In another file, and for some hosts only.
    let more = sandbox.home().join("more");
    std::fs::write(
        &more,
        "[credential \"https://*.example\"]\n\thelper = store\n",
    )
    .unwrap();
    std::fs::write(&file, format!("{host}[include]\n\tpath = more\n")).unwrap();
    let refused = refused_by_git(&sandbox, None);
    let named = "credential.https://*.example.helper in ";
    assert!(refused.stderr.contains(named), "{refused:?}");

    // What was said helps: nothing else is given the token.
    std::fs::write(&file, format!("{store}{host}")).unwrap();
    setup(&sandbox, &["git", "--write"]);
    let mut approve = tool(&sandbox, "bash");
    approve
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
    approve.args([
        "-c",
        "printf 'protocol=https\\nhost=git.example\\n\\n' | git credential fill | git credential approve",
    ]);
    let approved = end(approve);
    assert_eq!(approved.code(), Some(0), "{approved:?}");
    assert!(!sandbox.home().join(".git-credentials").exists());
}

#[test]
fn what_git_refuses_halfway_is_put_back_with_its_comments() {
    let (_server, sandbox) = logged_in();
    run(&sandbox, &["bind", "git.example"]);
    run(&sandbox, &["bind", "other.example"]);
    let file = sandbox.home().join(".gitconfig");
    let before = "[credential \"https://other.example\"]\n\thelper = store # mine\n";
    std::fs::write(&file, before).unwrap();
    let mut which = tool(&sandbox, "bash");
    which.args(["-c", "command -v git"]);
    let git = end(which).stdout;
    let bin = sandbox.home().join("bin");
    std::fs::create_dir(&bin).unwrap();
    // The last step of the second host.
    let failing = format!(
        "#!/bin/sh\ncase \"$*\" in *--add*other.example*\"credential git\") exit 4;; esac\n\
         exec {} \"$@\"\n",
        git.trim()
    );
    std::fs::write(bin.join("git"), failing).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(bin.join("git"), mode).unwrap();
    refused_by_git(&sandbox, Some(&bin));

    setup(&sandbox, &["git", "--write"]);
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.starts_with(before), "{written}");
    setup(&sandbox, &["git", "--remove"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
}

#[test]
fn dockers_configuration_keeps_what_else_is_there() {
    let (_server, sandbox) = logged_in();
    run(&sandbox, &["bind", "registry.example"]);
    let folder = sandbox.home().join(".docker");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("config.json");
    let before = json!({ "auths": { "x.example": {} }, "credsStore": "pass" });
    std::fs::write(&file, before.to_string()).unwrap();
    let read = || -> Value { serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap() };
    let printed = setup(&sandbox, &["docker"]);
    assert_eq!(
        printed.json()["credHelpers"]["registry.example"],
        "vault-cli"
    );
    assert_eq!(read(), before);
    for _ in 0..2 {
        setup(&sandbox, &["docker", "--write"]);
        let written = read();
        assert_eq!(
            written["credHelpers"],
            json!({ "registry.example": "vault-cli" })
        );
        assert_eq!(written["auths"], before["auths"]);
    }
    setup(&sandbox, &["docker", "--remove"]);
    assert_eq!(read(), before);

    // Another's helper is not pushed out.
    let taken = json!({ "credHelpers": { "registry.example": "ecr-login" } });
    std::fs::write(&file, taken.to_string()).unwrap();
    let mut command = tool(&sandbox, program(&sandbox));
    command.args(["setup", "docker", "--write"]);
    let refused = end(command);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert_eq!(read(), taken);
}
