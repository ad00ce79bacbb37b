//! `exec`: commands that run with a token, and end as they please.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vault_tests::server::{AuthorizationServer, Endpoint, ServerConfig, Stage};

use super::terminal::on_a_terminal;
use crate::support::{Running, Sandbox, vault_cli, wait};

/// Longer than a process takes to act on a signal.
const A_WHILE: Duration = Duration::from_millis(500);

fn logged_in() -> (AuthorizationServer, Sandbox) {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    (server, sandbox)
}

fn send(signal: &str, process: u32) {
    let sent = Command::new("kill")
        .args([format!("-{signal}"), process.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_command_has_the_token_in_its_environment_and_takes_the_programs_place() {
    let (server, sandbox) = logged_in();
    let script = "echo $$; printf '%s\\n' \"$ACCESS_TOKEN\"; exit 7";
    let command = sandbox.command(&["exec", "--", "/bin/sh", "-c", script]);
    let running = Running::start(command);
    let process = running.id();
    let output = running.finish();
    assert_eq!(output.code(), Some(7), "{output:?}");
    let mut lines = output.stdout.lines();
    assert_eq!(lines.next().unwrap(), process.to_string());
    assert!(server.is_valid_access_token(lines.next().unwrap()));

    let named = vault_cli(
        &sandbox,
        &["exec", "--env", "API_KEY", "/usr/bin/env", "-u", "HOME"],
    );
    let lines: Vec<_> = named.stdout.lines().collect();
    let token = lines.iter().find_map(|line| line.strip_prefix("API_KEY="));
    assert!(server.is_valid_access_token(token.unwrap()), "{named:?}");
    assert!(!named.stdout.contains("ACCESS_TOKEN="), "{named:?}");
    assert!(!named.stdout.contains("HOME=/"), "{named:?}");
}

#[test]
fn a_refresh_that_was_due_is_saved_wholly_before_the_command_begins() {
    let (server, sandbox) = logged_in();
    server.configure(|config| config.access_token_lifetime = Duration::from_secs(2));
    assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
    wait(Duration::from_secs(2));
    server.configure(|config| config.access_token_lifetime = Duration::from_secs(60));
    let output = vault_cli(
        &sandbox,
        &["exec", "--", "/bin/sh", "-c", "printf %s \"$ACCESS_TOKEN\""],
    );
    assert!(server.is_valid_access_token(&output.stdout), "{output:?}");
    let history = vault_cli(&sandbox, &["history", "--json"]).json();
    let entries = history["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 3, "{history}");
    assert_eq!(server.counts().reuse_detected, 0);
}

#[test]
fn what_can_not_be_run_ends_as_env_says_it() {
    let (_server, sandbox) = logged_in();
    let plain = sandbox.home().join("plain");
    std::fs::write(&plain, "no program").unwrap();
    let plain = plain.to_str().unwrap();
    for more in [&[][..], &["--token-file"]] {
        for (program, code, name) in [
            ("/nowhere/at-all", 127, "command_not_found"),
            (plain, 126, "command_not_executable"),
        ] {
            let mut arguments = vec!["--json", "exec"];
            arguments.extend(more);
            arguments.extend(["--", program]);
            let output = vault_cli(&sandbox, &arguments);
            assert_eq!(output.code(), Some(code), "{output:?}");
            assert_eq!(output.json()["error"]["code"], name);
        }
    }
}

#[test]
fn without_a_login_nothing_is_run() {
    let sandbox = Sandbox::new();
    let output = vault_cli(&sandbox, &["exec", "--", "/bin/echo", "run"]);
    assert_eq!((output.code(), output.stdout.as_str()), (Some(3), ""));
}

#[test]
fn a_descriptor_gives_the_token_once_and_the_environment_has_none() {
    let (server, sandbox) = logged_in();
    let script = "env >&2; eval \"cat <&$ACCESS_TOKEN_FD\"";
    let output = vault_cli(&sandbox, &["exec", "--fd", "--", "/bin/bash", "-c", script]);
    assert!(server.is_valid_access_token(&output.stdout), "{output:?}");
    assert!(!output.stderr.contains(&output.stdout), "{output:?}");
}

#[test]
fn a_command_is_given_the_token_in_one_way_also_within_another_exec() {
    let (_server, sandbox) = logged_in();
    let program = sandbox.command(&[]).get_program().to_owned();
    let program = program.to_str().unwrap();
    let ways = [
        ("--env=ACCESS_TOKEN", "ACCESS_TOKEN"),
        ("--token-file", "ACCESS_TOKEN_FILE"),
        ("--fd", "ACCESS_TOKEN_FD"),
    ];
    for (outer, _) in ways {
        for (inner, name) in ways {
            let output = vault_cli(
                &sandbox,
                &[
                    "exec",
                    outer,
                    "--",
                    program,
                    "exec",
                    inner,
                    "--",
                    "/usr/bin/env",
                ],
            );
            assert_eq!(output.code(), Some(0), "{outer} {inner} {output:?}");
            let variables = output
                .stdout
                .lines()
                .filter_map(|line| line.split_once('='));
            let set: Vec<_> = variables
                .map(|(variable, _)| variable)
                .filter(|variable| variable.starts_with("ACCESS_TOKEN"))
                .collect();
            assert_eq!(set, [name], "{outer} {inner}");
        }
    }
}

#[test]
fn a_tokens_file_is_private_kept_fresh_and_gone_at_the_end() {
    let (server, sandbox) = logged_in();
    server.configure(|config| config.access_token_lifetime = Duration::from_secs(3));
    assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
    // Reads until it has seen three tokens.
    let script = "stat -c '%a %A' \"$ACCESS_TOKEN_FILE\" >&2; env | grep -c '^ACCESS_TOKEN=' >&2
        seen=; n=0
        while [ $n -lt 3 ]; do
            token=$(cat \"$ACCESS_TOKEN_FILE\")
            [ \"$token\" = \"$seen\" ] || { echo \"$token\"; seen=$token; n=$((n+1)); }
            sleep 0.1
        done; exit 3";
    let runtime = sandbox.home().join("run");
    std::fs::create_dir(&runtime).unwrap();
    let mut command = sandbox.command(&["exec", "--token-file", "--", "/bin/bash", "-c", script]);
    command
        .env("XDG_RUNTIME_DIR", &runtime)
        .env("PATH", "/usr/bin:/bin");
    let output = Running::start(command).finish();
    assert_eq!(output.code(), Some(3), "{output:?}");
    assert_eq!(output.stderr, "600 -rw-------\n0\n", "{output:?}");
    let tokens: Vec<_> = output.stdout.lines().collect();
    assert_eq!(tokens.len(), 3);
    let counts = server.counts();
    assert_eq!(counts.reuse_detected, 0);
    // The first was there; nobody refreshed more often than it was due.
    assert!((3..=5).contains(&counts.refreshes_ok), "{counts:?}");
    assert_eq!(std::fs::read_dir(&runtime).unwrap().count(), 0);
}

#[test]
fn signals_reach_the_command_and_its_end_by_one_is_the_programs_own() {
    let (_server, sandbox) = logged_in();
    for mode in [&[][..], &["--token-file"]] {
        for (signal, number) in [
            ("TERM", 15),
            ("INT", 2),
            ("HUP", 1),
            ("USR1", 10),
            ("QUIT", 3),
        ] {
            let mut arguments = vec!["exec"];
            arguments.extend(mode);
            arguments.extend(["--", "/bin/sleep", "60"]);
            let runtime = tempfile::tempdir().unwrap();
            let mut command = sandbox.command(&arguments);
            command.env("XDG_RUNTIME_DIR", runtime.path());
            let mut child = command.spawn().unwrap();
            wait_until_it_sleeps(child.id());
            send(signal, child.id());
            let status = child.wait().unwrap();
            assert_eq!(status.signal(), Some(number), "{signal} {mode:?}");
            assert_eq!(std::fs::read_dir(runtime.path()).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_command_that_takes_a_signal_decides_itself_how_to_end() {
    let (_server, sandbox) = logged_in();
    let script = "trap 'echo heard; exit 5' TERM; echo ready >&2; while :; do sleep 0.05; done";
    let mut command = sandbox.command(&["exec", "--token-file", "--", "/bin/bash", "-c", script]);
    command.env("PATH", "/usr/bin:/bin");
    let mut running = Running::start(command);
    running.line_that_starts_with("ready").unwrap();
    send("TERM", running.id());
    let output = running.finish();
    assert_eq!(
        (output.code(), output.stdout.as_str()),
        (Some(5), "heard\n")
    );
}

/// With Ctrl-Z command and program stop together, and the shell sees it; what
/// goes on in the background still hears signals.
#[test]
fn the_terminals_job_control_works_as_without_the_program() {
    let (_server, sandbox) = logged_in();
    for mode in ["--env=ACCESS_TOKEN", "--token-file"] {
        let commands = format!(
            "exec /bin/bash -c 'set -m; \"$PROGRAM\" exec {mode} -- /bin/sleep 300; \
             echo \"stopped $?\"; ps -o stat= -C sleep -t $(tty) | cut -c 1; \
             bg %1; kill -TERM %1; wait %1; echo \"ended $?\"'"
        );
        let said = on_a_terminal(&sandbox, &commands, b"\x1a");
        let lines: Vec<_> = said.lines().map(str::trim_end).collect();
        let stopped = lines
            .iter()
            .any(|line| matches!(*line, "stopped 147" | "stopped 148"));
        assert!(stopped, "{mode} {said}");
        assert!(lines.contains(&"T"), "{mode} {said}");
        assert!(lines.contains(&"ended 143"), "{mode} {said}");
    }
}

/// Whoever sends a signal to the program alone, as `docker stop` does, means the command. The
/// terminal's keys reach both.
#[test]
fn a_signal_for_the_program_alone_reaches_the_command_on_a_terminal_too() {
    let (_server, sandbox) = logged_in();
    let script = r#"
        sleeps() {
            for child in $(cat /proc/$$/task/$$/children); do
                if [ "$(cat /proc/$child/comm)" = sleep ]; then return; fi
            done
            return 1
        }
        (until sleeps; do sleep 0.1; done; kill -$1 $$) > /dev/null 2>&1 &
        exec "$PROGRAM" exec --token-file -- /bin/sleep 30
    "#;
    std::fs::write(sandbox.home().join("alone"), script).unwrap();
    for (signal, code) in [("INT", 130), ("QUIT", 131), ("TERM", 143)] {
        let commands = format!("trap : INT QUIT; sh \"$HOME/alone\" {signal}; echo \"ended $?\"");
        let said = on_a_terminal(&sandbox, &commands, b"");
        let ended = format!("ended {code}");
        let has_ended = said.lines().any(|line| line.trim_end() == ended);
        assert!(has_ended, "{signal} {said}");
    }
    let commands = "exec /bin/bash -c 'set -m; sh \"$HOME/alone\" TSTP; echo \"stopped $?\"; \
                    bg %1; kill -TERM %1; wait %1; echo \"ended $?\"'";
    let said = on_a_terminal(&sandbox, commands, b"");
    let lines: Vec<_> = said.lines().map(str::trim_end).collect();
    let stopped = lines
        .iter()
        .any(|line| matches!(*line, "stopped 147" | "stopped 148"));
    assert!(stopped, "{said}");
    assert!(lines.contains(&"ended 143"), "{said}");
}

/// The program still waits for a refresh whose answer the server holds back.
#[test]
fn when_the_command_has_ended_signals_are_the_programs_own() {
    for ends_at_once in [false, true] {
        let (server, sandbox) = logged_in();
        server.configure(|config| config.access_token_lifetime = Duration::from_secs(3));
        assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
        let runtime = tempfile::tempdir().unwrap();
        let script = ": > \"$HOME/begun\"; while [ ! -e \"$HOME/end\" ]; do sleep 0.05; done";
        let mut command =
            sandbox.command(&["exec", "--token-file", "--", "/bin/bash", "-c", script]);
        command
            .env("XDG_RUNTIME_DIR", runtime.path())
            .env("PATH", "/usr/bin:/bin");
        let mut child = command.spawn().unwrap();
        let begun = sandbox.home().join("begun");
        wait_until("the command begins", || begun.exists());
        let hold = server.hold(Endpoint::Token, Stage::Answered);
        assert!(hold.wait_for(1, Duration::from_secs(30)), "nothing is due");
        std::fs::write(sandbox.home().join("end"), "").unwrap();
        wait_until("the command ends", || children(child.id()).is_empty());

        wait(A_WHILE);
        assert!(child.try_wait().unwrap().is_none(), "nothing is waited for");
        send("TERM", child.id());
        wait(A_WHILE);
        assert!(child.try_wait().unwrap().is_none(), "TERM did not wait");
        if ends_at_once {
            let began = Instant::now();
            send("TERM", child.id());
            assert_eq!(child.wait().unwrap().signal(), Some(15));
            // The first one alone waits for 15 s.
            assert!(began.elapsed() < Duration::from_secs(10));
            drop(hold);
            continue;
        }
        drop(hold);
        assert_eq!(child.wait().unwrap().signal(), Some(15));
        assert_eq!(std::fs::read_dir(runtime.path()).unwrap().count(), 0);
        // What the server has rotated is what is stored.
        assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
        assert_eq!(server.counts().reuse_detected, 0);
    }
}

/// A signal that came while the first token was fetched is the program's own.
#[test]
fn a_signal_before_the_command_begins_keeps_it_from_beginning() {
    for mode in ["--env=ACCESS_TOKEN", "--token-file"] {
        let (server, sandbox) = logged_in();
        server.configure(|config| config.access_token_lifetime = Duration::from_secs(2));
        assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
        wait(Duration::from_secs(2));
        let hold = server.hold(Endpoint::Token, Stage::Answered);
        let begun = sandbox.home().join("begun");
        let mut command = sandbox.command(&["exec", mode, "--", "/usr/bin/touch"]);
        let mut child = command.arg(&begun).spawn().unwrap();
        assert!(hold.wait_for(1, Duration::from_secs(30)), "nothing is due");
        send("TERM", child.id());
        wait(A_WHILE);
        drop(hold);
        assert_eq!(child.wait().unwrap().signal(), Some(15), "{mode}");
        assert!(!begun.exists(), "{mode}");
        assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
        assert_eq!(server.counts().reuse_detected, 0);
    }
}

/// As with `nohup`: what is ignored when the program starts stays so.
#[test]
fn a_signal_that_was_ignored_stays_ignored_for_the_command() {
    let (_server, sandbox) = logged_in();
    let script = "trap '' HUP INT; exec \"$@\"";
    for mode in ["--env=ACCESS_TOKEN", "--token-file"] {
        let ours = sandbox.command(&[]);
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script, "sh"])
            .arg(ours.get_program())
            .args([
                "exec",
                mode,
                "--",
                "/bin/sh",
                "-c",
                "echo $$ >&2; kill -HUP $$; echo alive",
            ])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for (name, value) in ours.get_envs() {
            command.env(name, value.unwrap());
        }
        let output = Running::start(command).finish();
        assert_eq!(output.stdout, "alive\n", "{mode} {output:?}");
    }
}

#[test]
fn limits_of_the_program_do_not_reach_the_command() {
    let (_server, sandbox) = logged_in();
    let limit = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["/bin/sh", "-c", "ulimit -Hc; ulimit -Sc"]);
        vault_cli(&sandbox, &all).stdout
    };
    let outside = Command::new("/bin/sh")
        .args(["-c", "ulimit -Hc; ulimit -Sc"])
        .output()
        .unwrap();
    let outside = String::from_utf8(outside.stdout).unwrap();
    assert_eq!(limit(&["exec", "--"]), outside);
    assert_eq!(limit(&["exec", "--token-file", "--"]), outside);
}

/// Until the program has become, or started, what sleeps.
fn wait_until_it_sleeps(process: u32) {
    let sleeps = |process: u32| {
        let line = std::fs::read(format!("/proc/{process}/cmdline"));
        line.is_ok_and(|line| line.starts_with(b"/bin/sleep\0"))
    };
    // The command is there; that it is known as the one to tell is a matter of
    // no time.
    wait_until("something sleeps", || {
        sleeps(process) || children(process).into_iter().any(sleeps)
    });
}

/// What the program's first thread has started and not waited for yet.
fn children(process: u32) -> Vec<u32> {
    let children = format!("/proc/{process}/task/{process}/children");
    let children = std::fs::read_to_string(children).unwrap_or_default();
    let ids = children.split_whitespace();
    ids.filter_map(|id| id.parse().ok()).collect()
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        wait(Duration::from_millis(50));
    }
    panic!("never came: {what}");
}
