//! What is written in an access token or an ID token, if it is a JWT (RFC 7519).
//!
//! Nothing is verified: a token is for its resource, and only that one knows
//! the keys. This is for reading, never for deciding.

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::times;

/// Header and claims, unverified.
#[derive(Debug, Serialize)]
pub(crate) struct Claims {
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

/// The registered claims that are times, in seconds since the Unix epoch.
const TIMES: [(&str, &str); 4] = [
    ("exp", "expires"),
    ("iat", "issued"),
    ("nbf", "not before"),
    ("auth_time", "logged in"),
];

impl Claims {
    /// Reads a token; `None` if it is no JWT.
    pub(crate) fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (header, claims) = (parts.next()?, parts.next()?);
        parts.next()?;
        if parts.next().is_some() {
            return None;
        }
        let object = |part: &str| {
            let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).ok()?;
            serde_json::from_slice(&bytes).ok()
        };
        Some(Self {
            header: object(header)?,
            claims: object(claims)?,
        })
    }

    /// Lines for people.
    pub(crate) fn lines(&self, now_ms: u64) -> Vec<String> {
        let mut lines = vec!["  unverified: anyone could have written this".to_owned()];
        let members = [("header", &self.header), ("claim", &self.claims)];
        for (what, members) in members {
            for (name, value) in members {
                // A JSON value has its control characters escaped.
                lines.push(format!("  {what} {}: {value}", Value::from(name.as_str())));
            }
        }
        for (name, meaning) in TIMES {
            if let Some(seconds) = self.claims.get(name).and_then(Value::as_u64) {
                let time = times::both(seconds.saturating_mul(1000), now_ms);
                lines.push(format!("  {meaning}: {time}"));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        format!("{}.{}.c2ln", part(r#"{"alg":"RS256"}"#), part(claims))
    }

    #[test]
    fn claims_are_shown_with_their_times_and_said_to_be_unverified() {
        let claims = Claims::read(&token(r#"{"sub":"al\u001bice","exp":1772366640}"#)).unwrap();
        let lines = claims.lines(1_772_366_400_000).join("\n");
        assert!(lines.contains("unverified"));
        assert!(lines.contains(r#"claim "sub": "al\u001bice""#), "{lines}");
        assert!(
            lines.contains("expires: 2026-03-01T12:04:00Z (in 4 min)"),
            "{lines}"
        );
    }

    #[test]
    fn what_is_no_jwt_has_no_claims() {
        for text in [
            "",
            "opaque",
            "a.b",
            "a.b.c",
            "e30.e30",
            "e30.e30.x.y",
            "W10.e30.x",
        ] {
            assert!(Claims::read(text).is_none(), "{text}");
        }
    }
}
