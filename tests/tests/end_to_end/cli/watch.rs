//! `watch` on a terminal, while other processes work with the same login.

use std::process::Command;
use std::time::{Duration, Instant};

use vault_tests::server::{AuthorizationServer, Endpoint, Fault, ServerConfig};

use crate::screen::Terminal;
use crate::support::{Sandbox, vault_cli};

const WATCH: &str = "\"$PROGRAM\" watch; echo \"ended $?\"; stty -a; sleep 60";

/// A terminal that was given back: the shell's screen, with cursor and echo.
#[track_caller]
fn assert_given_back(terminal: &Terminal) {
    // The last word of `stty -a`, which writes line by line.
    terminal.wait_for("-extproc");
    let (alternate, hidden) =
        terminal.look(|screen| (screen.alternate_screen(), screen.hide_cursor()));
    let text = terminal.text();
    assert!(!alternate && !hidden, "{text}");
    let has = |mode: &str| text.split([' ', ';', '\n']).any(|word| word == mode);
    assert!(has("echo") && has("icanon") && has("isig"), "{text}");
}

#[test]
#[expect(clippy::print_stdout, reason = "a figure for who runs it")]
fn a_refresh_made_by_another_process_is_seen_within_a_second() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    sandbox.log_in(&server, "work");
    let terminal = Terminal::start(&sandbox, 24, 110, WATCH);
    terminal.wait_for("logged in by process");
    assert!(!terminal.text().contains("refreshed by process"));
    let refreshed = vault_cli(&sandbox, &["--profile", "work", "refresh", "--force"]);
    let began = Instant::now();
    assert!(refreshed.status.success(), "{refreshed:?}");
    terminal.wait_for("refreshed by process");
    let took = began.elapsed();
    println!("seen after {} ms", took.as_millis());
    // Four looks a second; the rest is for a machine that has much to do.
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn an_adoption_and_a_failure_of_other_processes_are_seen() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let terminal = Terminal::start(&sandbox, 24, 110, WATCH);
    terminal.wait_for("logged in by process");
    assert!(vault_cli(&sandbox, &["token"]).status.success());
    terminal.wait_for("took the token over");
    server.fail_always(Endpoint::Token, Fault::unavailable(1));
    let failed = vault_cli(&sandbox, &["refresh", "--force"]);
    assert_eq!(failed.code(), Some(5), "{failed:?}");
    terminal.wait_for("refresh failed: server unavailable");
}

#[test]
fn keys_refresh_inspect_and_log_out_and_leave_the_terminal_as_it_was() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let mut terminal = Terminal::start(&sandbox, 24, 110, WATCH);
    terminal.wait_for("logged in by process");
    terminal.types("?");
    terminal.wait_for("LIFE is what is left");
    terminal.types("q\r");
    terminal.wait_for("client id");
    terminal.types("q");
    terminal.types("r");
    terminal.wait_for("default: refreshed");
    terminal.types("ln");
    terminal.types("l");
    terminal.wait_for("Log out of default, for all processes?");
    terminal.types("y");
    terminal.wait_for("default: logged out, and the refresh token is revoked");
    terminal.types("q");
    terminal.wait_for("ended 0");
    assert_given_back(&terminal);
}

#[test]
fn the_terminal_is_given_back_at_an_interrupt_and_at_a_signal() {
    let sandbox = Sandbox::new();
    let mut terminal = Terminal::start(&sandbox, 24, 110, WATCH);
    terminal.wait_for("no profiles yet");
    terminal.types("\x03");
    terminal.wait_for("ended 0");
    assert_given_back(&terminal);
    for (signal, code) in [("TERM", 143), ("HUP", 129), ("INT", 130)] {
        let commands = "trap : INT HUP; sh -c 'echo $$ > \"$HOME/pid\"; exec \"$PROGRAM\" watch'; \
                        echo \"ended $?\"; stty -a; sleep 60";
        let terminal = Terminal::start(&sandbox, 24, 110, commands);
        terminal.wait_for("no profiles yet");
        let process = std::fs::read_to_string(sandbox.home().join("pid")).unwrap();
        let sent = Command::new("kill")
            .args(["-s", signal, process.trim()])
            .status();
        assert!(sent.unwrap().success());
        terminal.wait_for(&format!("ended {code}"));
        assert_given_back(&terminal);
    }
}

#[test]
fn a_terminal_that_is_made_smaller_is_drawn_anew() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let commands = "tty > \"$HOME/tty\"; exec \"$PROGRAM\" watch";
    let mut terminal = Terminal::start(&sandbox, 24, 110, commands);
    terminal.wait_for("logged in by process");
    assert!(terminal.text().contains("ACCOUNT"));
    let device = std::fs::read_to_string(sandbox.home().join("tty")).unwrap();
    terminal.resize(device.trim(), 12, 44);
    terminal.wait_until("narrower list", |shown| {
        !shown.contains("ACCOUNT") && shown.contains("PROFILE") && shown.contains("? help")
    });
    terminal.types("q");
    terminal.finish();
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let written = |before: &str| {
        let commands = format!("{before} \"$PROGRAM\" watch");
        let mut terminal = Terminal::start(&sandbox, 24, 110, &commands);
        terminal.wait_for("logged in by process");
        terminal.types("q");
        terminal.finish()
    };
    let coloured = |written: &str| written.contains("\x1b[38;5;") || written.contains("\x1b[32m");
    assert!(coloured(&written("")));
    assert!(!coloured(&written("NO_COLOR=1")));
}

#[test]
fn every_applications_profiles_are_watched_and_worked_on_where_all_are_meant() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let other = sandbox.log_in_with(&server, &["--app", "com.example.app"]);
    assert!(other.status.success(), "{other:?}");
    let commands = "exec \"$PROGRAM\" --app '*' watch";
    let mut terminal = Terminal::start(&sandbox, 24, 110, commands);
    terminal.wait_for("> com.example.app/default");
    terminal.wait_for("vault-cli/default");
    terminal.types("r");
    terminal.wait_for("com.example.app/default: refreshed");
    terminal.types("q");
    terminal.finish();
    let other = vault_cli(&sandbox, &["--app", "com.example.app", "status", "--json"]);
    assert_eq!(other.json()["generation"], 2);
}

#[test]
fn without_a_terminal_it_says_what_a_script_uses() {
    let sandbox = Sandbox::new();
    let refused = vault_cli(&sandbox, &["watch"]);
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("history --json"), "{refused:?}");
    let refused = vault_cli(&sandbox, &["watch", "--json"]);
    assert_eq!(refused.json()["error"]["code"], "no_terminal");
}

/// Run by hand, after a change of what the screen shows.
#[test]
#[ignore = "draws docs/watch.svg anew"]
fn the_picture_in_docs_is_drawn() {
    let server = AuthorizationServer::start(ServerConfig {
        access_token_lifetime: Duration::from_secs(600),
        ..ServerConfig::default()
    });
    let sandbox = Sandbox::new();
    for profile in ["default", "staging", "work", "lab"] {
        sandbox.log_in(&server, profile);
    }
    let terminal = Terminal::start(&sandbox, 18, 112, WATCH);
    terminal.wait_for("logged in by process");
    let run = |profile, arguments: &[&str]| {
        vault_cli(&sandbox, &[&["--profile", profile], arguments].concat())
    };
    assert!(run("work", &["refresh", "--force"]).status.success());
    terminal.wait_for("refreshed by process");
    assert!(run("work", &["token"]).status.success());
    terminal.wait_for("took the token over");
    assert!(run("lab", &["logout"]).status.success());
    terminal.wait_for("logged out by process");
    server.fail_always(Endpoint::Token, Fault::unavailable(1));
    assert_eq!(run("staging", &["refresh", "--force"]).code(), Some(5));
    terminal.wait_for("refresh failed");
    let svg = terminal.look(crate::picture::svg);
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/watch.svg");
    std::fs::write(place, svg).unwrap();
}
