//! The program on a terminal, which `script` (util-linux) makes.

use std::io::Write;
use std::process::{Command, Stdio};

use vault_tests::server::{AuthorizationServer, DeviceApproval, ServerConfig};

use crate::screen::Terminal;
use crate::support::Sandbox;

/// What a shell's commands say on a terminal, where somebody types.
pub(super) fn on_a_terminal(sandbox: &Sandbox, commands: &str, typed: &[u8]) -> String {
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
        said.contains("New passphrase, for the encrypted-file store:"),
        "{said}"
    );
    assert!(said.contains("ended 130"), "{said}");
    let echoes = said.split([' ', ';', '\n']).any(|word| word == "echo");
    assert!(echoes, "{said}");
}

/// A slip in the first would lock everybody out.
#[test]
fn the_passphrase_of_a_new_store_is_asked_for_twice_and_of_one_that_is_there_once() {
    const NEW: &str = "New passphrase, for the encrypted-file store:";
    const OLD: &str = "Passphrase of the encrypted-file store:";
    let server = AuthorizationServer::start(ServerConfig {
        device_approval: DeviceApproval::AfterPolls(0),
        ..ServerConfig::default()
    });
    let sandbox = Sandbox::new();
    let run = |arguments: &str, typed: &[(&str, &str)]| {
        let commands = format!(
            "unset VAULT_KEY_FILE; export TERM=xterm-256color; \"$PROGRAM\" {arguments}; \
             echo \"ended $?\"; sleep 60"
        );
        let mut terminal = Terminal::start(&sandbox, 24, 110, &commands);
        for (prompt, keys) in typed {
            terminal.wait_for(prompt);
            terminal.types(keys);
        }
        terminal.wait_for("ended");
        terminal.text()
    };
    let login = format!(
        "login --flow device --no-qr --issuer {} --client-id vault-cli --scope offline_access",
        server.issuer()
    );

    // What only reads makes no store.
    let said = run("token", &[(OLD, "another\r")]);
    assert!(said.contains("ended 3"), "{said}");
    let said = run(&login, &[(NEW, "one\r"), ("The same again:", "another\r")]);
    assert!(
        said.contains("the two differ") && said.contains("ended 2"),
        "{said}"
    );
    let said = run(&login, &[(NEW, "one\r"), ("The same again:", "one\r")]);
    assert!(said.contains("ended 0"), "{said}");
    let said = run("refresh --force", &[(OLD, "one\r")]);
    assert!(said.contains("ended 0"), "{said}");
}

#[test]
fn a_qr_code_is_shown_on_a_terminal_unless_it_is_not_wanted_and_never_to_a_pipe() {
    let server = AuthorizationServer::start(ServerConfig {
        device_approval: DeviceApproval::AfterPolls(0),
        ..ServerConfig::default()
    });
    let shown = |more: &str| {
        let commands = format!(
            "stty cols 100; \"$PROGRAM\" login --flow device --issuer {} --client-id vault-cli \
             --scope offline_access {more}",
            server.issuer()
        );
        let said = on_a_terminal(&Sandbox::new(), &commands, b"");
        assert!(said.contains("enter the code"), "{said}");
        assert!(said.contains("logged in"), "{said}");
        // Each line begins with the margin, four light modules: a spinner has none.
        said.lines()
            .filter(|line| line.contains(&"\u{2588}".repeat(4)))
            .count()
    };
    assert!(shown("") >= 10);
    assert_eq!(shown("--no-qr"), 0);
    assert_eq!(shown("--quiet 2>&1"), 0);
    assert_eq!(shown("2>&1 | cat"), 0);
}

#[test]
fn what_is_waited_for_turns_in_one_line_that_is_gone_then() {
    let server = AuthorizationServer::start(ServerConfig {
        device_approval: DeviceApproval::AfterPolls(2),
        ..ServerConfig::default()
    });
    let logs_in = |sandbox: &Sandbox, terminal: &str| {
        let commands = format!(
            "export TERM={terminal}; \"$PROGRAM\" login --flow device --no-qr --issuer {} \
             --client-id vault-cli --scope offline_access; echo \"ended $?\"",
            server.issuer()
        );
        // Narrower than what is said.
        Terminal::start(sandbox, 24, 30, &commands)
    };
    let sandbox = Sandbox::new();
    let screen = logs_in(&sandbox, "xterm-256color");
    for line in [
        "| waiting for the device code",
        "/ waiting for the device code",
    ] {
        screen.wait_until(line, |text| text.lines().any(|shown| shown == line));
    }
    screen.wait_for("ended 0");
    let text = screen.text();
    assert!(text.contains("logged in"), "{text}");
    assert!(!text.contains("waiting"), "{text}");

    let screen = logs_in(&sandbox, "dumb");
    screen.wait_for("ended 0");
    assert!(!screen.finish().contains("waiting"));
}

#[test]
fn the_servers_page_for_logging_out_is_opened_with_a_private_file() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let page = server.url("/end_session");
    server.configure(|config| {
        config.metadata_changes = vec![("end_session_endpoint".to_owned(), page.clone().into())];
    });
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    // A browser that writes down what it was started with, and reads that.
    let (browser, seen) = (sandbox.home().join("browser"), sandbox.home().join("seen"));
    let script = "#!/bin/sh\nset -e\n{ echo \"$@\"; cat \"${1#file://}\"; } > \"$HOME/seen\"\n";
    std::fs::write(&browser, script).unwrap();
    let commands =
        "chmod +x $HOME/browser; BROWSER=$HOME/browser \"$PROGRAM\" logout --end-session";
    let said = on_a_terminal(&sandbox, commands, b"");
    let address = format!("{page}?client_id=vault-cli");
    assert!(said.contains("logged out"), "{said}");
    assert!(
        said.lines().any(|line| line.trim_end() == address),
        "{said}"
    );
    let seen = std::fs::read_to_string(seen).unwrap_or_else(|_| panic!("not opened: {said}"));
    let (argument, contents) = seen.split_once('\n').unwrap();
    assert!(!argument.contains("end_session"), "{argument}");
    assert!(contents.contains(&format!("url={address}\"")), "{contents}");
    let file = argument.strip_prefix("file://").unwrap();
    assert!(!std::path::Path::new(file).exists(), "{file} is left");
}
