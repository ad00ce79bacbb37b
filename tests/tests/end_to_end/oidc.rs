//! The program and many processes against a real oidc-provider: a certified
//! authorization server that was written by someone else, with rotation on,
//! and with its own idea of what the specifications mean.
//!
//! Runs where `VAULT_TEST_OIDC=1` is set and node and `npm ci --prefix
//! tests/oidc` were there; lane `oidc` of `tests/run`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;
use vault_core::platform::store::{Interaction, KeySource, StoreKind};
use vault_core::{RefreshToken, Vault};
use vault_tests::fleet::{Assignment, Fleet};
use vault_tests::server::plain_http::{self, Answer};

use crate::skipped::left_to_lane;
use crate::support::{Output, Running, Sandbox, vault_cli, wait};

/// Short enough to wait for its end.
const SHORT: Duration = Duration::from_secs(5);
/// So long that nothing expires while many processes start on a slow machine.
const LONG: Duration = Duration::from_secs(60);

/// The provider, in a process of its own. Dropping it ends it.
struct Provider {
    process: Child,
    issuer: String,
}

impl Provider {
    /// `None`, and said, where this lane is not asked for.
    fn start(access_token_lifetime: Duration) -> Option<Self> {
        if !is_asked_for() {
            left_to_lane("oidc");
            return None;
        }
        let mut process = Command::new("node")
            .arg(lane().join("server.mjs"))
            .env(
                "OIDC_ACCESS_TOKEN_TTL",
                access_token_lifetime.as_secs().to_string(),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node is installed");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let said: Value = serde_json::from_str(&line).expect("the server's line");
        let issuer = said["issuer"].as_str().unwrap().to_owned();
        Some(Self { process, issuer })
    }

    fn count(&self, what: &str) -> u64 {
        let counts = plain_http::fetch(&format!("{}/__counts", self.issuer), &[]);
        counts.unwrap().json()[what].as_u64().expect(what)
    }

    /// Of the tokens that are issued from now on.
    fn set_access_token_lifetime(&self, lifetime: Duration) {
        self.post(
            &format!("/__access_token_ttl?seconds={}", lifetime.as_secs()),
            &[],
        );
    }

    fn approve(&self, user_code: &str) {
        self.post(&format!("/__device/approve?user_code={user_code}"), &[]);
    }

    /// Revokes as another client's program would: without the vault.
    fn revoke(&self, token: &RefreshToken) {
        self.post(
            "/token/revocation",
            &[("token", token.expose()), ("client_id", "vault-cli")],
        );
    }

    fn post(&self, path: &str, form: &[(&str, &str)]) {
        let answer = plain_http::post_form(&format!("{}{path}", self.issuer), form, &[]).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// What the token endpoint says to this refresh token.
    fn refresh(&self, token: &RefreshToken) -> Answer {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.expose()),
            ("client_id", "vault-cli"),
        ];
        plain_http::post_form(&format!("{}/token", self.issuer), &form, &[]).unwrap()
    }

    /// Whether the provider takes this access token.
    fn takes(&self, access_token: &str) -> bool {
        let bearer = format!("Bearer {access_token}");
        let answer = plain_http::fetch(
            &format!("{}/me", self.issuer),
            &[("Authorization", bearer.as_str())],
        );
        answer.unwrap().status == 200
    }

    fn login_arguments(&self) -> Vec<&str> {
        vec![
            "login",
            "--issuer",
            &self.issuer,
            "--client-id",
            "vault-cli",
            "--scope",
            "openid",
            "--scope",
            "offline_access",
        ]
    }

    /// Logs in with a browser, which the lane's script stands for.
    fn log_in(&self, sandbox: &Sandbox) -> Output {
        self.log_in_with(sandbox, &[])
    }

    fn log_in_with(&self, sandbox: &Sandbox, more: &[&str]) -> Output {
        let mut arguments = self.login_arguments();
        arguments.push("--no-browser");
        arguments.extend(more);
        let mut login = Running::start(sandbox.command(&arguments));
        let url = login.line_that_starts_with("http").expect("an address");
        let browser = Command::new("node")
            .arg(lane().join("follow.mjs"))
            .arg(url)
            .output()
            .unwrap();
        let output = login.finish();
        assert!(browser.status.success(), "{browser:?} {output:?}");
        assert!(output.status.success(), "{output:?}");
        output
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn lane() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc")
}

#[expect(clippy::disallowed_methods, reason = "the lane's own switch")]
fn is_asked_for() -> bool {
    std::env::var_os("VAULT_TEST_OIDC").is_some_and(|value| value == "1")
}

/// The refresh token as it is stored now.
fn stored_refresh_token(sandbox: &Sandbox) -> RefreshToken {
    let vault = Vault::builder("vault-cli")
        .state_root(sandbox.state())
        .store(StoreKind::EncryptedFile)
        .key_source(KeySource::KeyFile(sandbox.key_file()))
        .interaction(Interaction::Forbidden)
        .open()
        .unwrap();
    let stored = vault.session("default").unwrap().blocking().inspect();
    stored.unwrap().refresh_token
}

/// As many processes as told, all of them started before one is waited for.
fn at_once(sandbox: &Sandbox, processes: usize, arguments: &[&str]) -> Vec<Output> {
    let running: Vec<_> = (0..processes)
        .map(|_| sandbox.command(arguments).spawn().unwrap())
        .collect();
    running
        .into_iter()
        .map(|process| process.wait_with_output().unwrap().into())
        .collect()
}

#[test]
fn sixteen_processes_make_one_refresh_and_a_logout_revokes() {
    let Some(provider) = Provider::start(SHORT) else {
        return;
    };
    let sandbox = Sandbox::new();
    provider.log_in(&sandbox);
    assert_eq!(provider.count("logins"), 1);
    let first = vault_cli(&sandbox, &["token"]);
    assert!(provider.takes(first.stdout.trim_end()), "{first:?}");

    wait(SHORT);
    provider.set_access_token_lifetime(LONG);
    let answers = at_once(&sandbox, 16, &["token"]);
    for answer in &answers {
        assert_eq!((answer.code(), answer.stderr.as_str()), (Some(0), ""));
        assert_eq!(answer.stdout, answers[0].stdout);
    }
    assert_ne!(answers[0].stdout, first.stdout);
    let token = answers[0].stdout.trim_end();
    assert!(provider.takes(token));
    assert_eq!(provider.count("refreshes_ok"), 1);
    assert_eq!(provider.count("refreshes_refused"), 0);
    assert_eq!(provider.count("peak_concurrent_token_requests"), 1);

    let newest = stored_refresh_token(&sandbox);
    let left = vault_cli(&sandbox, &["logout", "--json"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    assert_eq!(left.json()["revoked"], true);
    assert_eq!(provider.count("revocations"), 1);
    let refused = provider.refresh(&newest);
    assert_eq!(refused.status, 400);
    assert_eq!(refused.member("error").as_deref(), Some("invalid_grant"));
    assert!(!provider.takes(token), "its access token ends with it");
    assert_eq!(vault_cli(&sandbox, &["token"]).code(), Some(3));
}

#[test]
fn a_device_code_logs_in_once_it_is_approved() {
    let Some(provider) = Provider::start(LONG) else {
        return;
    };
    let sandbox = Sandbox::new();
    let mut arguments = provider.login_arguments();
    arguments.extend(["--flow", "device", "--json"]);
    let mut login = Running::start(sandbox.command(&arguments));
    let shown: Value = serde_json::from_str(&login.line().unwrap()).unwrap();
    let page = shown["verification_uri"].as_str().unwrap();
    assert!(page.starts_with(&provider.issuer), "{shown}");
    provider.approve(shown["user_code"].as_str().unwrap());
    let output = login.finish();
    assert_eq!(output.code(), Some(0), "{output:?}");
    assert_eq!(output.json()["issuer"], provider.issuer);

    let refreshed = vault_cli(&sandbox, &["refresh", "--force"]);
    assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
    let token = vault_cli(&sandbox, &["token"]);
    assert!(provider.takes(token.stdout.trim_end()), "{token:?}");
    assert_eq!(provider.count("logins"), 1);
    assert_eq!(provider.count("refreshes_ok"), 1);
}

#[test]
fn a_bound_login_is_refreshed_with_proofs_and_is_worth_nothing_without_its_key() {
    let Some(provider) = Provider::start(SHORT) else {
        return;
    };
    let sandbox = Sandbox::new();
    provider.log_in_with(&sandbox, &["--dpop"]);
    // Its nonce is wanted in each proof: the first request went out twice.
    assert_eq!(provider.count("token_requests"), 2);
    wait(SHORT);
    provider.set_access_token_lifetime(LONG);
    let answers = at_once(&sandbox, 16, &["token"]);
    for answer in &answers {
        assert_eq!(answer.code(), Some(0), "{answer:?}");
        assert_eq!(answer.stdout, answers[0].stdout);
    }
    assert_eq!(provider.count("refreshes_ok"), 1);
    assert_eq!(provider.count("token_requests"), 3, "the nonce was kept");

    // The thief has the refresh token and no key.
    let stolen = stored_refresh_token(&sandbox);
    let refused = provider.refresh(&stolen);
    assert_eq!(refused.status, 400);
    assert_eq!(refused.member("error").as_deref(), Some("invalid_grant"));
    let refreshed = vault_cli(&sandbox, &["refresh", "--force"]);
    assert_eq!(refreshed.code(), Some(0), "the login lives: {refreshed:?}");
    assert_eq!(provider.count("reuse_detected"), 0);

    // An API takes the token with the two headers, and not without.
    let me = format!("{}/me", provider.issuer);
    let ask = |more: &[&str]| {
        let arguments = [&["token", "--header", "--dpop-url", &me], more].concat();
        let output = vault_cli(&sandbox, &arguments);
        assert_eq!(output.code(), Some(0), "{output:?}");
        let headers: Vec<_> = output
            .stdout
            .lines()
            .filter_map(|line| line.split_once(": "))
            .collect();
        assert_eq!(headers.len(), 2, "{output:?}");
        plain_http::fetch(&me, &headers).unwrap()
    };
    let refused = ask(&[]);
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("use_dpop_nonce"), "{refused:?}");
    let taken = ask(&["--dpop-nonce", refused.header("dpop-nonce").unwrap()]);
    assert_eq!(taken.status, 200, "{taken:?}");
    let token = vault_cli(&sandbox, &["token"]).stdout;
    assert!(!provider.takes(token.trim_end()), "as a bearer token");
    assert_eq!(provider.count("server_errors"), 0);
}

#[test]
fn a_login_that_was_revoked_elsewhere_is_noticed_and_a_new_one_mends_it() {
    let Some(provider) = Provider::start(LONG) else {
        return;
    };
    let sandbox = Sandbox::new();
    provider.log_in(&sandbox);
    provider.revoke(&stored_refresh_token(&sandbox));
    for _ in 0..2 {
        let refused = vault_cli(&sandbox, &["refresh", "--force", "--json"]);
        assert_eq!(refused.code(), Some(3), "{refused:?}");
        assert_eq!(refused.json()["error"]["code"], "login_required");
    }
    assert_eq!(provider.count("reuse_detected"), 0);
    provider.log_in(&sandbox);
    let refreshed = vault_cli(&sandbox, &["refresh", "--force"]);
    assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
}

/// This provider spends the refresh token before it looks at the resource. And of a login with
/// `openid` it makes tokens for itself, where a refresh names none.
#[test]
fn a_login_for_an_api_keeps_being_for_it_and_survives_a_question_for_another() {
    const API: &str = "https://api.example/";
    let Some(provider) = Provider::start(LONG) else {
        return;
    };
    let sandbox = Sandbox::new();
    provider.log_in_with(&sandbox, &["--scope", "read", "--resource", API]);
    let is_for_the_api = |output: &Output| {
        assert_eq!(output.code(), Some(0), "{output:?}");
        let payload = output.stdout.split('.').nth(1).unwrap_or_default();
        let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap();
        let claims: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(claims["aud"], API);
    };
    is_for_the_api(&vault_cli(&sandbox, &["token"]));
    is_for_the_api(&vault_cli(&sandbox, &["token", "--scope", "read"]));
    for generation in 2..=3 {
        let refreshed = vault_cli(&sandbox, &["refresh", "--force"]);
        assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
        is_for_the_api(&vault_cli(&sandbox, &["token"]));
        assert_eq!(provider.count("refreshes_ok"), generation);
        let beyond = ["token", "--json", "--resource", "https://another.example/"];
        let beyond = vault_cli(&sandbox, &beyond);
        assert_eq!(
            beyond.json()["error"]["code"],
            "request_refused",
            "{beyond:?}"
        );
    }
    assert_eq!(provider.count("refreshes_refused"), 0);
}

#[test]
fn eight_processes_of_four_tasks_refresh_once_a_rotation() {
    let Some(provider) = Provider::start(SHORT) else {
        return;
    };
    let sandbox = Sandbox::new();
    provider.log_in(&sandbox);
    let assignment = Assignment {
        application: "vault-cli".to_owned(),
        profile: "default".to_owned(),
        state_root: sandbox.state(),
        store: Some(StoreKind::EncryptedFile),
        key_file: Some(sandbox.key_file()),
        tasks: 4,
        lock_timeout_ms: 30_000,
        resources: Vec::new(),
        refused: false,
        faults: Vec::new(),
    };
    let contender = || Command::new(env!("CARGO_BIN_EXE_contender"));
    let mut fleet = Fleet::start(8, &assignment, contender).unwrap();
    for rotation in 1..=3 {
        wait(SHORT);
        let calls = fleet.round().unwrap();
        assert_eq!(calls.len(), 32);
        for call in &calls {
            assert_eq!(call.error, None);
            assert_eq!(call.token, calls[0].token);
        }
        assert_eq!(provider.count("refreshes_ok"), rotation);
    }
    assert_eq!(provider.count("refreshes_refused"), 0);
    assert_eq!(provider.count("reuse_detected"), 0);
    assert_eq!(provider.count("server_errors"), 0);
}
