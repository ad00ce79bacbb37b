//! The page of counters that all processes map, removed, replaced or cut on its own: by a tool that
//! synchronizes, a clean-up, a backup that is copied back, a full disk.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use vault_core::refresh::policy::RotationPolicy;
use vault_core::{ErrorKind, Session};
use vault_tests::server::{Endpoint, ServerConfig, Stage};

use crate::scene::{LONG, Other, Scene, pause, wait_until};

/// A little longer than a token is served from memory without a look at the page's place.
const A_SECOND: Duration = Duration::from_millis(1100);

/// What happens to the page, and how.
type Way = (&'static str, fn(&Scene));

fn logged_in() -> Scene {
    Scene::logged_in(ServerConfig::default(), RotationPolicy::strict())
}

fn page(scene: &Scene) -> PathBuf {
    scene.state().join("shared")
}

/// As a clean-up does; who has it mapped keeps the old page.
fn remove(scene: &Scene) {
    std::fs::rename(page(scene), scene.place().join("gone")).unwrap();
}

/// As a tool that synchronizes does: another file of the same bytes, by a rename.
fn replace(scene: &Scene) {
    let other = scene.place().join("other");
    std::fs::copy(page(scene), &other).unwrap();
    std::fs::rename(other, page(scene)).unwrap();
}

/// As `cp` does before it writes, and may not come to write.
fn cut(scene: &Scene) {
    let file = OpenOptions::new().write(true).open(page(scene)).unwrap();
    file.set_len(0).unwrap();
}

/// A session that serves its token from memory.
fn with_token_in_memory(scene: &Scene) -> Session {
    let session = scene.session();
    // Refreshed, then read, then remembered.
    for _ in 0..3 {
        session.blocking().access_token().unwrap();
    }
    assert_eq!(session.metrics().from_memory, 1);
    session
}

fn log_out_elsewhere(scene: &Scene) {
    scene.session().blocking().logout(true).unwrap();
}

fn assert_logged_out(session: &Session, how: &str) {
    match session.blocking().access_token() {
        Ok(_) => panic!("{how}: the token of a login that has ended"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::LoggedOut, "{how}: {error:?}");
            assert!(error.is_login_required());
        }
    }
}

/// A process goes on with the page that it has mapped; another one that logs out afterwards maps
/// and moves the new one. The first one notices that its page has another place, and looks.
#[test]
fn a_logout_is_seen_past_counters_that_were_replaced() {
    let ways: [Way; 2] = [("removed", remove), ("replaced", replace)];
    for (how, disturb) in ways {
        let scene = logged_in();
        let session = with_token_in_memory(&scene);
        disturb(&scene);
        log_out_elsewhere(&scene);
        pause(A_SECOND);
        assert_logged_out(&session, how);
    }
}

/// Who logs out makes the page whole again, within the second. It begins anew, and still does not
/// come by the version that the token in memory was read at.
#[test]
fn a_logout_is_seen_at_once_past_counters_that_were_cut() {
    let scene = logged_in();
    let session = with_token_in_memory(&scene);
    cut(&scene);
    log_out_elsewhere(&scene);
    assert_logged_out(&session, "cut");
}

/// A look at a word of a file that was cut is the end of a process (SIGBUS). One that was idle asks
/// for the length first, makes the page whole, and is told of changes again.
#[test]
fn an_idle_process_outlives_that_its_counters_are_cut() {
    let scene = logged_in();
    let mut other = scene.other();
    let token = other.ask("token");
    assert!(token.starts_with("token"), "{token}");
    for _ in 0..2 {
        assert_eq!(other.ask("token"), token, "from memory at the end");
    }
    cut(&scene);
    pause(A_SECOND);
    assert_eq!(other.ask("token"), token);
    assert_eq!(std::fs::metadata(page(&scene)).unwrap().len(), 4096);

    log_out_elsewhere(&scene);
    let answer = other.ask("token");
    assert!(answer.starts_with("error LoggedOut"), "{answer}");
}

/// The refresh token is spent when the file is cut, removed or replaced: the new one is committed
/// all the same, and the caller, who looks at the counters while it waits, is given its token.
#[test]
fn counters_that_are_cut_while_the_server_answers_cost_no_login() {
    let ways: [Way; 3] = [("cut", cut), ("removed", remove), ("replaced", replace)];
    for (how, disturb) in ways {
        let scene = logged_in();
        let mut other = scene.other();
        let hold = scene.server.hold(Endpoint::Token, Stage::Answered);
        other.order("token");
        assert!(hold.wait_for(1, LONG));
        disturb(&scene);
        // Longer than it waits between two looks.
        pause(Duration::from_millis(600));
        drop(hold);
        let token = other.answer();
        assert!(token.starts_with("token"), "{how}: {token}");
        assert_eq!(std::fs::metadata(page(&scene)).unwrap().len(), 4096);

        let refreshed = scene.session().blocking().refresh_now(&Default::default());
        assert!(refreshed.is_ok(), "{how}: {refreshed:?}");
        let counts = scene.server.counts();
        assert_eq!((counts.refreshes_ok, counts.reuse_detected), (2, 0));
        let next = other.ask("token");
        assert!(next.starts_with("token") && next != token, "{how}: {next}");
    }
}

fn is_stopped(process: &Other) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    status.rsplit_once(") ").unwrap().1.starts_with('T')
}

/// Who logs out has mapped the old page, and is held up until others read at the new one, which it
/// has never seen: it moves that one, too, so that nobody serves what was read.
#[test]
fn a_logout_past_counters_that_were_removed_under_it_is_seen_at_once() {
    let scene = logged_in();
    let mut leaver = scene.other();
    assert_eq!(leaver.ask("stop logout.before:WriteTombstone"), "done");
    leaver.order("logout");
    wait_until("it stops before it logs out", || is_stopped(&leaver));
    remove(&scene);
    let session = with_token_in_memory(&scene);

    let process = Pid::from_raw(i32::try_from(leaver.id()).unwrap()).unwrap();
    kill_process(process, Signal::CONT).unwrap();
    assert_eq!(leaver.answer(), "done");
    assert_logged_out(&session, "removed under the logout");
}
