//! Confidential clients: what they prove themselves with comes from a file or
//! standard input, lies in the store, and is sent wherever the server asks.

use data_encoding::BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use vault_tests::server::{AuthorizationServer, Client, ClientAuthentication, ServerConfig};

use crate::support::{Output, Running, Sandbox, login, vault_cli};

const SECRET: &str = "canary s3cret:%";

fn server(authentication: ClientAuthentication) -> AuthorizationServer {
    AuthorizationServer::start(ServerConfig {
        clients: vec![Client::confidential("vault-cli", authentication)],
        ..ServerConfig::default()
    })
}

/// A file with this in it, beside what is stored.
fn file(sandbox: &Sandbox, contents: &str) -> String {
    let path = sandbox.home().join("credential");
    std::fs::write(&path, contents).unwrap();
    path.into_os_string().into_string().unwrap()
}

/// Login, refresh and logout, each of which asks the server.
#[track_caller]
fn goes_all_the_way(server: &AuthorizationServer, sandbox: &Sandbox, arguments: &[&str]) {
    let logged_in = sandbox.log_in_with(server, arguments);
    assert_eq!(logged_in.code(), Some(0), "{logged_in:?}");
    let refreshed = vault_cli(sandbox, &["refresh", "--force"]);
    assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
    for (path, (_, contents)) in sandbox.stored() {
        let found = contents.windows(6).any(|window| window == b"canary");
        assert!(!found, "{}", path.display());
    }
    let left = vault_cli(sandbox, &["logout", "--json"]);
    assert_eq!(left.json()["revoked"], true, "{left:?}");
    assert_eq!(server.living_logins(), 0);
}

#[test]
fn a_secret_goes_by_the_way_that_the_server_wants() {
    let basic = server(ClientAuthentication::SecretBasic(SECRET.to_owned()));
    let post = server(ClientAuthentication::SecretPost(SECRET.to_owned()));
    let sandbox = Sandbox::new();
    let path = file(&sandbox, &format!("{SECRET}\n"));
    let arguments = ["--client-secret-file", &path];
    goes_all_the_way(&basic, &sandbox, &arguments);
    let arguments = [
        "--client-secret-file",
        &path,
        "--client-auth",
        "client_secret_post",
    ];
    goes_all_the_way(&post, &sandbox, &arguments);
    // What the server lists decides where nothing is told.
    post.configure(|config| {
        let listed = serde_json::json!(["client_secret_post"]);
        config.metadata_changes =
            vec![("token_endpoint_auth_methods_supported".to_owned(), listed)];
    });
    goes_all_the_way(&post, &sandbox, &["--client-secret-file", &path]);
}

#[test]
fn a_private_key_signs_for_each_request() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
    let public_key = key.unwrap().public_key().as_ref().to_vec();
    let server = server(ClientAuthentication::PrivateKeyJwt {
        public_key,
        certificate: None,
    });
    let sandbox = Sandbox::new();
    let body = BASE64.encode(pkcs8.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    let path = file(&sandbox, &pem);
    goes_all_the_way(&server, &sandbox, &["--client-key-file", &path]);
}

#[test]
fn a_device_code_and_an_import_are_proved_for_too() {
    let server = server(ClientAuthentication::SecretBasic(SECRET.to_owned()));
    let sandbox = Sandbox::new();
    let path = file(&sandbox, SECRET);
    let mut arguments = login(&server);
    arguments.extend(["--flow", "device", "--json", "--client-secret-file", &path]);
    let mut running = Running::start(sandbox.command(&arguments));
    let shown: serde_json::Value = serde_json::from_str(&running.line().unwrap()).unwrap();
    assert!(server.approve_device(shown["user_code"].as_str().unwrap()));
    let logged_in = running.finish();
    assert_eq!(logged_in.code(), Some(0), "{logged_in:?}");

    let issued = server.issue_login();
    let arguments = [
        "--profile",
        "taken-over",
        "import",
        "--issuer",
        server.issuer(),
        "--client-id",
        "vault-cli",
        "--client-secret-file",
        &path,
    ];
    let imported = sandbox.run_with_input(&arguments, &issued.refresh_token);
    assert_eq!(imported.code(), Some(0), "{imported:?}");
    let token = vault_cli(&sandbox, &["--profile", "taken-over", "token"]);
    assert_eq!(token.code(), Some(0), "{token:?}");
}

#[test]
fn a_wrong_secret_is_refused_and_the_login_that_was_there_goes_on() {
    let server = server(ClientAuthentication::SecretBasic(SECRET.to_owned()));
    let sandbox = Sandbox::new();
    let right = file(&sandbox, SECRET);
    let log_in = |path: &str| -> Output {
        sandbox.log_in_with(&server, &["--json", "--client-secret-file", path])
    };
    assert_eq!(log_in(&right).code(), Some(0));
    let wrong = file(&sandbox, "not this one");
    let refused = log_in(&wrong);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "client_refused");
    assert!(!refused.stdout.contains("not this one"), "{refused:?}");
    let refreshed = vault_cli(&sandbox, &["refresh", "--force"]);
    assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
}

#[test]
fn what_proves_nothing_is_a_usage_error() {
    let server = server(ClientAuthentication::SecretBasic(SECRET.to_owned()));
    let sandbox = Sandbox::new();
    let path = file(&sandbox, SECRET);
    for arguments in [
        &["--client-auth", "client_secret_basic"][..],
        &[
            "--client-auth",
            "private_key_jwt",
            "--client-secret-file",
            &path,
        ],
        &["--client-key-file", &path],
        &["--client-secret-file", "/nowhere/at/all"],
    ] {
        let refused = sandbox.log_in_with(&server, arguments);
        assert_eq!(refused.code(), Some(2), "{arguments:?} {refused:?}");
        assert!(!refused.stderr.contains("canary"), "{refused:?}");
    }
    assert_eq!(server.counts().requests.authorize, 0);
}
