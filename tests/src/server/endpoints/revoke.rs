//! The revocation endpoint (RFC 7009).

use super::{Call, client, form, refused};
use crate::server::Inner;
use crate::server::dispatch::Incoming;
use crate::server::reply::Reply;
use crate::server::state::Revoked;

pub(super) fn answer(inner: &mut Inner, request: &Incoming, call: Call<'_>) -> Reply {
    let parameters = match form(request) {
        Ok(parameters) => parameters,
        Err(refusal) => return refused(refusal),
    };
    let client_id = match client::authenticate(&inner.config, request, &parameters, call) {
        Ok(client_id) => client_id,
        Err(reply) => return reply,
    };
    let revoked = parameters.required("token").and_then(|token| {
        let revoked = inner.grants.revoke(token, &client_id)?;
        if inner.config.one_grant_per_client && revoked == Revoked::Family {
            inner.grants.revoke_grant_of(token);
        }
        Ok(revoked)
    });
    match revoked {
        Ok(_) => {
            inner.counts.revocations += 1;
            Reply::empty(200).header("Cache-Control", "no-store")
        }
        Err(refusal) => refused(refusal),
    }
}
