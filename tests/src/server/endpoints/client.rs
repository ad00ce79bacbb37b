//! Client authentication (RFC 6749 section 2.3), by the registered method and no other.

use axum::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::Value;

use super::Call;
use crate::server::config::{ClientAuthentication, ServerConfig};
use crate::server::dispatch::Incoming;
use crate::server::form::Parameters;
use crate::server::reply::Reply;
use crate::server::state::Refusal;

/// The id of the client that sent the request, or the answer that refuses it.
pub(super) fn authenticate(
    config: &ServerConfig,
    request: &Incoming,
    parameters: &Parameters,
    call: Call<'_>,
) -> Result<String, Reply> {
    if request.headers.contains_key(header::AUTHORIZATION) {
        let challenge = |refusal| {
            super::refused(refusal).header("WWW-Authenticate", "Basic realm=\"token endpoint\"")
        };
        with_header(config, request, parameters).map_err(challenge)
    } else {
        with_body(config, parameters, call).map_err(super::refused)
    }
}

fn with_body(
    config: &ServerConfig,
    parameters: &Parameters,
    call: Call<'_>,
) -> Result<String, Refusal> {
    let id = parameters.required("client_id")?;
    let known = registered(config, id)?;
    let proved = match (known, parameters.value("client_secret")) {
        (ClientAuthentication::None, None) => true,
        (ClientAuthentication::SecretPost(secret), Some(sent)) => secret == sent,
        (
            ClientAuthentication::PrivateKeyJwt {
                public_key,
                certificate,
            },
            None,
        ) => {
            let assertion = parameters.required("client_assertion")?;
            parameters.value("client_assertion_type")
                == Some("urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
                && asserts(assertion, public_key, *certificate, id, call).is_some()
        }
        _ => false,
    };
    if proved {
        Ok(id.to_owned())
    } else {
        Err(FAILED)
    }
}

fn with_header(
    config: &ServerConfig,
    request: &Incoming,
    parameters: &Parameters,
) -> Result<String, Refusal> {
    if parameters.value("client_secret").is_some() {
        return Err(Refusal::new(
            "invalid_request",
            "two ways of client authentication",
        ));
    }
    let (id, sent) = request
        .header(header::AUTHORIZATION)
        .and_then(credentials)
        .ok_or(Refusal::new(
            "invalid_client",
            "the Authorization header can't be read",
        ))?;
    if parameters
        .value("client_id")
        .is_some_and(|other| other != id)
    {
        return Err(Refusal::new("invalid_request", "two client ids"));
    }
    match registered(config, &id)? {
        ClientAuthentication::SecretBasic(secret) if *secret == sent => Ok(id),
        _ => Err(FAILED),
    }
}

/// Whether an assertion is this client's, for this server and now (RFC 7523 section 3).
fn asserts(
    assertion: &str,
    public_key: &[u8],
    certificate: Option<[u8; 32]>,
    id: &str,
    call: Call<'_>,
) -> Option<()> {
    let (message, signature) = assertion.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let json = |part: &str| -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
    };
    let (header, claims) = (json(header)?, json(claims)?);
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key)
        .verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?)
        .ok()?;
    let now = jiff::Timestamp::now().as_second();
    let named = certificate.map(|hash| URL_SAFE_NO_PAD.encode(hash));
    let good = header["alg"] == "ES256"
        && header["x5t#S256"].as_str() == named.as_deref()
        && claims["iss"] == id
        && claims["sub"] == id
        && claims["aud"] == call.issuer
        && claims["jti"].is_string()
        && claims["exp"]
            .as_i64()
            .is_some_and(|end| (now..=now + 120).contains(&end));
    good.then_some(())
}

const FAILED: Refusal = Refusal::new("invalid_client", "client authentication failed");

fn registered<'a>(config: &'a ServerConfig, id: &str) -> Result<&'a ClientAuthentication, Refusal> {
    let client = config.clients.iter().find(|client| client.id == id);
    client.map(|client| &client.authentication).ok_or(FAILED)
}

/// Id and secret of a Basic header, each form-urlencoded (RFC 6749 section 2.3.1).
fn credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((decoded(id), decoded(secret)))
}

fn decoded(text: &str) -> String {
    // A pair's name is where the form encoding of one value can be read back.
    let text = text.replace('=', "%3D").replace('&', "%26");
    let mut pairs = url::form_urlencoded::parse(text.as_bytes());
    pairs
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_form_urlencoded_inside() {
        let header = format!("Basic {}", STANDARD.encode("my%20app:s%3Ae=c+ret"));
        let read = credentials(&header);
        assert_eq!(read, Some(("my app".to_owned(), "s:e=c ret".to_owned())));
        assert_eq!(credentials("Bearer abc"), None);
    }
}
