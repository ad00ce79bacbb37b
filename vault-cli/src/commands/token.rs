//! `token`: prints a valid access token, and nothing else.

use serde::Serialize;
use vault_core::session::Token;
use zeroize::Zeroizing;

use crate::args;
use crate::context::Context;
use crate::failure::{Exit, Failure, Problem, classify};
use crate::times;

pub(crate) fn run(context: &Context, arguments: args::Token) -> Result<Exit, Problem> {
    let headers_only = arguments.header || arguments.curl || context.output.json;
    if arguments.dpop_url.is_some() && !headers_only {
        let message = "`--dpop-url` is for headers";
        let hint = "add `--header`, `--curl` or `--json`";
        return Err(Failure::usage("dpop_without_header", message, hint).into());
    }
    if arguments.curl && context.output.json {
        let message = "`--curl` and `--json` are two answers";
        return Err(Failure::usage("usage", message, "leave one of them out").into());
    }
    let session = context.session()?;
    let blocking = session.blocking();
    let token = blocking.token(&arguments.wanted.options())?;
    let output = &context.output;
    let despite = tell_what_failed(context, &token);
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
                let curl = arguments.curl;
                header(
                    context,
                    curl,
                    "Authorization",
                    [headers.authorization(), ""],
                )?;
                if let Some(proof) = headers.dpop() {
                    header(context, curl, "DPoP", [proof, ""])?;
                }
            }
            (None, Some(_)) if arguments.header || arguments.curl => {
                return Err(needs_a_request(context).into());
            }
            (None, None) if arguments.header || arguments.curl => {
                header(
                    context,
                    arguments.curl,
                    "Authorization",
                    ["Bearer ", secret],
                )?;
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

/// Prints a header, as a line or as one of curl's configuration.
fn header(context: &Context, curl: bool, name: &str, parts: [&str; 2]) -> Result<(), Failure> {
    let output = &context.output;
    if !curl {
        return output.secret_line(&[name, ": ", parts[0], parts[1]]);
    }
    let quoted = parts.map(quoted);
    output.secret_line(&["header = \"", name, ": ", &quoted[0], &quoted[1], "\""])
}

/// The text as it stands between quotes in curl's configuration.
fn quoted(text: &str) -> Zeroizing<String> {
    // Room from the start: growing would leave copies behind.
    let mut quoted = Zeroizing::new(String::with_capacity(2 * text.len()));
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

/// Warns of a refresh that was due and failed, and gives its name.
pub(super) fn tell_what_failed(context: &Context, token: &Token) -> Option<&'static str> {
    let reason = token.served_despite.map(|kind| classify(kind).0)?;
    let left = token
        .expires_in
        .map(|left| format!(" for {}", times::length(left)));
    context.output.warning(&format!(
        "the refresh that was due failed ({reason}); this token is still valid{}",
        left.unwrap_or_default()
    ));
    Some(reason)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_can_not_leave_its_quotes_in_curls_configuration() {
        let token = "a\"\\b";
        assert_eq!(*quoted(token), "a\\\"\\\\b");
    }
}
