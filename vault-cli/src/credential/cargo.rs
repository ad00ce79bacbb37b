//! cargo's credential providers, protocol version 1: JSON, a line each way
//! (<https://doc.rust-lang.org/cargo/reference/credential-provider-protocol.html>).

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Asked, Garbage, Given, json};

/// What a provider says first.
pub(crate) const HELLO: &str = "{\"v\":[1]}";

/// What cargo wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// A token for a registry. The words behind the program's name in cargo's
    /// configuration come with it, not with the program.
    Get { asked: Asked, words: Vec<String> },
    /// To log in or out, which is not done by cargo.
    Other,
}

#[derive(Deserialize)]
struct Request {
    v: u32,
    registry: Registry,
    kind: String,
    #[serde(default)]
    args: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Registry {
    index_url: String,
}

impl Question {
    /// Reads one line.
    ///
    /// # Errors
    ///
    /// What is no request of version 1.
    pub(crate) fn read(line: &[u8]) -> Result<Self, Garbage> {
        let request: Request =
            serde_json::from_slice(line).map_err(|_| Garbage("asks what is no request"))?;
        if request.v != 1 {
            return Err(Garbage("asks by another version than 1"));
        }
        if request.kind != "get" {
            return Ok(Self::Other);
        }
        let index = request.registry.index_url;
        // `sparse+https://…`, `registry+https://…`
        let address = match index.split_once('+') {
            Some(("sparse" | "registry", address)) => address,
            _ => &index,
        };
        Ok(Self::Get {
            asked: Asked::by_address(address)?,
            words: request.args,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Answer<'a> {
    #[serde(rename = "Ok")]
    Done(Done<'a>),
    #[serde(rename = "Err")]
    Refused(Refused<'a>),
}

#[derive(Serialize)]
struct Done<'a> {
    kind: &'static str,
    token: &'a str,
    cache: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<u64>,
    operation_independent: bool,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Refused<'a> {
    NotFound,
    OperationNotSupported,
    #[serde(rename_all = "kebab-case")]
    Other {
        message: &'a str,
        caused_by: [&'a str; 0],
    },
}

/// The answer to `get`. cargo sends it as the header's whole value.
pub(crate) fn answer(given: Given<'_>) -> Zeroizing<String> {
    let token = Zeroizing::new(["Bearer ", given.token].concat());
    let expiration = given.ask_again_at_ms.map(|ms| ms / 1000);
    let answer = Answer::Done(Done {
        kind: "get",
        token: &token,
        cache: match expiration {
            Some(_) => "expires",
            None => "session",
        },
        expiration,
        operation_independent: true,
    });
    json(&answer, given.token)
}

/// cargo is to ask the next provider.
pub(crate) fn not_found() -> Zeroizing<String> {
    json(&Answer::Refused(Refused::NotFound), "")
}

/// To log in and out by cargo is not offered.
pub(crate) fn not_supported() -> Zeroizing<String> {
    json(&Answer::Refused(Refused::OperationNotSupported), "")
}

/// There is no token, and no other provider is to be asked.
pub(crate) fn failed(message: &str) -> Zeroizing<String> {
    let answer = Answer::Refused(Refused::Other {
        message,
        caused_by: [],
    });
    json(&answer, message)
}

#[cfg(test)]
mod tests {
    use super::super::tests::GARBAGE;
    use super::*;

    fn request(v: u32, kind: &str, index: &str) -> String {
        format!(
            r#"{{"v":{v},"registry":{{"index-url":"{index}","name":"own"}},"kind":"{kind}","operation":"read","args":["credential","cargo"]}}"#
        )
    }

    #[test]
    fn an_index_is_a_host_however_it_is_fetched() {
        for index in [
            "sparse+https://crates.example:8443/index/",
            "registry+https://crates.example:8443/index.git",
            "https://crates.example:8443/index.git",
        ] {
            let host = "crates.example:8443".parse().unwrap();
            let read = Question::read(request(1, "get", index).as_bytes());
            let words = ["credential", "cargo"].map(str::to_owned).to_vec();
            let asked = Asked::Host(host);
            assert_eq!(read, Ok(Question::Get { asked, words }));
        }
        let read = Question::read(request(1, "get", "sparse+http://crates.example/").as_bytes());
        assert!(matches!(
            read,
            Ok(Question::Get {
                asked: Asked::Unboundable(_),
                ..
            })
        ));
        for kind in ["login", "logout", "something-new"] {
            let read = Question::read(request(1, kind, "https://crates.example").as_bytes());
            assert_eq!(read, Ok(Question::Other), "{kind}");
        }
    }

    #[test]
    fn answers_are_the_protocols_word_for_word() {
        let given = |ask_again_at_ms| Given {
            token: "fake-token",
            ask_again_at_ms,
        };
        assert_eq!(
            *answer(given(Some(1_700_000_000_999))),
            r#"{"Ok":{"kind":"get","token":"Bearer fake-token","cache":"expires","expiration":1700000000,"operation_independent":true}}"#
        );
        assert!(answer(given(None)).contains(r#""cache":"session","operation_independent""#));
        assert_eq!(*not_found(), r#"{"Err":{"kind":"not-found"}}"#);
        assert_eq!(
            *not_supported(),
            r#"{"Err":{"kind":"operation-not-supported"}}"#
        );
        assert_eq!(
            *failed("why"),
            r#"{"Err":{"kind":"other","message":"why","caused-by":[]}}"#
        );
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            request(2, "get", "https://crates.example"),
            request(1, "get", "nowhere"),
            request(1, "get", ""),
        ] {
            assert!(Question::read(text.as_bytes()).is_err(), "{text}");
        }
        for bytes in GARBAGE {
            assert!(Question::read(bytes).is_err(), "{bytes:?}");
        }
    }
}
