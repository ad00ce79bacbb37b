//! The authorization endpoint (RFC 6749 section 4.1.1), with PKCE required.
//!
//! The person who would look at a page is the configuration's `decision`. As long as client
//! and redirect are not known to be right, errors are shown as a page and never redirected.

use url::{Host, Url};

use super::Call;
use crate::server::Inner;
use crate::server::config::{Decision, Dpop, PushedRequests, ResponseParameter, ServerConfig};
use crate::server::dispatch::Incoming;
use crate::server::form::Parameters;
use crate::server::reply::Reply;
use crate::server::state::{
    CodeRequest, Granted, Refusal, is_challenge, resources_within, scopes_within,
};

pub(super) fn answer(inner: &mut Inner, request: &Incoming, call: Call<'_>) -> Reply {
    let text = if request.body.is_empty() {
        request.query.as_bytes()
    } else {
        &request.body
    };
    let Ok(mut parameters) = Parameters::parse(text) else {
        return Reply::html(400, "A parameter came twice");
    };
    if let Some(name) = parameters.value("request_uri") {
        let client_id = parameters.value("client_id").unwrap_or_default();
        let pushed = inner.grants.take_request(name, client_id, call.now);
        parameters = match pushed.map(|body| Parameters::parse(&body)) {
            Some(Ok(pushed)) => pushed,
            _ => return Reply::html(400, "Nothing was pushed under this name"),
        };
    } else if inner.config.pushed_requests == PushedRequests::Required {
        return Reply::html(400, "The request was not pushed");
    }
    let client_id = parameters.value("client_id").unwrap_or_default();
    if !inner
        .config
        .clients
        .iter()
        .any(|client| client.id == client_id)
    {
        return Reply::html(400, "Unknown client");
    }
    let redirect_uri = parameters.value("redirect_uri").unwrap_or_default();
    let Some(mut redirect) = loopback_redirect(redirect_uri) else {
        return Reply::html(400, "The redirect URI is not a loopback one");
    };

    let approved =
        check(&parameters, &inner.config).and_then(|request| match inner.config.decision {
            Decision::Approve => Ok(request),
            Decision::Deny => Err(Refusal::new("access_denied", "the person said no")),
        });
    let mut response = redirect.query_pairs_mut();
    match approved {
        Ok(request) => {
            let code = inner.grants.issue_code(request, &inner.config, call.now);
            response.append_pair("code", &code);
        }
        Err(refusal) => {
            response.append_pair("error", refusal.code);
            response.append_pair("error_description", refusal.reason);
        }
    }
    if let Some(state) = parameters.value("state") {
        match inner.config.state_parameter {
            ResponseParameter::Right => drop(response.append_pair("state", state)),
            ResponseParameter::Altered => {
                response.append_pair("state", "not-the-one-that-was-sent");
            }
            ResponseParameter::Omitted => {}
        }
    }
    match inner.config.iss_parameter {
        ResponseParameter::Right => drop(response.append_pair("iss", call.issuer)),
        ResponseParameter::Altered => {
            response.append_pair("iss", "https://another-issuer.example");
        }
        ResponseParameter::Omitted => {}
    }
    drop(response);
    Reply::redirect(redirect.as_str())
}

fn check(parameters: &Parameters, config: &ServerConfig) -> Result<CodeRequest, Refusal> {
    match parameters.required("response_type")? {
        "code" => {}
        _ => return Err(Refusal::new("unsupported_response_type", "only code")),
    }
    if parameters.value("code_challenge_method") != Some("S256") {
        return Err(Refusal::new(
            "invalid_request",
            "PKCE with S256 is required",
        ));
    }
    let challenge = parameters.required("code_challenge")?;
    if !is_challenge(challenge) {
        return Err(Refusal::new(
            "invalid_request",
            "not an S256 code_challenge",
        ));
    }
    Ok(CodeRequest {
        granted: Granted {
            client_id: parameters.required("client_id")?.to_owned(),
            subject: config.subject.clone(),
            scopes: scopes_within(parameters.value("scope"), &config.scopes)?,
            resources: resources_within(&parameters.resources(), &config.resources)?,
            jkt: parameters
                .value("dpop_jkt")
                .filter(|_| config.dpop != Dpop::Off)
                .map(str::to_owned),
        },
        redirect_uri: parameters.required("redirect_uri")?.to_owned(),
        challenge: challenge.to_owned(),
        nonce: parameters.value("nonce").map(str::to_owned),
    })
}

/// A loopback redirect with any port (RFC 8252 section 7.3); the name `localhost` is refused,
/// because it may resolve to something else (section 8.3).
fn loopback_redirect(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let loopback = match url.host()? {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(_) => false,
    };
    let plain = url.scheme() == "http"
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    (loopback && plain).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_redirected_to() {
        for good in [
            "http://127.0.0.1:4711/callback",
            "http://[::1]:1/",
            "http://127.0.0.1/x",
        ] {
            assert!(loopback_redirect(good).is_some(), "{good}");
        }
        for bad in [
            "https://127.0.0.1:4711/",
            "http://localhost:4711/",
            "http://example.com/",
            "http://127.0.0.1:4711/#fragment",
            "http://user@127.0.0.1:4711/",
            "app://callback",
            "",
        ] {
            assert!(loopback_redirect(bad).is_none(), "{bad}");
        }
    }
}
