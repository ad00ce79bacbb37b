//! What comes in headers, in tokens and from a browser.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use serde_json::Value;
use url::Url;
use url::form_urlencoded;
use vault_platform::secret::SecretString;

use super::answers::ISSUER;
use super::{assert_clean, assert_quiet, split_line};
use crate::http::{freshness, retry_after, since_epoch};
use crate::login::loopback::callback_query;
use crate::login::page::Page;
use crate::login::redirect::{self, Verdict as Redirect, judge};
use crate::oauth::Endpoints;
use crate::oauth::challenge::{Challenge, Verdict};
use crate::oauth::{id_token, jwt, lenient};
use crate::token::IdToken;

/// A resource's refusal: the status in the first line, then its
/// `WWW-Authenticate` headers, one in each line.
pub(super) fn challenge(bytes: &[u8]) {
    let (status, headers) = split_line(bytes);
    let status = String::from_utf8_lossy(status).trim().parse();
    let headers = headers.split(|byte| *byte == b'\n');
    let found = Challenge::from_headers(headers.clone());
    assert!(found.len() <= 32);
    let mut written = Vec::new();
    for challenge in &found {
        assert!(challenge.parameters.len() <= 64);
        assert!(!challenge.scheme.is_empty());
        assert_eq!(challenge.scheme, challenge.scheme.to_ascii_lowercase());
        let mut line = challenge.scheme.clone();
        for (at, (name, value)) in challenge.parameters.iter().enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            let comma = if at == 0 { "" } else { "," };
            line.push_str(&format!("{comma} {name}=\"{value}\""));
        }
        written.push(line);
    }
    assert_eq!(Challenge::from_headers([written.join(", ")]), found);

    let verdict = Verdict::of(status.unwrap_or(401), headers);
    assert_clean(&verdict.error().to_string());
    let words = match &verdict {
        Verdict::NeedsScope { scope } => scope,
        Verdict::NeedsLogin { acr_values, .. } => acr_values,
        _ => return,
    };
    for word in words {
        assert!(word.len() <= 1000 && !word.is_empty());
        assert!(word.chars().all(|c| c.is_ascii_graphic() || c == '…'));
    }
}

/// Header lines of an answer.
pub(super) fn http_headers(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(100) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        if let Ok(name) = HeaderName::from_bytes(name)
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            headers.append(name, value);
        }
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let date = text(DATE).and_then(since_epoch);
    // What says that an answer must not be used again is not overheard.
    let life = freshness::lifetime(&headers, date);
    let says = |word: &str| {
        let lines = headers.get_all("cache-control").into_iter();
        let mut lines = lines.filter_map(|line| line.to_str().ok());
        lines.any(|line| line.split(',').any(|part| part.trim() == word))
    };
    if says("no-store") || says("no-cache") {
        assert_eq!(life, Some(Duration::ZERO));
    }
    for clock in [date, None] {
        let wait = text(RETRY_AFTER).and_then(|value| retry_after(value, clock));
        assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(86_400)));
    }
}

/// The claims of a token that is not verified.
pub(super) fn jwt_claims(bytes: &[u8]) {
    let Some(claims) = jwt::claims(&String::from_utf8_lossy(bytes)) else {
        return;
    };
    let last = Duration::from_secs(253_402_300_799);
    assert!(claims.exp.is_none_or(|time| time <= last));
    assert!(claims.iat.is_none_or(|time| time <= last));
    let label = claims.account_label().unwrap_or_else(|| "none".to_owned());
    assert!(!label.trim().is_empty() && label.chars().count() <= 200);
    assert_clean(&label);
    let _bound_to = claims.jkt();
}

/// A server's keys in the first line, and an ID token behind.
pub(super) fn id_token(bytes: &[u8]) {
    let (keys, token) = split_line(bytes);
    let Some(keys) = lenient::object(keys) else {
        return;
    };
    let token = String::from_utf8_lossy(token).trim().to_owned();
    let token_endpoint = Url::parse("https://login.example/token").expect("an address");
    let mut endpoints =
        Endpoints::for_token_endpoint(ISSUER.to_owned(), token_endpoint).expect("a secure address");
    let algorithms = [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256",
        "none",
    ];
    endpoints.id_token_signing_algs = Some(algorithms.map(str::to_owned).to_vec());
    let nonce = SecretString::from("N".to_owned());
    let now = Duration::from_secs(1_800_000_000);
    let expected = id_token::Expected {
        client_id: "app",
        nonce: Some(&nonce),
        max_age: Some(Duration::from_secs(600)),
        now,
    };
    let wrapped = IdToken::new(token.clone().into());
    let claims = match id_token::check(&endpoints, keys, &wrapped, &expected) {
        Ok(claims) => claims,
        Err(error) => return assert_quiet(&error),
    };
    // What is believed says by itself that it is for this login.
    let payload = token.split('.').nth(1).expect("three parts");
    let payload = data_encoding::BASE64URL_NOPAD.decode(payload.trim_end_matches('=').as_bytes());
    let payload: Value = serde_json::from_slice(&payload.expect("base64url")).expect("JSON");
    assert_eq!(payload["iss"], ISSUER);
    assert_eq!(payload["nonce"], "N");
    assert!(payload["aud"].to_string().contains("\"app\""));
    assert!(
        claims
            .exp
            .is_some_and(|exp| exp + Duration::from_secs(61) >= now)
    );
}

/// A request to the loopback listener.
pub(super) fn redirect(bytes: &[u8]) {
    const STATE: &str = "S-t_1";
    let query = match callback_query(bytes, "/callback") {
        Ok(query) => query,
        Err(page) => return assert_harmless(&page),
    };
    for names_issuer in [false, true] {
        let expected = redirect::Expected {
            state: STATE.to_owned().into(),
            issuer: ISSUER.to_owned(),
            names_issuer,
        };
        let error = match judge(query, &expected) {
            Redirect::Code(code) => {
                // Somebody else reads the same, once.
                let all = |wanted: &str| -> Vec<_> {
                    form_urlencoded::parse(query)
                        .filter(|(name, _)| name == wanted)
                        .map(|(_, value)| value.into_owned())
                        .collect()
                };
                assert_eq!(all("state"), [STATE]);
                assert_eq!(all("code"), [code.expose()]);
                assert!(all("error").is_empty() && !code.is_empty());
                let issuers = all("iss");
                assert!(issuers == [ISSUER] || (issuers.is_empty() && !names_issuer));
                continue;
            }
            Redirect::Refused(error) => {
                let states = form_urlencoded::parse(query).filter(|(name, _)| name == "state");
                assert_eq!(states.count(), 1);
                error
            }
            Redirect::Doubtful(error) => error,
        };
        assert_clean(&error.to_string());
        assert_harmless(&Page::Failed(error.to_string()));
    }
}

/// No page has more markup or headers than it brings.
fn assert_harmless(page: &Page) {
    let count = |page: &Page, wanted: u8| {
        let response = page.response();
        response.iter().filter(|byte| **byte == wanted).count()
    };
    let plain = Page::Failed("x".to_owned());
    for byte in *b"<>\r" {
        if matches!(page, Page::Failed(_)) {
            assert_eq!(count(page, byte), count(&plain, byte));
        }
    }
    assert!(page.response().len() < 8 * 1024);
}
