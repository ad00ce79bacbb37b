//! The credential helpers that bazel and other build tools share: an address in
//! JSON, headers back
//! (<https://github.com/EngFlow/credential-helper-spec>).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Asked, Garbage, Given, json};

#[derive(Deserialize)]
struct Question {
    uri: String,
}

/// Reads whom `get` is about.
///
/// # Errors
///
/// What names no address.
pub(crate) fn read(bytes: &[u8]) -> Result<Asked, Garbage> {
    let question: Question =
        serde_json::from_slice(bytes).map_err(|_| Garbage("asks what names no `uri`"))?;
    Asked::by_address(&question.uri)
}

#[derive(Serialize)]
struct Answer<'a> {
    headers: Headers<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

#[derive(Serialize)]
struct Headers<'a> {
    #[serde(rename = "Authorization")]
    authorization: [&'a str; 1],
}

/// The answer to `get`.
pub(crate) fn answer(given: Given<'_>) -> Zeroizing<String> {
    let authorization = Zeroizing::new(["Bearer ", given.token].concat());
    let at = given
        .ask_again_at_ms
        .and_then(|ms| Timestamp::from_second(i64::try_from(ms / 1000).ok()?).ok());
    let answer = Answer {
        headers: Headers {
            authorization: [&authorization],
        },
        expires: at.map(|at| at.to_string()),
    };
    json(&answer, given.token)
}

/// The answer about whom no token is given: the tool is to go on without one.
pub(crate) const NOTHING: &str = "{\"headers\":{}}";

#[cfg(test)]
mod tests {
    use super::super::tests::GARBAGE;
    use super::*;

    #[test]
    fn an_address_is_answered_with_a_header_and_its_end() {
        let asked = read(br#"{"uri":"https://cache.example/a?b"}"#).unwrap();
        assert_eq!(asked, Asked::Host("cache.example".parse().unwrap()));
        let given = Given {
            token: "fake-token",
            ask_again_at_ms: Some(1_700_000_000_000),
        };
        assert_eq!(
            *answer(given),
            r#"{"headers":{"Authorization":["Bearer fake-token"]},"expires":"2023-11-14T22:13:20Z"}"#
        );
    }

    #[test]
    fn what_names_no_address_is_refused() {
        let own: [&[u8]; 2] = [br#"{"uri":"cache.example"}"#, br#"{"url":"https://a"}"#];
        for bytes in own.into_iter().chain(GARBAGE) {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
