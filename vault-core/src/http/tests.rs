//! Against a server of a few lines, which can do what no proper one does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::failure::SendFailureKind;
use super::*;

/// Serves each connection with what `play` does, and counts them.
async fn server<F>(play: impl Fn(TcpStream) -> F + Send + 'static) -> (Url, Arc<AtomicUsize>)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token?secret=q", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(play(stream));
        }
    });
    (Url::parse(&url).unwrap(), count)
}

/// Reads a whole request with a body, and gives it as text.
async fn request(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).await?;
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse::<usize>().unwrap());
            if body.len() >= length {
                return Ok(text.into_owned());
            }
        }
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn http(options: HttpOptions) -> Http {
    Http::new(options).unwrap()
}

fn quick() -> HttpOptions {
    HttpOptions {
        connect_timeout: Duration::from_secs(5),
        total_timeout: Duration::from_secs(10),
        ..HttpOptions::default()
    }
}

fn form() -> SecretBytes {
    SecretBytes::from(b"refresh_token=canary&x=1".to_vec())
}

/// A root whose key is nowhere: so that TLS works without the system's.
fn own_ca() -> Vec<u8> {
    include_bytes!("test-root.pem").to_vec()
}

async fn failure(http: &Http, url: &Url) -> SendFailure {
    let failure = http.post_form(url, Vec::new(), form()).await.unwrap_err();
    let told = format!("{failure:?} {}", failure.describe(url));
    assert!(
        !told.contains("canary") && !told.contains("secret=q"),
        "{told}"
    );
    assert!(told.contains(url.host_str().unwrap()), "{told}");
    failure
}

#[tokio::test]
async fn a_form_goes_out_once_and_its_answer_comes_back() {
    let (url, count) = server(|mut stream| async move {
        let seen = request(&mut stream).await?;
        let body = seen
            .split_once("\r\n\r\n")
            .map(|(_, body)| body)
            .unwrap_or_default();
        let ok = seen.starts_with("POST /token?secret=q HTTP/1.1\r\n")
            && seen.contains("content-type: application/x-www-form-urlencoded\r\n")
            && seen.contains("accept: application/json\r\n")
            && seen.contains("user-agent: test/1\r\n")
            && body == "refresh_token=canary&x=1";
        let body = format!("{{\"ok\":{ok}}}");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nRetry-After: 3\r\n\
             Date: Fri, 15 Jan 2027 08:00:00 GMT\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        // Kept open, as a server would for the next request.
        tokio::time::sleep(Duration::from_secs(30)).await;
        Ok(())
    })
    .await;
    let http = http(HttpOptions {
        user_agent: "test/1".to_owned(),
        ..HttpOptions::default()
    });
    for _ in 0..2 {
        let response = http.post_form(&url, Vec::new(), form()).await.unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.body.expose(), b"{\"ok\":true}");
        assert_eq!(response.content_type.as_deref(), Some("application/json"));
        assert_eq!(response.date, Some(Duration::from_secs(1_800_000_000)));
        assert_eq!(response.retry_after, Some(Duration::from_secs(3)));
    }
    assert_eq!(
        count.load(Ordering::SeqCst),
        2,
        "each request has its own connection"
    );
}

#[tokio::test]
async fn a_refused_connection_can_not_have_acted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let failure = failure(&http(quick()), &url).await;
    assert_eq!(failure.acted, CouldHaveActed::No);
    assert_eq!(failure.kind, SendFailureKind::Connect);
}

#[tokio::test]
async fn a_host_that_does_not_exist_can_not_have_acted() {
    let url = Url::parse("https://nobody.invalid/token").unwrap();
    // Through a proxy, where one is set, it is the proxy that does not find it.
    let failure = failure(
        &http(HttpOptions {
            ca_certificates: vec![own_ca()],
            ..quick()
        }),
        &url,
    )
    .await;
    assert_eq!(failure.acted, CouldHaveActed::No);
    assert_eq!(
        failure.into_error(&url).kind(),
        ErrorKind::NetworkUnavailable
    );
}

#[tokio::test]
async fn a_connection_that_closes_behind_the_request_may_have_acted() {
    let (url, count) = server(|mut stream| async move {
        request(&mut stream).await?;
        Ok(())
    })
    .await;
    let failure = failure(&http(quick()), &url).await;
    assert_eq!(failure.acted, CouldHaveActed::Maybe);
    assert_eq!(failure.kind, SendFailureKind::Reset);
    assert_eq!(count.load(Ordering::SeqCst), 1, "sent once");
    assert_eq!(
        failure.into_error(&url).kind(),
        ErrorKind::ServerUnavailable
    );
}

#[tokio::test]
async fn an_answer_that_is_cut_keeps_its_status() {
    let (url, _) = server(|mut stream| async move {
        request(&mut stream).await?;
        stream
            .write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n{\"acc")
            .await
    })
    .await;
    let failure = failure(&http(quick()), &url).await;
    assert_eq!(
        (failure.acted, failure.status),
        (CouldHaveActed::Maybe, Some(503))
    );
}

#[tokio::test]
async fn a_silent_server_may_have_acted() {
    let (url, _) = server(|mut stream| async move {
        request(&mut stream).await?;
        tokio::time::sleep(Duration::from_secs(30)).await;
        Ok(())
    })
    .await;
    let http = http(HttpOptions {
        total_timeout: Duration::from_secs(4),
        ..quick()
    });
    let failure = failure(&http, &url).await;
    assert_eq!(failure.acted, CouldHaveActed::Maybe);
    assert_eq!(failure.kind, SendFailureKind::Timeout);
}

#[tokio::test]
async fn a_handshake_that_never_ends_can_not_have_acted() {
    let (url, _) = server(|stream| async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(stream);
        Ok(())
    })
    .await;
    let url = Url::parse(&url.as_str().replace("http:", "https:")).unwrap();
    let http = http(HttpOptions {
        ca_certificates: vec![own_ca()],
        connect_timeout: Duration::from_millis(200),
        ..quick()
    });
    let failure = failure(&http, &url).await;
    assert_eq!(failure.acted, CouldHaveActed::No);
    assert_eq!(failure.kind, SendFailureKind::Timeout);
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_can_not_have_acted() {
    let (url, _) =
        server(
            |mut stream| async move { stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await },
        )
        .await;
    let url = Url::parse(&url.as_str().replace("http:", "https:")).unwrap();
    let http = http(HttpOptions {
        ca_certificates: vec![own_ca()],
        ..quick()
    });
    let failure = failure(&http, &url).await;
    assert_eq!(failure.acted, CouldHaveActed::No);
    assert_eq!(failure.kind, SendFailureKind::Tls);
}

#[tokio::test]
async fn tls_older_than_1_2_is_refused() {
    let (url, _) = server(|mut stream| async move {
        stream.read_exact(&mut [0; 64]).await?;
        // A handshake record with a ServerHello of TLS 1.1.
        let mut answer = vec![22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
        answer.extend([7; 32]);
        answer.extend([0, 0, 0x2f, 0]);
        stream.write_all(&answer).await?;
        tokio::time::sleep(Duration::from_secs(30)).await;
        Ok(())
    })
    .await;
    let url = Url::parse(&url.as_str().replace("http:", "https:")).unwrap();
    let http = http(HttpOptions {
        ca_certificates: vec![own_ca()],
        ..quick()
    });
    let failure = failure(&http, &url).await;
    assert_eq!(failure.acted, CouldHaveActed::No);
    assert_eq!(failure.kind, SendFailureKind::Tls);
}

#[tokio::test]
async fn an_endless_answer_is_refused() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2097152\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
    ] {
        let (url, _) = server(move |mut stream| async move {
            request(&mut stream).await?;
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&vec![b' '; 2 << 20]).await
        })
        .await;
        let failure = failure(&http(quick()), &url).await;
        assert_eq!(failure.kind, SendFailureKind::TooLarge);
        assert_eq!(
            (failure.acted, failure.status),
            (CouldHaveActed::Maybe, Some(200))
        );
        assert_eq!(
            failure.into_error(&url).kind(),
            ErrorKind::ServerAnswerInvalid
        );
    }
}

#[tokio::test]
async fn an_answer_of_one_mebibyte_is_read() {
    let (url, _) = server(|mut stream| async move {
        request(&mut stream).await?;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n")
            .await?;
        stream.write_all(&vec![b'x'; 1 << 20]).await
    })
    .await;
    let response = http(HttpOptions::default()).get_json(&url).await.unwrap();
    assert_eq!(response.body.len(), 1 << 20);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (target, reached) = server(|_| async { Ok(()) }).await;
    let (url, _) = server(move |mut stream| {
        let target = target.clone();
        async move {
            request(&mut stream).await?;
            let head =
                format!("HTTP/1.1 307 No\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).await
        }
    })
    .await;
    let http = http(HttpOptions::default());
    assert_eq!(
        http.post_form(&url, Vec::new(), form())
            .await
            .unwrap()
            .status,
        307
    );
    assert_eq!(http.get_json(&url).await.unwrap().status, 307);
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn plain_http_to_another_machine_is_refused_before_anything_is_looked_up() {
    for address in [
        "http://login.example/token",
        "http://192.0.2.1/token",
        "http://0.0.0.0/token",
        "http://localhost.example/token",
        "ftp://127.0.0.1/token",
        "data:text/plain,x",
    ] {
        let url = Url::parse(address).unwrap();
        let failure = http(quick())
            .post_form(&url, Vec::new(), form())
            .await
            .unwrap_err();
        assert_eq!(failure.acted, CouldHaveActed::No);
        assert_eq!(failure.kind, SendFailureKind::Insecure, "{address}");
        assert_eq!(failure.into_error(&url).kind(), ErrorKind::InsecureUrl);
    }
}

#[tokio::test]
async fn localhost_is_this_machine_whatever_the_name_service_says() {
    let (url, _) = server(|mut stream| async move {
        request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await
    })
    .await;
    let url = Url::parse(&url.as_str().replace("127.0.0.1", "localhost")).unwrap();
    assert_eq!(http(quick()).get_json(&url).await.unwrap().status, 204);
}

#[test]
fn a_certificate_file_without_a_certificate_is_refused() {
    for text in [
        "",
        "hello",
        "-----BEGIN CERTIFICATE-----\n%%\n-----END CERTIFICATE-----\n",
    ] {
        let options = HttpOptions {
            ca_certificates: vec![own_ca(), text.as_bytes().to_vec()],
            ..HttpOptions::default()
        };
        assert_eq!(
            Http::new(options).unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "{text}"
        );
    }
}

#[test]
fn retry_after_is_seconds_or_a_date_by_the_servers_clock() {
    let clock = since_epoch("Fri, 15 Jan 2027 08:00:00 GMT");
    assert_eq!(retry_after(" 120 ", None), Some(Duration::from_secs(120)));
    assert_eq!(
        retry_after("Fri, 15 Jan 2027 08:00:30 GMT", clock),
        Some(Duration::from_secs(30))
    );
    assert_eq!(
        retry_after("Fri, 15 Jan 2027 07:00:00 GMT", clock),
        Some(Duration::ZERO)
    );
    assert_eq!(retry_after("Fri, 15 Jan 2027 08:00:30 GMT", None), None);
    assert_eq!(retry_after("99999999999", clock), Some(RETRY_AFTER_LIMIT));
    for nonsense in ["", "-1", "soon", "1.5", "Fri, 15 Jan"] {
        assert_eq!(retry_after(nonsense, clock), None, "{nonsense}");
    }
}
