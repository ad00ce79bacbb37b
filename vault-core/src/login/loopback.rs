//! The listener that a browser is redirected to (RFC 8252, section 7.3).
//!
//! Bound to this machine's own addresses alone, and there for one login:
//! 127.0.0.1 as a rule; `[::1]` where there is no IPv4 or the request names
//! it; both for the name `localhost`, which a browser may look up as either, so
//! that no other program may hold the port on one of them. It speaks as little
//! HTTP as a redirect needs, and is made for clumsy and hostile callers: browsers
//! open spare connections and ask for icons, other programs and web pages can
//! reach it too. Requests are bounded in length, time and number, several are
//! served at once, and none but the right one ends the wait; see
//! [`super::redirect`] for which that is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use url::{Host, Url};
use vault_platform::secret::{SecretBuffer, SecretString};
use zeroize::Zeroizing;

use super::LoginRequest;
use super::page::Page;
use super::redirect::{Expected, Verdict, judge};
use crate::error::{Error, ErrorKind};
use crate::oauth::text::without_query;

/// The one path that is answered, unless the request names another.
const PATH: &str = "/callback";

/// The longest request line, which holds the whole redirect.
const LINE_LIMIT: usize = 8 * 1024;

/// The longest request. Cookies that other local servers set come along.
const HEAD_LIMIT: usize = 64 * 1024;

/// How long one connection may take to ask, and to be answered.
const CONNECTION_TIME: Duration = Duration::from_secs(5);

/// How many connections are served at once.
const CONNECTIONS: usize = 32;

/// How many free ports are tried until one is free on both addresses.
const TRIES: usize = 16;

/// What the system says of an address family that it does not have:
/// `EAFNOSUPPORT`. The standard library has no kind of error for it.
const NO_SUCH_FAMILY: i32 = if cfg!(windows) {
    10047
} else if cfg!(any(target_os = "linux", target_os = "android")) {
    97
} else {
    47
};

/// The usual [`grace`](Listener::grace).
const GRACE: Duration = Duration::from_secs(2);

/// A listener for one redirect.
#[derive(Debug)]
pub(super) struct Listener {
    listener: TcpListener,
    /// The other address of `localhost`.
    second: Option<TcpListener>,
    redirect_uri: Url,
    /// How long the right redirect may still come after a doubtful one.
    grace: Duration,
    /// How long one connection may take to ask.
    head_time: Duration,
}

impl Listener {
    /// Listens where the request says, or on a free port.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] if the port is taken, or the address is not
    /// one of this machine's own.
    pub(super) async fn bind(request: &LoginRequest) -> Result<Self, Error> {
        let Some(uri) = &request.redirect_uri else {
            let port = request.redirect_port.unwrap_or(0);
            let listener = match listen(Ipv4Addr::LOCALHOST.into(), port).await {
                // A machine without IPv4 (RFC 8252, section 7.3, wants both).
                Err(error) if is_lacking(&error) => listen(Ipv6Addr::LOCALHOST.into(), port).await,
                bound => bound,
            };
            let listener = listener.map_err(|cause| taken("this machine", port, cause))?;
            let address = listener
                .local_addr()
                .map_err(|cause| taken("this machine", port, cause))?;
            let redirect_uri =
                Url::parse(&format!("http://{address}{PATH}")).expect("an address with a path");
            return Ok(Self {
                listener,
                second: None,
                redirect_uri,
                grace: GRACE,
                head_time: CONNECTION_TIME,
            });
        };
        let (first, second) = own_addresses(uri)?;
        let port = uri.port().or(request.redirect_port).unwrap_or(0);
        let failed = |cause| taken(uri.host_str().unwrap_or_default(), port, cause);
        let (listener, second) = match second {
            None => (listen(first, port).await.map_err(failed)?, None),
            Some(second) => listen_on_both(first, second, port).await.map_err(failed)?,
        };
        let mut redirect_uri = uri.clone();
        let port = listener.local_addr().map_err(failed)?.port();
        redirect_uri
            .set_port(Some(port))
            .expect("an http address has room for a port");
        Ok(Self {
            listener,
            second,
            redirect_uri,
            grace: GRACE,
            head_time: CONNECTION_TIME,
        })
    }

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.second {
            None => self.listener.accept().await,
            Some(second) => tokio::select! {
                accepted = self.listener.accept() => accepted,
                accepted = second.accept() => accepted,
            },
        }
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
                        doubt.get_or_insert((error, Instant::now() + self.grace));
                    }
                    Ok(Served::Nothing) | Err(_) => {}
                },
                accepted = self.accept(), if connections.len() < CONNECTIONS => {
                    match accepted {
                        Ok((stream, _)) => {
                            let path = self.redirect_uri.path().to_owned();
                            let served = serve(stream, path, self.head_time, Arc::clone(&expected));
                            connections.spawn(served);
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

async fn listen(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((address, port)).await
}

/// Listens on two addresses at one port, and does without one of them only where
/// the machine does not have it. If another program held the port there, the
/// browser could take the code to that one.
async fn listen_on_both(
    first: IpAddr,
    second: IpAddr,
    port: u16,
) -> io::Result<(TcpListener, Option<TcpListener>)> {
    let mut tries = if port == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        let listener = match listen(first, port).await {
            Err(error) if is_lacking(&error) => return Ok((listen(second, port).await?, None)),
            bound => bound?,
        };
        match listen(second, listener.local_addr()?.port()).await {
            Ok(other) => return Ok((listener, Some(other))),
            Err(error) if is_lacking(&error) => return Ok((listener, None)),
            // Free on the first address alone: another port may be free on both.
            Err(_) if tries > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the machine does not have the address at all.
fn is_lacking(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(NO_SUCH_FAMILY)
}

fn taken(host: &str, port: u16, cause: io::Error) -> Error {
    let message = match port {
        0 => format!("no port of {host} can be listened on"),
        port => format!("port {port} of {host} can't be listened on"),
    };
    Error::new(ErrorKind::InvalidInput, message).because(cause)
}

/// The address, or for `localhost` the two, that a redirect address means.
fn own_addresses(uri: &Url) -> Result<(IpAddr, Option<IpAddr>), Error> {
    let plain = uri.scheme() == "http"
        && uri.query().is_none()
        && uri.fragment().is_none()
        && uri.username().is_empty()
        && uri.password().is_none();
    match uri.host() {
        Some(Host::Ipv4(address)) if plain && address.is_loopback() => Ok((address.into(), None)),
        Some(Host::Ipv6(address)) if plain && address.is_loopback() => Ok((address.into(), None)),
        Some(Host::Domain("localhost")) if plain => {
            Ok((Ipv4Addr::LOCALHOST.into(), Some(Ipv6Addr::LOCALHOST.into())))
        }
        _ => Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "{} can't be redirected to: it has to be http://127.0.0.1, http://[::1] or \
                 http://localhost, with a path and no query",
                without_query(uri)
            ),
        )),
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

async fn serve(
    mut stream: TcpStream,
    path: String,
    head_time: Duration,
    expected: Arc<Expected>,
) -> Served {
    let Ok(head) = timeout(head_time, read_head(&mut stream)).await else {
        return Served::Nothing; // a spare connection, never used
    };
    let verdict = match head
        .as_ref()
        .map(|head| callback_query(head.as_slice(), &path))
    {
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

/// Finds the query of a request for this path, or the page that others get.
pub(crate) fn callback_query<'a>(head: &'a [u8], wanted: &str) -> Result<&'a [u8], Page> {
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
    if path != wanted.as_bytes() {
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
