//! Signals between the sending of a refresh token and the saving of the next.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::time::Duration;

use vault_core::platform::folder::{FolderOptions, StateFolder};
use vault_core::platform::lock::{LockFile, LockGuard};
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

/// When the signal comes nothing is in flight: the program waits for the lock. It is given that
/// while the signal still waits for what is at work.
#[test]
fn a_refresh_that_begins_after_a_signal_is_not_sent() {
    let (server, sandbox) = logged_in();
    let lock = refresh_lock(&sandbox);
    let hold = server.hold(Endpoint::Token, Stage::Answered);
    let mut child = waiting(&sandbox);
    send("TERM", &child);
    wait(A_WHILE);
    drop(lock);
    // If it were sent, this would be long enough for it to be cut.
    wait(4 * A_WHILE);
    drop(hold);
    assert_eq!(child.wait().unwrap().signal(), Some(15));

    // Nothing was sent, or what the server has rotated is what is stored.
    let forced = vault_cli(&sandbox, &["refresh", "--force"]);
    assert_eq!(forced.code(), Some(0), "{forced:?}");
    assert_eq!(server.counts().reuse_detected, 0);
}

#[test]
fn a_process_that_was_stopped_before_its_refresh_makes_it_when_it_goes_on() {
    let (server, sandbox) = logged_in();
    let lock = refresh_lock(&sandbox);
    let mut child = waiting(&sandbox);
    send("TSTP", &child);
    wait(A_WHILE);
    drop(lock);
    assert!(continued_to_its_end(&mut child).success());
    let counts = server.counts();
    assert_eq!((counts.refreshes_ok, counts.reuse_detected), (1, 0));
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
    assert!(continued_to_its_end(&mut child).success());
    assert_eq!(server.counts().reuse_detected, 0);
}

fn logged_in() -> (AuthorizationServer, Sandbox) {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    (server, sandbox)
}

/// Takes the lock of the profile that is logged in.
fn refresh_lock(sandbox: &Sandbox) -> LockGuard {
    let folder = StateFolder::open(&sandbox.profile("default"), FolderOptions::default());
    let lock = LockFile::new(&folder.unwrap().unwrap(), "lock");
    lock.try_lock().unwrap().expect("nobody has the lock")
}

/// A refresh that waits for the lock. What it tells of its steps is read to the end, or it would
/// wait for that.
fn waiting(sandbox: &Sandbox) -> Child {
    let mut command = sandbox.command(&["-vvv", "refresh", "--force"]);
    let mut child = command.spawn().unwrap();
    let steps = BufReader::new(child.stderr.take().unwrap()).lines();
    let (told, waits) = mpsc::channel();
    std::thread::spawn(move || {
        for step in steps.map_while(Result::ok) {
            // `effect=Wait`, perhaps in colours.
            if step.ends_with("Wait") {
                told.send(()).ok();
            }
        }
    });
    waits
        .recv_timeout(Duration::from_secs(30))
        .expect("it never waited for the lock");
    child
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill")
        .args([format!("-{signal}"), child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

/// It may be about to stop only now, so one signal would not be enough.
fn continued_to_its_end(child: &mut Child) -> ExitStatus {
    loop {
        send("CONT", child);
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        wait(A_WHILE);
    }
}
