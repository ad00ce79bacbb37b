//! Whole logins against a server of a few lines. That a strict server agrees
//! is tested in the tests crate.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vault_platform::clock::SystemClock;

use super::*;
use crate::http::HttpOptions;

/// A login without a key.
async fn run(
    http: &Http,
    endpoints: &Endpoints,
    request: &LoginRequest,
    client: &Client<'_>,
    interaction: &dyn LoginInteraction,
) -> Result<LoggedIn, Error> {
    let (_presence, caller) = Caller::who_waits();
    let flow = Context {
        http,
        endpoints,
        request,
        client,
        interaction,
        prover: None,
        caller: &caller,
        gives_back: &|| true,
    };
    super::run(&flow).await
}

/// Answers one request after the other with these bodies, and keeps what was
/// asked.
struct Server {
    base: Url,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(answers: impl IntoIterator<Item = (u16, &'static str)>) -> Self {
        Self::meanwhile(answers, || {})
    }

    /// Does something between each request and its answer.
    fn meanwhile<T: AsRef<str> + Send + 'static>(
        answers: impl IntoIterator<Item = (u16, T)>,
        mut meanwhile: impl FnMut() + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        let mut answers: VecDeque<_> = answers.into_iter().collect();
        std::thread::spawn(move || {
            while let Some((status, body)) = answers.pop_front() {
                let (mut stream, _) = listener.accept().unwrap();
                keep.lock().unwrap().push(read_request(&mut stream));
                meanwhile();
                let body = body.as_ref();
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { base, seen }
    }

    fn endpoints(&self) -> Endpoints {
        let at = |path| Some(self.base.join(path).unwrap());
        let mut endpoints =
            Endpoints::for_token_endpoint(self.base.to_string(), at("/token").unwrap()).unwrap();
        endpoints.authorization_endpoint = at("/authorize");
        endpoints.device_authorization_endpoint = at("/device");
        endpoints
    }

    fn seen(&self, index: usize) -> String {
        self.seen.lock().unwrap()[index].clone()
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).unwrap();
        text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        let body = text.split_once("\r\n\r\n");
        if count == 0 || body.is_some_and(|(_, body)| !body.is_empty() || text.starts_with("GET")) {
            return text;
        }
    }
}

/// A person who agrees at once, and keeps what was shown.
#[derive(Default)]
struct Person {
    opened: Mutex<Vec<Url>>,
    page: Arc<Mutex<String>>,
    codes: Mutex<Vec<DeviceAuthorization>>,
    finished: Mutex<u32>,
}

impl LoginInteraction for Person {
    fn open_url(&self, url: &Url) -> Result<(), Error> {
        self.opened.lock().unwrap().push(url.clone());
        let value = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs.find(|(key, _)| key == name).unwrap().1.into_owned()
        };
        let back = Url::parse(&value("redirect_uri")).unwrap();
        let (port, state) = (back.port().unwrap(), value("state"));
        let page = Arc::clone(&self.page);
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let request = format!("GET /callback?code=CODE&state={state} HTTP/1.1\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            *page.lock().unwrap() = answer;
        });
        Ok(())
    }

    fn show_device_code(&self, code: &DeviceAuthorization) {
        self.codes.lock().unwrap().push(code.clone());
    }

    fn finished(&self) {
        *self.finished.lock().unwrap() += 1;
    }
}

const CLIENT: Client<'_> = Client {
    id: "client",
    credential: None,
    clock: &SystemClock,
};

const TOKENS: &str =
    r#"{"access_token":"AT","token_type":"Bearer","refresh_token":"RT","expires_in":300}"#;

fn http() -> Http {
    Http::new(HttpOptions::default()).unwrap()
}

fn request(flow: Flow) -> LoginRequest {
    LoginRequest::new("http://127.0.0.1", "client")
        .scope("read")
        .flow(flow)
}

#[cfg(not(feature = "openid"))]
#[tokio::test]
async fn a_login_that_nobody_can_check_is_refused_before_a_person_is_asked() {
    let server = Server::new([]);
    for flow in [Flow::Browser, Flow::Device] {
        let person = Person::default();
        let request = request(flow).scope("openid");
        let refused = run(&http(), &server.endpoints(), &request, &CLIENT, &person)
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.to_string().contains("`openid`"), "{refused}");
        assert!(person.opened.lock().unwrap().is_empty());
    }
    assert!(server.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_browser_login_ends_with_tokens_and_a_page_that_says_so() {
    let server = Server::new([(200, TOKENS)]);
    let person = Person::default();
    let logged_in = run(
        &http(),
        &server.endpoints(),
        &request(Flow::Browser),
        &CLIENT,
        &person,
    )
    .await
    .unwrap();
    assert_eq!(logged_in.tokens.access_token.expose(), "AT");
    assert_eq!(logged_in.refresh_token.expose(), "RT");
    let seen = server.seen(0);
    assert!(
        seen.contains(
            "grant_type=authorization_code&code=CODE&redirect_uri=http%3A%2F%2F127.0.0.1%3A"
        ),
        "{seen}"
    );
    assert!(seen.contains("&code_verifier="), "{seen}");
    assert_eq!(*person.finished.lock().unwrap(), 1);
    while person.page.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(person.page.lock().unwrap().contains("Login finished"));
}

#[tokio::test]
async fn a_browser_login_whose_code_is_refused_says_so_in_the_browser_too() {
    let server = Server::new([(400, r#"{"error":"invalid_grant","error_description":"no"}"#)]);
    let person = Person::default();
    let error = run(
        &http(),
        &server.endpoints(),
        &request(Flow::Browser),
        &CLIENT,
        &person,
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestRefused);
    assert_eq!(
        error.to_string(),
        "127.0.0.1 refused the login: invalid_grant (no)"
    );
    while person.page.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(person.page.lock().unwrap().contains("invalid_grant (no)"));
}

#[tokio::test]
async fn a_login_without_a_refresh_token_fails_and_the_browser_says_so() {
    let tokens = r#"{"access_token":"AT","token_type":"Bearer","expires_in":300}"#;
    let server = Server::new([(200, tokens), (200, "")]);
    let mut endpoints = server.endpoints();
    endpoints.revocation_endpoint = Some(server.base.join("/revoke").unwrap());
    let person = Person::default();
    let request = request(Flow::Browser);
    let error = run(&http(), &endpoints, &request, &CLIENT, &person)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotOffered);
    let revocation = server.seen(1);
    assert!(revocation.starts_with("POST /revoke "), "{revocation}");
    assert!(
        revocation.ends_with("&token=AT&token_type_hint=access_token"),
        "{revocation}"
    );
    while person.page.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let page = person.page.lock().unwrap();
    assert!(page.contains("Login failed"), "{page}");
    assert!(page.contains("offline_access"), "{page}");
}

#[tokio::test]
async fn a_device_login_shows_the_code_and_asks_until_there_are_tokens() {
    let server = Server::new([
        (
            200,
            r#"{"device_code":"DC","user_code":"UC","interval":0,
                "verification_uri":"https://login.example/device"}"#,
        ),
        (400, r#"{"error":"authorization_pending"}"#),
        (200, TOKENS),
    ]);
    let person = Person::default();
    let logged_in = run(
        &http(),
        &server.endpoints(),
        &request(Flow::Device),
        &CLIENT,
        &person,
    )
    .await
    .unwrap();
    assert_eq!(logged_in.refresh_token.expose(), "RT");
    assert_eq!(person.codes.lock().unwrap()[0].user_code, "UC");
    assert!(server.seen(0).ends_with("client_id=client&scope=read"));
    assert!(
        server.seen(2).contains("device_code&device_code=DC"),
        "{}",
        server.seen(2)
    );
}

#[tokio::test]
async fn a_denied_and_an_expired_device_code_have_their_own_errors() {
    for (code, kind) in [
        (r#"{"error":"access_denied"}"#, ErrorKind::AccessDenied),
        (
            r#"{"error":"authorization_declined"}"#,
            ErrorKind::AccessDenied,
        ),
        (r#"{"error":"expired_token"}"#, ErrorKind::LoginExpired),
    ] {
        let server = Server::new([
            (
                200,
                r#"{"device_code":"DC","user_code":"UC","interval":0,
                    "verification_uri":"https://login.example/device"}"#,
            ),
            (400, code),
        ]);
        let endpoints = server.endpoints();
        let person = Person::default();
        let failed = run(
            &http(),
            &endpoints,
            &request(Flow::Device),
            &CLIENT,
            &person,
        )
        .await;
        assert_eq!(failed.unwrap_err().kind(), kind, "{code}");
    }
}

#[tokio::test]
async fn what_a_server_does_not_offer_is_not_tried() {
    let server = Server::new([]);
    let mut endpoints = server.endpoints();
    endpoints.authorization_endpoint = None;
    endpoints.device_authorization_endpoint = None;
    let mut plain_only = server.endpoints();
    plain_only.lacks_pkce_s256 = true;
    for (endpoints, flow) in [
        (&endpoints, Flow::Browser),
        (&endpoints, Flow::Device),
        (&plain_only, Flow::Browser),
    ] {
        let person = Person::default();
        let failed = run(&http(), endpoints, &request(flow), &CLIENT, &person).await;
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::NotOffered);
        assert!(person.opened.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn nobody_who_logs_in_is_told_after_the_time_given() {
    struct Nobody;
    impl LoginInteraction for Nobody {
        fn open_url(&self, _: &Url) -> Result<(), Error> {
            Ok(())
        }
        fn show_device_code(&self, _: &DeviceAuthorization) {}
    }
    let server = Server::new([]);
    let request = request(Flow::Browser).timeout(Duration::from_millis(50));
    let failed = run(&http(), &server.endpoints(), &request, &CLIENT, &Nobody).await;
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::LoginExpired);
}

#[tokio::test]
async fn a_login_can_run_on_any_thread_and_be_dropped() {
    fn sendable<T: Send>(future: T) -> T {
        future
    }
    let server = Server::new([]);
    let (http, endpoints, person) = (http(), server.endpoints(), Person::default());
    let request = request(Flow::Browser);
    drop(sendable(run(&http, &endpoints, &request, &CLIENT, &person)));
    assert_eq!(*person.finished.lock().unwrap(), 0, "it never began");
}

mod without_an_answer {
    use super::*;
    use crate::oauth::token_endpoint::{Grant, request_tokens};
    use crate::token::RefreshToken;

    async fn refresh(endpoints: &Endpoints) -> Answer {
        let token = RefreshToken::new("canary".to_owned().into());
        let grant = Grant::RefreshToken {
            refresh_token: &token,
            scope: &[],
            resource: &[],
            audience: None,
        };
        request_tokens(&http(), endpoints, &CLIENT, grant, None).await
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unavailable() {
        let server = Server::new([]);
        // Its thread ends at once, and the port is closed with it.
        let answer = loop {
            match refresh(&server.endpoints()).await {
                Answer::Unknown { .. } => {}
                other => break other,
            }
        };
        assert!(matches!(answer, Answer::Unreached { .. }), "{answer:?}");
    }

    #[tokio::test]
    async fn a_server_that_dies_over_the_request_leaves_it_unknown() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let endpoints =
            Endpoints::for_token_endpoint("x".to_owned(), Url::parse(&url).unwrap()).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            read_request(&mut stream);
        });
        let answer = refresh(&endpoints).await;
        assert!(
            matches!(answer, Answer::Unknown { status: None, .. }),
            "{answer:?}"
        );
        assert!(!format!("{answer:?}").contains("canary"));
    }
}

/// Clocks that go on while a login is made. The server tells no time of its own.
mod that_takes_its_time {
    use data_encoding::BASE64URL_NOPAD;
    use serde_json::Value;
    use url::form_urlencoded;
    use vault_platform::clock::{Clock, ManualClock};

    use super::*;
    use crate::oauth::ClientCredential;

    const KEY: &str = include_str!("../oauth/client/test-rsa.pem");

    /// How long the person takes: an assertion is good for half of it.
    const PERSON: Duration = Duration::from_secs(120);

    /// How long the server takes for each answer.
    const ANSWER: Duration = Duration::from_secs(15);

    const CODE: &str = r#"{"device_code":"DC","user_code":"UC","interval":0,
        "verification_uri":"https://login.example/device"}"#;

    /// Agrees after a while.
    struct Slow {
        person: Person,
        clock: ManualClock,
    }

    impl LoginInteraction for Slow {
        fn open_url(&self, url: &Url) -> Result<(), Error> {
            self.clock.advance(PERSON);
            self.person.open_url(url)
        }

        fn show_device_code(&self, code: &DeviceAuthorization) {
            self.clock.advance(PERSON);
            self.person.show_device_code(code);
        }
    }

    /// A login by this clock, and when each request came.
    async fn log_in<T: AsRef<str> + Send + 'static>(
        request: &LoginRequest,
        answers: impl IntoIterator<Item = (u16, T)>,
        change: impl FnOnce(&mut Endpoints),
    ) -> (LoggedIn, Server, Vec<Now>) {
        let clock = ManualClock::new();
        let came = Arc::new(Mutex::new(Vec::new()));
        let (keep, watch) = (Arc::clone(&came), clock.clone());
        let server = Server::meanwhile(answers, move || {
            keep.lock().unwrap().push(watch.now());
            watch.advance(ANSWER);
        });
        let mut endpoints = server.endpoints();
        change(&mut endpoints);
        let key = ClientCredential::private_key(&KEY.to_owned().into(), None).unwrap();
        let client = Client {
            credential: Some(&key),
            clock: &clock,
            ..CLIENT
        };
        let slow = Slow {
            person: Person::default(),
            clock: clock.clone(),
        };
        let logged_in = run(&http(), &endpoints, request, &client, &slow)
            .await
            .unwrap();
        let came = came.lock().unwrap().clone();
        (logged_in, server, came)
    }

    /// The claims of a request's assertion.
    fn asserted(request: &str) -> Value {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let (_, assertion) = form_urlencoded::parse(body.as_bytes())
            .find(|(name, _)| name == "client_assertion")
            .unwrap();
        let claims = assertion.split('.').nth(1).unwrap();
        serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn each_request_is_signed_when_it_is_made() {
        let pending = (400, r#"{"error":"authorization_pending"}"#);
        let browser = vec![(200, TOKENS)];
        let device = vec![(200, CODE), pending, pending, (200, TOKENS)];
        for (flow, answers) in [(Flow::Browser, browser), (Flow::Device, device)] {
            let requests = answers.len();
            let (logged_in, server, came) = log_in(&request(flow), answers, |_| {}).await;
            assert_eq!(came.len(), requests);
            for (index, came) in came.iter().enumerate() {
                let (claims, now) = (asserted(&server.seen(index)), came.wall.as_secs());
                assert_eq!(claims["iat"], now, "{flow:?}, request {index}");
                assert_eq!(claims["exp"], now + 60, "{flow:?}, request {index}");
            }
            // Of a device code's polls, the last one is what the tokens came for.
            let last = *came.last().unwrap();
            assert_eq!(logged_in.sent, last, "{flow:?}");
            assert_eq!(logged_in.answered.since_boot, last.since_boot + ANSWER);
        }
    }

    #[cfg(feature = "openid")]
    #[tokio::test]
    async fn an_id_token_is_judged_by_the_time_at_which_it_came() {
        use ring::rand::SystemRandom;
        use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
        use serde_json::json;

        const ISSUER: &str = "https://login.example";
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let signer = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let point = signer.public_key().as_ref();
        let keys = json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k1",
            "x": BASE64URL_NOPAD.encode(&point[1..33]),
            "y": BASE64URL_NOPAD.encode(&point[33..65]),
        }]});
        // The server has it made while the token request waits for its answer.
        let issued = ManualClock::new().now().wall + ANSWER + PERSON + ANSWER;
        let encode = |part: Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
        let message = format!(
            "{}.{}",
            encode(json!({ "alg": "ES256", "typ": "JWT", "kid": "k1" })),
            encode(json!({
                "iss": ISSUER, "sub": "u1", "aud": "client",
                "iat": issued.as_secs(), "exp": issued.as_secs() + 300,
            })),
        );
        let signature = signer.sign(&random, message.as_bytes()).unwrap();
        let signature = BASE64URL_NOPAD.encode(signature.as_ref());
        let mut tokens: Value = serde_json::from_str(TOKENS).unwrap();
        tokens["id_token"] = json!(format!("{message}.{signature}"));

        let answers = [CODE.to_owned(), tokens.to_string(), keys.to_string()];
        let request = request(Flow::Device).scope("openid");
        let (logged_in, _, came) = log_in(&request, answers.map(|body| (200, body)), |endpoints| {
            endpoints.issuer = ISSUER.to_owned();
            endpoints.jwks_uri = Some(endpoints.token_endpoint.join("/jwks").unwrap());
            endpoints.id_token_signing_algs = Some(vec!["ES256".to_owned()]);
        })
        .await;
        assert_eq!(logged_in.claims.unwrap().sub.as_deref(), Some("u1"));
        // The keys were asked for afterwards, and took their time.
        assert_eq!(came.len(), 3);
        assert_eq!(logged_in.sent, came[1]);
        assert_eq!(logged_in.answered, came[2]);
    }
}
