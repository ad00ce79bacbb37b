//! Checking who logged in: the ID token of a login (OpenID Connect Core,
//! section 3.1.3.7), by the `openidconnect` crate.
//!
//! An ID token is believed only if it is signed by a key that the server
//! publishes, names exactly this issuer and this client, has not expired, and
//! answers this login's nonce. Everything else has an error of its own. Signed
//! with a shared secret, or not at all, counts as not signed.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use openidconnect::core::{
    CoreIdToken, CoreIdTokenClaims, CoreIdTokenVerifier, CoreJsonWebKeySet,
    CoreJwsSigningAlgorithm as Algorithm,
};
use openidconnect::{
    ClaimsVerificationError, ClientId, IssuerUrl, Nonce, SignatureVerificationError,
};
use vault_platform::secret::SecretString;

use super::Endpoints;
use super::answer::not_json;
use super::jwt::{self, Claims};
use super::lenient;
use super::text::{clean, without_query};
use crate::error::{Error, ErrorKind};
use crate::http::Http;
use crate::token::IdToken;

/// How far the clocks of server and client may be apart beyond what is known
/// from its answer.
const LEEWAY: Duration = Duration::from_secs(60);

/// The way every server can sign (section 15.1), and the one that is meant
/// where a server lists none.
const USUAL: &str = "RS256";

/// What an ID token has to fit.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) client_id: &'a str,
    /// What was sent with the request; a device code has none.
    pub(crate) nonce: Option<&'a SecretString>,
    /// How long ago the person may have proved who they are.
    pub(crate) max_age: Option<Duration>,
    /// The server's clock as far as it is known, since the UNIX epoch.
    pub(crate) now: Duration,
}

/// Checks an ID token and gives its claims.
///
/// # Errors
///
/// - [`ErrorKind::IdTokenRefused`]: it is not for this login, or not from this
///   server.
/// - [`ErrorKind::ServerAnswerInvalid`]: the server publishes no keys that can
///   be read.
/// - The kinds of a request that could not be sent.
pub(crate) async fn verify(
    http: &Http,
    endpoints: &Endpoints,
    token: &IdToken,
    expected: &Expected<'_>,
) -> Result<Claims, Error> {
    let keys = keys(http, endpoints).await?;
    check(endpoints, keys, token, expected)
}

async fn keys(http: &Http, endpoints: &Endpoints) -> Result<CoreJsonWebKeySet, Error> {
    let Some(url) = &endpoints.jwks_uri else {
        let message = format!(
            "{} names no keys (jwks_uri), so its ID token can't be checked; without the scope \
             `openid` there is none",
            clean(&endpoints.issuer)
        );
        return Err(Error::new(ErrorKind::NotOffered, message));
    };
    let response = http
        .get_json(url)
        .await
        .map_err(|failure| failure.into_error(url))?;
    let at = without_query(url);
    match response.status {
        200 => {}
        status @ (408 | 425 | 429 | 500..) => {
            let message = format!("{at} gave no keys: status {status}");
            return Err(
                Error::new(ErrorKind::ServerUnavailable, message).after(response.retry_after)
            );
        }
        status => {
            let message = format!("{at} gave no keys: status {status}");
            return Err(Error::new(ErrorKind::ServerAnswerInvalid, message));
        }
    }
    lenient::object(response.body.expose()).ok_or_else(|| {
        let message = format!("{at} gave no keys: {}", not_json(&response));
        Error::new(ErrorKind::ServerAnswerInvalid, message)
    })
}

pub(crate) fn check(
    endpoints: &Endpoints,
    keys: CoreJsonWebKeySet,
    token: &IdToken,
    expected: &Expected<'_>,
) -> Result<Claims, Error> {
    let refused = |what: &str| refused(endpoints, what);
    let unreadable = || refused("can't be read");
    let issuer = IssuerUrl::new(endpoints.issuer.clone())
        .map_err(|cause| refused("names no issuer").because(cause))?;
    let parsed = CoreIdToken::from_str(token.expose()).map_err(|_| unreadable())?;
    let now = expected.now;
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new(expected.client_id.to_owned()),
        issuer,
        keys,
    )
    .set_allowed_algs(algorithms(endpoints))
    // Other audiences are looked at below.
    .set_other_audience_verifier_fn(|_| true)
    .set_time_fn(move || time(now.saturating_sub(LEEWAY)))
    .set_issue_time_verifier_fn(move |issued| {
        if issued > time(now + LEEWAY) {
            Err(FROM_THE_FUTURE.to_owned())
        } else {
            Ok(())
        }
    })
    .set_auth_time_verifier_fn(move |proved| match (expected.max_age, proved) {
        (None, _) => Ok(()),
        (Some(_), None) => Err("it does not say when".to_owned()),
        (Some(limit), Some(at)) if at < time(now.saturating_sub(limit.saturating_add(LEEWAY))) => {
            Err("too long ago".to_owned())
        }
        (Some(_), Some(_)) => Ok(()),
    });
    let nonce = |found: Option<&Nonce>| match (expected.nonce, found) {
        (None, _) => Ok(()),
        (Some(_), None) => Err("it has none".to_owned()),
        (Some(sent), Some(found)) => {
            let found = SecretString::from(found.secret().clone());
            if found.same_as(sent) {
                Ok(())
            } else {
                Err("another one".to_owned())
            }
        }
    };
    let claims = parsed
        .claims(&verifier, nonce)
        .map_err(|error| explain(endpoints, error))?;
    check_party(claims, expected.client_id).map_err(refused)?;
    jwt::claims(token.expose()).ok_or_else(unreadable)
}

/// Several audiences are fine if this client is the one that asked (`azp`).
fn check_party(claims: &CoreIdTokenClaims, client_id: &str) -> Result<(), &'static str> {
    match claims.authorized_party() {
        Some(party) if party.as_str() != client_id => Err("was asked for by another client"),
        None if claims.audiences().len() > 1 => {
            Err("is for several clients, and does not say which of them asked for it")
        }
        _ => Ok(()),
    }
}

/// The ways of signing that the server lists, as far as they prove anything to
/// a client: without a shared secret, and not without a key.
fn algorithms(endpoints: &Endpoints) -> Vec<Algorithm> {
    let usual = [USUAL.to_owned()];
    let listed = endpoints.id_token_signing_algs.as_deref().unwrap_or(&usual);
    let known = |name: &String| {
        Some(match name.as_str() {
            "RS256" => Algorithm::RsaSsaPkcs1V15Sha256,
            "RS384" => Algorithm::RsaSsaPkcs1V15Sha384,
            "RS512" => Algorithm::RsaSsaPkcs1V15Sha512,
            "PS256" => Algorithm::RsaSsaPssSha256,
            "PS384" => Algorithm::RsaSsaPssSha384,
            "PS512" => Algorithm::RsaSsaPssSha512,
            "ES256" => Algorithm::EcdsaP256Sha256,
            "ES384" => Algorithm::EcdsaP384Sha384,
            "EdDSA" => Algorithm::EdDsa,
            _ => return None,
        })
    };
    listed.iter().filter_map(known).collect()
}

const FROM_THE_FUTURE: &str = "issued in the future";

fn explain(endpoints: &Endpoints, error: ClaimsVerificationError) -> Error {
    use ClaimsVerificationError as Claim;
    use SignatureVerificationError as Signature;
    let what = match &error {
        Claim::InvalidIssuer(_) => "is from another issuer",
        Claim::InvalidAudience(_) => "is for another client",
        Claim::Expired(why) if why == FROM_THE_FUTURE => {
            "was issued in the future; the clocks differ"
        }
        Claim::Expired(_) => "has expired",
        Claim::InvalidNonce(_) => "does not answer this login (its nonce is another)",
        Claim::InvalidAuthTime(_) => "does not say that the person logged in lately enough",
        Claim::SignatureVerification(Signature::NoSignature) => "is not signed",
        Claim::SignatureVerification(
            Signature::DisallowedAlg(_) | Signature::UnsupportedAlg(_),
        ) => "is signed in a way that the server does not list, or that proves nothing",
        Claim::SignatureVerification(Signature::NoMatchingKey) => {
            "is signed with a key that the server does not publish"
        }
        Claim::SignatureVerification(Signature::AmbiguousKeyId(_)) => {
            "does not say which of the server's keys signed it"
        }
        Claim::SignatureVerification(_) => "has a wrong signature",
        _ => "can't be checked",
    };
    // The library's words repeat what stands in the token: they are not shown.
    refused(endpoints, what)
}

fn refused(endpoints: &Endpoints, what: &str) -> Error {
    let issuer = clean(&endpoints.issuer);
    let message = format!("the ID token that {issuer} gave {what}");
    Error::new(ErrorKind::IdTokenRefused, message)
}

fn time(since_epoch: Duration) -> DateTime<Utc> {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests;
