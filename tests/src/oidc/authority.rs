//! The private certificate authority, and what clients prove themselves with.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Failure;

/// What every client with a secret has. Nothing but these tests takes it.
const CLIENT_SECRET: &str = "obviously-fake-client-secret: it has & and % in it";

/// Files that one run is made of.
#[derive(Debug)]
pub(super) struct Authority {
    folder: TempDir,
    root: Vec<u8>,
    client_key: Value,
}

impl Authority {
    pub(super) fn new() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "A private authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &authority)?;

        let client = KeyPair::generate()?;
        let [_, point @ ..] = client.public_key_raw() else {
            return Err("a key without a point".into());
        };
        let (x, y) = point.split_at(point.len() / 2);
        let made = Self {
            root: authority.der().to_vec(),
            client_key: json!({
                "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "client",
                "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
            }),
            folder,
        };
        let wrong = KeyPair::generate()?.serialize_der();
        for (path, label, der) in [
            (made.root_file(), "CERTIFICATE", made.root.as_slice()),
            (made.certificate(), "CERTIFICATE", certificate.der()),
            (made.key(), "PRIVATE KEY", &key.serialize_der()),
            (made.client_key(), "PRIVATE KEY", &client.serialize_der()),
            (made.wrong_client_key(), "PRIVATE KEY", &wrong),
        ] {
            std::fs::write(path, pem(label, der))?;
        }
        std::fs::write(made.client_secret(), format!("{CLIENT_SECRET}\n"))?;
        std::fs::write(made.wrong_client_secret(), "not-this-one\n")?;
        Ok(made)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The authority's own certificate (DER).
    pub(super) fn root(&self) -> &[u8] {
        &self.root
    }

    /// The same as a PEM file.
    pub(super) fn root_file(&self) -> PathBuf {
        self.file("root.pem")
    }

    /// The server's.
    pub(super) fn certificate(&self) -> PathBuf {
        self.file("server.pem")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.file("server-key.pem")
    }

    pub(super) fn client_secret(&self) -> PathBuf {
        self.file("client-secret")
    }

    pub(super) fn wrong_client_secret(&self) -> PathBuf {
        self.file("wrong-client-secret")
    }

    pub(super) fn client_key(&self) -> PathBuf {
        self.file("client-key.pem")
    }

    pub(super) fn wrong_client_key(&self) -> PathBuf {
        self.file("wrong-client-key.pem")
    }

    /// A client's metadata as the provider wants it.
    pub(super) fn client(&self, id: &str, method: &str) -> Value {
        let mut client = json!({ "client_id": id, "token_endpoint_auth_method": method });
        match method {
            "client_secret_basic" | "client_secret_post" => {
                client["client_secret"] = CLIENT_SECRET.into();
            }
            "private_key_jwt" => {
                client["jwks"] = json!({ "keys": [self.client_key] });
                client["token_endpoint_auth_signing_alg"] = "ES256".into();
            }
            _ => {}
        }
        client
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}
