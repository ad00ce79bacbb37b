//! Asking whether a token is still good (RFC 7662), which does not spend it.
//!
//! Most servers tell resource servers only: an answer that is not plain counts
//! as none.

use serde::Deserialize;

use super::Endpoints;
use super::client::Client;
use crate::http::Http;
use crate::token::RefreshToken;

#[derive(Deserialize)]
struct Answer {
    active: bool,
}

/// Whether the server calls the refresh token active; `None` where it has no
/// such endpoint, or does not tell this client.
pub(crate) async fn is_active(
    http: &Http,
    endpoints: &Endpoints,
    client: &Client<'_>,
    token: &RefreshToken,
) -> Option<bool> {
    let url = endpoints.introspection_endpoint.as_ref()?;
    let (form, headers) = client.begin(endpoints).ok()?;
    let form = form
        .field("token", token.expose())
        .field("token_type_hint", "refresh_token");
    let response = http.post_form(url, headers, form.finish()).await.ok()?;
    if response.status != 200 {
        return None;
    }
    let answer: Answer = serde_json::from_slice(response.body.expose()).ok()?;
    Some(answer.active)
}
