//! docker's credential helpers: a registry's name on standard input, JSON back
//! (<https://github.com/docker/docker-credential-helpers>).

use serde::Serialize;
use zeroize::Zeroizing;

use super::{Asked, Garbage, Given, json};

/// What the clients take for "ask someone else": word for word.
pub(crate) const NOT_FOUND: &str = "credentials not found in native keychain";

/// Registries that take an access token for a password look at no name, but
/// Google's at this one.
const USER: &str = "oauth2accesstoken";

/// No registry's address is longer.
const LONGEST: usize = 4096;

/// Reads whom `get` and `erase` are about: a host, or an address, which for
/// some clients has no `https://`.
///
/// # Errors
///
/// What is no registry.
pub(crate) fn read(bytes: &[u8]) -> Result<(String, Asked), Garbage> {
    let text = std::str::from_utf8(bytes).map_err(|_| Garbage("asks about no registry"))?;
    let server = text.trim();
    let is_odd = |character: char| character.is_control() || character.is_whitespace();
    if server.is_empty() || server.len() > LONGEST || server.contains(is_odd) {
        return Err(Garbage("asks about no registry"));
    }
    let address = match server.contains("://") {
        true => server.to_owned(),
        false => format!("https://{server}"),
    };
    let asked = Asked::by_address(&address)?;
    if address.contains('@') {
        return Err(Garbage("asks about an address with a user's name"));
    }
    Ok((server.to_owned(), asked))
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(rename = "ServerURL")]
    server: &'a str,
    #[serde(rename = "Username")]
    user: &'static str,
    #[serde(rename = "Secret")]
    secret: &'a str,
}

/// The answer to `get`.
pub(crate) fn answer(server: &str, given: Given<'_>) -> Zeroizing<String> {
    let answer = Answer {
        server,
        user: USER,
        secret: given.token,
    };
    json(&answer, given.token)
}

/// The answer to `list`: each registry and its user's name.
pub(crate) fn list(hosts: &[String]) -> String {
    let listed: serde_json::Map<_, _> = hosts
        .iter()
        .map(|host| (format!("https://{host}"), USER.into()))
        .collect();
    serde_json::Value::Object(listed).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::tests::GARBAGE;
    use super::*;

    #[test]
    fn a_registry_is_named_with_https_or_without() {
        for (text, host) in [
            ("registry.example\n", "registry.example"),
            ("registry.example:5000", "registry.example:5000"),
            ("https://registry.example/v1/", "registry.example"),
        ] {
            let (_, asked) = read(text.as_bytes()).unwrap();
            assert_eq!(asked, Asked::Host(host.parse().unwrap()), "{text}");
        }
        let (_, asked) = read(b"http://registry.example").unwrap();
        assert!(matches!(asked, Asked::Unboundable(_)));
    }

    #[test]
    fn the_answer_repeats_the_server_as_it_was_asked() {
        let given = Given {
            token: "fake\"token",
            ask_again_at_ms: None,
        };
        assert_eq!(
            *answer("registry.example", given),
            r#"{"ServerURL":"registry.example","Username":"oauth2accesstoken","Secret":"fake\"token"}"#
        );
        assert_eq!(
            list(&["a.example".to_owned()]),
            r#"{"https://a.example":"oauth2accesstoken"}"#
        );
    }

    #[test]
    fn what_is_no_registry_is_refused() {
        let own: [&[u8]; 4] = [
            b"two words",
            b"a\nb",
            b"https://evil@registry.example",
            b"evil@registry.example",
        ];
        for bytes in own {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        // A word may be a host's name, and then stands for nothing else.
        for bytes in GARBAGE {
            if let Ok((_, Asked::Host(host))) = read(bytes) {
                assert_eq!(host.to_string().as_bytes(), bytes);
            }
        }
        assert!(read(&[b'a'; 5000]).is_err());
    }
}
