//! The program on a terminal, which `script` (util-linux) makes.

use std::io::Write;
use std::process::{Command, Stdio};

use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::support::Sandbox;

/// What a shell's commands say on a terminal, where somebody types.
fn on_a_terminal(sandbox: &Sandbox, commands: &str, typed: &[u8]) -> String {
    let program = sandbox.command(&[]);
    let mut script = Command::new("script");
    script
        .args(["-q", "-e", "-c", commands, "/dev/null"])
        .env_clear();
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            script.env(name, value);
        }
    }
    let mut running = script
        .env("PATH", "/usr/bin:/bin")
        .env("SHELL", "/bin/sh")
        .env("PROGRAM", program.get_program())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`script` is installed");
    let mut keys = running.stdin.take().unwrap();
    if !typed.is_empty() {
        // Once it is asked for.
        crate::support::wait(std::time::Duration::from_secs(2));
        keys.write_all(typed).unwrap();
    }
    drop(keys);
    let output = running.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_terminal_that_does_not_know_its_width_gets_a_whole_table() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let said = on_a_terminal(
        &sandbox,
        "unset VAULT_KEY_FILE; stty cols 0 rows 0; \"$PROGRAM\" list",
        b"",
    );
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].starts_with("PROFILE"), "{said}");
    assert!(lines[1].contains(server.issuer()), "{said}");
}

#[test]
fn an_interrupt_at_the_hidden_prompt_leaves_the_terminal_as_it_was() {
    let sandbox = Sandbox::new();
    let commands =
        "unset VAULT_KEY_FILE; trap : INT; \"$PROGRAM\" doctor; echo \"ended $?\"; stty -a";
    let said = on_a_terminal(&sandbox, commands, b"\x03");
    assert!(
        said.contains("Passphrase of the encrypted-file store:"),
        "{said}"
    );
    assert!(said.contains("ended 130"), "{said}");
    let echoes = said.split([' ', ';', '\n']).any(|word| word == "echo");
    assert!(echoes, "{said}");
}
