//! What a login sends and what it refuses: ID tokens, pushed requests,
//! redirects, and the wishes of a person or a server.

#[cfg(target_os = "linux")]
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;
use vault_tests::server::plain_http;
use vault_tests::server::{
    AuthorizationServer, Client, ClientAuthentication, Endpoint, Fault, IdTokens, PushedRequests,
    ServerConfig, browser,
};

use crate::support::{Output, Running, Sandbox, login, vault_cli};

fn server(change: impl FnOnce(&mut ServerConfig)) -> AuthorizationServer {
    let mut config = ServerConfig::default();
    change(&mut config);
    AuthorizationServer::start(config)
}

/// A login under way, and the address that it wants opened.
fn begin(sandbox: &Sandbox, server: &AuthorizationServer, more: &[&str]) -> (Running, Url) {
    let mut arguments = login(server);
    arguments.extend(["--no-browser", "--json"]);
    arguments.extend(more);
    let mut running = Running::start(sandbox.command(&arguments));
    let url = running.line_that_starts_with("http");
    let url = url.unwrap_or_else(|| panic!("no address to open"));
    (running, Url::parse(&url).unwrap())
}

/// Where the server sends the browser after the address.
fn redirect(url: &Url) -> Url {
    let answer = plain_http::fetch(url.as_str(), &[]).unwrap();
    Url::parse(answer.header("location").expect("a redirect")).unwrap()
}

fn value(url: &Url, name: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    let found = pairs.find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned())
}

#[track_caller]
fn refuses(output: &Output, code: &str, words: &str) {
    assert_ne!(output.code(), Some(0), "{output:?}");
    let error: Value = output.json()["error"].take();
    assert_eq!(error["code"], code, "{output:?}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(words), "{message}");
}

#[test]
fn an_id_token_that_is_wrong_in_any_way_is_refused_with_its_own_error() {
    for (like, words) in [
        (IdTokens::Omitted, "gave no ID token"),
        (IdTokens::Unsigned, "is not signed"),
        (IdTokens::Symmetric, "proves nothing"),
        (IdTokens::WrongSignature, "has a wrong signature"),
        (IdTokens::UnknownKey, "has a wrong signature"),
        (IdTokens::OtherIssuer, "is from another issuer"),
        (IdTokens::OtherAudience, "is for another client"),
        (IdTokens::OtherNonce, "does not answer this login"),
        (IdTokens::NoNonce, "does not answer this login"),
        (IdTokens::Expired, "has expired"),
    ] {
        let server = server(|config| config.id_token = like);
        let sandbox = Sandbox::new();
        let refused = sandbox.log_in_with(&server, &["--json"]);
        refuses(&refused, "id_token_refused", words);
        let given_back = (server.counts().logins, server.living_logins());
        assert_eq!(given_back, (1, 0), "{like:?}");
    }
}

#[test]
fn a_login_that_is_refused_does_not_end_the_one_that_stays() {
    let server = server(|config| config.one_grant_per_client = true);
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    // A refresh may bring one too, and is none of its business.
    server.configure(|config| config.id_token = IdTokens::OtherNonce);
    for profile in ["default", "another"] {
        let refused = sandbox.log_in_with(&server, &["--json", "--profile", profile]);
        refuses(&refused, "id_token_refused", "");
        let refreshed = vault_cli(&sandbox, &["refresh", "--force"]);
        assert_eq!(refreshed.code(), Some(0), "{profile}: {refreshed:?}");
    }
    // Another account's grant is another one.
    server.configure(|config| {
        config.id_token = IdTokens::Right;
        config.subject = "bob".to_owned();
    });
    let before = server.counts().revocations;
    refuses(
        &sandbox.log_in_with(&server, &["--json"]),
        "access_denied",
        "",
    );
    assert_eq!(server.counts().revocations, before + 1);
}

/// The command, where no file grows beyond so many KiB.
#[cfg(target_os = "linux")]
fn on_a_small_disk(command: &Command, kib: u32) -> Command {
    let mut limited = Command::new("/bin/bash");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f $0; exec \"$@\""])
        .arg(kib.to_string())
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    limited
}

#[test]
#[cfg(target_os = "linux")]
fn a_login_that_can_not_be_stored_does_not_end_the_one_that_stays() {
    for stays in [true, false] {
        let server = server(|config| {
            config.one_grant_per_client = true;
            // Larger than all but the sealed file.
            config.refresh_token_length = 6000;
        });
        let sandbox = Sandbox::new();
        if stays {
            sandbox.log_in(&server, "default");
        }
        let arguments = [&login(&server)[..], &["--no-browser", "--json"]].concat();
        let command = on_a_small_disk(&sandbox.command(&arguments), 4);
        let mut running = Running::start(command);
        let url = running.line_that_starts_with("http").unwrap();
        browser::follow(&url).unwrap();
        let failed = running.finish();
        assert_ne!(failed.code(), Some(0), "{failed:?}");
        assert_eq!(server.counts().logins, if stays { 2 } else { 1 });
        let refreshed = vault_cli(&sandbox, &["refresh", "--force"]);
        let code = if stays { 0 } else { 3 };
        assert_eq!(refreshed.code(), Some(code), "{failed:?} {refreshed:?}");
        let given_back = server.counts().revocations;
        assert_eq!(given_back, u64::from(!stays), "{failed:?}");
    }
}

#[test]
fn keys_that_can_not_be_had_refuse_the_login() {
    let server = server(|_| {});
    let sandbox = Sandbox::new();
    for (fault, code) in [
        (Fault::status(404), "server_answer_invalid"),
        (Fault::unavailable(3), "server_unavailable"),
        (Fault::TruncateBody, "server_answer_invalid"),
        (Fault::set("keys", json!([])), "id_token_refused"),
    ] {
        server.fail_next(Endpoint::Keys, 1, fault);
        let refused = sandbox.log_in_with(&server, &["--json"]);
        refuses(&refused, code, "");
    }
    server.configure(|config| {
        config.metadata_changes = vec![("jwks_uri".to_owned(), Value::Null)];
    });
    let refused = sandbox.log_in_with(&server, &["--json"]);
    refuses(&refused, "not_offered", "jwks_uri");
    assert_eq!(server.living_logins(), 0);
}

#[test]
fn without_openid_no_id_token_is_wanted() {
    let server = server(|config| config.id_token = IdTokens::Unsigned);
    let sandbox = Sandbox::new();
    let arguments = [
        "login",
        "--issuer",
        server.issuer(),
        "--client-id",
        "vault-cli",
        "--scope",
        "read",
        "--no-browser",
        "--json",
    ];
    let mut running = Running::start(sandbox.command(&arguments));
    let url = running.line_that_starts_with("http").unwrap();
    assert_eq!(value(&Url::parse(&url).unwrap(), "nonce"), None);
    browser::follow(&url).unwrap();
    let logged_in = running.finish();
    assert_eq!(logged_in.code(), Some(0), "{logged_in:?}");
    assert_eq!(logged_in.json()["account"], Value::Null);
    assert_eq!(server.counts().requests.keys, 0);
}

#[test]
fn an_id_token_is_checked_also_where_the_scope_that_was_granted_leaves_openid_out() {
    let server = server(|_| {});
    let sandbox = Sandbox::new();
    server.fail_always(Endpoint::Token, Fault::set("scope", "read"));
    let log_in = || sandbox.log_in_with(&server, &["--json"]);
    let first = log_in();
    assert_eq!(first.code(), Some(0), "{first:?}");
    assert_eq!(first.json()["account"], "alice");
    assert_eq!(server.counts().requests.user_info, 0);

    // The same account's next login is known to be that.
    let bound = vault_cli(&sandbox, &["bind", "git.example"]);
    assert_eq!(bound.code(), Some(0), "{bound:?}");
    let again = log_in();
    assert_eq!(again.code(), Some(0), "{again:?}");
    assert_eq!(again.json()["unbound"], Value::Null);

    server.configure(|config| config.id_token = IdTokens::OtherNonce);
    refuses(&log_in(), "id_token_refused", "does not answer this login");
    server.configure(|config| config.id_token = IdTokens::WrongSignature);
    refuses(&log_in(), "id_token_refused", "has a wrong signature");
    server.configure(|config| {
        config.id_token = IdTokens::Right;
        config.subject = "bob".to_owned();
    });
    // Nobody is there to confirm that another account takes the profile over.
    refuses(&log_in(), "access_denied", "the profile belongs to alice");
    // Those of alice, whose login they could have ended; bob's is given back.
    assert_eq!(server.living_logins(), 4);

    // The scope excuses an ID token that is missing.
    server.configure(|config| config.id_token = IdTokens::Omitted);
    let unnamed = log_in();
    assert_eq!(unnamed.code(), Some(0), "{unnamed:?}");
    assert_eq!(unnamed.json()["account"], Value::Null);
}

#[test]
fn a_replayed_authorization_response_is_refused() {
    let server = server(|_| {});
    let sandbox = Sandbox::new();
    let (first, url) = begin(&sandbox, &server, &[]);
    let response = redirect(&url);
    assert_eq!(browser::follow(response.as_str()).unwrap().status, 200);
    assert_eq!(first.finish().code(), Some(0));
    assert!(
        browser::follow(response.as_str()).is_err(),
        "nobody listens any more"
    );

    let (second, url) = begin(&sandbox, &server, &[]);
    let mut replayed = Url::parse(&value(&url, "redirect_uri").unwrap()).unwrap();
    replayed.set_query(response.query());
    assert_eq!(browser::follow(replayed.as_str()).unwrap().status, 400);
    refuses(&second.finish(), "state_mismatch", "another state");
    assert_eq!(server.counts().logins, 1);
    let refreshed = vault_cli(&sandbox, &["refresh", "--force"]);
    assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
}

#[test]
fn a_request_is_pushed_where_the_server_takes_that() {
    for pushed_requests in [PushedRequests::Offered, PushedRequests::Required] {
        let server = server(|config| config.pushed_requests = pushed_requests);
        let sandbox = Sandbox::new();
        let (running, url) = begin(&sandbox, &server, &["--prompt", "login"]);
        let names: Vec<_> = url
            .query_pairs()
            .map(|(name, _)| name.into_owned())
            .collect();
        assert_eq!(names, ["client_id", "request_uri"]);
        browser::follow(url.as_str()).unwrap();
        let logged_in = running.finish();
        assert_eq!(logged_in.code(), Some(0), "{logged_in:?}");
        assert_eq!(server.counts().requests.pushed, 1);
    }
}

#[test]
fn a_confidential_client_proves_itself_when_it_pushes() {
    let secret = ClientAuthentication::SecretBasic("s3cret".to_owned());
    let server = server(|config| {
        config.pushed_requests = PushedRequests::Required;
        config.clients = vec![Client::confidential("vault-cli", secret)];
    });
    let sandbox = Sandbox::new();
    let path = sandbox.home().join("secret");
    std::fs::write(&path, "s3cret\n").unwrap();
    let option = ["--client-secret-file", path.to_str().unwrap()];
    let logged_in = sandbox.log_in_with(&server, &option);
    assert_eq!(logged_in.code(), Some(0), "{logged_in:?}");
    std::fs::write(&path, "wrong").unwrap();
    let mut arguments = option.to_vec();
    arguments.push("--json");
    let refused = sandbox.log_in_with(&server, &arguments);
    refuses(&refused, "client_refused", "invalid_client");
    assert_eq!(server.counts().requests.authorize, 1);
}

#[test]
fn a_push_that_fails_falls_back_only_where_it_may() {
    let server = server(|config| config.pushed_requests = PushedRequests::Offered);
    let sandbox = Sandbox::new();
    server.fail_next(Endpoint::Pushed, 1, Fault::status(404));
    let (running, url) = begin(&sandbox, &server, &[]);
    assert!(value(&url, "code_challenge").is_some(), "{url}");
    browser::follow(url.as_str()).unwrap();
    assert_eq!(running.finish().code(), Some(0));
    for (fault, code) in [
        (
            Fault::oauth_error(400, "invalid_request"),
            "request_refused",
        ),
        (Fault::unavailable(3), "server_unavailable"),
        (Fault::remove("request_uri"), "server_answer_invalid"),
    ] {
        server.fail_next(Endpoint::Pushed, 1, fault);
        refuses(&sandbox.log_in_with(&server, &["--json"]), code, "");
    }
    server.configure(|config| config.pushed_requests = PushedRequests::Required);
    server.fail_next(Endpoint::Pushed, 1, Fault::status(404));
    let refused = sandbox.log_in_with(&server, &["--json"]);
    refuses(&refused, "request_refused", "404");
    server.configure(|config| {
        let name = "pushed_authorization_request_endpoint".to_owned();
        config.metadata_changes = vec![(name, Value::Null)];
    });
    let refused = sandbox.log_in_with(&server, &["--json"]);
    refuses(&refused, "not_offered", "pushed");
}

#[test]
fn wishes_reach_the_server_and_those_of_the_flow_can_not_be_replaced() {
    let server = server(|_| {});
    let sandbox = Sandbox::new();
    let wishes = [
        "--prompt",
        "select_account",
        "--login-hint",
        "ann@example",
        "--max-age",
        "5min",
        "--parameter",
        "audience=https://api.example/?a=b",
    ];
    let (running, url) = begin(&sandbox, &server, &wishes);
    for (name, expected) in [
        ("prompt", "select_account"),
        ("login_hint", "ann@example"),
        ("max_age", "300"),
        ("audience", "https://api.example/?a=b"),
    ] {
        assert_eq!(value(&url, name).as_deref(), Some(expected));
    }
    browser::follow(url.as_str()).unwrap();
    assert_eq!(running.finish().code(), Some(0));

    server.configure(|config| config.authenticated_ago = Duration::from_secs(3600));
    let late = sandbox.log_in_with(&server, &["--json", "--max-age", "5min"]);
    refuses(&late, "id_token_refused", "lately enough");
    for parameter in [
        "state=x",
        "nonce=x",
        "redirect_uri=x",
        "request_uri=x",
        "=x",
        "x",
    ] {
        let refused = sandbox.log_in_with(&server, &["--json", "--parameter", parameter]);
        assert_eq!(refused.code(), Some(2), "{refused:?}");
    }
}

#[test]
fn the_redirect_is_the_one_that_was_registered() {
    let server = server(|_| {});
    let sandbox = Sandbox::new();
    let (running, url) = begin(
        &sandbox,
        &server,
        &["--redirect-uri", "http://127.0.0.1/a/cb"],
    );
    let back = Url::parse(&value(&url, "redirect_uri").unwrap()).unwrap();
    assert_eq!((back.host_str(), back.path()), (Some("127.0.0.1"), "/a/cb"));
    let page = browser::follow(url.as_str()).unwrap();
    assert!(page.body.contains("Login finished"), "{page:?}");
    assert_eq!(running.finish().code(), Some(0));
    let elsewhere = ["--json", "--redirect-uri", "http://192.168.0.1/cb"];
    let refused = sandbox.log_in_with(&server, &elsewhere);
    refuses(&refused, "invalid_input", "192.168.0.1");
}

#[test]
fn several_profiles_log_in_at_once() {
    let server = server(|_| {});
    let sandbox = Sandbox::new();
    let profiles = ["one", "two", "three"];
    let logins: Vec<_> = profiles
        .iter()
        .map(|profile| begin(&sandbox, &server, &["--profile", profile]))
        .collect();
    // The last that began is the first to end.
    for (running, url) in logins.into_iter().rev() {
        browser::follow(url.as_str()).unwrap();
        let logged_in = running.finish();
        assert_eq!(logged_in.code(), Some(0), "{logged_in:?}");
    }
    for profile in profiles {
        let token = vault_cli(&sandbox, &["--profile", profile, "token"]);
        assert_eq!(token.code(), Some(0), "{token:?}");
    }
}
