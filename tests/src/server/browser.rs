//! A stand-in for the browser of a person who logs in.
//!
//! It opens the authorization URL and follows redirects until a page is shown: with the strict
//! server, whose person has decided beforehand, that is the application's own page on its
//! loopback redirect.

use std::io;
use std::thread::{self, JoinHandle};

use url::Url;

use super::plain_http;

/// The most redirects a browser follows.
const MOST_REDIRECTS: usize = 10;

/// The page at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The URL of the page, after every redirect.
    pub url: String,
    /// The HTTP status.
    pub status: u16,
    /// The body as text.
    pub body: String,
}

/// Opens a URL and follows redirects, on the calling thread.
///
/// Plain http to loopback addresses only. Blocks until the page is there, so a single-threaded
/// runtime that also serves the redirect must use [`follow_in_background`].
///
/// # Errors
///
/// Those of the connection; `InvalidData` for more than 10 redirects, or one without a
/// readable `Location`.
pub fn follow(url: &str) -> io::Result<Page> {
    let mut url = Url::parse(url).map_err(io::Error::other)?;
    for _ in 0..=MOST_REDIRECTS {
        let answer = plain_http::fetch(url.as_str(), &[("Accept", "text/html")])?;
        if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(Page {
                url: url.into(),
                status: answer.status,
                body: answer.text(),
            });
        }
        let location = answer
            .header("location")
            .ok_or(io::ErrorKind::InvalidData)?;
        url = url.join(location).map_err(|_| io::ErrorKind::InvalidData)?;
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// Opens a URL and follows redirects, on a thread of its own.
pub fn follow_in_background(url: &str) -> JoinHandle<io::Result<Page>> {
    let url = url.to_owned();
    thread::spawn(move || follow(&url))
}
