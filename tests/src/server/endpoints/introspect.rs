//! The introspection endpoint (RFC 7662), for a client's own tokens.

use serde_json::json;

use super::{Call, client, form, refused};
use crate::server::Inner;
use crate::server::dispatch::Incoming;
use crate::server::reply::Reply;

pub(super) fn answer(inner: &mut Inner, request: &Incoming, call: Call<'_>) -> Reply {
    let parameters = match form(request) {
        Ok(parameters) => parameters,
        Err(refusal) => return refused(refusal),
    };
    if let Err(reply) = client::authenticate(&inner.config, request, &parameters, call) {
        return reply;
    }
    match parameters.required("token") {
        Ok(token) => {
            let grants = &inner.grants;
            let active = grants.is_current(token) || grants.authenticate(token, call.now).is_some();
            Reply::json(200, &json!({ "active": active }))
        }
        Err(refusal) => refused(refusal),
    }
}
