//! A look into a JSON Web Token (RFC 7519), without verifying it.
//!
//! For what the token's issuer sent over TLS a moment ago, and for display
//! only: when an access token without `expires_in` ends, and whose login it
//! is. Nothing is decided by a claim that would need a signature. Whatever the
//! text is, reading it gives nothing rather than an error.

use std::time::Duration;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use vault_platform::secret::SecretBytes;

use super::lenient;
use super::text::clean;

/// The longest token that is looked into, in bytes.
const LONGEST: usize = 64 * 1024;

/// Strict about the alphabet, not about padding or the last bits.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The claims that are of use here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Claims {
    /// When the token ends, since the UNIX epoch.
    #[serde(deserialize_with = "lenient::seconds_since_epoch")]
    pub(crate) exp: Option<Duration>,
    /// When it was made, since the UNIX epoch.
    #[serde(deserialize_with = "lenient::seconds_since_epoch")]
    pub(crate) iat: Option<Duration>,
    /// Who logged in, unique at the issuer. As it came: compare it, but show
    /// it only cleaned.
    #[serde(deserialize_with = "lenient::string")]
    pub(crate) sub: Option<String>,
    #[serde(deserialize_with = "lenient::string")]
    email: Option<String>,
    #[serde(deserialize_with = "lenient::string")]
    preferred_username: Option<String>,
    #[serde(deserialize_with = "lenient::string")]
    name: Option<String>,
    /// What the token is bound to (RFC 7800, section 3.1); of whatever type.
    cnf: serde_json::Value,
}

impl Claims {
    /// The thumbprint of the key that the token is bound to (RFC 9449, section
    /// 6.1).
    pub(crate) fn jkt(self) -> Option<String> {
        self.cnf.get("jkt")?.as_str().map(str::to_owned)
    }

    /// Whether they name the account in words for people.
    #[cfg(feature = "openid")]
    pub(crate) fn has_name(&self) -> bool {
        let names = [&self.email, &self.preferred_username, &self.name];
        let mut names = names.into_iter().flatten();
        names.any(|name| !clean(name).trim().is_empty())
    }

    /// The same with the account's name as it is told elsewhere.
    #[cfg(feature = "openid")]
    pub(crate) fn named_by(self, told: Self) -> Self {
        Self {
            email: told.email,
            preferred_username: told.preferred_username,
            name: told.name,
            ..self
        }
    }

    /// Names the account for a person: e-mail, else user name, else name, else
    /// subject; fit to be shown.
    pub(crate) fn account_label(&self) -> Option<String> {
        [&self.email, &self.preferred_username, &self.name, &self.sub]
            .into_iter()
            .flatten()
            .map(|text| clean(text))
            .find(|label| !label.trim().is_empty())
    }
}

/// Reads the claims, if the text is a JWT.
pub(crate) fn claims(token: &str) -> Option<Claims> {
    if token.len() > LONGEST {
        return None;
    }
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None; // five parts: encrypted
    }
    let mut bytes = Vec::with_capacity(payload.len());
    let decoded = BASE64.decode_vec(payload, &mut bytes);
    let bytes = SecretBytes::from(bytes);
    decoded.ok()?;
    lenient::object(bytes.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> String {
        let payload = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(payload);
        format!("eyJhbGciOiJub25lIn0.{payload}.c2ln")
    }

    #[test]
    fn the_claims_of_a_token_are_read() {
        let claims = claims(&jwt(
            r#"{"exp":1800000000,"iat":1799999700.5,"sub":"u1","email":"a@b.example","aud":["x"]}"#,
        ))
        .unwrap();
        assert_eq!(claims.exp, Some(Duration::from_secs(1_800_000_000)));
        assert_eq!(claims.iat, Some(Duration::from_millis(1_799_999_700_500)));
        assert_eq!(claims.sub.as_deref(), Some("u1"));
        assert_eq!(claims.account_label().as_deref(), Some("a@b.example"));
    }

    #[test]
    fn padding_does_not_matter() {
        let padded = base64::prelude::BASE64_URL_SAFE.encode(r#"{"sub":"ab"}"#);
        assert!(claims(&format!("h.{padded}.s")).is_some());
        assert!(claims(&format!("h.{}.", padded.trim_end_matches('='))).is_some());
    }

    #[test]
    fn the_label_takes_the_best_name_there_is_and_cleans_it() {
        let label = |payload: &str| claims(&jwt(payload)).unwrap().account_label();
        assert_eq!(
            label(r#"{"sub":"u1","name":"Ann"}"#).as_deref(),
            Some("Ann")
        );
        assert_eq!(
            label(r#"{"sub":"u1","name":"Ann","preferred_username":"ann"}"#).as_deref(),
            Some("ann")
        );
        assert_eq!(
            label(r#"{"sub":"u\u001b[2J1","email":""}"#).as_deref(),
            Some("u[2J1")
        );
        assert_eq!(label(r#"{"sub":17}"#), None);
    }

    #[test]
    fn the_key_that_a_token_is_bound_to_is_read_and_a_strange_one_costs_nothing_else() {
        let bound = claims(&jwt(r#"{"sub":"u1","cnf":{"jkt":"KEY"}}"#)).unwrap();
        assert_eq!(bound.jkt().as_deref(), Some("KEY"));
        for strange in ["7", "\"x\"", "[]", "null", "{\"jkt\":7}", "{\"x5t\":\"y\"}"] {
            let read = claims(&jwt(&format!(r#"{{"sub":"u1","cnf":{strange}}}"#))).unwrap();
            assert_eq!(read.sub.as_deref(), Some("u1"));
            assert_eq!(read.jkt(), None, "{strange}");
        }
    }

    #[test]
    fn garbage_gives_nothing_and_never_panics() {
        for garbage in [
            "",
            ".",
            "..",
            "...",
            "a.b",
            "a.b.c",
            "a.b.c.d.e",
            "é.é.é",
            "\0.\0.\0",
        ] {
            assert!(claims(garbage).is_none(), "{garbage}");
        }
        for payload in ["", "null", "[]", "{", "\"x\"", "{\"exp\":", "\u{0}"] {
            assert!(claims(&jwt(payload)).is_none(), "{payload}");
        }
        assert!(claims(&format!("h.{}.s", "A".repeat(LONGEST))).is_none());
        let deep = jwt(&format!("{{\"a\":{}", "[".repeat(20_000)));
        assert!(claims(&deep).is_none());
        for exp in ["-5", "1e400", "1e300", "\"x\"", "true", "{}"] {
            let read = claims(&jwt(&format!("{{\"exp\":{exp}}}")));
            assert!(read.is_none_or(|claims| claims.exp.is_none_or(|exp| exp < Duration::MAX)));
        }
        let random: [u8; 4096] = vault_platform::random::bytes();
        for window in random.windows(61) {
            let payload = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(window);
            assert!(claims(&format!("a.{payload}.b")).is_none());
        }
    }
}
