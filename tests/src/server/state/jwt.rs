//! Access tokens that look like JWTs, for clients that read an expiry out of them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::Granted;
use super::mint::random_text;

/// A token of the shape of RFC 9068, whose signature is random.
pub(super) fn jwt_shaped(
    granted: &Granted,
    scopes: &[String],
    resources: &[String],
    lifetime: Duration,
    bytes: usize,
) -> String {
    let issued = jiff::Timestamp::now().as_second();
    let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    let mut claims = json!({
        "iss": "http://127.0.0.1", "sub": granted.subject, "client_id": granted.client_id,
        "scope": scopes.join(" "), "aud": resources, "iat": issued,
        "exp": issued.saturating_add(lifetime), "jti": random_text(22),
    });
    if let Some(jkt) = &granted.jkt {
        claims["cnf"] = json!({ "jkt": jkt });
    }
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"at+jwt","kid":"none"}"#);
    let signature = random_text(342);
    let short = URL_SAFE_NO_PAD.encode(claims.to_string()).len();
    let missing = bytes.saturating_sub(header.len() + short + signature.len() + 2);
    if missing > 0 {
        claims["groups"] = json!(random_text(missing.div_ceil(4) * 3));
    }
    format!(
        "{header}.{}.{signature}",
        URL_SAFE_NO_PAD.encode(claims.to_string())
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Grants, at, granted};
    use super::*;
    use crate::server::config::{AccessTokenFormat, ServerConfig};

    #[test]
    fn a_jwt_shaped_token_has_an_expiry_and_the_wanted_size() {
        let config = ServerConfig {
            access_token_format: AccessTokenFormat::JwtShaped { bytes: 4000 },
            ..ServerConfig::default()
        };
        let token = Grants::default()
            .log_in(granted(), &config, at(0))
            .access_token;
        assert!((4000..4100).contains(&token.len()), "{}", token.len());
        let claims = token.split('.').nth(1).expect("three parts");
        let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64url");
        let claims: serde_json::Value = serde_json::from_slice(&claims).expect("json");
        assert_eq!(
            claims["exp"].as_i64(),
            claims["iat"].as_i64().map(|issued| issued + 300)
        );
    }
}
