//! The token endpoint (RFC 6749 section 3.2): three grants.

use std::time::Duration;

use axum::http::HeaderName;
use serde_json::{Value, json};

use super::{Call, client, form, refused};
use crate::leaks::kept::{self, Kind};
use crate::server::Inner;
use crate::server::config::{Dpop, ExpiresIn, IdTokens, Rotation, ServerConfig};
use crate::server::counters::{RefreshOutcome, RefreshRecord};
use crate::server::dispatch::Incoming;
use crate::server::dpop::{Proved, Role};
use crate::server::fingerprint;
use crate::server::form::Parameters;
use crate::server::reply::Reply;
use crate::server::state::{CodeGrant, DeviceGrant, Issued, RefreshRequest, Refreshed, Refusal};

pub(super) fn answer(inner: &mut Inner, request: &Incoming, call: Call<'_>) -> Reply {
    let reply = answer_without_nonce(inner, request, call);
    let role = Role::AuthorizationServer;
    match inner.proofs.nonce(inner.config.dpop, role) {
        Some(nonce) => reply.header("DPoP-Nonce", nonce),
        None => reply,
    }
}

fn answer_without_nonce(inner: &mut Inner, request: &Incoming, call: Call<'_>) -> Reply {
    let parameters = match form(request) {
        Ok(parameters) => parameters,
        Err(refusal) => return refused(refusal),
    };
    let is_refresh = parameters.value("grant_type") == Some("refresh_token");
    let client_id = match client::authenticate(&inner.config, request, &parameters, call) {
        Ok(client_id) => client_id,
        Err(reply) => {
            if is_refresh {
                log_refusal(inner, &parameters, call);
            }
            return reply;
        }
    };
    let jkt = match proved(inner, request, call) {
        Ok(jkt) => jkt,
        Err(refusal) => {
            if is_refresh {
                log_refusal(inner, &parameters, call);
            }
            return refused(refusal);
        }
    };
    let jkt = jkt.as_deref();
    let result = match parameters.required("grant_type") {
        Ok("authorization_code") => code(inner, &parameters, &client_id, jkt, call),
        Ok("refresh_token") => refresh(inner, &parameters, &client_id, jkt, call),
        Ok("urn:ietf:params:oauth:grant-type:device_code") => {
            device(inner, &parameters, &client_id, jkt, call)
        }
        Ok(_) => Err(Refusal::new("unsupported_grant_type", "no such grant")),
        Err(refusal) => Err(refusal),
    };
    match result {
        Ok(issued) => granted(&issued, &inner.config, call),
        Err(refusal) => refused(refusal),
    }
}

/// The key that the request was proved with; none where it was not.
fn proved(
    inner: &mut Inner,
    request: &Incoming,
    call: Call<'_>,
) -> Result<Option<String>, Refusal> {
    let config = inner.config.dpop;
    if config == Dpop::Off || !request.headers.contains_key("dpop") {
        return Ok(None);
    }
    let proof = request.header(HeaderName::from_static("dpop"));
    let proof = proof.ok_or(Refusal::new("invalid_dpop_proof", "two proofs"))?;
    let url = format!("{}/token", call.issuer);
    let proved = Proved {
        role: Role::AuthorizationServer,
        method: request.method.as_str(),
        url: &url,
        access_token: None,
    };
    inner.proofs.check(proof, config, proved).map(Some)
}

fn code(
    inner: &mut Inner,
    parameters: &Parameters,
    client_id: &str,
    jkt: Option<&str>,
    call: Call<'_>,
) -> Result<Issued, Refusal> {
    let grant = CodeGrant {
        code: parameters.required("code")?,
        client_id,
        redirect_uri: parameters.required("redirect_uri")?,
        verifier: parameters.required("code_verifier")?,
        jkt,
    };
    let issued = inner.grants.redeem_code(grant, &inner.config, call.now)?;
    inner.counts.logins += 1;
    Ok(issued)
}

fn device(
    inner: &mut Inner,
    parameters: &Parameters,
    client_id: &str,
    jkt: Option<&str>,
    call: Call<'_>,
) -> Result<Issued, Refusal> {
    let device_code = parameters.required("device_code")?;
    inner.counts.device_polls += 1;
    let poll = DeviceGrant {
        device_code,
        client_id,
        jkt,
    };
    let issued = inner.grants.poll_device(poll, &inner.config, call.now)?;
    inner.counts.logins += 1;
    Ok(issued)
}

fn refresh(
    inner: &mut Inner,
    parameters: &Parameters,
    client_id: &str,
    jkt: Option<&str>,
    call: Call<'_>,
) -> Result<Issued, Refusal> {
    let refresh_token = match parameters.required("refresh_token") {
        Ok(refresh_token) => refresh_token,
        Err(refusal) => {
            log_refusal(inner, parameters, call);
            return Err(refusal);
        }
    };
    let resources = parameters.resources();
    let scope = parameters.value("scope");
    let request = RefreshRequest {
        refresh_token,
        client_id,
        scope,
        resources: &resources,
        jkt,
    };
    let Inner {
        config,
        grants,
        counts,
        log,
        ..
    } = inner;
    let Refreshed {
        family,
        generation,
        outcome,
        result,
    } = if call.keeps_refresh_token {
        let config = ServerConfig {
            rotation: Rotation::Same,
            ..config.clone()
        };
        grants.refresh(request, &config, call.now)
    } else {
        grants.refresh(request, config, call.now)
    };
    match outcome {
        RefreshOutcome::ReuseDetected => counts.reuse_detected += 1,
        RefreshOutcome::Replayed => counts.grace_replays += 1,
        _ => {}
    }
    if result.is_ok() {
        counts.refreshes_ok += 1;
    } else {
        counts.refreshes_refused += 1;
    }
    log.push(RefreshRecord {
        at: call.now,
        fingerprint: fingerprint(refresh_token),
        family,
        generation,
        client_id: client_id.to_owned(),
        outcome,
    });
    result
}

/// Logs a refresh that was refused before its token was looked at.
fn log_refusal(inner: &mut Inner, parameters: &Parameters, call: Call<'_>) {
    inner.counts.refreshes_refused += 1;
    inner.log.push(RefreshRecord {
        at: call.now,
        fingerprint: fingerprint(parameters.value("refresh_token").unwrap_or_default()),
        family: None,
        generation: None,
        client_id: parameters.value("client_id").unwrap_or_default().to_owned(),
        outcome: RefreshOutcome::Refused,
    });
}

/// A successful answer (RFC 6749 section 5.1).
fn granted(issued: &Issued, config: &ServerConfig, call: Call<'_>) -> Reply {
    let mut answer = json!({
        "access_token": issued.access_token,
        "token_type": if issued.jkt.is_some() { "DPoP" } else { "Bearer" },
        "scope": issued.scope,
    });
    if let Some(refresh_token) = &issued.refresh_token {
        answer["refresh_token"] = json!(refresh_token);
    }
    match config.expires_in {
        ExpiresIn::Rounded => {
            let seconds = (config.access_token_lifetime.as_millis() + 500) / 1000;
            answer["expires_in"] = json!(u64::try_from(seconds).unwrap_or(u64::MAX));
        }
        ExpiresIn::Seconds(seconds) => answer["expires_in"] = json!(seconds),
        ExpiresIn::Omitted => {}
    }
    let openid = issued.scope.split(' ').any(|scope| scope == "openid");
    if openid && config.id_token != IdTokens::Omitted {
        answer["id_token"] = json!(id_token(issued, config, call));
    }
    Reply::json(200, &answer)
}

/// An ID token (OpenID Connect Core section 2), as the configuration wants them.
fn id_token(issued: &Issued, config: &ServerConfig, call: Call<'_>) -> String {
    let like = config.id_token;
    let now = jiff::Timestamp::now().as_second();
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let lifetime = seconds(config.access_token_lifetime).max(60);
    let mut claims = json!({
        "iss": call.issuer, "sub": issued.subject, "aud": issued.client_id,
        "iat": now, "exp": now.saturating_add(lifetime),
        "auth_time": now.saturating_sub(seconds(config.authenticated_ago)),
    });
    if let Some(nonce) = &issued.nonce {
        claims["nonce"] = Value::from(nonce.as_str());
    }
    match like {
        IdTokens::OtherIssuer => claims["iss"] = json!("https://another-issuer.example"),
        IdTokens::OtherAudience => claims["aud"] = json!("another-client"),
        IdTokens::OtherNonce => claims["nonce"] = json!("another-nonce"),
        IdTokens::NoNonce => claims["nonce"] = Value::Null,
        IdTokens::Expired => {
            claims["iat"] = json!(now - 7200);
            claims["exp"] = json!(now - 3600);
        }
        _ => {}
    }
    let token = call.signer.token(&claims, like, &issued.client_id);
    kept::secret(Kind::IdToken, &token);
    token
}
