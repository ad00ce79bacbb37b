//! `token`: prints a valid access token, and nothing else.

use serde::Serialize;
use vault_core::session::TokenOptions;

use crate::args;
use crate::context::Context;
use crate::failure::{Exit, Failure, Problem, classify};
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
    if arguments.dpop_url.is_some() && !arguments.header && !context.output.json {
        let message = "`--dpop-url` is for headers";
        let hint = "add `--header`, or `--json`";
        return Err(Failure::usage("dpop_without_header", message, hint).into());
    }
    let session = context.session()?;
    let blocking = session.blocking();
    let token = blocking.token(&options)?;
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
    let headers = match &arguments.dpop_url {
        Some(url) => {
            if let Some(nonce) = &arguments.dpop_nonce {
                session.learn_nonce(url, nonce);
            }
            Some(blocking.authorization(&token, &arguments.dpop_method, url)?)
        }
        None => None,
    };
    let secret = token.access_token.expose();
    if !output.json {
        match (&headers, &token.jkt) {
            (Some(headers), _) => {
                output.secret_line(&["Authorization: ", headers.authorization()])?;
                if let Some(proof) = headers.dpop() {
                    output.secret_line(&["DPoP: ", proof])?;
                }
            }
            (None, Some(_)) if arguments.header => return Err(needs_a_request(context).into()),
            (None, None) if arguments.header => {
                output.secret_line(&["Authorization: Bearer ", secret])?;
            }
            (None, jkt) => {
                output.secret_line(&[secret])?;
                if jkt.is_some() {
                    output.note(
                        "this token is bound to a key: an API takes it with a proof only, \
                         which `--header --dpop-url URL` makes",
                    );
                }
            }
        }
        return Ok(Exit::Done);
    }
    output.document(&Answer {
        access_token: secret,
        token_type: if token.jkt.is_some() {
            "DPoP"
        } else {
            "Bearer"
        },
        jkt: token.jkt.as_deref(),
        dpop_proof: headers.as_ref().and_then(|headers| headers.dpop()),
        expires_in: token.expires_in.map(|left| left.as_secs()),
        expires_at: token.expires_at_ms.map(times::rfc3339),
        scope: token.scope.as_deref(),
        refreshed: token.refreshed,
        served_despite: despite,
    })?;
    Ok(Exit::Done)
}

fn needs_a_request(context: &Context) -> Failure {
    let message =
        "this login's tokens are bound to a key, and each request needs a proof of its own";
    let line = context
        .options
        .command_line("token --header --dpop-url URL --dpop-method GET");
    Failure::usage(
        "dpop_url_missing",
        message,
        format!("name the request: `{line}`"),
    )
}

#[derive(Serialize)]
struct Answer<'a> {
    access_token: &'a str,
    token_type: &'a str,
    /// The thumbprint of the key that the token is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    jkt: Option<&'a str>,
    /// The value of the header `DPoP`, for one request.
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop_proof: Option<&'a str>,
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
