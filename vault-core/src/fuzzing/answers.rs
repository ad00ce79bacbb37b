//! What servers answer.

use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::{
    LONGEST, SENT, assert_clean, assert_fit, assert_hidden, assert_quiet, response, split_line,
};
use crate::error::ErrorKind;
use crate::http::is_secure;
use crate::login::{device_code, pushed};
use crate::oauth::answer::{Answer, classify};
use crate::oauth::{Endpoints, discovery};

pub(super) const ISSUER: &str = "https://login.example";

fn url(path: &str) -> Url {
    let issuer = Url::parse(ISSUER).expect("an address");
    issuer.join(path).expect("a path")
}

/// A token endpoint's answer, good or bad.
pub(super) fn token_response(bytes: &[u8]) {
    let response = response(bytes);
    for jkt in [None, Some("KEY")] {
        let answer = classify(&response, &[SENT], jkt);
        let found = new_token(response.status, response.body.expose());
        if let Some(expected) = &found {
            assert_hidden(&answer, expected, bytes);
        }
        let refresh_token = match answer {
            Answer::Granted(tokens) => {
                assert_token(tokens.access_token.expose());
                assert_hidden(&tokens.access_token, tokens.access_token.expose(), bytes);
                let life = tokens.expires_in.unwrap_or(LONGEST);
                assert!(!life.is_zero() && life <= LONGEST, "{life:?}");
                for word in tokens.scope.iter().flatten() {
                    assert!(word.bytes().all(|byte| byte.is_ascii_graphic()), "{word:?}");
                    assert!(!word.is_empty());
                }
                tokens.refresh_token
            }
            Answer::Unusable {
                refresh_token,
                reason,
            } => {
                assert_fit(&reason);
                Some(refresh_token)
            }
            Answer::Refused { error, description } => {
                assert!(!error.is_empty());
                assert_fit(&error);
                assert_fit(&description.unwrap_or_default());
                None
            }
            Answer::Unavailable { reason, .. }
            | Answer::Unreached { reason }
            | Answer::Unknown { reason, .. } => {
                assert_fit(&reason.to_string());
                None
            }
            Answer::RefusedWithoutReason { .. } => None,
        };
        let refresh_token = refresh_token.as_ref().map(|token| token.expose());
        if let Some(token) = refresh_token {
            assert_token(token);
        }
        if let Some(expected) = found {
            assert_eq!(refresh_token, Some(expected.as_str()), "a login is lost");
        }
    }
}

fn assert_token(token: &str) {
    assert!(!token.is_empty());
    assert!(token.bytes().all(|byte| matches!(byte, 0x20..=0x7e)));
}

/// The refresh token that an answer brings, read by somebody else: the server
/// has spent the old one for it, whatever stands beside it.
fn new_token(status: u16, body: &[u8]) -> Option<String> {
    if !matches!(status, 200..300) {
        return None;
    }
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let Value::Object(members) = serde_json::from_slice(body).ok()? else {
        return None;
    };
    let token = members.get("refresh_token")?.as_str()?;
    let token = token.trim_matches(['\r', '\n', '\t']);
    let is_token = token.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    (!token.is_empty() && is_token).then(|| token.to_owned())
}

/// A server's description of itself.
pub(super) fn discovery(bytes: &[u8]) {
    let response = response(bytes);
    let from = url("/.well-known/openid-configuration");
    let endpoints = match discovery::read(&response, ISSUER, &from) {
        Ok(endpoints) => endpoints,
        Err(error) => return assert_quiet(&error),
    };
    assert_eq!(endpoints.issuer, ISSUER);
    let all = [
        Some(&endpoints.token_endpoint),
        endpoints.authorization_endpoint.as_ref(),
        endpoints.device_authorization_endpoint.as_ref(),
        endpoints.revocation_endpoint.as_ref(),
        endpoints.userinfo_endpoint.as_ref(),
        endpoints.pushed_authorization_request_endpoint.as_ref(),
        endpoints.jwks_uri.as_ref(),
    ];
    for url in all.into_iter().flatten() {
        assert!(is_secure(url), "{url}");
        assert!(url.fragment().is_none() && url.username().is_empty());
        assert!(url.password().is_none(), "{url}");
    }
    // It is kept in the sealed file.
    let written = serde_json::to_vec(&endpoints).expect("it can be written");
    let read: Endpoints = serde_json::from_slice(&written).expect("it can be read back");
    assert_eq!(read, endpoints);
    let good_for = discovery::good_for(&response);
    assert!(good_for >= Duration::from_secs(300) && good_for <= Duration::from_secs(86_400));
}

/// The answer that brings a device code.
pub(super) fn device_authorization(bytes: &[u8]) {
    match device_code::read(&response(bytes), &url("/device"), &[SENT]) {
        Ok(granted) => {
            let shown = &granted.shown;
            assert_clean(&shown.user_code);
            assert!(!shown.user_code.trim().is_empty());
            assert!(is_secure(&shown.verification_uri));
            assert!(shown.verification_uri_complete.iter().all(is_secure));
            assert!(shown.expires_in <= LONGEST);
            assert!(granted.interval >= Duration::from_millis(250));
            assert!(granted.interval <= Duration::from_secs(60));
            assert!(!granted.device_code.is_empty());
            // What a person is shown is the server's to choose.
            let code = granted.device_code.expose();
            assert!(!format!("{:?}", granted.device_code).contains(code) || code.len() < 16);
            if !format!("{shown:?}").contains(code) {
                assert_hidden(&granted, code, bytes);
            }
        }
        Err(error) => {
            assert_quiet(&error);
            // The address that a person is sent to is the server's to choose.
            if error.kind() == ErrorKind::RequestRefused {
                assert_fit(&error.to_string());
            }
        }
    }
}

/// The answer to a pushed authorization request.
pub(super) fn pushed_request(bytes: &[u8]) {
    let response = response(bytes);
    for insists in [false, true] {
        match pushed::read(&response, &url("/par"), insists, &[SENT]) {
            Ok(Some(name)) => {
                assert!(!name.is_empty() && matches!(response.status, 200..300));
                assert_hidden(&name, name.expose(), split_line(bytes).1);
            }
            Ok(None) => assert!(!insists && matches!(response.status, 404 | 405 | 501)),
            Err(error) => {
                assert_quiet(&error);
                assert_fit(&error.to_string());
            }
        }
    }
}
