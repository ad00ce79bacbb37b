//! Signals between the sending of a refresh token and the saving of the next.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::Duration;

use vault_tests::server::{AuthorizationServer, Endpoint, ServerConfig, Stage};

use crate::support::{Sandbox, vault_cli, wait};

/// Longer than a process takes to act on a signal.
const A_WHILE: Duration = Duration::from_millis(500);

#[test]
fn a_signal_waits_until_the_next_token_is_saved() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
        let (server, sandbox) = logged_in();
        let hold = server.hold(Endpoint::Token, Stage::Answered);
        let mut child = sandbox.command(&["refresh", "--force"]).spawn().unwrap();
        assert!(
            hold.wait_for(1, Duration::from_secs(30)),
            "nothing was sent"
        );
        send(signal, &child);
        wait(A_WHILE);
        assert!(child.try_wait().unwrap().is_none(), "{signal} did not wait");
        drop(hold);
        assert_eq!(child.wait().unwrap().signal(), Some(number));

        // What the server has rotated is what is stored.
        let forced = vault_cli(&sandbox, &["refresh", "--force"]);
        assert_eq!(forced.code(), Some(0), "{forced:?}");
        let counts = server.counts();
        assert_eq!(
            (counts.refreshes_ok, counts.reuse_detected),
            (2, 0),
            "{signal}"
        );
    }
}

#[test]
fn a_second_interrupt_does_not_wait() {
    let (server, sandbox) = logged_in();
    let hold = server.hold(Endpoint::Token, Stage::Answered);
    let mut child = sandbox.command(&["refresh", "--force"]).spawn().unwrap();
    assert!(
        hold.wait_for(1, Duration::from_secs(30)),
        "nothing was sent"
    );
    send("INT", &child);
    wait(A_WHILE);
    send("INT", &child);
    assert_eq!(child.wait().unwrap().signal(), Some(2));
}

#[test]
fn a_process_that_is_to_stop_saves_the_next_token_first() {
    let (server, sandbox) = logged_in();
    let hold = server.hold(Endpoint::Token, Stage::Answered);
    let mut child = sandbox.command(&["refresh", "--force"]).spawn().unwrap();
    assert!(
        hold.wait_for(1, Duration::from_secs(30)),
        "nothing was sent"
    );
    send("TSTP", &child);
    wait(A_WHILE);
    drop(hold);
    // Stopped or done by now, the token is saved, and the lock is free.
    let forced = vault_cli(&sandbox, &["refresh", "--force"]);
    assert_eq!(forced.code(), Some(0), "{forced:?}");
    // It may be about to stop only now, so one signal would not be enough.
    let ended = loop {
        send("CONT", &child);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        wait(A_WHILE);
    };
    assert!(ended.success());
    assert_eq!(server.counts().reuse_detected, 0);
}

fn logged_in() -> (AuthorizationServer, Sandbox) {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    (server, sandbox)
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill")
        .args([format!("-{signal}"), child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}
