//! Logins that take their time: the person over the browser, the server over
//! its answers, and another process that waits for both.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use data_encoding::BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use url::Url;
use vault_core::login::{DeviceAuthorization, LoginInteraction, LoginRequest};
use vault_core::oauth::ClientCredential;
use vault_core::platform::clock::{Clock, ManualClock, SystemClock};
use vault_core::session::TokenOptions;
use vault_core::{Error, Session};
use vault_tests::server::{
    AuthorizationServer, Client, ClientAuthentication, Endpoint, ServerConfig, Stage, browser,
};

use crate::dpop::session_by;
use crate::support::Sandbox;

/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(30);

/// Logs in after a while.
struct Person {
    clock: ManualClock,
    takes: Duration,
}

impl LoginInteraction for Person {
    fn open_url(&self, url: &Url) -> Result<(), Error> {
        self.clock.advance(self.takes);
        drop(browser::follow_in_background(url.as_str()));
        Ok(())
    }

    fn show_device_code(&self, _code: &DeviceAuthorization) {
        panic!("the browser's flow has no code");
    }
}

fn request(server: &AuthorizationServer) -> LoginRequest {
    LoginRequest::new(server.issuer(), "vault-cli")
        .scope("openid")
        .scope("offline_access")
}

fn log_in(session: &Session, request: LoginRequest, clock: &ManualClock, takes: Duration) {
    let person = Person {
        clock: clock.clone(),
        takes,
    };
    session.blocking().login(request, Arc::new(person)).unwrap();
}

#[test]
fn a_client_that_signs_is_known_however_long_the_person_takes() {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
    let authentication = ClientAuthentication::PrivateKeyJwt {
        public_key: key.public_key().as_ref().to_vec(),
        certificate: None,
    };
    let server = AuthorizationServer::start(ServerConfig {
        clients: vec![Client::confidential("vault-cli", authentication)],
        ..ServerConfig::default()
    });
    let body = BASE64.encode(pkcs8.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    let credential = ClientCredential::private_key(&pem.into(), None).unwrap();

    // Twice as long as an assertion is good for. The server judges by the
    // machine's clock, which this one shows when the person is done.
    let takes = Duration::from_secs(120);
    let clock = ManualClock::new();
    clock.set_wall(SystemClock.now().wall - takes);
    let sandbox = Sandbox::new();
    let session = session_by(&sandbox, Arc::new(clock.clone()));
    let request = request(&server).credential(credential);
    log_in(&session, request, &clock, takes);
    assert_eq!(server.counts().requests.token, 1);
    assert_eq!(server.living_logins(), 1);
}

#[test]
fn the_first_token_is_as_old_as_its_request() {
    // The server takes so long over what follows the token request.
    let takes = Duration::from_secs(15);
    for endpoint in [Endpoint::Keys, Endpoint::UserInfo] {
        let server = AuthorizationServer::start(ServerConfig {
            access_token_lifetime: Duration::from_secs(300),
            ..ServerConfig::default()
        });
        let clock = ManualClock::new();
        let sandbox = Sandbox::new();
        let session = session_by(&sandbox, Arc::new(clock.clone()));
        let hold = server.hold(endpoint, Stage::Arrived);
        std::thread::scope(|scope| {
            scope.spawn(|| log_in(&session, request(&server), &clock, Duration::ZERO));
            assert!(hold.wait_for(1, LONG), "{endpoint:?} is not asked");
            clock.advance(takes);
            drop(hold);
        });
        let token = session.blocking().token(&TokenOptions::default()).unwrap();
        assert!(!token.refreshed, "{endpoint:?}");
        let left = Duration::from_secs(300) - takes;
        assert_eq!(token.expires_in, Some(left), "{endpoint:?}");
    }
}

/// Logs in at once, and tells what is waited for.
struct Waiter {
    waits_for: mpsc::Sender<String>,
    opened: AtomicBool,
}

impl LoginInteraction for Waiter {
    fn open_url(&self, url: &Url) -> Result<(), Error> {
        self.opened.store(true, Ordering::SeqCst);
        drop(browser::follow_in_background(url.as_str()));
        Ok(())
    }

    fn show_device_code(&self, _code: &DeviceAuthorization) {
        panic!("the browser's flow has no code");
    }

    fn waiting(&self, what: &str) {
        self.waits_for.send(what.to_owned()).unwrap();
    }
}

#[test]
fn a_login_serves_who_waited_for_it_and_asked_for_no_more() {
    const API: &str = "https://api.example/";
    const OTHER_API: &str = "https://other.example/";
    for (scope, resource, max_age, shared) in [
        ("openid offline_access", None, None, true),
        ("read", Some(API), None, true),
        ("", None, None, true),
        ("read write", None, None, false),
        ("read", Some(OTHER_API), None, false),
        ("read", None, Some(LONG), false),
    ] {
        let case = format!("{scope} {resource:?} {max_age:?}");
        let server = AuthorizationServer::start(ServerConfig::default());
        let sandbox = Sandbox::new();
        let session = || session_by(&sandbox, Arc::new(SystemClock));
        let sessions = [session(), session()];
        let first = request(&server).scope("read").resource(url(API));
        let mut second = LoginRequest::new(server.issuer(), "vault-cli").scope(scope);
        if let Some(resource) = resource {
            second = second.resource(url(resource));
        }
        if let Some(age) = max_age {
            second = second.max_age(age);
        }
        let (waits_for, told) = mpsc::channel();
        let waiter = Arc::new(Waiter {
            waits_for,
            opened: AtomicBool::default(),
        });
        let hold = server.hold(Endpoint::Token, Stage::Arrived);
        let report = std::thread::scope(|threads| {
            let clock = ManualClock::new();
            let [one, other] = &sessions;
            threads.spawn(move || log_in(one, first, &clock, Duration::ZERO));
            assert!(hold.wait_for(1, LONG), "{case}");
            let login = other.blocking();
            let asking = waiter.clone();
            let waiting = threads.spawn(move || login.login(second, asking));
            let waits_for = told.recv_timeout(LONG).unwrap();
            assert_eq!(waits_for, "another process is logging in", "{case}");
            drop(hold);
            waiting.join().unwrap().unwrap()
        });
        assert_eq!(report.shared, shared, "{case}");
        assert_eq!(waiter.opened.load(Ordering::SeqCst), !shared, "{case}");
        let logins = if shared { 1 } else { 2 };
        assert_eq!(server.counts().logins, logins, "{case}");
        let stored = session().blocking().inspect().unwrap().scope;
        let expected = if shared {
            "openid offline_access read"
        } else {
            scope
        };
        assert_eq!(stored.join(" "), expected, "{case}");
    }
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

/// Asks somebody else, as an application asks its window, and is answered.
struct Window;

impl LoginInteraction for Window {
    fn open_url(&self, url: &Url) -> Result<(), Error> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        drop(browser::follow_in_background(url.as_str()));
        let window = tokio::runtime::Builder::new_current_thread().build();
        window.unwrap().block_on(async { answer.send(()).unwrap() });
        answered.blocking_recv().unwrap();
        Ok(())
    }

    fn show_device_code(&self, _code: &DeviceAuthorization) {
        panic!("the browser's flow has no code");
    }

    fn waiting(&self, _what: &str) {
        panic!("nobody looks");
    }
}

#[test]
fn an_interaction_may_block_and_drive_a_runtime_of_its_own() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    let session = session_by(&sandbox, Arc::new(SystemClock));
    let made = session.blocking().login(request(&server), Arc::new(Window));
    assert!(made.is_ok(), "{made:?}");
}
