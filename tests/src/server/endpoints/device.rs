//! The device authorization endpoint and the page for the person (RFC 8628).

use serde_json::json;
use url::form_urlencoded::byte_serialize;

use super::{Call, client, form, refused};
use crate::server::Inner;
use crate::server::dispatch::Incoming;
use crate::server::form::Parameters;
use crate::server::reply::Reply;
use crate::server::state::{Granted, resources_within, scopes_within};

pub(super) fn answer(inner: &mut Inner, request: &Incoming, call: Call<'_>) -> Reply {
    let Inner { config, grants, .. } = inner;
    let parameters = match form(request) {
        Ok(parameters) => parameters,
        Err(refusal) => return refused(refusal),
    };
    let client_id = match client::authenticate(config, request, &parameters, call) {
        Ok(client_id) => client_id,
        Err(reply) => return reply,
    };
    let asked = scopes_within(parameters.value("scope"), &config.scopes).and_then(|scopes| {
        Ok((
            scopes,
            resources_within(&parameters.resources(), &config.resources)?,
        ))
    });
    let (scopes, resources) = match asked {
        Ok(asked) => asked,
        Err(refusal) => return refused(refusal),
    };
    let subject = config.subject.clone();
    let granted = Granted {
        client_id,
        subject,
        scopes,
        resources,
        jkt: None,
    };
    let login = grants.start_device(granted, config, call.now);
    let page = format!("{}/device", call.issuer);
    let user_code: String = byte_serialize(login.user_code.as_bytes()).collect();
    Reply::json(
        200,
        &json!({
            "device_code": login.device_code,
            "user_code": login.user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={user_code}"),
            "expires_in": config.device_code_lifetime.as_secs(),
            "interval": config.device_interval.as_secs(),
        }),
    )
}

/// The page that a person opens; with a `user_code` the configured decision is made at once.
pub(super) fn page(inner: &mut Inner, request: &Incoming, call: Call<'_>) -> Reply {
    let parameters = match Parameters::parse(request.query.as_bytes()) {
        Ok(parameters) => parameters,
        Err(refusal) => return Reply::html(400, refusal.reason),
    };
    let Some(user_code) = parameters.value("user_code") else {
        return Reply::html(200, "Enter the code that your device shows");
    };
    if inner
        .grants
        .decide_device(user_code, inner.config.decision, call.now)
    {
        Reply::html(200, "Go back to your device")
    } else {
        Reply::html(404, "There is no such code")
    }
}
