//! The doors for hostile input: one function for each parser, which takes
//! bytes and checks what was made of them.
//!
//! Not part of the library: built for `tests/fuzz` (`cfg(fuzzing)`, which
//! cargo-fuzz sets) and for the unit tests, which feed every file of
//! `tests/fuzz/corpus` to the same doors. A door panics if a promise is broken:
//! what came is lost, a secret can be seen, foreign text is shown as it came, a
//! bound is passed, or what was written is not read back.

mod answers;
mod requests;
mod stored;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use stored::first_version_record;

use std::fmt::Debug;
use std::time::Duration;

use vault_platform::secret::SecretBytes;

use crate::error::Error;
use crate::http::Response;
use crate::oauth::text::is_format;

/// A parser, given hostile bytes.
pub type Door = fn(&[u8]);

/// Every door by its name, which is that of its fuzz target and of its folder
/// in the corpus.
pub const DOORS: &[(&str, Door)] = &[
    ("challenge", requests::challenge),
    ("device_authorization", answers::device_authorization),
    ("discovery", answers::discovery),
    ("history", stored::history),
    ("http_headers", requests::http_headers),
    ("id_token", requests::id_token),
    ("jwt_claims", requests::jwt_claims),
    ("key_item", stored::key_item),
    ("known_servers", stored::known_servers),
    ("marks", stored::marks),
    ("profile_summary", stored::profile_summary),
    ("pushed_request", answers::pushed_request),
    ("redirect", requests::redirect),
    ("revocation_item", stored::revocation_item),
    ("sealed_file", stored::sealed_file),
    ("shared_counters", stored::shared_counters),
    ("token_item", stored::token_item),
    ("token_response", answers::token_response),
];

/// Feeds the door of this name.
///
/// # Panics
///
/// If there is none, or if it has found something.
pub fn feed(name: &str, bytes: &[u8]) {
    let door = DOORS.iter().find(|(known, _)| *known == name);
    let (_, door) = door.expect("a name that is among the doors");
    door(bytes);
}

/// Ten years, and a second for rounding: no lifetime of a server is longer.
const LONGEST: Duration = Duration::from_secs(315_576_001);

/// The secret of the request that every answer here answers.
const SENT: &str = "fake-refresh-token-that-was-sent";

/// What of it must not come back: see `oauth::answer`.
const TELLING: &str = "fake-refresh";

/// An answer: its status and content type in the first line, its body behind.
fn response(bytes: &[u8]) -> Response {
    let (head, body) = split_line(bytes);
    let head = String::from_utf8_lossy(head);
    let (status, content_type) = head.split_once(' ').unwrap_or((&head, ""));
    Response {
        status: status.trim().parse().unwrap_or(200),
        content_type: Some(content_type.trim().to_owned()),
        date: Some(Duration::from_secs(1_800_000_000)),
        retry_after: None,
        dpop_nonce: None,
        fresh_for: None,
        body: SecretBytes::from(body.to_vec()),
    }
}

/// The first line and what follows it.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[]),
    }
}

/// Text that is shown is short and of visible characters.
fn assert_clean(text: &str) {
    assert!(text.chars().count() <= 1000, "too long: {text:?}");
    let hidden = text.chars().find(|c| c.is_control() || is_format(*c));
    assert_eq!(hidden, None, "{text:?}");
}

/// A server's words do not repeat what was sent to it, either.
fn assert_fit(text: &str) {
    assert_clean(text);
    assert!(!text.contains(TELLING), "what was sent is shown: {text:?}");
}

/// An error and all its causes are fit to be shown.
fn assert_quiet(error: &Error) {
    assert_clean(&error.to_string());
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        assert_clean(&error.to_string());
        cause = error.source();
    }
}

/// No debug output has the secret in it, unless `input` has it elsewhere too.
fn assert_hidden(shown: &impl Debug, secret: &str, input: &[u8]) {
    let needle = secret.as_bytes();
    if needle.len() < 16 || input.contains(&b'\\') {
        return;
    }
    let found = input.windows(needle.len()).filter(|part| *part == needle);
    if found.count() == 1 {
        let shown = format!("{shown:?}");
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// What goes into a store or a file is one line of ASCII.
fn assert_ascii_line(written: &SecretBytes) {
    let is_fit = |byte: &u8| matches!(byte, 0x20..=0x7e);
    let text = String::from_utf8_lossy(written.expose());
    assert!(written.expose().iter().all(is_fit), "{text}");
}
