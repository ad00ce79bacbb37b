//! The redirect that ends an authorization request (RFC 6749, section 4.1.2):
//! reading its query, and judging whether it answers *this* request.
//!
//! Anyone on the machine, and any web page, can send a browser to the loopback
//! address. A query that does not carry the right state proves nothing, so it
//! is [doubtful](Verdict::Doubtful) and does not by itself end the login.

use vault_platform::secret::{SecretBuffer, SecretBytes, SecretString};

use crate::error::{Error, ErrorKind};
use crate::oauth::text::clean;

/// What the redirect to this login looks like.
#[derive(Debug)]
pub(crate) struct Expected {
    /// The state that was sent.
    pub(crate) state: SecretString,
    /// The server that was asked.
    pub(crate) issuer: String,
    /// Whether the server always names itself in the redirect (RFC 9207).
    pub(crate) names_issuer: bool,
}

/// What a redirect is worth.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The user agreed: here is the code.
    Code(SecretString),
    /// It answers this login, and the answer is no.
    Refused(Error),
    /// It may come from anywhere.
    Doubtful(Error),
}

/// Judges the query of a redirect.
pub(crate) fn judge(query: &[u8], expected: &Expected) -> Verdict {
    let invalid = |what: String| {
        let message = format!("the redirect back from {} {what}", clean(&expected.issuer));
        Error::new(ErrorKind::ServerAnswerInvalid, message)
    };
    let query = match Query::parse(query) {
        Ok(query) => query,
        Err(malformed) => return Verdict::Doubtful(invalid(malformed.to_string())),
    };
    if !query
        .state
        .is_some_and(|state| state.same_as(&expected.state))
    {
        return Verdict::Doubtful(Error::new(
            ErrorKind::StateMismatch,
            "a redirect came that carries another state than this login sent",
        ));
    }
    // From here on it comes from the server, or from who saw the request.
    match query.issuer {
        Some(issuer) if issuer.expose() != expected.issuer => {
            return Verdict::Refused(Error::new(
                ErrorKind::IssuerMismatch,
                format!(
                    "the redirect names the issuer {:?}, not {:?}",
                    clean(issuer.expose()),
                    clean(&expected.issuer)
                ),
            ));
        }
        None if expected.names_issuer => {
            return Verdict::Refused(Error::new(
                ErrorKind::IssuerMismatch,
                format!(
                    "the redirect does not name the issuer, as {} promises to",
                    clean(&expected.issuer)
                ),
            ));
        }
        _ => {}
    }
    match (query.code.filter(|code| !code.is_empty()), query.error) {
        (Some(code), None) => Verdict::Code(code),
        (None, Some(error)) => {
            let description = query.error_description;
            Verdict::Refused(refusal(
                &expected.issuer,
                error.expose(),
                description.as_ref().map(SecretString::expose),
            ))
        }
        (Some(_), Some(_)) => Verdict::Refused(invalid("has a code and an error".to_owned())),
        (None, None) => Verdict::Refused(invalid("has neither a code nor an error".to_owned())),
    }
}

fn refusal(issuer: &str, error: &str, description: Option<&str>) -> Error {
    let kind = match error {
        "access_denied"
        | "login_required"
        | "interaction_required"
        | "consent_required"
        | "account_selection_required" => ErrorKind::AccessDenied,
        "server_error" | "temporarily_unavailable" => ErrorKind::ServerUnavailable,
        code => super::refusal(code),
    };
    let more = description
        .map(clean)
        .filter(|text| !text.is_empty())
        .map(|text| format!(" ({text})"))
        .unwrap_or_default();
    let message = format!(
        "{} refused the login: {}{more}",
        clean(issuer),
        clean(error)
    );
    Error::new(kind, message)
}

/// The parameters of a redirect. All of them are held like the code, which is
/// one of them.
#[derive(Debug, Default)]
struct Query {
    code: Option<SecretString>,
    state: Option<SecretString>,
    issuer: Option<SecretString>,
    error: Option<SecretString>,
    error_description: Option<SecretString>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Malformed {
    #[error("has the parameter {0} twice")]
    Twice(&'static str),
    #[error("is not properly encoded")]
    Encoding,
}

impl Query {
    fn parse(query: &[u8]) -> Result<Self, Malformed> {
        let mut read = Self::default();
        for pair in query.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|b| *b == b'=');
            let (name, value) = pair.split_at(at.unwrap_or(pair.len()));
            let (name, slot) = match decode(name)?.expose() {
                "code" => ("code", &mut read.code),
                "state" => ("state", &mut read.state),
                "iss" => ("iss", &mut read.issuer),
                "error" => ("error", &mut read.error),
                "error_description" => ("error_description", &mut read.error_description),
                _ => continue,
            };
            let value = decode(value.strip_prefix(b"=").unwrap_or_default())?;
            // RFC 6749, section 3.1: not more than once. Which of two would
            // count is what an attacker would play with.
            if slot.replace(value).is_some() {
                return Err(Malformed::Twice(name));
            }
        }
        Ok(read)
    }
}

/// Undoes percent encoding, in memory that is wiped.
fn decode(text: &[u8]) -> Result<SecretString, Malformed> {
    let mut decoded = SecretBuffer::with_capacity(text.len(), text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let byte = match first {
            b'+' => b' ',
            b'%' => {
                let [high, low, tail @ ..] = tail else {
                    return Err(Malformed::Encoding);
                };
                rest = tail;
                hex(*high)? << 4 | hex(*low)?
            }
            other => *other,
        };
        decoded.push(&[byte]).expect("not longer than its source");
    }
    let bytes: SecretBytes = decoded.finish();
    SecretString::try_from(bytes).map_err(|_| Malformed::Encoding)
}

fn hex(digit: u8) -> Result<u8, Malformed> {
    match char::from(digit).to_digit(16) {
        Some(value) => Ok(u8::try_from(value).expect("below 16")),
        None => Err(Malformed::Encoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://login.example";

    fn verdict(query: &str, names_issuer: bool) -> Verdict {
        let expected = Expected {
            state: "S-t_1".to_owned().into(),
            issuer: ISSUER.to_owned(),
            names_issuer,
        };
        judge(query.as_bytes(), &expected)
    }

    fn refused(query: &str, names_issuer: bool) -> Error {
        match verdict(query, names_issuer) {
            Verdict::Refused(error) => error,
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn a_code_with_the_right_state_is_taken() {
        for query in [
            "code=a%2Bb&state=S-t_1",
            "state=S%2Dt_1&session_state=x&session_state=y&code=a%2bb&",
            "code=a%2Bb&state=S-t_1&iss=https%3A%2F%2Flogin.example",
        ] {
            match verdict(query, false) {
                Verdict::Code(code) => assert_eq!(code.expose(), "a+b"),
                other => panic!("{query}: {other:?}"),
            }
        }
    }

    #[test]
    fn without_the_right_state_nothing_is_believed() {
        for query in [
            "",
            "code=c",
            "code=c&state=",
            "code=c&state",
            "code=c&state=s-t_1",
            "code=c&state=S-t_11",
            "error=access_denied",
            "error=access_denied&state=other",
            "code=c&iss=https%3A%2F%2Flogin.example",
        ] {
            match verdict(query, false) {
                Verdict::Doubtful(error) => {
                    assert_eq!(error.kind(), ErrorKind::StateMismatch, "{query}");
                }
                other => panic!("{query}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_parameter_that_comes_twice_is_refused() {
        for query in [
            "code=c&state=S-t_1&state=S-t_1",
            "state=wrong&code=c&state=S-t_1",
            "code=c&code=d&state=S-t_1",
            "code=c&c%6fde=d&state=S-t_1",
            "code=c&state=S-t_1&iss=a&iss=b",
            "error=a&error=b&state=S-t_1",
        ] {
            match verdict(query, false) {
                Verdict::Doubtful(error) => {
                    assert_eq!(error.kind(), ErrorKind::ServerAnswerInvalid, "{query}");
                    assert!(error.to_string().contains("twice"), "{error}");
                }
                other => panic!("{query}: {other:?}"),
            }
        }
    }

    #[test]
    fn broken_encoding_is_refused_and_never_panics() {
        for query in [
            "code=%",
            "code=%2",
            "code=%zz",
            "%=1",
            "code=%ff%fe",
            "code=\u{e9}%",
        ] {
            assert!(
                matches!(verdict(query, false), Verdict::Doubtful(_)),
                "{query}"
            );
        }
    }

    #[test]
    fn the_issuer_must_be_the_one_that_was_asked() {
        for (query, promised) in [
            ("code=c&state=S-t_1&iss=https%3A%2F%2Fevil.example", false),
            (
                "code=c&state=S-t_1&iss=https%3A%2F%2Flogin.example%2F",
                true,
            ),
            ("code=c&state=S-t_1&iss=", true),
            ("code=c&state=S-t_1", true),
            ("error=access_denied&state=S-t_1", true),
        ] {
            assert_eq!(
                refused(query, promised).kind(),
                ErrorKind::IssuerMismatch,
                "{query}"
            );
        }
    }

    #[test]
    fn the_servers_refusal_has_the_kind_it_means() {
        for (code, kind) in [
            ("access_denied", ErrorKind::AccessDenied),
            ("login_required", ErrorKind::AccessDenied),
            ("server_error", ErrorKind::ServerUnavailable),
            ("temporarily_unavailable", ErrorKind::ServerUnavailable),
            ("invalid_scope", ErrorKind::RequestRefused),
            ("unauthorized_client", ErrorKind::ClientRefused),
        ] {
            let query = format!("error={code}&error_description=no%1b%5B2J+way&state=S-t_1");
            let error = refused(&query, false);
            assert_eq!(error.kind(), kind);
            assert_eq!(
                error.to_string(),
                format!("{ISSUER} refused the login: {code} (no[2J way)")
            );
        }
    }

    #[test]
    fn a_redirect_says_exactly_one_thing() {
        for query in [
            "state=S-t_1",
            "code=&state=S-t_1",
            "code=c&error=e&state=S-t_1",
        ] {
            let error = refused(query, false);
            assert_eq!(error.kind(), ErrorKind::ServerAnswerInvalid, "{query}");
        }
    }

    #[test]
    fn no_debug_output_shows_the_code() {
        let query = Query::parse(b"code=canary&state=canary").unwrap();
        assert!(!format!("{query:?}").contains("canary"));
        let verdict = verdict("code=canary&state=S-t_1", false);
        assert!(!format!("{verdict:?}").contains("canary"));
    }
}
