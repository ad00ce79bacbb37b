//! The server over a real socket, as a client sees it.

mod control;
mod faults;
mod flows;
mod strictness;

use std::io;
use std::thread;
use std::time::Duration;

use serde_json::json;
use url::Url;

use super::plain_http::{Answer, fetch, post_form, send};
use super::*;

/// Verifier and challenge of RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://127.0.0.1:4711/callback";
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn start() -> AuthorizationServer {
    AuthorizationServer::start(ServerConfig::default())
}

fn token(server: &AuthorizationServer, form: &[(&str, &str)]) -> io::Result<Answer> {
    let mut all = vec![("client_id", DEFAULT_CLIENT_ID)];
    all.extend_from_slice(form);
    post_form(&server.url("/token"), &all, &[])
}

fn refresh(server: &AuthorizationServer, refresh_token: &str) -> io::Result<Answer> {
    token(
        server,
        &[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ],
    )
}

fn redeem(server: &AuthorizationServer, code: &str, verifier: &str) -> Answer {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", verifier),
    ];
    token(server, &form).expect("an answer")
}

/// The answer to an authorization request with these parameters beside the usual ones.
fn authorize(server: &AuthorizationServer, parameters: &[(&str, &str)]) -> Answer {
    let mut url = Url::parse(&server.url("/authorize")).expect("a URL");
    let usual = [
        ("response_type", "code"),
        ("client_id", DEFAULT_CLIENT_ID),
        ("redirect_uri", REDIRECT),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", "the state"),
    ];
    let kept = usual
        .iter()
        .filter(|(name, _)| parameters.iter().all(|(other, _)| other != name));
    url.query_pairs_mut()
        .extend_pairs(kept)
        .extend_pairs(parameters);
    fetch(url.as_str(), &[]).expect("an answer")
}

/// A parameter of the redirect that an answer is.
fn redirected(answer: &Answer, name: &str) -> Option<String> {
    let location = Url::parse(answer.header("location")?).ok()?;
    let mut pairs = location.query_pairs().filter(|(known, _)| known == name);
    pairs.next().map(|(_, value)| value.into_owned())
}
