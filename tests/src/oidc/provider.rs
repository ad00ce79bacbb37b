//! The provider's process, and what is asked of it beside the vault: its counts, a browser, and
//! what a thief would try.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::runtime::Runtime;
use url::Url;

use super::authority::Authority;
use super::{Failure, ensure};

/// No access token expires while a cell runs; refreshes are forced.
const ACCESS_TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// How long any of its answers may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the provider does with pushed authorization requests (RFC 9126).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushing {
    Off,
    Required,
}

/// A provider that runs until it is dropped.
#[derive(Debug)]
pub(super) struct Provider {
    process: Child,
    issuer: String,
    http: reqwest::Client,
    runtime: Runtime,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `WWW-Authenticate` and `DPoP-Nonce`.
    pub(super) challenge: String,
    pub(super) nonce: Option<String>,
    pub(super) json: Value,
}

impl Provider {
    /// Starts one with these clients.
    pub(super) fn start(
        authority: &Authority,
        clients: &[Value],
        pushing: Pushing,
    ) -> Result<Self, Failure> {
        let list = authority.folder().join(format!("clients-{pushing:?}.json"));
        std::fs::write(&list, serde_json::to_string(clients)?)?;
        let mut process = Command::new("node")
            .arg(script())
            .env("OIDC_CLIENTS", list)
            .env("OIDC_TLS_CERTIFICATE", authority.certificate())
            .env("OIDC_TLS_KEY", authority.key())
            .env("NODE_EXTRA_CA_CERTS", authority.root_file())
            .env(
                "OIDC_PAR",
                match pushing {
                    Pushing::Off => "off",
                    Pushing::Required => "required",
                },
            )
            .env(
                "OIDC_ACCESS_TOKEN_TTL",
                ACCESS_TOKEN_LIFETIME.as_secs().to_string(),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("node can't be started: {error}"))?;
        let output = process.stdout.take().ok_or("no standard output")?;
        let mut made = Self {
            process,
            issuer: String::new(),
            http: client(authority)?,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?,
        };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line)
            .map_err(|_| "the provider did not start; try `npm ci --prefix tests/oidc`")?;
        made.issuer = said["issuer"].as_str().unwrap_or_default().to_owned();
        Ok(made)
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn user_info(&self) -> String {
        format!("{}/me", self.issuer)
    }

    /// What it counted of a client.
    pub(super) fn count(&self, client: &str, what: &str) -> Result<u64, Failure> {
        let path = self.own("/__counts", &[("client", client)])?;
        let answer = self.send(self.http.get(path))?;
        let counted = answer.json[what].as_u64();
        counted.ok_or_else(|| format!("nothing counts {what} of {client}").into())
    }

    /// Opens an authorization URL and follows it to the application's page, whatever that says.
    pub(super) fn browse(&self, url: &str) -> Result<(), Failure> {
        self.told("/__browse", &[("url", url)]).map(drop)
    }

    /// The same, but for the last step: where the application's page is.
    pub(super) fn redirect(&self, url: &str) -> Result<Url, Failure> {
        let answer = self.told("/__browse", &[("url", url), ("until", "redirect")])?;
        Ok(answer["location"].as_str().unwrap_or_default().parse()?)
    }

    pub(super) fn approve(&self, user_code: &str) -> Result<(), Failure> {
        let answer = self.told("/__device/approve", &[("user_code", user_code)])?;
        ensure(answer["error"].is_null(), || format!("no code: {answer}"))
    }

    /// Makes the client's next ID token a wrong one: `replayed` or `changed`.
    pub(super) fn disturb_id_token(&self, client: &str, how: &str) -> Result<(), Failure> {
        self.told("/__id_token", &[("client", client), ("as", how)])
            .map(drop)
    }

    /// Whether it takes this as a bearer token.
    pub(super) fn takes(&self, access_token: &str) -> Result<bool, Failure> {
        let bearer = format!("Bearer {access_token}");
        Ok(self.ask(&[("Authorization", &bearer)])?.status == 200)
    }

    /// Asks its API who the person is.
    pub(super) fn ask(&self, headers: &[(&str, &str)]) -> Result<Answer, Failure> {
        let mut request = self.http.get(self.user_info());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request)
    }

    /// What it says to this refresh token of a public client, without any proof.
    pub(super) fn refresh(&self, client: &str, token: &str) -> Result<Answer, Failure> {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.post("/token", client, &form)
    }

    /// What it tells a public client of an access token (RFC 7662).
    pub(super) fn introspect(&self, client: &str, token: &str) -> Result<Answer, Failure> {
        self.post("/token/introspection", client, &[("token", token)])
    }

    fn post(&self, path: &str, client: &str, form: &[(&str, &str)]) -> Result<Answer, Failure> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", client)
            .extend_pairs(form)
            .finish();
        let request = self.http.post(format!("{}{path}", self.issuer));
        let kind = "application/x-www-form-urlencoded";
        self.send(request.header("Content-Type", kind).body(form))
    }

    fn own(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, Failure> {
        let address = format!("{}{path}", self.issuer);
        Ok(Url::parse_with_params(&address, query)?)
    }

    fn told(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let answer = self.send(self.http.post(self.own(path, query)?))?;
        match answer.status {
            200 => Ok(answer.json),
            status => Err(format!("{path}: {status} {}", answer.json).into()),
        }
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        self.runtime.block_on(async {
            let response = request.send().await?;
            let header = |name| {
                let value: Option<&reqwest::header::HeaderValue> = response.headers().get(name);
                value.and_then(|value| Some(value.to_str().ok()?.to_owned()))
            };
            Ok(Answer {
                status: response.status().as_u16(),
                challenge: header("www-authenticate").unwrap_or_default(),
                nonce: header("dpop-nonce"),
                json: serde_json::from_slice(&response.bytes().await?).unwrap_or_default(),
            })
        })
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Trusts the private authority and nobody else.
fn client(authority: &Authority) -> Result<reqwest::Client, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root().to_vec().into())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .timeout(PATIENCE);
    Ok(builder.build()?)
}

fn lane() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc")
}

fn script() -> PathBuf {
    lane().join("server.mjs")
}

/// Which provider it is.
pub(super) fn version() -> Result<String, Failure> {
    let package = lane().join("node_modules/oidc-provider/package.json");
    let package = std::fs::read(package)
        .map_err(|_| "oidc-provider is not there: `npm ci --prefix tests/oidc` fetches it")?;
    let package: Value = serde_json::from_slice(&package)?;
    let node = Command::new("node").arg("--version").output()?;
    Ok(format!(
        "oidc-provider {}, node {}",
        package["version"].as_str().unwrap_or_default(),
        String::from_utf8_lossy(&node.stdout).trim()
    ))
}
