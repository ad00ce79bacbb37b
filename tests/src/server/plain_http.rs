//! The smallest HTTP client: one request, one connection, no TLS, loopback only.
//!
//! Tests of the server look at the wire with it: it never retries, never reuses a connection,
//! follows no redirect, and tells a closed connection from an answer that was cut.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

/// How long connecting, and each read, may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer from the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Header names, in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// What arrived of the body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of a header, named in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text, with replacement characters where it is none.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A member of the JSON body that is a string.
    pub fn member(&self, name: &str) -> Option<String> {
        self.json().get(name)?.as_str().map(str::to_owned)
    }

    /// Whether as much of the body arrived as `Content-Length` says.
    pub fn is_complete(&self) -> bool {
        let length = self
            .header("content-length")
            .and_then(|length| length.parse().ok());
        length.is_none_or(|length: usize| length == self.body.len())
    }
}

/// Sends a GET request.
///
/// # Errors
///
/// Those of the connection; `UnexpectedEof` if it is closed before a whole head arrived;
/// `InvalidInput` for a URL that is not http to an address.
pub fn fetch(url: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
    send("GET", url, headers, b"")
}

/// Sends a POST request with a form.
///
/// # Errors
///
/// As [`fetch`].
pub fn post_form(url: &str, form: &[(&str, &str)], headers: &[(&str, &str)]) -> io::Result<Answer> {
    let body = Serializer::new(String::new()).extend_pairs(form).finish();
    let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
    all.extend_from_slice(headers);
    send("POST", url, &all, body.as_bytes())
}

/// Sends a request.
///
/// # Errors
///
/// As [`fetch`].
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
    let url = Url::parse(url).map_err(io::Error::other)?;
    let address = address(&url).ok_or(io::ErrorKind::InvalidInput)?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let target = url.query().map_or(url.path().to_owned(), |query| {
        format!("{}?{query}", url.path())
    });
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!(
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    ));
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // What arrived before a reset is worth looking at.
        Err(error) if bytes.is_empty() => Err(error),
        _ => parse(&bytes).ok_or(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn address(url: &Url) -> Option<SocketAddr> {
    let port = url.port_or_known_default()?;
    let ip = match url.host()? {
        url::Host::Ipv4(ip) => ip.into(),
        url::Host::Ipv6(ip) => ip.into(),
        url::Host::Domain(_) => return None,
    };
    (url.scheme() == "http").then_some(SocketAddr::new(ip, port))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value.eq_ignore_ascii_case("chunked"));
    let body = if chunked {
        unchunked(body)
    } else {
        body.to_vec()
    };
    Some(Answer {
        status,
        headers,
        body,
    })
}

/// The data of a chunked body (RFC 9112 section 7.1), as far as it goes.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..line]).unwrap_or_default();
        let size = size.split(';').next().unwrap_or_default().trim();
        let Ok(size @ 1..) = usize::from_str_radix(size, 16) else {
            break;
        };
        let chunk = &rest[line + 2..];
        data.extend_from_slice(&chunk[..size.min(chunk.len())]);
        rest = chunk.get(size + 2..).unwrap_or_default();
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_and_a_short_one_is_told() {
        let whole = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").expect("an answer");
        assert_eq!((whole.status, whole.text().as_str()), (200, "hi"));
        assert!(whole.is_complete());
        let short = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi").expect("an answer");
        assert!(!short.is_complete());
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nContent-"), None);
    }

    #[test]
    fn chunks_are_joined() {
        assert_eq!(unchunked(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), b"abcde");
        assert_eq!(unchunked(b"5\r\nab"), b"ab");
    }

    #[test]
    fn only_plain_http_to_an_address_is_spoken() {
        for url in [
            "https://127.0.0.1/",
            "http://example.com/",
            "file:///etc/passwd",
        ] {
            assert!(fetch(url, &[]).is_err(), "{url}");
        }
    }
}
