//! Logins with several things at once, each of which changes the same
//! requests: proofs of possession, pushed requests, a client that signs, and
//! a key that the server knows by its certificate.

use rcgen::{CertificateParams, KeyPair};
use ring::digest::{SHA256, digest};
use vault_tests::server::plain_http::fetch;
use vault_tests::server::{
    AuthorizationServer, Client, ClientAuthentication, Dpop, PushedRequests, ServerConfig,
};

use crate::support::{Sandbox, vault_cli};

/// A client's key and certificate, in files and as the server knows them.
struct Signer {
    key_file: String,
    certificate_file: String,
    public_key: Vec<u8>,
    certificate: [u8; 32],
}

impl Signer {
    fn new(sandbox: &Sandbox, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["client.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = |name: String, label: &str, der: &[u8]| {
            let path = sandbox.home().join(name);
            let body = data_encoding::BASE64.encode(der);
            let text = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
            std::fs::write(&path, text).unwrap();
            path.into_os_string().into_string().unwrap()
        };
        Self {
            key_file: file(format!("{name}.key"), "PRIVATE KEY", &key.serialize_der()),
            certificate_file: file(format!("{name}.pem"), "CERTIFICATE", certificate.der()),
            public_key: key.public_key_raw().to_vec(),
            certificate: digest(&SHA256, certificate.der())
                .as_ref()
                .try_into()
                .unwrap(),
        }
    }

    fn client(&self, certificate: Option<[u8; 32]>) -> Client {
        let public_key = self.public_key.clone();
        let authentication = ClientAuthentication::PrivateKeyJwt {
            public_key,
            certificate,
        };
        Client::confidential("vault-cli", authentication)
    }
}

/// Login, refresh, API and logout of a login whose tokens are bound to a key.
#[track_caller]
fn goes_all_the_way(server: &AuthorizationServer, sandbox: &Sandbox, arguments: &[&str]) {
    let logged_in = sandbox.log_in_with(server, arguments);
    assert_eq!(logged_in.code(), Some(0), "{logged_in:?}");
    let refreshed = vault_cli(sandbox, &["refresh", "--force"]);
    assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
    let url = server.url("/userinfo");
    let ask = |more: &[&str]| {
        let arguments = [&["token", "--header", "--dpop-url", &url], more].concat();
        let token = vault_cli(sandbox, &arguments);
        let headers: Vec<_> = token
            .stdout
            .lines()
            .filter_map(|line| line.split_once(": "))
            .collect();
        assert_eq!(headers.len(), 2, "{token:?}");
        fetch(&url, &headers).unwrap()
    };
    let first = ask(&[]);
    let nonce = first.header("dpop-nonce").unwrap();
    assert_eq!(ask(&["--dpop-nonce", nonce]).json()["sub"], "alice");
    let left = vault_cli(sandbox, &["logout", "--json"]);
    assert_eq!(left.json()["revoked"], true, "{left:?}");
    assert_eq!(server.living_logins(), 0);
}

fn server(change: impl FnOnce(&mut ServerConfig)) -> AuthorizationServer {
    let mut config = ServerConfig {
        dpop: Dpop::WithNonce,
        ..ServerConfig::default()
    };
    change(&mut config);
    AuthorizationServer::start(config)
}

#[test]
fn a_bound_login_is_pushed_where_the_server_takes_nothing_else() {
    let server = server(|config| config.pushed_requests = PushedRequests::Required);
    goes_all_the_way(&server, &Sandbox::new(), &["--dpop"]);
    let requests = server.counts().requests;
    assert_eq!((requests.pushed, requests.authorize), (1, 1));
}

#[test]
fn a_client_that_signs_binds_its_tokens_to_another_key() {
    let sandbox = Sandbox::new();
    let signer = Signer::new(&sandbox, "client");
    let server = server(|config| config.clients = vec![signer.client(None)]);
    goes_all_the_way(
        &server,
        &sandbox,
        &["--dpop", "--client-key-file", &signer.key_file],
    );
}

#[test]
fn all_of_it_at_once() {
    let sandbox = Sandbox::new();
    let signer = Signer::new(&sandbox, "client");
    let server = server(|config| {
        config.pushed_requests = PushedRequests::Required;
        config.clients = vec![signer.client(Some(signer.certificate))];
    });
    let arguments = [
        "--dpop",
        "--client-key-file",
        &signer.key_file,
        "--client-certificate",
        &signer.certificate_file,
    ];
    goes_all_the_way(&server, &sandbox, &arguments);
}

#[test]
fn a_server_that_knows_a_key_by_its_certificate_is_told_which() {
    let sandbox = Sandbox::new();
    let (signer, other) = (
        Signer::new(&sandbox, "client"),
        Signer::new(&sandbox, "other"),
    );
    let server = AuthorizationServer::start(ServerConfig {
        clients: vec![signer.client(Some(signer.certificate))],
        ..ServerConfig::default()
    });
    let log_in = |more: &[&str]| {
        let key = ["--json", "--client-key-file", &signer.key_file];
        sandbox.log_in_with(&server, &[&key, more].concat())
    };
    let without = log_in(&[]);
    assert_eq!(
        without.json()["error"]["code"],
        "client_refused",
        "{without:?}"
    );
    let named = log_in(&["--client-certificate", &signer.certificate_file]);
    assert_eq!(named.code(), Some(0), "{named:?}");
    // It is kept with the key, beyond the file.
    std::fs::remove_file(&signer.certificate_file).unwrap();
    let refreshed = vault_cli(&sandbox, &["refresh", "--force"]);
    assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
    for wrong in [
        other.certificate_file.as_str(),
        &signer.key_file,
        "/nowhere",
    ] {
        let before = server.counts().requests.total();
        let refused = log_in(&["--client-certificate", wrong]);
        assert_eq!(refused.code(), Some(2), "{refused:?}");
        assert_eq!(server.counts().requests.total(), before);
    }
}
