//! Callers that give up. In the middle of a refresh: it is finished without
//! them, and its token is there for the next. While a person is waited for: the
//! login is over. When the person has logged in: it is finished, too.

use std::net::TcpStream;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use url::Url;
use vault_core::login::{DeviceAuthorization, Flow, LoginInteraction, LoginRequest};
use vault_core::refresh::policy::RotationPolicy;
use vault_core::{Error, ErrorKind};
use vault_tests::server::{DEFAULT_CLIENT_ID, Endpoint, ServerConfig, Stage, browser};

use crate::scene::{LONG, Scene};

/// A strict server and tokens that live long enough for a test.
fn scene() -> Scene {
    Scene::logged_in(ServerConfig::default(), RotationPolicy::strict())
}

/// The refresh that a caller left is committed: the next caller finds its token.
fn is_finished_without_its_caller(scene: &Scene) {
    let session = scene
        .vault(RotationPolicy::strict())
        .session("default")
        .unwrap();
    session.blocking().access_token().unwrap();
    let counts = scene.server.counts();
    assert_eq!((counts.refresh_requests, counts.reuse_detected), (1, 0));
}

#[test]
fn a_future_that_is_dropped_does_not_tear_the_refresh_apart() {
    let scene = scene();
    let session = scene
        .vault(RotationPolicy::strict())
        .session("default")
        .unwrap();
    let hold = scene.server.hold(Endpoint::Token, Stage::Answered);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let asking = session.access_token();
        let given_up = tokio::time::timeout(Duration::from_millis(300), asking).await;
        assert!(given_up.is_err(), "the answer is held back");
    });
    assert!(hold.wait_for(1, LONG), "the server has rotated");
    drop(hold);
    is_finished_without_its_caller(&scene);
}

#[test]
fn who_waits_in_vain_for_the_own_process_is_told_so() {
    let scene = scene();
    let builder = scene.builder(RotationPolicy::strict());
    let vault = builder.lock_timeout(Duration::from_millis(200)).open();
    let session = vault.unwrap().session("default").unwrap();
    let hold = scene.server.hold(Endpoint::Token, Stage::Answered);
    let error = session.blocking().access_token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LockTimeout, "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("this process's own refresh"), "{text}");
    drop(hold);
    is_finished_without_its_caller(&scene);
}

#[test]
fn a_runtime_that_shuts_down_does_not_tear_the_refresh_apart() {
    let scene = scene();
    let session = scene
        .vault(RotationPolicy::strict())
        .session("default")
        .unwrap();
    let hold = scene.server.hold(Endpoint::Token, Stage::Answered);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    for _ in 0..4 {
        let session = session.clone();
        runtime.spawn(async move { session.access_token().await });
    }
    assert!(hold.wait_for(1, LONG), "the server has rotated");
    runtime.shutdown_background();
    drop((session, hold));
    is_finished_without_its_caller(&scene);
}

#[test]
fn a_caller_whose_deadline_passes_goes_and_the_refresh_goes_on() {
    let scene = scene();
    let impatient = scene
        .builder(RotationPolicy::strict())
        .lock_timeout(Duration::from_millis(200))
        .open()
        .unwrap()
        .session("default")
        .unwrap();
    let hold = scene.server.hold(Endpoint::Token, Stage::Answered);
    let error = impatient.blocking().access_token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LockTimeout);
    assert!(hold.wait_for(1, LONG), "the server has rotated");
    drop(hold);
    is_finished_without_its_caller(&scene);
}

/// Tells which address it is to open.
struct Person(Mutex<mpsc::Sender<Url>>);

impl LoginInteraction for Person {
    fn open_url(&self, url: &Url) -> Result<(), Error> {
        self.0.lock().unwrap().send(url.clone()).unwrap();
        Ok(())
    }

    fn show_device_code(&self, _: &DeviceAuthorization) {
        panic!("the browser's flow has no code");
    }
}

#[test]
fn a_login_that_is_dropped_ends_and_another_can_be_made_at_once() {
    let scene = scene();
    let vault = scene.vault(RotationPolicy::strict());
    let session = vault.session("default").unwrap();
    let request = LoginRequest::new(scene.server.issuer(), DEFAULT_CLIENT_ID);
    let (person, opened) = mpsc::channel();
    let person = Arc::new(Person(Mutex::new(person)));
    let opened = Arc::new(Mutex::new(opened));
    let url = move || opened.lock().unwrap().recv_timeout(LONG).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let abandoned = runtime.unwrap().block_on(async {
        let next = url.clone();
        tokio::select! {
            ended = session.login(request.clone(), person.clone()) => panic!("{ended:?}"),
            url = tokio::task::spawn_blocking(next) => url.unwrap(),
        }
    });
    assert!(vault_core::exit::rest(LONG), "the login goes on");
    let (_, redirect) = abandoned
        .query_pairs()
        .find(|(name, _)| name == "redirect_uri")
        .unwrap();
    let redirect = Url::parse(&redirect).unwrap();
    let address = redirect.socket_addrs(|| None).unwrap()[0];
    assert!(TcpStream::connect(address).is_err(), "somebody listens");

    // The login before works as it did.
    session.blocking().access_token().unwrap();
    let browser = std::thread::spawn(move || browser::follow(url().as_str()));
    session.blocking().login(request, person).unwrap();
    browser.join().unwrap().unwrap();
    // The scene's own, and this one.
    assert_eq!(scene.server.counts().logins, 2);
}

/// Does at once what it is told to.
struct Obedient {
    /// Device codes, to who confirms them.
    codes: Mutex<mpsc::Sender<String>>,
    confirmed: Mutex<mpsc::Receiver<()>>,
}

impl LoginInteraction for Obedient {
    fn open_url(&self, url: &Url) -> Result<(), Error> {
        drop(browser::follow_in_background(url.as_str()));
        Ok(())
    }

    fn show_device_code(&self, code: &DeviceAuthorization) {
        let code = code.user_code.clone();
        self.codes.lock().unwrap().send(code).unwrap();
        self.confirmed.lock().unwrap().recv().unwrap();
    }
}

/// The server has given the tokens, and would have nobody who knows them.
#[test]
fn a_login_that_is_dropped_after_the_person_is_finished() {
    let scene = scene();
    let vault = scene.vault(RotationPolicy::strict());
    let session = vault.session("default").unwrap();
    let (codes, to_confirm) = mpsc::channel();
    let (confirms, confirmed) = mpsc::channel();
    let person = Arc::new(Obedient {
        codes: Mutex::new(codes),
        confirmed: Mutex::new(confirmed),
    });
    let server = &scene.server;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for code in to_confirm {
                assert!(server.approve_device(&code));
                confirms.send(()).unwrap();
            }
        });
        for flow in [Flow::Browser, Flow::Device] {
            let before = session.blocking().access_token().unwrap();
            let request = LoginRequest::new(server.issuer(), DEFAULT_CLIENT_ID).flow(flow);
            let hold = Arc::new(server.hold(Endpoint::Token, Stage::Answered));
            let held = hold.clone();
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.unwrap().block_on(async {
                tokio::select! {
                    ended = session.login(request, person.clone()) => panic!("{ended:?}"),
                    held = tokio::task::spawn_blocking(move || held.wait_for(1, LONG)) => {
                        assert!(held.unwrap(), "{flow:?}: nothing is answered");
                    }
                }
            });
            drop(hold);
            assert!(vault_core::exit::rest(LONG), "{flow:?}: it goes on");
            let now = session.blocking().access_token().unwrap();
            assert_ne!(before.expose(), now.expose(), "{flow:?}: it is not stored");
        }
        drop(person);
    });
    assert_eq!(scene.server.counts().reuse_detected, 0);
}
