//! The userinfo endpoint: a resource that wants a good access token (RFC 6750).

use axum::http::header;
use serde_json::json;

use super::Call;
use crate::server::Inner;
use crate::server::dispatch::Incoming;
use crate::server::reply::Reply;

pub(super) fn answer(inner: &Inner, request: &Incoming, call: Call<'_>) -> Reply {
    let token = request.header(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("bearer")
            .then_some(token.trim())
    });
    let Some(token) = token else {
        return Reply::empty(401).header("WWW-Authenticate", "Bearer realm=\"userinfo\"");
    };
    match inner.grants.authenticate(token, call.now) {
        Some(granted) => Reply::json(200, &json!({ "sub": granted.subject })),
        None => Reply::empty(401).header(
            "WWW-Authenticate",
            "Bearer realm=\"userinfo\", error=\"invalid_token\"",
        ),
    }
}
