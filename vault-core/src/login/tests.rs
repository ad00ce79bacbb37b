//! Whole logins against a server of a few lines. That a strict server agrees
//! is tested in the tests crate.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
    super::run(http, endpoints, request, client, interaction, None).await
}

/// Answers one request after the other with these bodies, and keeps what was
/// asked.
struct Server {
    base: Url,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(answers: impl IntoIterator<Item = (u16, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        let mut answers: VecDeque<_> = answers.into_iter().collect();
        std::thread::spawn(move || {
            while let Some((status, body)) = answers.pop_front() {
                let (mut stream, _) = listener.accept().unwrap();
                keep.lock().unwrap().push(read_request(&mut stream));
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
    now: Duration::ZERO,
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
    assert_eq!(logged_in.tokens.refresh_token.unwrap().expose(), "RT");
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
    assert_eq!(logged_in.tokens.refresh_token.unwrap().expose(), "RT");
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
