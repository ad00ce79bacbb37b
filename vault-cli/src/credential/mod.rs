//! What tools ask a credential helper, and how they want to be answered: one
//! file per tool.
//!
//! Pure: bytes in, a question out; a token in, an answer out. No file here
//! reads or prints, and nothing here decides who is given a token. A question
//! that can't be read is an error, never a panic and never a guess: its bytes
//! come from whoever started this program.

pub(crate) mod bazel;
pub(crate) mod cargo;
pub(crate) mod docker;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
pub(crate) mod git;
pub(crate) mod kubectl;

use std::fmt;

use serde::Serialize;
use url::Url;
use vault_core::BoundHost;
use zeroize::Zeroizing;

/// A question that can't be read, in words that follow the tool's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbage(&'static str);

impl fmt::Display for Garbage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Whom the question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Host(BoundHost),
    /// What no login can be bound to, and why.
    Unboundable(String),
}

impl Asked {
    /// Reads an address.
    fn by_address(text: &str) -> Result<Self, Garbage> {
        let url = Url::parse(text).map_err(|_| Garbage("asks about no address"))?;
        Ok(match BoundHost::of(&url) {
            Some(host) => Self::Host(host),
            None => Self::Unboundable(format!(
                "{} is not asked by https",
                url.host_str().unwrap_or("what has no host")
            )),
        })
    }
}

/// What a tool is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    /// A bearer token (RFC 6750): visible ASCII and spaces, nothing else.
    pub(crate) token: &'a str,
    /// When to ask again, in milliseconds since the Unix epoch, if the token
    /// has an end.
    pub(crate) ask_again_at_ms: Option<u64>,
}

/// An answer in JSON, with a token in it.
fn json(answer: &impl Serialize, token: &str) -> Zeroizing<String> {
    // Room from the start: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * token.len() + 8 * 1024));
    let written = serde_json::to_writer(&mut *bytes, answer);
    let text = std::mem::take(&mut *bytes);
    debug_assert!(written.is_ok(), "it has nothing that JSON can't say");
    Zeroizing::new(String::from_utf8(text).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every protocol is asked with, besides its own.
    pub(super) const GARBAGE: [&[u8]; 12] = [
        b"",
        b"\n",
        b"\0",
        b"{",
        b"{}",
        b"[]",
        b"null",
        b"\"https://git.example\"",
        b"\xff\xfe\xfd",
        b"{\"uri\":7}",
        b"=\n=\n=",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    ];

    #[test]
    fn an_address_by_another_way_than_https_is_no_host_to_be_bound() {
        for text in [
            "http://git.example/",
            "ssh://git.example",
            "file:///x",
            "data:x",
        ] {
            let asked = Asked::by_address(text).unwrap();
            assert!(matches!(asked, Asked::Unboundable(_)), "{text}");
        }
        let asked = Asked::by_address("https://git.example:8443/a").unwrap();
        assert_eq!(asked, Asked::Host("git.example:8443".parse().unwrap()));
        assert!(Asked::by_address("git.example").is_err());
    }
}
