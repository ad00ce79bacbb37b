//! The pushed authorization request endpoint (RFC 9126).

use serde_json::json;

use super::{Call, client, form, refused};
use crate::server::Inner;
use crate::server::dispatch::Incoming;
use crate::server::reply::Reply;
use crate::server::state::Refusal;

pub(super) fn answer(inner: &mut Inner, request: &Incoming, call: Call<'_>) -> Reply {
    let parameters = match form(request) {
        Ok(parameters) => parameters,
        Err(refusal) => return refused(refusal),
    };
    let client_id = match client::authenticate(&inner.config, request, &parameters, call) {
        Ok(client_id) => client_id,
        Err(reply) => return reply,
    };
    if parameters.value("request_uri").is_some() {
        return refused(Refusal::new(
            "invalid_request",
            "a request_uri can't be pushed",
        ));
    }
    if parameters.value("client_id") != Some(client_id.as_str()) {
        return refused(Refusal::new(
            "invalid_request",
            "no client_id in the request",
        ));
    }
    let name = inner
        .grants
        .push_request(client_id, request.body.clone(), call.now);
    Reply::json(201, &json!({ "request_uri": name, "expires_in": 60 }))
}
