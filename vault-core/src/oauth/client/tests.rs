use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    UnparsedPublicKey, VerificationAlgorithm,
};
use url::Url;
use vault_platform::clock::ManualClock;

use std::time::Duration;

use data_encoding::BASE64;
use reqwest::header::AUTHORIZATION;
use serde_json::json;

use super::*;
use crate::http::Headers;

const RSA: &str = include_str!("test-rsa.pem");
const RSA_CERTIFICATE: &str = include_str!("test-rsa-certificate.pem");
/// `openssl dgst -sha256` of the certificate's DER.
const RSA_THUMBPRINT: &str = "sRLEFUA3gZfPe7ELfpVi-lozpZQl4p9nn2LyzLWv6vw";

fn endpoints(methods: Option<&[&str]>) -> Endpoints {
    let mut endpoints = Endpoints::for_token_endpoint(
        "https://login.example".to_owned(),
        Url::parse("https://login.example/token").unwrap(),
    )
    .unwrap();
    endpoints.token_endpoint_auth_methods =
        methods.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    endpoints
}

fn secret(text: &str) -> ClientCredential {
    ClientCredential::secret(text.to_owned().into()).unwrap()
}

fn pem(der: &[u8]) -> SecretString {
    let body = BASE64.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n").into()
}

fn begin(credential: Option<&ClientCredential>) -> (String, Headers) {
    let clock = ManualClock::new();
    clock.set_wall(Duration::from_secs(1_800_000_000));
    let client = Client {
        id: "my app",
        credential,
        clock: &clock,
    };
    let (form, headers) = client.begin(&endpoints(None)).unwrap();
    let text = String::from_utf8(form.finish().expose().to_vec()).unwrap();
    (text, headers)
}

#[test]
fn a_public_client_gives_its_name() {
    let (form, headers) = begin(None);
    assert_eq!(form, "client_id=my+app");
    assert!(headers.is_empty());
}

#[test]
fn a_secret_is_sent_as_the_server_lists_it() {
    for (listed, expected) in [
        (None, ClientAuthentication::ClientSecretBasic),
        (
            Some(&["client_secret_post", "client_secret_basic"][..]),
            ClientAuthentication::ClientSecretBasic,
        ),
        (
            Some(&["none", "client_secret_post"][..]),
            ClientAuthentication::ClientSecretPost,
        ),
    ] {
        let settled = secret("s").settle(&endpoints(listed), AssertionAudience::Issuer);
        assert_eq!(settled.unwrap().method(), expected);
    }
    let none = secret("s").settle(
        &endpoints(Some(&["private_key_jwt"])),
        AssertionAudience::Issuer,
    );
    assert_eq!(none.unwrap_err().kind(), ErrorKind::NotOffered);
    let told = secret("s")
        .by(ClientAuthentication::ClientSecretPost)
        .unwrap();
    let told = told.settle(
        &endpoints(Some(&["client_secret_basic"])),
        AssertionAudience::Issuer,
    );
    assert_eq!(
        told.unwrap().method(),
        ClientAuthentication::ClientSecretPost
    );
}

#[test]
fn basic_encodes_both_halves_and_leaves_the_body_alone() {
    let (form, headers) = begin(Some(&secret("s:e=c ret%")));
    assert_eq!(form, "");
    let [(name, value)] = headers.as_slice() else {
        panic!("one header");
    };
    assert_eq!(name, AUTHORIZATION);
    let pair = value.expose().strip_prefix("Basic ").unwrap();
    assert_eq!(
        BASE64.decode(pair.as_bytes()).unwrap(),
        b"my+app:s%3Ae%3Dc+ret%25"
    );
}

#[test]
fn post_puts_both_into_the_body() {
    let credential = secret("s&x")
        .by(ClientAuthentication::ClientSecretPost)
        .unwrap();
    let (form, headers) = begin(Some(&credential));
    assert_eq!(form, "client_id=my+app&client_secret=s%26x");
    assert!(headers.is_empty());
}

#[test]
fn an_assertion_is_signed_by_every_kind_of_key() {
    let random = SystemRandom::new();
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let rsa = PrivateKeyDer::from_pem_slice(RSA.as_bytes()).unwrap();
    let public = |der: &[u8]| match SigningKey::read(der).unwrap() {
        SigningKey::Es256(key) => key.public_key().as_ref().to_vec(),
        SigningKey::EdDsa(key) => key.public_key().as_ref().to_vec(),
        SigningKey::Rsa(key) => key.public_key().as_ref().to_vec(),
    };
    let kinds: [(&str, &[u8], &dyn VerificationAlgorithm); 3] = [
        ("ES256", ec.as_ref(), &ECDSA_P256_SHA256_FIXED),
        ("EdDSA", ed.as_ref(), &ED25519),
        ("RS256", rsa.secret_der(), &RSA_PKCS1_2048_8192_SHA256),
    ];
    for (name, der, algorithm) in kinds {
        let credential = ClientCredential::private_key(&pem(der), Some("k1".to_owned())).unwrap();
        let (form, headers) = begin(Some(&credential));
        assert!(headers.is_empty());
        let fields: Vec<(String, String)> = url::form_urlencoded::parse(form.as_bytes())
            .into_owned()
            .collect();
        assert_eq!(fields[0], ("client_id".to_owned(), "my app".to_owned()));
        assert!(fields[1].1.ends_with("client-assertion-type:jwt-bearer"));
        let (message, signature) = fields[2].1.rsplit_once('.').unwrap();
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        UnparsedPublicKey::new(algorithm, public(der))
            .verify(message.as_bytes(), &signature)
            .unwrap_or_else(|_| panic!("{name}"));
        let (header, claims) = message.split_once('.').unwrap();
        let read = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
        };
        assert_eq!(
            read(header),
            json!({"alg": name, "typ": "JWT", "kid": "k1"})
        );
        let claims = read(claims);
        assert_eq!(
            (claims["iss"].as_str(), claims["sub"].as_str()),
            (Some("my app"), Some("my app"))
        );
        assert_eq!(claims["aud"], "https://login.example");
        assert_eq!(claims["exp"], 1_800_000_060);
        assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
    }
}

#[test]
fn a_key_with_a_certificate_is_named_by_its_thumbprint_and_signs_as_entra_wants_it() {
    let credential = ClientCredential::private_key(&RSA.to_owned().into(), None)
        .and_then(|key| key.certificate(RSA_CERTIFICATE))
        .unwrap();
    let line = crate::secret_text::to_ascii_line(&ClientCredentialLine::from(&credential));
    let stored: ClientCredentialLine = serde_json::from_slice(line.expose()).unwrap();
    let stored = stored.read().unwrap();
    let settled = stored.settle(&endpoints(None), AssertionAudience::Issuer);
    for credential in [credential, settled.unwrap()] {
        let (form, _) = begin(Some(&credential));
        let assertion = form.rsplit_once('=').unwrap().1;
        let (message, signature) = assertion.rsplit_once('.').unwrap();
        let public = match SigningKey::read(
            PrivateKeyDer::from_pem_slice(RSA.as_bytes())
                .unwrap()
                .secret_der(),
        ) {
            Ok(SigningKey::Rsa(key)) => key.public_key().as_ref().to_vec(),
            _ => panic!("an RSA key"),
        };
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, public)
            .verify(message.as_bytes(), &signature)
            .unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        let read = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
        };
        assert_eq!(
            read(header),
            json!({"alg": "PS256", "typ": "JWT", "x5t#S256": RSA_THUMBPRINT})
        );
        assert_eq!(read(claims)["nbf"], 1_800_000_000);
    }
}

#[test]
fn a_certificate_that_is_not_the_keys_is_refused() {
    let key = || ClientCredential::private_key(&RSA.to_owned().into(), None).unwrap();
    let random = SystemRandom::new();
    let other = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let other = ClientCredential::private_key(&pem(other.as_ref()), None).unwrap();
    let broken = RSA_CERTIFICATE.replace("MII", "AAA");
    for (credential, text, told) in [
        (other, RSA_CERTIFICATE, "another key"),
        (key(), RSA, "not PEM text"),
        (key(), "certificate", "not PEM text"),
        (key(), broken.as_str(), "can't be read"),
        (secret("s"), RSA_CERTIFICATE, "goes with a private key"),
    ] {
        let refused = credential.certificate(text).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.to_string().contains(told), "{refused}");
    }
}

#[test]
fn an_assertion_names_the_token_endpoint_where_that_is_wanted() {
    let random = SystemRandom::new();
    let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
    let credential = ClientCredential::private_key(&pem(ed.as_ref()), None).unwrap();
    let settled = credential
        .settle(&endpoints(None), AssertionAudience::TokenEndpoint)
        .unwrap();
    let (form, _) = begin(Some(&settled));
    let assertion = form.rsplit_once('=').unwrap().1;
    let claims = super::super::jwt::claims(assertion).unwrap();
    assert_eq!(claims.sub.as_deref(), Some("my app"));
    let payload = assertion.split('.').nth(1).unwrap();
    let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap();
    assert!(
        String::from_utf8(payload)
            .unwrap()
            .contains(r#""aud":"https://login.example/token""#)
    );
}

#[test]
fn what_is_no_key_is_refused() {
    for text in [
        "",
        "secret",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ] {
        let refused = ClientCredential::private_key(&text.to_owned().into(), None);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert!(ClientCredential::secret(String::new().into()).is_err());
    assert!(secret("s").by(ClientAuthentication::PrivateKeyJwt).is_err());
}

#[test]
fn a_credential_survives_being_stored_and_no_debug_output_shows_it() {
    let ed = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let key = ClientCredential::private_key(&pem(ed.as_ref()), Some("k".to_owned())).unwrap();
    let post = secret("canary")
        .by(ClientAuthentication::ClientSecretPost)
        .unwrap();
    for credential in [post, key] {
        let line = crate::secret_text::to_ascii_line(&ClientCredentialLine::from(&credential));
        let read: ClientCredentialLine = serde_json::from_slice(line.expose()).unwrap();
        let read = read.read().unwrap();
        assert_eq!(read.method(), credential.method());
        let again = crate::secret_text::to_ascii_line(&ClientCredentialLine::from(&read));
        assert!(again.same_as(&line));
        assert!(!format!("{credential:?}").contains("canary"));
    }
}
