use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use url::Url;

use super::*;

const ISSUER: &str = "https://login.example";
const NOW: u64 = 1_800_000_000;

/// A server's key, and what it signs.
struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap())
    }

    fn keys(&self, kid: &str) -> CoreJsonWebKeySet {
        let point = self.0.public_key().as_ref();
        let keys = json!({ "keys": [
            { "kty": "oct", "k": "c2VjcmV0", "kid": "other" },
            { "kty": "unheard-of", "kid": "odd" },
            {
                "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
                "x": BASE64URL_NOPAD.encode(&point[1..33]),
                "y": BASE64URL_NOPAD.encode(&point[33..65]),
            },
        ]});
        serde_json::from_value(keys).unwrap()
    }

    fn token(&self, header: &Value, claims: &Value) -> IdToken {
        let encode = |part: &Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self
            .0
            .sign(&SystemRandom::new(), message.as_bytes())
            .unwrap();
        let signature = BASE64URL_NOPAD.encode(signature.as_ref());
        IdToken::new(format!("{message}.{signature}").into())
    }
}

fn endpoints() -> Endpoints {
    let token_endpoint = Url::parse("https://login.example/token").unwrap();
    let mut endpoints = Endpoints::for_token_endpoint(ISSUER.to_owned(), token_endpoint).unwrap();
    endpoints.id_token_signing_algs = Some(vec!["ES256".to_owned(), "HS256".to_owned()]);
    endpoints
}

fn header() -> Value {
    json!({ "alg": "ES256", "typ": "JWT", "kid": "k1" })
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "u1", "aud": "app", "nonce": "N", "iat": NOW, "exp": NOW + 300,
        "auth_time": NOW - 30, "email": "ann@example", "email_verified": "true",
    })
}

fn check_with(
    signer: &Signer,
    token: &IdToken,
    change: impl FnOnce(&mut Expected<'_>),
) -> Result<Claims, Error> {
    let nonce = SecretString::from("N".to_owned());
    let mut expected = Expected {
        client_id: "app",
        nonce: Some(&nonce),
        max_age: None,
        now: Duration::from_secs(NOW),
    };
    change(&mut expected);
    check(&endpoints(), signer.keys("k1"), token, &expected)
}

#[track_caller]
fn refused(signer: &Signer, token: &IdToken, words: &str) {
    let error = check_with(signer, token, |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IdTokenRefused, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = claims();
    change(&mut claims);
    claims
}

#[test]
fn a_good_token_says_who_logged_in() {
    let signer = Signer::new();
    let found = check_with(&signer, &signer.token(&header(), &claims()), |_| {}).unwrap();
    assert_eq!(found.sub.as_deref(), Some("u1"));
    assert_eq!(found.account_label().as_deref(), Some("ann@example"));
}

#[test]
fn each_wrong_claim_has_its_own_words() {
    let signer = Signer::new();
    for (name, value, words) in [
        ("iss", json!("https://login.example/"), "another issuer"),
        ("aud", json!("other"), "another client"),
        ("aud", json!(["other", "third"]), "another client"),
        ("aud", json!(["app", "other"]), "for several clients"),
        ("azp", json!("other"), "asked for by another client"),
        ("exp", json!(NOW - 61), "expired"),
        ("iat", json!(NOW + 61), "in the future"),
        ("nonce", json!("M"), "does not answer this login"),
        ("nonce", Value::Null, "does not answer this login"),
    ] {
        let claims = changed(|claims| claims[name] = value.clone());
        refused(&signer, &signer.token(&header(), &claims), words);
    }
    for name in ["iss", "aud", "exp", "iat", "sub"] {
        let claims = changed(|claims| drop(claims.as_object_mut().unwrap().remove(name)));
        refused(
            &signer,
            &signer.token(&header(), &claims),
            "the ID token that",
        );
    }
}

#[test]
fn clocks_may_differ_a_little() {
    let signer = Signer::new();
    for claims in [
        changed(|claims| claims["exp"] = json!(NOW - 30)),
        changed(|claims| claims["iat"] = json!(NOW + 30)),
    ] {
        assert!(check_with(&signer, &signer.token(&header(), &claims), |_| {}).is_ok());
    }
}

#[test]
fn several_audiences_are_fine_if_this_client_asked() {
    let signer = Signer::new();
    let claims = changed(|claims| {
        claims["aud"] = json!(["app", "api"]);
        claims["azp"] = json!("app");
    });
    assert!(check_with(&signer, &signer.token(&header(), &claims), |_| {}).is_ok());
}

#[test]
fn what_is_not_signed_by_the_server_is_refused() {
    let signer = Signer::new();
    let with = |name: &str, value: &str| {
        let mut header = header();
        header[name] = json!(value);
        signer.token(&header, &claims())
    };
    refused(&signer, &with("kid", "k2"), "does not publish");
    refused(&signer, &with("alg", "RS256"), "does not list");
    refused(&signer, &with("alg", "HS256"), "proves nothing");
    refused(
        &signer,
        &Signer::new().token(&header(), &claims()),
        "wrong signature",
    );
    let unsigned = json!({ "alg": "none" });
    let token = signer.token(&unsigned, &claims());
    refused(&signer, &token, "not signed");
    let (message, _) = token.expose().rsplit_once('.').unwrap();
    let token = IdToken::new(format!("{message}.").into());
    refused(&signer, &token, "not signed");
    // Another token's signature under these claims.
    let token = signer.token(&header(), &claims());
    let (_, signature) = token.expose().rsplit_once('.').unwrap();
    let other = signer.token(&header(), &changed(|claims| claims["sub"] = json!("u2")));
    let (message, _) = other.expose().rsplit_once('.').unwrap();
    let forged = IdToken::new(format!("{message}.{signature}").into());
    refused(&signer, &forged, "wrong signature");
}

#[test]
fn what_is_no_token_is_refused_and_never_panics() {
    let signer = Signer::new();
    for text in [
        "",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d.e",
        "é.é.é",
        "eyJhbGciOiJub25lIn0.e30.",
    ] {
        let refused = check_with(&signer, &IdToken::new(text.to_owned().into()), |_| {});
        assert_eq!(
            refused.unwrap_err().kind(),
            ErrorKind::IdTokenRefused,
            "{text}"
        );
    }
}

#[test]
fn a_login_that_is_too_old_is_refused_where_that_was_asked() {
    let signer = Signer::new();
    let token = signer.token(&header(), &claims());
    let within = |seconds| {
        check_with(&signer, &token, |expected| {
            expected.max_age = Some(Duration::from_secs(seconds));
        })
    };
    assert!(within(60).is_ok());
    let late = changed(|claims| claims["auth_time"] = json!(NOW - 3600));
    let silent = changed(|claims| drop(claims.as_object_mut().unwrap().remove("auth_time")));
    for claims in [late, silent] {
        let token = signer.token(&header(), &claims);
        let refused = check_with(&signer, &token, |expected| {
            expected.max_age = Some(Duration::from_secs(60));
        });
        assert!(refused.unwrap_err().to_string().contains("lately enough"));
    }
}

#[test]
fn without_a_nonce_none_is_wanted() {
    let signer = Signer::new();
    let claims = changed(|claims| claims["nonce"] = json!("whatever"));
    let token = signer.token(&header(), &claims);
    assert!(check_with(&signer, &token, |expected| expected.nonce = None).is_ok());
}

#[test]
fn an_endless_max_age_is_kept_by_every_login() {
    let signer = Signer::new();
    let token = signer.token(&header(), &claims());
    let found = check_with(&signer, &token, |expected| {
        expected.max_age = Some(Duration::MAX);
    });
    assert!(found.is_ok(), "{found:?}");
}
