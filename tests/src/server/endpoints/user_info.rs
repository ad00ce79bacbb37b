//! The userinfo endpoint: a resource that wants a good access token (RFC 6750), and a proof with
//! one that is bound to a key (RFC 9449 section 7).

use axum::http::{HeaderName, header};
use serde_json::json;

use super::Call;
use crate::server::Inner;
use crate::server::dispatch::Incoming;
use crate::server::dpop::{Proved, Role};
use crate::server::reply::Reply;
use crate::server::state::Refusal;

pub(super) fn answer(inner: &mut Inner, request: &Incoming, call: Call<'_>) -> Reply {
    let reply = answer_without_nonce(inner, request, call);
    match inner.proofs.nonce(inner.config.dpop, Role::Resource) {
        Some(nonce) => reply.header("DPoP-Nonce", nonce),
        None => reply,
    }
}

fn answer_without_nonce(inner: &mut Inner, request: &Incoming, call: Call<'_>) -> Reply {
    let header = request.header(header::AUTHORIZATION);
    let Some((scheme, token)) = header.and_then(|value| value.split_once(' ')) else {
        return Reply::empty(401).header("WWW-Authenticate", "Bearer realm=\"userinfo\"");
    };
    let (scheme, token) = (scheme.to_ascii_lowercase(), token.trim());
    let Some(granted) = inner.grants.authenticate(token, call.now) else {
        return unauthorized(&scheme, "invalid_token");
    };
    let (subject, bound_to) = (granted.subject.clone(), granted.jkt.clone());
    let proved = match (scheme.as_str(), bound_to) {
        ("bearer", None) => Ok(()),
        ("dpop", Some(jkt)) => proved(inner, request, call, token, &jkt),
        _ => Err(Refusal::new(
            "invalid_token",
            "another scheme than the token's",
        )),
    };
    match proved {
        Ok(()) => {
            let mut told = json!({ "sub": subject });
            for (name, value) in &inner.config.user_info {
                told[name] = value.clone();
            }
            Reply::json(200, &told)
        }
        Err(refusal) => unauthorized(&scheme, refusal.code),
    }
}

fn proved(
    inner: &mut Inner,
    request: &Incoming,
    call: Call<'_>,
    token: &str,
    jkt: &str,
) -> Result<(), Refusal> {
    let proof = request.header(HeaderName::from_static("dpop"));
    let proof = proof.ok_or(Refusal::new("invalid_dpop_proof", "no proof"))?;
    let url = format!("{}/userinfo", call.issuer);
    let proved = Proved {
        role: Role::Resource,
        method: request.method.as_str(),
        url: &url,
        access_token: Some(token),
    };
    if inner.proofs.check(proof, inner.config.dpop, proved)? == jkt {
        Ok(())
    } else {
        Err(Refusal::new("invalid_token", "bound to another key"))
    }
}

fn unauthorized(scheme: &str, error: &str) -> Reply {
    let scheme = if scheme == "dpop" {
        "DPoP algs=\"ES256\","
    } else {
        "Bearer"
    };
    let challenge = format!("{scheme} realm=\"userinfo\", error=\"{error}\"");
    Reply::empty(401).header("WWW-Authenticate", &challenge)
}
