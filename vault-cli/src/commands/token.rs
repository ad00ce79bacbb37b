//! `token`: prints a valid access token, and nothing else.

use serde::Serialize;
use vault_core::session::TokenOptions;

use crate::args;
use crate::context::Context;
use crate::failure::{Exit, Problem, classify};
use crate::times;

pub(crate) fn run(context: &Context, arguments: args::Token) -> Result<Exit, Problem> {
    let mut options = TokenOptions::default();
    for scope in arguments.scope {
        options = options.scope(scope);
    }
    if let Some(resource) = &arguments.resource {
        options = options.resource(resource);
    }
    if let Some(audience) = arguments.audience {
        options = options.audience(audience);
    }
    if let Some(min_valid) = arguments.min_valid {
        options = options.min_valid(min_valid);
    }
    let token = context.session()?.blocking().token(&options)?;
    let output = &context.output;
    let despite = token.served_despite.map(|kind| classify(kind).0);
    if let Some(reason) = despite {
        let left = token
            .expires_in
            .map(|left| format!(" for {}", times::length(left)));
        output.warning(&format!(
            "the refresh that was due failed ({reason}); this token is still valid{}",
            left.unwrap_or_default()
        ));
    }
    let secret = token.access_token.expose();
    let prefix = if arguments.header {
        "Authorization: Bearer "
    } else {
        ""
    };
    if !output.json {
        output.secret_line(&[prefix, secret])?;
        return Ok(Exit::Done);
    }
    output.document(&Answer {
        access_token: secret,
        token_type: "Bearer",
        expires_in: token.expires_in.map(|left| left.as_secs()),
        expires_at: token.expires_at_ms.map(times::rfc3339),
        scope: token.scope.as_deref(),
        refreshed: token.refreshed,
        served_despite: despite,
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'a str,
    /// Seconds; null if the server sets it no end.
    expires_in: Option<u64>,
    expires_at: Option<String>,
    /// What the server granted, where it says so.
    scope: Option<&'a [String]>,
    /// Whether this call made the refresh.
    refreshed: bool,
    /// Why the refresh that was due failed.
    served_despite: Option<&'a str>,
}
