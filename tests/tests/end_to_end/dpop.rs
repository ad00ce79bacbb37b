//! Logins whose tokens are bound to a key (DPoP, RFC 9449), against a server
//! that checks every proof: its signature, request, time, nonce, and that it
//! comes once.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use vault_core::login::{DeviceAuthorization, Flow, LoginInteraction, LoginRequest};
use vault_core::platform::clock::{Clock, ManualClock, SystemClock};
use vault_core::platform::store::{Interaction, ItemName, KeySource, StoreKind, StoreOptions};
use vault_core::session::TokenOptions;
use vault_core::{Error, ErrorKind, RefreshToken, Session, Vault};
use vault_tests::server::plain_http::{self, Answer};
use vault_tests::server::{
    AccessTokenFormat, Alteration, AuthorizationServer, DeviceApproval, Dpop, Endpoint, Fault,
    Reply, ServerConfig,
};

use crate::support::{Output, Sandbox, vault_cli, wait};

fn server(dpop: Dpop) -> AuthorizationServer {
    AuthorizationServer::start(ServerConfig {
        dpop,
        ..ServerConfig::default()
    })
}

#[track_caller]
fn log_in(sandbox: &Sandbox, server: &AuthorizationServer) {
    let output = sandbox.log_in_with(server, &["--dpop"]);
    assert!(output.status.success(), "{output:?}");
}

/// The same login, in this process.
fn session(sandbox: &Sandbox) -> Session {
    session_by(sandbox, Arc::new(SystemClock))
}

/// The same by another clock.
pub(crate) fn session_by(sandbox: &Sandbox, clock: Arc<dyn Clock>) -> Session {
    Vault::builder("vault-cli")
        .clock(clock)
        .state_root(sandbox.state())
        .store(StoreKind::EncryptedFile)
        .key_source(KeySource::KeyFile(sandbox.key_file()))
        .interaction(Interaction::Forbidden)
        .open()
        .unwrap()
        .session("default")
        .unwrap()
}

fn stored_refresh_token(sandbox: &Sandbox) -> RefreshToken {
    session(sandbox).blocking().inspect().unwrap().refresh_token
}

/// What the token endpoint says to whoever has the refresh token alone.
fn steal(server: &AuthorizationServer, token: &RefreshToken) -> Answer {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", token.expose()),
        ("client_id", "vault-cli"),
    ];
    plain_http::post_form(&server.url("/token"), &form, &[]).unwrap()
}

/// The headers that the program prints, for a request to this address.
fn headers(sandbox: &Sandbox, url: &str, more: &[&str]) -> Vec<(String, String)> {
    let mut arguments = vec!["token", "--header", "--dpop-url", url];
    arguments.extend(more);
    let output = vault_cli(sandbox, &arguments);
    assert!(output.status.success(), "{output:?}");
    let split = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    };
    output.stdout.lines().map(split).collect()
}

fn fetch(url: &str, headers: &[(String, String)]) -> Answer {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    plain_http::fetch(url, &headers).unwrap()
}

#[test]
fn a_bound_login_refreshes_and_its_token_is_taken_with_a_proof_only() {
    let (server, sandbox) = (server(Dpop::Offered), Sandbox::new());
    log_in(&sandbox, &server);
    assert!(
        vault_cli(&sandbox, &["refresh", "--force"])
            .status
            .success()
    );
    assert_eq!(server.counts().refreshes_ok, 1);

    let url = server.url("/userinfo");
    let made = headers(&sandbox, &format!("{url}?page=1#top"), &[]);
    let names: Vec<_> = made.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Authorization", "DPoP"]);
    assert!(made[0].1.starts_with("DPoP "), "{made:?}");
    assert_eq!(fetch(&url, &made).json()["sub"], "alice");
    assert_eq!(fetch(&url, &made).status, 401, "a proof is good once");
    assert_eq!(fetch(&url, &made[..1]).status, 401, "no proof");
    let bearer = made[0].1.replace("DPoP ", "Bearer ");
    let bearer = [("Authorization".to_owned(), bearer)];
    assert_eq!(fetch(&url, &bearer).status, 401, "as a bearer token");

    let for_post = headers(&sandbox, &url, &["--dpop-method", "POST"]);
    assert_eq!(fetch(&url, &for_post).status, 401, "another method");
    let elsewhere = headers(&sandbox, &server.url("/other"), &[]);
    assert_eq!(fetch(&url, &elsewhere).status, 401, "another address");
}

#[test]
fn a_stolen_refresh_token_is_refused_without_the_key_and_the_login_lives() {
    for dpop in [Dpop::Offered, Dpop::WithNonce] {
        let (server, sandbox) = (server(dpop), Sandbox::new());
        log_in(&sandbox, &server);
        let stolen = stored_refresh_token(&sandbox);
        let answer = steal(&server, &stolen);
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["error"], "invalid_grant");
        assert!(server.is_current_refresh_token(stolen.expose()));
        let refreshed = vault_cli(&sandbox, &["refresh", "--force"]);
        assert!(refreshed.status.success(), "{refreshed:?}");
        assert_eq!(server.counts().reuse_detected, 0);
    }
}

#[test]
fn a_nonce_that_is_wanted_is_learnt_kept_and_learnt_anew() {
    let (server, sandbox) = (server(Dpop::WithNonce), Sandbox::new());
    log_in(&sandbox, &server);
    assert_eq!(server.counts().requests.token, 2, "once without the nonce");
    let refresh = || {
        let output = vault_cli(&sandbox, &["refresh", "--force"]);
        assert!(output.status.success(), "{output:?}");
        server.counts().requests.token
    };
    assert_eq!(refresh(), 3, "the nonce was kept for other processes");
    server.renew_nonces();
    assert_eq!(refresh(), 5, "refused, and sent again with the new one");
    assert_eq!(refresh(), 6);
    let counts = server.counts();
    assert_eq!((counts.refreshes_ok, counts.reuse_detected), (3, 0));
}

#[test]
fn an_apis_nonce_is_handed_over_and_the_headers_asked_for_again() {
    let (server, sandbox) = (server(Dpop::WithNonce), Sandbox::new());
    log_in(&sandbox, &server);
    let url = server.url("/userinfo");
    let refused = fetch(&url, &headers(&sandbox, &url, &[]));
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.contains("use_dpop_nonce"), "{challenge}");
    let nonce = refused.header("dpop-nonce").unwrap();
    let made = headers(&sandbox, &url, &["--dpop-nonce", nonce]);
    assert_eq!(fetch(&url, &made).status, 200);

    // The same with the library, which keeps the nonce.
    let session = session(&sandbox);
    let blocking = session.blocking();
    let token = blocking.token(&TokenOptions::default()).unwrap();
    let address = url.parse().unwrap();
    session.learn_nonce(&address, nonce);
    for _ in 0..2 {
        let made = blocking.authorization(&token, "GET", &address).unwrap();
        let made = [
            ("Authorization", made.authorization()),
            ("DPoP", made.dpop().unwrap()),
        ];
        assert_eq!(plain_http::fetch(&url, &made).unwrap().status, 200);
    }
}

#[test]
fn sixteen_processes_with_a_bound_login_make_one_refresh() {
    let (server, sandbox) = (server(Dpop::WithNonce), Sandbox::new());
    server.configure(|config| config.access_token_lifetime = Duration::from_secs(1));
    log_in(&sandbox, &server);
    server.renew_nonces();
    server.configure(|config| config.access_token_lifetime = Duration::from_secs(300));
    wait(Duration::from_secs(1));
    let running: Vec<_> = (0..16)
        .map(|_| sandbox.command(&["token"]).spawn().unwrap())
        .collect();
    let tokens: Vec<Output> = running
        .into_iter()
        .map(|process| process.wait_with_output().unwrap().into())
        .collect();
    for output in &tokens {
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, tokens[0].stdout);
    }
    let counts = server.counts();
    assert_eq!((counts.refreshes_ok, counts.reuse_detected), (1, 0));
    assert_eq!(counts.peak_concurrent_refreshes, 1);
}

struct Nobody;

impl LoginInteraction for Nobody {
    fn open_url(&self, _url: &url::Url) -> Result<(), Error> {
        Ok(())
    }

    fn show_device_code(&self, _code: &DeviceAuthorization) {}
}

#[test]
fn a_login_by_code_on_another_device_is_bound_too() {
    let server = AuthorizationServer::start(ServerConfig {
        dpop: Dpop::WithNonce,
        device_approval: DeviceApproval::AfterPolls(1),
        access_token_format: AccessTokenFormat::JwtShaped { bytes: 1000 },
        ..ServerConfig::default()
    });
    let sandbox = Sandbox::new();
    let session = session(&sandbox);
    let request = LoginRequest::new(server.issuer(), "vault-cli")
        .flow(Flow::Device)
        .dpop(true);
    let blocking = session.blocking();
    blocking.login(request, Arc::new(Nobody)).unwrap();
    let token = blocking.token(&TokenOptions::default()).unwrap();
    assert_eq!(token.jkt, blocking.inspect().unwrap().jkt);
    let stolen = stored_refresh_token(&sandbox);
    assert_eq!(steal(&server, &stolen).json()["error"], "invalid_grant");
}

#[test]
fn a_clock_that_is_wrong_or_put_right_refuses_nothing() {
    let (server, sandbox) = (server(Dpop::Offered), Sandbox::new());
    server.configure(|config| config.device_approval = DeviceApproval::AfterPolls(0));
    // In the year 2001.
    let clock = ManualClock::new();
    let session = session_by(&sandbox, Arc::new(clock.clone()));
    let blocking = session.blocking();
    let request = LoginRequest::new(server.issuer(), "vault-cli")
        .flow(Flow::Device)
        .dpop(true);
    blocking.login(request, Arc::new(Nobody)).unwrap();
    let asked = || server.counts().requests.token;
    assert_eq!(asked(), 2, "the first proof was of another time");
    let token = blocking.refresh_now(&TokenOptions::default()).unwrap();
    assert_eq!(asked(), 3);
    let url = server.url("/userinfo");
    let address = url.parse().unwrap();
    let made = blocking.authorization(&token, "GET", &address).unwrap();
    let made = [
        ("Authorization", made.authorization()),
        ("DPoP", made.dpop().unwrap()),
    ];
    assert_eq!(plain_http::fetch(&url, &made).unwrap().status, 200);

    // Another process of that boot knows how wrong it is; one after a restart,
    // with the clock put right, is told.
    let other = session_by(&sandbox, Arc::new(clock));
    let refreshed = other.blocking().refresh_now(&TokenOptions::default());
    assert!(refreshed.is_ok(), "{refreshed:?}");
    assert_eq!(asked(), 4);
    assert!(
        vault_cli(&sandbox, &["refresh", "--force"])
            .status
            .success()
    );
    assert_eq!(asked(), 6);
    assert_eq!(server.counts().reuse_detected, 0);
}

#[test]
fn a_server_that_does_not_bind_fails_the_login() {
    let (server, sandbox) = (server(Dpop::Off), Sandbox::new());
    let refused = sandbox.log_in_with(&server, &["--dpop", "--json"]);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "server_answer_invalid");
    assert_eq!(vault_cli(&sandbox, &["status"]).code(), Some(3));

    server.configure(|config| {
        let listed = (
            "dpop_signing_alg_values_supported".to_owned(),
            "RS256".into(),
        );
        config.metadata_changes.push(listed);
    });
    let refused = sandbox.log_in_with(&server, &["--dpop", "--json"]);
    assert_eq!(
        refused.json()["error"]["code"],
        "not_offered",
        "{refused:?}"
    );
}

#[test]
fn a_downgrade_at_a_login_fails_it_and_its_tokens_are_given_back() {
    let (server, sandbox) = (server(Dpop::Offered), Sandbox::new());
    let downgraded = Alteration::Set("token_type", "Bearer".into());
    server.fail_next(Endpoint::Token, 1, Fault::Alter(downgraded));
    let refused = sandbox.log_in_with(&server, &["--dpop", "--json"]);
    assert_eq!(refused.json()["error"]["code"], "server_answer_invalid");
    assert_eq!((server.counts().logins, server.living_logins()), (1, 0));
    assert_eq!(vault_cli(&sandbox, &["status"]).code(), Some(3));
}

#[test]
fn a_downgrade_at_a_refresh_keeps_the_new_refresh_token_and_says_so() {
    let (server, sandbox) = (server(Dpop::Offered), Sandbox::new());
    log_in(&sandbox, &server);
    let generation = || session(&sandbox).blocking().inspect().unwrap().generation.0;
    let before = generation();
    let downgraded = Alteration::Set("token_type", "Bearer".into());
    server.fail_next(Endpoint::Token, 1, Fault::Alter(downgraded));
    let refused = vault_cli(&sandbox, &["refresh", "--force", "--json"]);
    assert_eq!(refused.json()["error"]["code"], "server_answer_invalid");
    let shown = refused.json()["error"]["message"].to_string();
    assert!(shown.contains("bearer"), "{shown}");
    assert_eq!(generation(), before + 1, "the new refresh token was kept");
    assert!(server.is_current_refresh_token(stored_refresh_token(&sandbox).expose()));
}

#[test]
fn a_server_that_is_never_content_is_asked_twice_and_nothing_is_lost() {
    let (server, sandbox) = (server(Dpop::Offered), Sandbox::new());
    log_in(&sandbox, &server);
    let before = (sandbox.stored(), server.counts().requests.token);
    let nonce = |value: Option<&str>| {
        let reply = Reply::oauth_error(400, "use_dpop_nonce");
        Fault::Instead(match value {
            Some(value) => reply.header("DPoP-Nonce", value),
            None => reply,
        })
    };
    let refused = |requests| {
        let output = vault_cli(&sandbox, &["refresh", "--force", "--json"]);
        assert_eq!(
            output.json()["error"]["code"],
            "request_refused",
            "{output:?}"
        );
        assert_eq!(server.counts().requests.token - before.1, requests);
        assert_eq!(sandbox.stored(), before.0, "nothing is stored otherwise");
    };
    server.fail_next(Endpoint::Token, 1, nonce(Some("one")));
    server.fail_next(Endpoint::Token, 1, nonce(Some("two")));
    refused(2);
    server.fail_next(Endpoint::Token, 1, nonce(None));
    refused(3);
    server.fail_next(Endpoint::Token, 1, nonce(Some("not a nonce")));
    refused(4);
    server.clear_faults(Endpoint::Token);
    let output = vault_cli(&sandbox, &["refresh", "--force"]);
    assert!(output.status.success(), "{output:?}");
}

/// Changes the key item behind the program's back.
fn change_key_item(sandbox: &Sandbox, change: impl FnOnce(&mut Value)) {
    let options = StoreOptions {
        state_root: Some(sandbox.state()),
        key: Some(KeySource::KeyFile(sandbox.key_file())),
        ..StoreOptions::default()
    };
    let store = vault_core::platform::store::open(StoreKind::EncryptedFile, &options).unwrap();
    let name = ItemName::new("vault-cli", "default#key").unwrap();
    store.unlock(Interaction::Forbidden).unwrap();
    let values = store.get(&name).unwrap();
    let mut item: Value = serde_json::from_slice(values[0].expose()).unwrap();
    assert!(item["dpop"].is_string(), "it holds the key");
    change(&mut item);
    let line = item.to_string().into_bytes();
    store.set(&name, &line.into()).unwrap();
}

#[test]
fn without_its_key_nothing_is_sent_nothing_is_changed_and_the_error_says_so() {
    let other = {
        let (server, sandbox) = (server(Dpop::Offered), Sandbox::new());
        log_in(&sandbox, &server);
        let mut other = Value::Null;
        change_key_item(&sandbox, |item| other = item["dpop"].clone());
        other
    };
    for lost in [Value::Null, "not a key".into(), other] {
        let (server, sandbox) = (server(Dpop::Offered), Sandbox::new());
        log_in(&sandbox, &server);
        change_key_item(&sandbox, |item| item["dpop"] = lost);
        let before = (sandbox.stored(), server.counts().requests.total());
        for command in [
            &["token"][..],
            &["refresh", "--force"],
            &["status"],
            &["show"],
        ] {
            let output = vault_cli(&sandbox, &[command, &["--json"]].concat());
            assert_eq!(output.code(), Some(3), "{output:?}");
            assert_eq!(output.json()["error"]["code"], "dpop_key_lost");
            let hint = output.json()["error"]["hint"].to_string();
            assert!(hint.contains("login --dpop"), "{hint}");
        }
        assert_eq!(sandbox.stored(), before.0);
        assert_eq!(server.counts().requests.total(), before.1);
        // A new login is what helps.
        log_in(&sandbox, &server);
        assert!(
            vault_cli(&sandbox, &["refresh", "--force"])
                .status
                .success()
        );
    }
}

#[test]
fn a_key_is_the_logins_own_and_a_token_of_an_earlier_one_gets_no_proof() {
    let (server, sandbox) = (server(Dpop::Offered), Sandbox::new());
    log_in(&sandbox, &server);
    let session = session(&sandbox);
    let blocking = session.blocking();
    let url = server.url("/userinfo").parse().unwrap();
    let old = blocking.token(&TokenOptions::default()).unwrap();
    log_in(&sandbox, &server);
    let new = blocking.token(&TokenOptions::default()).unwrap();
    assert_ne!(old.jkt, new.jkt);
    assert!(blocking.authorization(&new, "GET", &url).is_ok());
    let refused = blocking.authorization(&old, "GET", &url).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let remote = "http://api.example/".parse().unwrap();
    let refused = blocking.authorization(&new, "GET", &remote).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InsecureUrl);
    let refused = blocking.authorization(&new, "GET /", &url).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}

#[test]
fn the_program_tells_that_a_token_is_bound_and_what_to_add() {
    let (server, sandbox) = (server(Dpop::Offered), Sandbox::new());
    log_in(&sandbox, &server);
    let plain = vault_cli(&sandbox, &["token"]);
    assert_eq!(plain.stdout.lines().count(), 1);
    assert!(plain.stderr.contains("bound to a key"), "{}", plain.stderr);
    let without = vault_cli(&sandbox, &["token", "--header", "--json"]);
    assert_eq!(without.json()["token_type"], "DPoP");
    let without = vault_cli(&sandbox, &["token", "--header"]);
    assert_eq!(without.code(), Some(2));
    assert!(
        without.stderr.contains("--dpop-url URL"),
        "{}",
        without.stderr
    );
    assert_eq!(without.stdout, "");
    let stray = vault_cli(&sandbox, &["token", "--dpop-url", "https://api.example/"]);
    assert_eq!(stray.code(), Some(2));

    let jkt = vault_cli(&sandbox, &["show", "--json"]).json()["jkt"].clone();
    let jkt = jkt.as_str().unwrap();
    assert_eq!(jkt.len(), 43);
    assert!(vault_cli(&sandbox, &["show"]).stdout.contains(jkt));
    assert!(vault_cli(&sandbox, &["status"]).stdout.contains(jkt));
    assert_eq!(
        vault_cli(&sandbox, &["status", "--json"]).json()["jkt"],
        jkt
    );
    let url = server.url("/userinfo");
    let json = vault_cli(&sandbox, &["token", "--json", "--dpop-url", &url]).json();
    assert_eq!(json["jkt"], jkt);
    assert_eq!(json["dpop_proof"].as_str().unwrap().split('.').count(), 3);

    // One nonce in 64 begins so.
    let nonce = ["--dpop-nonce", "-nonce"];
    let arguments = [&["token", "--header", "--dpop-url", &url], &nonce[..]].concat();
    let proved = vault_cli(&sandbox, &arguments);
    assert_eq!(proved.code(), Some(0), "{proved:?}");
}

#[test]
fn a_login_without_dpop_gets_the_usual_header_for_any_address() {
    let (server, sandbox) = (server(Dpop::Offered), Sandbox::new());
    sandbox.log_in(&server, "default");
    let url = server.url("/userinfo");
    let made = headers(&sandbox, &url, &[]);
    assert_eq!(made.len(), 1);
    assert!(made[0].1.starts_with("Bearer "), "{made:?}");
    assert_eq!(fetch(&url, &made).status, 200);
}
