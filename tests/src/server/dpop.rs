//! Proofs of possession (RFC 9449), checked as strictly as the standard lets a server.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::config::Dpop;
use super::state::{Refusal, random_text};

/// How far a proof's time may be off, in seconds.
const LEEWAY: u64 = 60;

/// What the server knows about proofs.
#[derive(Debug)]
pub(super) struct Proofs {
    /// Each proof is good once.
    seen: HashSet<String>,
    token_nonce: String,
    resource_nonce: String,
}

impl Default for Proofs {
    fn default() -> Self {
        Self {
            seen: HashSet::new(),
            token_nonce: random_text(22),
            resource_nonce: random_text(22),
        }
    }
}

/// Whose nonce a proof has to carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    AuthorizationServer,
    Resource,
}

/// The request that a proof came with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proved<'a> {
    pub(super) role: Role,
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    pub(super) access_token: Option<&'a str>,
}

impl Proofs {
    /// Makes all nonces other ones.
    pub(super) fn renew_nonces(&mut self) {
        let Self { seen, .. } = std::mem::take(self);
        self.seen = seen;
    }

    /// The nonce that is wanted, if one is.
    pub(super) fn nonce(&self, config: Dpop, role: Role) -> Option<&str> {
        (config == Dpop::WithNonce).then_some(match role {
            Role::AuthorizationServer => &self.token_nonce,
            Role::Resource => &self.resource_nonce,
        })
    }

    /// Checks a proof (section 4.3) and gives the thumbprint of its key.
    pub(super) fn check(
        &mut self,
        proof: &str,
        config: Dpop,
        proved: Proved<'_>,
    ) -> Result<String, Refusal> {
        let wrong = |reason| Refusal::new("invalid_dpop_proof", reason);
        let (signed, signature) = proof.rsplit_once('.').ok_or(wrong("not a JWT"))?;
        let (header, claims) = signed.split_once('.').ok_or(wrong("not a JWT"))?;
        let header = json(header).ok_or(wrong("the header can't be read"))?;
        let claims = json(claims).ok_or(wrong("the claims can't be read"))?;
        if header["typ"] != "dpop+jwt" || header["alg"] != "ES256" {
            return Err(wrong("not an ES256 proof"));
        }
        let jwk = &header["jwk"];
        if !jwk["d"].is_null() {
            return Err(wrong("the private key is shown"));
        }
        let key = key(jwk).ok_or(wrong("the key can't be read"))?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok();
        let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
        if signature.is_none_or(|signature| key.verify(signed.as_bytes(), &signature).is_err()) {
            return Err(wrong("the signature is wrong"));
        }
        if claims["htm"] != proved.method || claims["htu"] != proved.url {
            return Err(wrong("made for another request"));
        }
        let now = jiff::Timestamp::now().as_second();
        if claims["iat"]
            .as_i64()
            .is_none_or(|iat| iat.abs_diff(now) > LEEWAY)
        {
            return Err(wrong("made at another time"));
        }
        let digest = proved
            .access_token
            .map(|token| Value::from(URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()))));
        if claims.get("ath") != digest.as_ref() {
            return Err(wrong("made for another access token"));
        }
        if let Some(nonce) = self.nonce(config, proved.role)
            && claims["nonce"] != nonce
        {
            return Err(Refusal::new("use_dpop_nonce", "another nonce is wanted"));
        }
        let jti = claims["jti"].as_str().unwrap_or_default();
        if jti.is_empty() || !self.seen.insert(jti.to_owned()) {
            return Err(wrong("this proof was used before"));
        }
        thumbprint(jwk).ok_or(wrong("the key can't be read"))
    }
}

fn json(part: &str) -> Option<Value> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn key(jwk: &Value) -> Option<VerifyingKey> {
    if jwk["kty"] != "EC" || jwk["crv"] != "P-256" {
        return None;
    }
    let mut point = vec![4];
    for name in ["x", "y"] {
        point.extend(URL_SAFE_NO_PAD.decode(jwk[name].as_str()?).ok()?);
    }
    VerifyingKey::from_sec1_bytes(&point).ok()
}

/// RFC 7638.
fn thumbprint(jwk: &Value) -> Option<String> {
    let (x, y) = (jwk["x"].as_str()?, jwk["y"].as_str()?);
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    Some(URL_SAFE_NO_PAD.encode(Sha256::digest(canonical)))
}
