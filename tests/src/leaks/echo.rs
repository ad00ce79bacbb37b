//! A token endpoint that gives back what it was sent, in every part of an answer, as a proxy does
//! that explains itself, and a server that was made to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use super::Failure;

/// Where the answer repeats the request.
#[derive(Clone, Copy, Debug)]
pub enum Echo {
    /// In `error_description`.
    Description,
    /// In `error` itself.
    Error,
    /// In a page that is no JSON.
    Page,
    /// In JSON that ends in the middle.
    Truncated,
    /// In the address of a redirect.
    Location,
    /// In headers that are looked at: `WWW-Authenticate`, `Content-Type`, `Retry-After`.
    Headers,
    /// In the status line.
    Status,
    /// In the fields of an answer that grants nothing usable.
    Fields,
}

impl Echo {
    /// Every way.
    pub const ALL: [Self; 8] = [
        Self::Description,
        Self::Error,
        Self::Page,
        Self::Truncated,
        Self::Location,
        Self::Headers,
        Self::Status,
        Self::Fields,
    ];

    fn answer(self, sent: &str) -> String {
        let json = |status: &str, body: String| whole(status, "application/json", &body);
        match self {
            Self::Description => json(
                "400 Bad Request",
                format!(r#"{{"error":"invalid_request","error_description":"{sent}"}}"#),
            ),
            Self::Error => json("400 Bad Request", format!(r#"{{"error":"{sent}"}}"#)),
            Self::Page => whole("502 Bad Gateway", "text/html", &format!("<p>{sent}</p>")),
            Self::Truncated => json("200 OK", format!(r#"{{"access_token":"{sent}"#)),
            Self::Location => format!(
                "HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:1/?{sent}\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            ),
            Self::Headers => format!(
                "HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer error=\"{sent}\"\r\n\
                 Content-Type: {sent}\r\nRetry-After: {sent}\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n"
            ),
            Self::Status => whole(&format!("400 {sent}"), "text/plain", ""),
            Self::Fields => json(
                "200 OK",
                format!(r#"{{"token_type":["{sent}"],"expires_in":"{sent}","scope":1}}"#),
            ),
        }
    }
}

fn whole(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Serves until the process ends, and gives the endpoint's address.
///
/// # Errors
///
/// If no port is free.
pub fn serve(echo: Echo) -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}/token", listener.local_addr()?);
    std::thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            // Whether the client stays to the end is its own affair.
            answer(stream, echo).ok();
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, echo: Echo) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    // The field's value alone, as a server would show it.
    let sent = url::form_urlencoded::parse(&body)
        .find(|(name, _)| name == "refresh_token")
        .map(|(_, value)| value.into_owned());
    stream.write_all(echo.answer(&sent.unwrap_or_default()).as_bytes())
}
