//! The listener that a browser is redirected to (RFC 8252, section 7.3).
//!
//! Bound to 127.0.0.1 alone, and there for one login. It speaks as little HTTP
//! as a redirect needs, and is made for clumsy and hostile callers: browsers
//! open spare connections and ask for icons, other programs and web pages can
//! reach it too. Requests are bounded in length, time and number, several are
//! served at once, and none but the right one ends the wait; see
//! [`super::redirect`] for which that is.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use url::Url;
use vault_platform::secret::{SecretBuffer, SecretString};
use zeroize::Zeroizing;

use super::page::Page;
use super::redirect::{Expected, Verdict, judge};
use crate::error::{Error, ErrorKind};

/// The one path that is answered.
const PATH: &str = "/callback";

/// The longest request line, which holds the whole redirect.
const LINE_LIMIT: usize = 8 * 1024;

/// The longest request. Cookies that other local servers set come along.
const HEAD_LIMIT: usize = 64 * 1024;

/// How long one connection may take to ask, and to be answered.
const CONNECTION_TIME: Duration = Duration::from_secs(5);

/// How many connections are served at once.
const CONNECTIONS: usize = 32;

/// How long the right redirect may still come after a doubtful one.
const GRACE: Duration = Duration::from_secs(2);

/// A listener for one redirect.
#[derive(Debug)]
pub(super) struct Listener {
    listener: TcpListener,
    redirect_uri: Url,
}

impl Listener {
    /// Listens, on a free port unless one is given.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if the port is taken.
    pub(super) async fn bind(port: Option<u16>) -> Result<Self, Error> {
        let failed = |cause: io::Error| {
            let message = match port {
                Some(port) => format!("port {port} of 127.0.0.1 can't be listened on"),
                None => "no port of 127.0.0.1 can be listened on".to_owned(),
            };
            Error::new(ErrorKind::InvalidInput, message).because(cause)
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0)))
            .await
            .map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let redirect_uri = Url::parse(&format!("http://127.0.0.1:{port}{PATH}"))
            .expect("an address with a port and a path");
        Ok(Self {
            listener,
            redirect_uri,
        })
    }

    /// The address for the authorization request.
    pub(super) fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }

    /// Waits for the redirect, without a limit of its own. The browser that
    /// brought the code is still waiting for its page.
    ///
    /// # Errors
    ///
    /// What the redirect says if it refuses the login;
    /// [`ErrorKind::StateMismatch`] or [`ErrorKind::ServerAnswerInvalid`] if a
    /// doubtful one came and no right one soon after it.
    pub(super) async fn redirect(
        &self,
        expected: Expected,
    ) -> Result<(SecretString, WaitingBrowser), Error> {
        let expected = Arc::new(expected);
        let mut connections = JoinSet::new();
        let mut doubt: Option<(Error, Instant)> = None;
        loop {
            let until = doubt.as_ref().map(|(_, until)| *until);
            tokio::select! {
                Some(served) = connections.join_next() => match served {
                    Ok(Served::Code(code, browser)) => return Ok((code, browser)),
                    Ok(Served::Refused(error)) => return Err(error),
                    Ok(Served::Doubtful(error)) => {
                        doubt.get_or_insert((error, Instant::now() + GRACE));
                    }
                    Ok(Served::Nothing) | Err(_) => {}
                },
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS => {
                    match accepted {
                        Ok((stream, _)) => {
                            connections.spawn(serve(stream, Arc::clone(&expected)));
                        }
                        // Out of descriptors, or a caller that is gone already.
                        Err(_) => sleep(Duration::from_millis(20)).await,
                    }
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    if let Some((error, _)) = doubt {
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// A browser that brought the code and waits to hear how the login ended.
/// Dropped, it sees its connection closed.
#[derive(Debug)]
pub(super) struct WaitingBrowser(TcpStream);

impl WaitingBrowser {
    /// Shows a page. A browser that is gone does not matter.
    pub(super) async fn show(mut self, page: &Page) {
        answer(&mut self.0, page).await;
    }
}

/// What came of one connection.
enum Served {
    Code(SecretString, WaitingBrowser),
    Refused(Error),
    Doubtful(Error),
    Nothing,
}

async fn serve(mut stream: TcpStream, expected: Arc<Expected>) -> Served {
    let Ok(head) = timeout(CONNECTION_TIME, read_head(&mut stream)).await else {
        return Served::Nothing; // a spare connection, never used
    };
    let verdict = match head.as_ref().map(|head| callback_query(head.as_slice())) {
        Ok(Ok(query)) => judge(query, &expected),
        Ok(Err(page)) => {
            answer(&mut stream, &page).await;
            return Served::Nothing;
        }
        Err(Unread::Closed) => return Served::Nothing,
        Err(Unread::TooLong) => {
            answer(&mut stream, &Page::TooLong).await;
            return Served::Nothing;
        }
    };
    match verdict {
        Verdict::Code(code) => Served::Code(code, WaitingBrowser(stream)),
        Verdict::Refused(error) => {
            answer(&mut stream, &Page::Failed(error.to_string())).await;
            Served::Refused(error)
        }
        Verdict::Doubtful(error) => {
            answer(&mut stream, &Page::NotThisLogin).await;
            Served::Doubtful(error)
        }
    }
}

enum Unread {
    Closed,
    TooLong,
}

/// Reads up to the empty line, so that nothing is left unread when the
/// connection is closed (the system would then discard the answer).
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Result<SecretBuffer, Unread> {
    let mut head = SecretBuffer::with_capacity(HEAD_LIMIT, 4096);
    let mut chunk = Zeroizing::new([0; 2048]);
    loop {
        let count = stream.read(&mut *chunk).await.map_err(|_| Unread::Closed)?;
        if count == 0 {
            return Err(Unread::Closed);
        }
        let seen = head.as_slice().len();
        head.push(&chunk[..count]).map_err(|_| Unread::TooLong)?;
        let bytes = head.as_slice();
        if bytes.len() > LINE_LIMIT && !bytes[..LINE_LIMIT].contains(&b'\n') {
            return Err(Unread::TooLong);
        }
        // The end may lie across two chunks.
        let tail = &bytes[seen.saturating_sub(3)..];
        if tail.windows(4).any(|w| w == b"\r\n\r\n") || tail.windows(2).any(|w| w == b"\n\n") {
            return Ok(head);
        }
    }
}

/// Finds the query of a request for [`PATH`], or the page that others get.
fn callback_query(head: &[u8]) -> Result<&[u8], Page> {
    let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Page::Malformed);
    };
    if !matches!(version, b"HTTP/1.1" | b"HTTP/1.0") || !target.is_ascii() {
        return Err(Page::Malformed);
    }
    let at = target.iter().position(|b| *b == b'?');
    let (path, query) = target.split_at(at.unwrap_or(target.len()));
    if path != PATH.as_bytes() {
        return Err(Page::NotFound);
    }
    // Not even HEAD: whoever looks before the browser must not use up the code.
    if method != b"GET" {
        return Err(Page::MethodNotAllowed);
    }
    Ok(query.strip_prefix(b"?").unwrap_or_default())
}

async fn answer(stream: &mut TcpStream, page: &Page) {
    let whole = async {
        stream.write_all(&page.response()).await?;
        stream.shutdown().await?;
        if *page == Page::TooLong {
            // See `read_head`: take in some of what is left.
            let rest = stream.take(1 << 20);
            tokio::io::copy(&mut { rest }, &mut tokio::io::sink()).await?;
        }
        io::Result::Ok(())
    };
    // Whether the browser saw it changes nothing.
    let _shown = timeout(CONNECTION_TIME, whole).await;
}

#[cfg(test)]
mod tests;
