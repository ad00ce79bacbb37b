//! A process that panics, stops, forks or ends in the middle of a refresh: who comes after is
//! served, and nothing is spent twice. Kills are in [`vault_tests::kills`].

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command};
use std::time::Duration;

use vault_core::ErrorKind;
use vault_core::platform::clock::{Clock, SystemClock};
use vault_core::platform::folder::{FolderOptions, StateFolder};
use vault_core::platform::lock::LockFile;
use vault_core::refresh::policy::RotationPolicy;
use vault_tests::kills::scene::{LIFETIME, Scene};
use vault_tests::kills::worker::{self, Act, Armed, Effect, Order, Place, Report};
use vault_tests::server::{Endpoint, Fault, Rotation, Stage};

const WINDOW: Duration = Duration::from_secs(30);
const ASK: Act = Act::Token { min_valid_ms: 0 };

/// Longer than anything here may take, shorter than a lane's patience.
const LONG: Duration = Duration::from_secs(30);

fn forgiving() -> Scene {
    Scene::logged_in(Rotation::Grace(WINDOW), RotationPolicy::window(WINDOW, 1)).unwrap()
}

fn strict() -> Scene {
    Scene::logged_in(Rotation::Strict, RotationPolicy::default()).unwrap()
}

/// The vault when the login's first token has expired.
fn expired(scene: &Scene) -> Place {
    scene.place(LIFETIME + Duration::from_secs(1), false)
}

struct Worker {
    child: Child,
    reports: BufReader<ChildStdout>,
}

impl Worker {
    fn start(scene: &Scene, acts: &[Act], fault: Option<(&str, Effect)>) -> Self {
        let order = Order {
            place: expired(scene),
            acts: acts.to_vec(),
            fault: fault.map(|(point, effect)| Armed {
                point: point.to_owned(),
                nth: 1,
                effect,
            }),
            inject: Vec::new(),
        };
        let program = Command::new(env!("CARGO_BIN_EXE_kills"));
        let mut child = worker::start(program, &order).unwrap();
        let reports = BufReader::new(child.stdout.take().unwrap());
        Self { child, reports }
    }

    fn report(&mut self) -> Report {
        let mut line = String::new();
        self.reports.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, after_name) = stat.rsplit_once(") ").unwrap();
        after_name.chars().next().unwrap()
    }

    fn wait_until_stopped(&self) {
        let began = SystemClock.since_boot();
        while self.state() != 'T' {
            assert!(SystemClock.since_boot() - began < LONG, "it never stopped");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn go_on(&self) {
        let told = Command::new("sh")
            .args(["-c", &format!("kill -CONT {}", self.child.id())])
            .status();
        assert!(told.unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let began = SystemClock.since_boot();
    let done = act();
    (done, SystemClock.since_boot() - began)
}

/// Does something for each point, all at once: most of it is waiting.
fn at_each(points: &[&str], act: impl Fn(&str) + Sync) {
    std::thread::scope(|scope| {
        for point in points {
            scope.spawn(|| act(point));
        }
    });
}

#[test]
fn a_panic_in_the_refresher_is_an_error_and_the_next_call_works() {
    for point in [
        "refresh.after:Look",
        "refresh.after:TryLock",
        "refresh.after:Claim",
        "refresh.after:Prepare",
        "file.mark:fsynced",
        "refresh.after:Mark",
        "refresh.before:Send",
        "refresh.after:Send",
        "refresh.before:Commit",
        "file.sealed:renamed",
        "refresh.after:EndChange",
        "refresh.before:HandOut",
    ] {
        let scene = forgiving();
        let mut worker = Worker::start(&scene, &[ASK, ASK], Some((point, Effect::Panic)));
        let first = worker.report();
        assert_eq!(first.error.as_deref(), Some("Internal"), "{point}");
        let second = worker.report();
        assert!(second.token.is_some(), "{point}: {:?}", second.message);
        // While that process lives on, another one gets on, too. Neither has waited in vain: that
        // would have been another error.
        let other = expired(&scene).open().unwrap().blocking().access_token();
        assert!(other.is_ok(), "{point}: {other:?}");
        assert_eq!(scene.server.counts().reuse_detected, 0, "{point}");
    }
}

#[test]
fn a_panic_in_the_store_is_an_error_and_the_next_call_works() {
    let scene = strict();
    let mut worker = Worker::start(&scene, &[ASK, ASK], Some(("store:called", Effect::Panic)));
    let (first, second) = (worker.report(), worker.report());
    assert!(
        first.error.is_some() && second.token.is_some(),
        "{first:?}, {second:?}"
    );
    assert_eq!(scene.server.counts().reuse_detected, 0);
}

/// Points of a refresh after its commit.
const COMMITTED: [&str; 4] = [
    "file.sealed:renamed",
    "refresh.before:HandOut",
    "refresh.before:CopyToItem",
    "file.item:fsynced",
];

/// A holder of the lock that is stopped at `point`; what another process gets, how a logout goes,
/// and what the holder does when it goes on.
fn stopped_at(point: &str) -> (Scene, Report) {
    let scene = strict();
    let mut holder = Worker::start(&scene, &[ASK], Some((point, Effect::Stop)));
    holder.wait_until_stopped();

    let impatient = Place {
        lock_timeout_ms: 300,
        ..expired(&scene)
    };
    let session = impatient.open().unwrap();
    let (waited, took) = timed(|| session.blocking().access_token());
    assert!(took < LONG, "{point}: {took:?}");
    if let Ok(token) = waited {
        // Committed, and so served by whoever reads it.
        assert!(COMMITTED.contains(&point), "{point}");
        assert!(scene.server.is_valid_access_token(token.expose()));
    } else {
        let kind = waited.map_err(|error| error.kind());
        assert_eq!(kind.err(), Some(ErrorKind::LockTimeout), "{point}");
    }

    let (report, took) = timed(|| session.blocking().logout(false));
    assert!(report.is_ok(), "{point}: {report:?}");
    assert!(took < LONG, "{point}: {took:?}");
    assert_logged_out(&scene, point);

    holder.go_on();
    let reported = holder.report();
    assert!(holder.report().passed.len() > 3);
    holder.child.wait().unwrap();
    assert_logged_out(&scene, point);
    (scene, reported)
}

fn assert_logged_out(scene: &Scene, point: &str) {
    let asked = expired(scene).open().unwrap().blocking().access_token();
    let kind = asked.unwrap_err().kind();
    let ended = [ErrorKind::LoggedOut, ErrorKind::NotLoggedIn];
    assert!(ended.contains(&kind), "{point}: {kind:?}");
}

#[test]
fn a_logout_beats_a_stopped_holder_which_then_gets_nothing() {
    let points = [
        "refresh.before:Mark",
        "refresh.before:Send",
        "refresh.after:Send",
    ];
    at_each(&points, |point| {
        let (scene, report) = stopped_at(point);
        assert_eq!(report.token, None, "{point}");
        assert_eq!(report.error.as_deref(), Some("LoggedOut"), "{point}");
        // What came after all was given back.
        assert_eq!(scene.server.living_logins(), 0, "{point}");
    });
}

#[test]
fn a_holder_that_was_stopped_while_committing_revives_nothing() {
    let committing = ["refresh.before:Commit", "file.sealed:fsynced"];
    at_each(&[&committing[..], &COMMITTED[..]].concat(), |point| {
        let (scene, _) = stopped_at(point);
        assert_eq!(scene.server.living_logins(), 0, "{point}");
    });
}

#[test]
fn normal_exit_waits_until_the_answer_is_saved() {
    let scene = strict();
    let delay = Fault::DelayAnswer(Duration::from_millis(700));
    scene.server.fail_next(Endpoint::Token, 1, delay);
    let mut worker = Worker::start(&scene, &[Act::ExitInFlight], None);
    assert!(worker.child.wait().unwrap().success());
    let before = scene.server.counts();
    assert_eq!(before.refresh_requests, 2);
    let token = expired(&scene).open().unwrap().blocking().access_token();
    assert!(token.is_ok(), "{token:?}");
    // It was there already.
    assert_eq!(scene.server.counts().refresh_requests, 2);
}

/// Where a refresh is not sent yet.
const UNSENT: [&str; 3] = [
    "refresh.before:Prepare",
    "refresh.before:Mark",
    "refresh.before:Send",
];

/// Longer than it takes a worker to come to its end after the claim.
const HELD_UP: Effect = Effect::Pause(1500);

/// A mark that is left there costs the login.
fn unforgiving() -> Scene {
    Scene::logged_in(Rotation::Strict, RotationPolicy::strict()).unwrap()
}

#[test]
fn a_process_that_is_ending_sends_nothing_and_leaves_no_mark() {
    at_each(&UNSENT, |point| {
        let scene = unforgiving();
        let mut worker = Worker::start(&scene, &[Act::EndBeforeSend], Some((point, HELD_UP)));
        let report = worker.report();
        let error = report.error.as_deref();
        assert_eq!(error, Some("Closed"), "{point}: {:?}", report.message);
        assert_eq!(scene.server.counts().refresh_requests, 1, "{point}");
        // The process is still there.
        let token = expired(&scene).open().unwrap().blocking().access_token();
        assert!(token.is_ok(), "{point}: {token:?}");
        assert_eq!(scene.server.counts().reuse_detected, 0, "{point}");
    });
}

#[test]
fn who_waits_for_a_process_that_is_ending_refreshes_in_its_stead() {
    let scene = unforgiving();
    let place = expired(&scene);
    let folder = place.root.join(&place.application).join(worker::PROFILE);
    let folder = StateFolder::open(&folder, FolderOptions::default());
    let lock = LockFile::new(&folder.unwrap().unwrap(), "lock");
    let held_up = Some(("refresh.before:Mark", HELD_UP));
    let mut worker = Worker::start(&scene, &[Act::EndBeforeSend], held_up);
    let began = SystemClock.since_boot();
    while lock.try_lock().unwrap().is_some() {
        assert!(SystemClock.since_boot() - began < LONG, "it never began");
        std::thread::sleep(Duration::from_millis(2));
    }
    // A failure of an attempt that is counted from now on would be told to this one, too.
    let token = place.open().unwrap().blocking().access_token();
    assert!(token.is_ok(), "{token:?}");
    assert_eq!(worker.report().error.as_deref(), Some("Closed"));
    let counts = scene.server.counts();
    assert_eq!((counts.refresh_requests, counts.reuse_detected), (2, 0));
}

#[test]
fn a_normal_exit_lets_no_refresh_begin_behind_its_back() {
    at_each(&UNSENT, |point| {
        let scene = unforgiving();
        let hold = scene.server.hold(Endpoint::Token, Stage::Answered);
        let mut worker = Worker::start(&scene, &[Act::ExitBeforeSend], Some((point, HELD_UP)));
        assert!(worker.child.wait().unwrap().success(), "{point}");
        drop(hold);
        assert_eq!(scene.server.counts().refresh_requests, 1, "{point}");
        let token = expired(&scene).open().unwrap().blocking().access_token();
        assert!(token.is_ok(), "{point}: {token:?}");
        assert_eq!(scene.server.counts().reuse_detected, 0, "{point}");
    });
}

/// The child's copy of the lock is closed at the fork, and what the parent is in the middle of is
/// the parent's: the child waits for it like any other process.
#[test]
fn a_child_forked_in_the_middle_of_a_refresh_waits_for_its_parents() {
    let scene = strict();
    let delay = Fault::DelayAnswer(Duration::from_millis(700));
    scene.server.fail_next(Endpoint::Token, 1, delay);
    let mut worker = Worker::start(&scene, &[Act::ForkInFlight], None);
    let child = worker.report();
    assert!(child.token.is_some(), "{:?}", child.message);
    let parent = worker.report();
    assert_eq!(parent.error, None);
    assert!(worker.child.wait().unwrap().success());
    let counts = scene.server.counts();
    assert_eq!((counts.refresh_requests, counts.reuse_detected), (2, 0));
}

#[test]
fn a_child_that_outlives_its_parent_keeps_no_lock() {
    let scene = forgiving();
    let hold = scene.server.hold(Endpoint::Token, Stage::Answered);
    let mut worker = Worker::start(&scene, &[Act::ForkAndStay], None);
    let child = worker.report();
    assert!(hold.wait_for(1, LONG));
    worker.child.kill().unwrap();
    worker.child.wait().unwrap();
    drop(hold);
    // A lock that is kept is an error when the wait for it ends.
    let token = expired(&scene).open().unwrap().blocking().access_token();
    assert!(token.is_ok(), "{token:?}");
    assert_eq!(child.error, None);
}

#[test]
fn a_forked_child_ends_without_waiting_for_its_parents_refresh() {
    let scene = strict();
    let hold = scene.server.hold(Endpoint::Token, Stage::Arrived);
    let mut worker = Worker::start(&scene, &[Act::ForkAndExit], None);
    assert!(hold.wait_for(1, LONG));
    std::thread::sleep(Duration::from_secs(1));
    drop(hold);
    let parent = worker.report();
    assert_eq!(parent.error, None);
    assert!(parent.took_ms < 10_000, "{} ms", parent.took_ms);
}
