//! How the program reaches servers: proxies, certificates, and what it says of
//! itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig as TlsConfig, ServerConnection, Stream};
use vault_core::enrolment::Import;
use vault_core::platform::secret::SecretString;
use vault_core::platform::store::{KeySource, StoreKind};
use vault_core::{RefreshToken, Vault};
use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::support::{Output, Sandbox, vault_cli};

/// Whatever is asked here is written down and refused.
struct Recorder {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        // Ends with the process: nobody else knows the port.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                seen.lock().unwrap().push(head(&mut stream));
                let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer.as_bytes()).ok();
            }
        });
        Self { address, heads }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn heads(&self) -> Vec<String> {
        std::mem::take(&mut *self.heads.lock().unwrap())
    }
}

/// A request up to the end of its headers.
fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Takes over a token of this issuer, with these variables set.
pub(super) fn import(
    sandbox: &Sandbox,
    issuer: &str,
    ca: &Path,
    variables: &[(&str, &str)],
) -> Output {
    let token = sandbox.home().join("token");
    std::fs::write(&token, "a-token-that-nobody-issued").unwrap();
    let arguments = [
        "import",
        "--issuer",
        issuer,
        "--client-id",
        "x",
        "--ca-cert",
    ];
    let mut command = sandbox.command(&arguments);
    command.arg(ca).envs(variables.iter().copied());
    command.stdin(std::fs::File::open(token).unwrap());
    command.output().unwrap().into()
}

/// A root whose key is nowhere: TLS then works without the system's.
fn some_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vault-core/src/http/test-root.pem")
}

#[test]
fn the_systems_proxy_is_used_but_where_it_is_told_not_to() {
    let (proxy, sandbox) = (Recorder::start(), Sandbox::new());
    let issuer = "https://login.invalid";
    let through = |variables: &[(&str, &str)]| {
        let failed = import(&sandbox, issuer, &some_root(), variables);
        assert_eq!(failed.code(), Some(5), "{failed:?}");
        (failed, proxy.heads())
    };
    let url = proxy.url();
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let (failed, heads) = through(&[(variable, &url)]);
        let line = "CONNECT login.invalid:443 HTTP/1.1\r\n";
        assert!(heads[0].starts_with(line), "{variable}: {heads:?}");
        assert!(failed.stderr.contains("the proxy did not"), "{failed:?}");
    }
    for exception in ["login.invalid", ".invalid", "*"] {
        let (_, heads) = through(&[("HTTPS_PROXY", &url), ("NO_PROXY", exception)]);
        assert_eq!(heads, Vec::<String>::new(), "{exception}");
    }
}

#[test]
fn what_stays_on_this_machine_passes_no_proxy() {
    let (proxy, sandbox) = (Recorder::start(), Sandbox::new());
    let server = AuthorizationServer::start(ServerConfig::default());
    let url = proxy.url();
    let variables = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"];
    let variables = variables.map(|name| (name, url.as_str()));
    let done = import(&sandbox, server.issuer(), &some_root(), &variables);
    assert_eq!(done.code(), Some(0), "{done:?}");
    let plain = format!("https://{}", server.address());
    let failed = import(&sandbox, &plain, &some_root(), &variables);
    assert_eq!(failed.code(), Some(5), "{failed:?}");
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

#[test]
fn a_request_says_which_program_and_which_library_sends_it() {
    let (server, sandbox) = (Recorder::start(), Sandbox::new());
    let library = format!("vault-core/{}", env!("CARGO_PKG_VERSION"));
    import(&sandbox, &server.url(), &some_root(), &[]);
    let program = format!(
        "user-agent: vault-cli/{} {library}\r\n",
        env!("CARGO_PKG_VERSION")
    );
    let heads = server.heads();
    assert!(
        heads.iter().all(|head| head.contains(&program)),
        "{heads:?}"
    );

    let vault = Vault::builder("com.example.app")
        .state_root(sandbox.state())
        .store(StoreKind::EncryptedFile)
        .key_source(KeySource::KeyFile(sandbox.key_file()))
        .open()
        .unwrap();
    let token = RefreshToken::new(SecretString::from("a-token".to_owned()));
    let session = vault.session("default").unwrap();
    let import = Import::from_issuer(server.url(), "x");
    session.blocking().import(import, token).unwrap_err();
    let application = format!("user-agent: com.example.app {library}\r\n");
    let heads = server.heads();
    assert!(!heads.is_empty());
    assert!(
        heads.iter().all(|head| head.contains(&application)),
        "{heads:?}"
    );
}

/// An issuer behind TLS 1.2, with a certificate of a private authority.
pub(super) struct PrivateIssuer {
    pub(super) issuer: String,
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "for the doctor's cases, which are on Linux")
    )]
    config: Arc<Mutex<Arc<TlsConfig>>>,
}

impl PrivateIssuer {
    /// Gives the authority's file too.
    pub(super) fn start(folder: &Path) -> (Self, PathBuf) {
        let (config, root) = authority(folder);
        let config = Arc::new(Mutex::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("https://{}", listener.local_addr().unwrap());
        let description = serde_json::json!({
            "issuer": issuer,
            "token_endpoint": format!("{issuer}/token"),
        });
        let body = description.to_string();
        let current = config.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let config = current.lock().unwrap().clone();
                let mut connection = ServerConnection::new(config).unwrap();
                let mut stream = Stream::new(&mut connection, &mut stream);
                if head(&mut stream).starts_with("GET ") {
                    let length = body.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
                    stream.write_all(answer.as_bytes()).ok();
                }
            }
        });
        (Self { issuer, config }, root)
    }

    /// Has another authority, whose file is given, vouch for it from now on.
    #[cfg(target_os = "linux")]
    pub(super) fn change_authority(&self, folder: &Path) -> PathBuf {
        let (config, root) = authority(folder);
        *self.config.lock().unwrap() = config;
        root
    }
}

/// A new authority: what a server at 127.0.0.1 needs, and the file that trusts it.
fn authority(folder: &Path) -> (Arc<TlsConfig>, PathBuf) {
    let authority = KeyPair::generate().unwrap();
    let mut root = CertificateParams::new(Vec::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = root.self_signed(&authority).unwrap();
    let base64 = data_encoding::BASE64.encode(certificate.der());
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    let file = folder.join("root.pem");
    std::fs::write(&file, format!("{begin}\n{base64}\n{end}\n")).unwrap();

    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let signed = names
        .signed_by(&key, &Issuer::new(root, authority))
        .unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = TlsConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.der().clone()], key.into())
        .unwrap();
    (Arc::new(config), file)
}

#[test]
fn a_private_certificate_authority_is_trusted_where_it_is_named() {
    let sandbox = Sandbox::new();
    let (server, root) = PrivateIssuer::start(&sandbox.home());
    let issuer = &server.issuer;
    let refused = import(&sandbox, issuer, &some_root(), &[]);
    assert_eq!(refused.code(), Some(5), "{refused:?}");
    assert!(
        refused.stderr.contains("no secure connection"),
        "{refused:?}"
    );
    let done = import(&sandbox, issuer, &root, &[]);
    assert_eq!(done.code(), Some(0), "{done:?}");
    // The login remembers it.
    let doctor = vault_cli(&sandbox, &["doctor"]);
    assert_eq!(doctor.code(), Some(0), "{doctor:?}");
}
