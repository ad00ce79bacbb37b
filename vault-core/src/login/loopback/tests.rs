use super::*;
use tokio::task::JoinHandle;

type Outcome = Result<(SecretString, WaitingBrowser), Error>;

fn request() -> LoginRequest {
    LoginRequest::new("https://login.example", "c")
}

async fn listen() -> (Url, JoinHandle<Outcome>) {
    listen_at(&request()).await
}

async fn listen_at(request: &LoginRequest) -> (Url, JoinHandle<Outcome>) {
    wait(Listener::bind(request).await.unwrap())
}

/// Where neither a doubtful redirect alone nor a slow one ends anything, however
/// slow the machine is.
async fn listen_patiently() -> (Url, JoinHandle<Outcome>) {
    let mut listener = Listener::bind(&request()).await.unwrap();
    listener.grace = Duration::from_secs(600);
    listener.head_time = Duration::from_secs(600);
    wait(listener)
}

fn wait(listener: Listener) -> (Url, JoinHandle<Outcome>) {
    let url = listener.redirect_uri().clone();
    let waiting = tokio::spawn(async move {
        let expected = Expected {
            state: "STATE".to_owned().into(),
            issuer: "https://login.example".to_owned(),
            names_issuer: false,
        };
        listener.redirect(expected).await
    });
    (url, waiting)
}

#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn lacking(what: &str) {
    use std::io::Write;

    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "this machine lacks {what}, and CI=true");
    let said = format!("\nlacking: {what}\n");
    std::io::stderr().write_all(said.as_bytes()).unwrap();
}

async fn connect(url: &Url) -> TcpStream {
    TcpStream::connect(("127.0.0.1", url.port().unwrap()))
        .await
        .unwrap()
}

async fn ask(url: &Url, request: &str) -> String {
    let mut stream = connect(url).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _reset = stream.read_to_string(&mut answer).await;
    answer
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: a=b\r\n\r\n")
}

#[tokio::test]
async fn the_right_redirect_brings_the_code_and_its_browser_hears_the_end() {
    let (url, waiting) = listen().await;
    assert_eq!(url.host_str(), Some("127.0.0.1"));
    assert_eq!(url.path(), "/callback");
    let browser = {
        let url = url.clone();
        tokio::spawn(async move { ask(&url, &get("/callback?code=C&state=STATE")).await })
    };
    let (code, reply) = waiting.await.unwrap().unwrap();
    assert_eq!(code.expose(), "C");
    assert!(!browser.is_finished(), "the page waits for the tokens");
    reply.show(&Page::Done).await;
    let page = browser.await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("Login finished"));
    assert!(
        TcpStream::connect(("127.0.0.1", url.port().unwrap()))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn spare_connections_icons_and_nonsense_do_not_disturb() {
    let (url, waiting) = listen_patiently().await;
    let spare = [connect(&url).await, connect(&url).await];
    let mut slow = connect(&url).await;
    slow.write_all(b"GET /callb").await.unwrap();

    for (request, status) in [
        (get("/favicon.ico"), "404"),
        (get("/"), "404"),
        (get("/callback/"), "404"),
        (get("/callback%3Fcode=C&state=STATE"), "404"),
        (
            "HEAD /callback?code=C&state=STATE HTTP/1.1\r\n\r\n".to_owned(),
            "405",
        ),
        (
            "POST /callback?code=C&state=STATE HTTP/1.1\r\n\r\n".to_owned(),
            "405",
        ),
        ("GET /callback?code=C&state=STATE\r\n\r\n".to_owned(), "400"),
        (
            "GET /callback?code=C&state=STATE HTTP/2\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "GET  /callback?code=C&state=STATE HTTP/1.1\r\n\r\n".to_owned(),
            "400",
        ),
        ("\r\n\r\n".to_owned(), "400"),
        ("\u{16}\u{3}\u{1}\n\n".to_owned(), "400"),
        (
            get(&format!(
                "/callback?code=C&state=STATE&x={}",
                "x".repeat(9000)
            )),
            "431",
        ),
        (
            format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(70_000)),
            "431",
        ),
    ] {
        let answer = ask(&url, &request).await;
        let shown: String = request.chars().take(40).collect();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{shown}: {answer}"
        );
        assert!(answer.contains("Connection: close"));
    }
    assert!(!waiting.is_finished());

    // Cookies of other local servers, and a request in two pieces.
    slow.write_all(b"ack?code=C&state=STATE HTTP/1.1\r\nCookie: ")
        .await
        .unwrap();
    slow.write_all("x".repeat(30_000).as_bytes()).await.unwrap();
    slow.write_all(b"\r\n\r").await.unwrap();
    slow.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    slow.write_all(b"\n").await.unwrap();
    let (code, _browser) = waiting.await.unwrap().unwrap();
    assert_eq!(code.expose(), "C");
    drop(spare);
}

#[tokio::test]
async fn a_forged_redirect_does_not_cancel_the_login() {
    let (url, waiting) = listen_patiently().await;
    for query in [
        "code=EVIL&state=guess",
        "error=access_denied",
        "state=STATE&state=STATE&code=X",
    ] {
        let answer = ask(&url, &get(&format!("/callback?{query}"))).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("Not this login"), "{answer}");
    }
    let right = tokio::spawn(async move { ask(&url, &get("/callback?state=STATE&code=C")).await });
    let (code, browser) = waiting.await.unwrap().unwrap();
    assert_eq!(code.expose(), "C");
    browser.show(&Page::Done).await;
    assert!(right.await.unwrap().contains("200 OK"));
}

/// As many at once as a page can open, and names that lead here only for a moment.
#[tokio::test]
async fn a_hostile_page_that_knows_the_port_gets_no_code_and_stops_no_login() {
    let (url, waiting) = listen_patiently().await;
    let mut slow = Vec::new();
    for _ in 0..CONNECTIONS - 1 {
        let mut stream = connect(&url).await;
        stream.write_all(b"GET /callback?sta").await.unwrap();
        slow.push(stream);
    }
    for host in ["evil.example", "127.0.0.1.evil.example:80", "localhost"] {
        let hostile = [
            "/callback?code=EVIL&state=",
            "/callback?code=EVIL",
            "/callback?code=EVIL&state=STATE%00",
            "/callback?error=access_denied&state=state",
        ];
        for target in hostile {
            let request =
                format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{host}\r\n\r\n");
            let answer = ask(&url, &request).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
            // Nothing that a page of another origin could read, run or frame.
            let head = answer.to_ascii_lowercase();
            assert!(!head.contains("access-control-allow"), "{answer}");
            assert!(head.contains("content-security-policy:"), "{answer}");
            assert!(
                !answer.contains("EVIL") && !answer.contains("STATE"),
                "{answer}"
            );
        }
    }
    let browser =
        tokio::spawn(async move { ask(&url, &get("/callback?code=C&state=STATE")).await });
    let (code, reply) = waiting.await.unwrap().unwrap();
    assert_eq!(code.expose(), "C");
    reply.show(&Page::Done).await;
    assert!(browser.await.unwrap().starts_with("HTTP/1.1 200 "));
    drop(slow);
}

#[tokio::test]
async fn a_wrong_state_that_is_not_followed_by_a_right_one_is_told() {
    let (url, waiting) = listen().await;
    ask(&url, &get("/callback?code=C&state=wrong")).await;
    let error = waiting.await.unwrap().map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StateMismatch);
}

#[tokio::test]
async fn a_refusal_ends_the_wait_and_is_shown_without_markup() {
    let (url, waiting) = listen().await;
    let query = "error=access_denied&error_description=%3Cb%3Eno%3C%2Fb%3E&state=STATE";
    let answer = ask(&url, &get(&format!("/callback?{query}"))).await;
    assert!(answer.contains("&lt;b&gt;no&lt;/b&gt;"), "{answer}");
    let error = waiting.await.unwrap().map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessDenied);
}

#[tokio::test]
async fn a_dropped_login_frees_its_port_and_a_taken_port_is_named() {
    let (url, waiting) = listen().await;
    let port = url.port().unwrap();
    let error = Listener::bind(&request().redirect_port(port))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains(&port.to_string()), "{error}");

    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    let again = Listener::bind(&request().redirect_port(port))
        .await
        .unwrap();
    assert_eq!(again.redirect_uri().as_str(), url.as_str());
}

fn at(uri: &str) -> LoginRequest {
    request().redirect_uri(Url::parse(uri).unwrap())
}

async fn finds_the_code(url: &Url, address: &str, waiting: JoinHandle<Outcome>) {
    let target = format!("{}?code=C&state=STATE", url.path());
    let mut stream = TcpStream::connect((address, url.port().unwrap()))
        .await
        .unwrap();
    stream.write_all(get(&target).as_bytes()).await.unwrap();
    let (code, _browser) = waiting.await.unwrap().unwrap();
    assert_eq!(code.expose(), "C");
}

#[tokio::test]
async fn the_address_is_the_one_that_was_registered() {
    let (url, waiting) = listen_at(&at("http://127.0.0.1/a/b")).await;
    assert_eq!((url.host_str(), url.path()), (Some("127.0.0.1"), "/a/b"));
    let page = ask(&url, &get("/callback?code=C&state=STATE")).await;
    assert!(page.starts_with("HTTP/1.1 404"), "{page}");
    finds_the_code(&url, "127.0.0.1", waiting).await;
}

#[tokio::test]
async fn ipv6_and_both_addresses_of_localhost_are_listened_on() {
    // Not every machine that runs tests has IPv6; one of CI has to.
    if TcpListener::bind("[::1]:0").await.is_err() {
        lacking("IPv6");
        return;
    }
    let (url, waiting) = listen_at(&at("http://[::1]/callback")).await;
    assert!(url.as_str().starts_with("http://[::1]:"), "{url}");
    finds_the_code(&url, "::1", waiting).await;
    for address in ["127.0.0.1", "::1"] {
        let (url, waiting) = listen_at(&at("http://localhost/cb")).await;
        assert!(url.as_str().starts_with("http://localhost:"), "{url}");
        finds_the_code(&url, address, waiting).await;
    }
}

#[tokio::test]
async fn a_port_that_another_program_holds_on_one_address_of_localhost_is_taken() {
    for address in ["127.0.0.1", "::1"] {
        let Ok(other) = TcpListener::bind((address, 0)).await else {
            lacking("IPv6");
            continue;
        };
        let port = other.local_addr().unwrap().port();
        let request = at(&format!("http://localhost:{port}/cb"));
        let error = Listener::bind(&request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{address}");
        assert!(error.to_string().contains(&port.to_string()), "{error}");
        // The port that is only asked for, too.
        let request = at("http://localhost/cb").redirect_port(port);
        let error = Listener::bind(&request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{address}");
        drop(other);
    }
}

#[test]
fn an_address_is_done_without_only_where_the_machine_does_not_have_it() {
    let unsupported = io::Error::from_raw_os_error(NO_SUCH_FAMILY);
    assert!(is_lacking(&unsupported), "{unsupported}");
    assert!(is_lacking(&io::ErrorKind::AddrNotAvailable.into()));
    assert!(!is_lacking(&io::ErrorKind::AddrInUse.into()));
    assert!(!is_lacking(&io::ErrorKind::PermissionDenied.into()));
}

#[tokio::test]
async fn no_other_machine_is_redirected_to() {
    for uri in [
        "http://192.168.0.1/callback",
        "http://0.0.0.0/callback",
        "https://127.0.0.1/callback",
        "http://localhost.example/callback",
        "http://127.0.0.1/callback?a=b",
        "http://127.0.0.1/callback#f",
        "http://me@127.0.0.1/callback",
        "app://callback",
    ] {
        let refused = Listener::bind(&at(uri)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{uri}");
    }
}
