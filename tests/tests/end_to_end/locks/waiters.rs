//! Who waits for the lock, and who asks for it twice.

use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

use vault_core::Session;
use vault_core::login::{DeviceAuthorization, LoginInteraction, LoginRequest};
use vault_core::refresh::policy::RotationPolicy;
use vault_core::session::TokenOptions;
use vault_tests::server::{
    DEFAULT_CLIENT_ID, Endpoint, Fault, ServerConfig, Stage, browser, fingerprint,
};

use crate::scene::{LIFETIME, LONG, Scene, now, pause, tell};

#[test]
fn a_hundred_waiters_end_with_the_failure_of_one_holder() {
    let scene = Scene::strict();
    let mut fleet = scene.fleet(5, 21);
    // However slow this machine is, nobody comes after the back-off.
    let back_off = 3;
    let failure = Fault::unavailable(back_off);
    scene.server.fail_next(Endpoint::Token, 1, failure);
    let hold = scene.server.hold(Endpoint::Token, Stage::Arrived);
    let began = now();
    let (calls, failed_at) = std::thread::scope(|scope| {
        let round = scope.spawn(|| fleet.round().unwrap());
        assert!(hold.wait_for(1, LONG));
        // By now all the others wait.
        pause(Duration::from_millis(500));
        let failed_at = now() - began;
        drop(hold);
        (round.join().unwrap(), failed_at)
    });
    assert_eq!(calls.len(), 105);
    for call in &calls {
        let error = call.error.as_deref().unwrap();
        assert!(error.starts_with("ServerUnavailable"), "{error}");
        assert!(!call.login_lost);
    }
    assert_eq!(scene.server.counts().refresh_requests, 1, "attempts");

    // A round begins 30 ms after it is called.
    let begins = Duration::from_millis(30);
    let ends = calls
        .iter()
        .map(|call| (begins + Duration::from_micros(call.took_us)).saturating_sub(failed_at));
    let mut ends: Vec<_> = ends.collect();
    ends.sort_unstable();
    tell(&format!(
        "{} callers in 5 processes ended after the holder's failure: median {:?}, last {:?}",
        ends.len(),
        ends[ends.len() / 2],
        ends[ends.len() - 1]
    ));
    // 100 ms on a machine that has nothing else to do.
    assert!(ends[ends.len() - 1] < Duration::from_secs(3), "{ends:?}");

    // Nothing is lost by it, and nobody is kept out for long.
    pause(Duration::from_secs(back_off));
    let calls = fleet.round().unwrap();
    assert!(calls.iter().all(|call| call.token.is_some()), "{calls:?}");
}

/// Asks in each of many ways at the same instant; the tokens' fingerprints.
fn ask_in_every_way(sessions: &[Session]) -> Vec<String> {
    const EACH: usize = 4;
    let start = Arc::new(Barrier::new(sessions.len() * 3 * EACH));
    let threads = sessions.iter().flat_map(|session| {
        let start = &start;
        (0..3 * EACH).map(move |number| {
            let (session, start) = (session.clone(), start.clone());
            std::thread::spawn(move || {
                let mut runtime = match number % 3 {
                    0 => None,
                    1 => Some(tokio::runtime::Builder::new_current_thread()),
                    _ => Some(tokio::runtime::Builder::new_multi_thread()),
                };
                let runtime = runtime
                    .as_mut()
                    .map(|builder| builder.enable_all().worker_threads(2).build().unwrap());
                start.wait();
                let token = match runtime {
                    None => session.blocking().access_token(),
                    Some(runtime) => runtime.block_on(async {
                        let twice = tokio::join!(session.access_token(), session.access_token());
                        let (one, other) = (twice.0?, twice.1?);
                        assert_eq!(one.expose(), other.expose());
                        Ok(one)
                    }),
                };
                fingerprint(token.unwrap().expose())
            })
        })
    });
    let threads: Vec<_> = threads.collect();
    let tokens = threads.into_iter().map(|thread| thread.join().unwrap());
    tokens.collect()
}

#[test]
fn one_process_may_ask_twice_and_from_many_runtimes_at_once() {
    let lifetime = 3 * LIFETIME;
    let config = ServerConfig {
        access_token_lifetime: lifetime,
        ..ServerConfig::default()
    };
    let scene = Scene::logged_in(config, RotationPolicy::strict());
    // Two vaults of one process are two programs to each other.
    let sessions = [scene.session(), scene.session()];
    for rotation in 1..=3 {
        let tokens = ask_in_every_way(&sessions);
        assert_eq!(tokens.len(), 24);
        assert!(tokens.iter().all(|token| *token == tokens[0]));
        let counts = scene.server.counts();
        assert_eq!(counts.refresh_requests, rotation);
        assert_eq!(counts.peak_concurrent_refreshes, 1);
        pause(lifetime);
    }
}

/// Asks the vault for a token in the middle of a login.
struct Asking(Session);

impl LoginInteraction for Asking {
    fn open_url(&self, url: &url::Url) -> Result<(), vault_core::Error> {
        self.0.blocking().refresh_now(&TokenOptions::default())?;
        drop(browser::follow_in_background(url.as_str()));
        Ok(())
    }

    fn show_device_code(&self, _code: &DeviceAuthorization) {}
}

#[test]
fn a_login_may_ask_for_the_token_of_the_login_before() {
    let scene = Scene::logged_in(ServerConfig::default(), RotationPolicy::strict());
    let session = scene.session();
    let (done, end) = mpsc::channel();
    let request = LoginRequest::new(scene.server.issuer(), DEFAULT_CLIENT_ID)
        .scope("offline_access")
        .timeout(Duration::from_secs(20));
    std::thread::spawn(move || {
        let asking = Arc::new(Asking(session.clone()));
        let login = session.blocking().login(request, asking);
        done.send(login.map(|_| session)).unwrap();
    });
    let session = end
        .recv_timeout(LONG)
        .expect("it waits for itself")
        .unwrap();
    session.blocking().access_token().unwrap();
    assert_eq!(scene.server.counts().logins, 2);
}
