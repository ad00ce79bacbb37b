//! The ready HTTP client, events and counts, as an app has them; each vault
//! here stands for a process, since nothing is shared but the files.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use url::Url;
use vault_core::client::{AuthorizedClient, RequestError};
use vault_core::event::{Event, EventKind};
use vault_core::platform::store::{Interaction, KeySource, StoreKind};
use vault_core::session::TokenOptions;
use vault_core::{ErrorKind, Vault};
use vault_tests::server::{AuthorizationServer, Dpop, Endpoint, Fault, Reply, ServerConfig};

use crate::support::Sandbox;

fn vault(sandbox: &Sandbox) -> Vault {
    Vault::builder("vault-cli")
        .state_root(sandbox.state())
        .store(StoreKind::EncryptedFile)
        .key_source(KeySource::KeyFile(sandbox.key_file()))
        .interaction(Interaction::Forbidden)
        .open()
        .unwrap()
}

fn client(vault: &Vault, api: &Url) -> AuthorizedClient {
    AuthorizedClient::new(&vault.session("default").unwrap(), api).unwrap()
}

/// An API that takes the server's valid tokens, and notes who asks how.
#[derive(Clone)]
struct Api {
    server: Arc<AuthorizationServer>,
    seen: Arc<Mutex<Vec<Option<String>>>>,
    elsewhere: Arc<Mutex<Option<Url>>>,
}

impl Api {
    fn judge(&self, headers: &HeaderMap, answer: impl IntoResponse) -> Response {
        let shown = headers.get(header::AUTHORIZATION);
        let shown = shown.map(|value| value.to_str().unwrap().to_owned());
        let token = shown
            .as_deref()
            .and_then(|shown| shown.strip_prefix("Bearer "));
        let good = token.is_some_and(|token| self.server.is_valid_access_token(token));
        self.seen.lock().unwrap().push(shown);
        if good {
            return answer.into_response();
        }
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")];
        (StatusCode::UNAUTHORIZED, challenge).into_response()
    }

    fn seen(&self) -> Vec<Option<String>> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

/// Starts an API; it goes with the test's runtime.
async fn api(server: &Arc<AuthorizationServer>) -> (Api, Url) {
    let api = Api {
        server: server.clone(),
        seen: Arc::default(),
        elsewhere: Arc::default(),
    };
    let echo =
        async |State(api): State<Api>, headers: HeaderMap, body: Bytes| api.judge(&headers, body);
    let narrow = async |State(_): State<Api>| {
        let challenge = "Bearer error=\"insufficient_scope\", scope=\"orders:write\"";
        (
            StatusCode::FORBIDDEN,
            [(header::WWW_AUTHENTICATE, challenge)],
        )
    };
    let away = async |State(api): State<Api>| {
        let url = api.elsewhere.lock().unwrap().clone().unwrap();
        Redirect::temporary(url.as_str())
    };
    // An address whose slash was forgotten, say.
    let hop = async || Redirect::temporary("echo");
    let never = async |State(api): State<Api>| {
        api.seen.lock().unwrap().push(None);
        StatusCode::UNAUTHORIZED
    };
    let router = Router::new()
        .route("/v1/echo", post(echo).get(echo))
        .route("/v1/narrow", get(narrow))
        .route("/v1/away", get(away).post(away))
        .route("/v1/hop", get(hop))
        .route("/v1/never", get(never))
        .with_state(api.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (api, url.parse().unwrap())
}

fn logged_in() -> (Arc<AuthorizationServer>, Sandbox) {
    let server = Arc::new(AuthorizationServer::start(ServerConfig::default()));
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    (server, sandbox)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_costs_one_refresh_across_all_processes_and_every_request_ends_well() {
    let (server, sandbox) = logged_in();
    let (api, url) = api(&server).await;
    let vaults: Vec<Vault> = (0..4).map(|_| vault(&sandbox)).collect();
    for vault in &vaults {
        let token = vault.session("default").unwrap().access_token().await;
        assert!(server.is_valid_access_token(token.unwrap().expose()));
    }
    server.expire_access_tokens();
    let mut requests = tokio::task::JoinSet::new();
    for vault in &vaults {
        let client = client(vault, &url);
        for number in 0..8 {
            let client = client.clone();
            requests.spawn(async move {
                let body = format!("order {number}");
                let request = client.post("echo").unwrap().body(body.clone());
                let answer = client.send(request).await.unwrap();
                assert_eq!(answer.status(), 200);
                assert_eq!(answer.text().await.unwrap(), body);
            });
        }
    }
    requests.join_all().await;
    assert_eq!(server.counts().refreshes_ok, 1);
    assert_eq!(server.counts().reuse_detected, 0);
    let refused = api.seen().len() - 32;
    assert!((1..=32).contains(&refused), "{refused} were refused once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_streamed_is_not_sent_again_and_the_next_request_has_the_new_token() {
    let (server, sandbox) = logged_in();
    let (api, url) = api(&server).await;
    let client = client(&vault(&sandbox), &url);
    let answer = client.send(client.get("echo").unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    server.expire_access_tokens();
    api.seen();

    let parts = || futures_lite::stream::iter([Ok::<_, std::io::Error>("one "), Ok("two")]);
    let streamed = || reqwest::Body::wrap_stream(parts());
    let request = client.post("echo").unwrap().body(streamed());
    let answer = client.send(request).await.unwrap();
    assert_eq!(answer.status(), 401, "the API's own answer");
    assert_eq!(api.seen().len(), 1);

    let request = client.post("echo").unwrap().body(streamed());
    let answer = client.send(request).await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "one two");
    assert_eq!(server.counts().refreshes_ok, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_goes_to_the_apis_origin_only() {
    let (server, sandbox) = logged_in();
    let ((api, url), (other, other_url)) = (api(&server).await, api(&server).await);
    let client = client(&vault(&sandbox), &url);
    let error = client.get(other_url.as_str()).unwrap_err();
    let RequestError::Vault(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // Also one that was made elsewhere.
    let foreign = self::client(&vault(&sandbox), &other_url)
        .get("echo")
        .unwrap();
    assert!(client.send(foreign).await.is_err());
    assert_eq!(other.seen(), []);

    // Elsewhere it goes without a token, however often it is sent on there; that it is refused
    // there says nothing of the token.
    for place in ["echo", "hop"] {
        *api.elsewhere.lock().unwrap() = Some(other_url.join(place).unwrap());
        let answer = client.send(client.get("away").unwrap()).await.unwrap();
        assert_eq!(answer.status(), 401);
        assert_eq!(other.seen(), [None], "{place}");
    }
    assert_eq!(server.counts().refreshes_ok, 0);
    // What was to be written at the API is not written elsewhere.
    let request = client.post("away").unwrap().body("an order");
    assert_eq!(client.send(request).await.unwrap().status(), 307);
    assert_eq!(other.seen(), []);
    // At the API itself it goes on with the token.
    let answer = client.send(client.get("hop").unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(api.seen().iter().all(Option::is_some));

    let plain = Url::parse("http://api.example/").unwrap();
    let session = vault(&sandbox).session("default").unwrap();
    let error = AuthorizedClient::new(&session, &plain).unwrap_err();
    assert!(matches!(error, RequestError::Vault(error) if error.kind() == ErrorKind::InsecureUrl));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_refuses_every_token_costs_one_refresh() {
    let (server, sandbox) = logged_in();
    let (api, url) = api(&server).await;
    let client = client(&vault(&sandbox), &url);
    for _ in 0..10 {
        let answer = client.send(client.get("never").unwrap()).await.unwrap();
        assert_eq!(answer.status(), 401);
    }
    assert_eq!(api.seen().len(), 11);
    assert_eq!(server.counts().refreshes_ok, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apis_answer_to_a_streamed_body_is_given_also_where_no_other_token_is_to_be_had() {
    let (server, sandbox) = logged_in();
    let (_, url) = api(&server).await;
    let client = client(&vault(&sandbox), &url);
    server.expire_access_tokens();
    server.fail_always(Endpoint::Token, Fault::Instead(Reply::empty(503)));
    let parts = futures_lite::stream::iter([Ok::<_, std::io::Error>("one")]);
    let body = reqwest::Body::wrap_stream(parts);
    let request = client.post("echo").unwrap().body(body);
    assert_eq!(client.send(request).await.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_no_token_helps_is_an_error_that_says_what_is_missing() {
    let (server, sandbox) = logged_in();
    let (_, url) = api(&server).await;
    let client = client(&vault(&sandbox), &url);
    let error = client
        .send(client.get("narrow").unwrap())
        .await
        .unwrap_err();
    let RequestError::Vault(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.kind(), ErrorKind::ScopeInsufficient);
    assert_eq!(error.needed_scope(), ["orders:write"]);
    assert_eq!(server.counts().refreshes_ok, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_goes_with_a_proof_and_the_apis_nonce_is_learnt() {
    let server = Arc::new(AuthorizationServer::start(ServerConfig {
        dpop: Dpop::WithNonce,
        ..ServerConfig::default()
    }));
    let sandbox = Sandbox::new();
    let output = sandbox.log_in_with(&server, &["--dpop"]);
    assert!(output.status.success(), "{output:?}");
    let api = Url::parse(&server.url("/")).unwrap();
    let client = client(&vault(&sandbox), &api);
    for _ in 0..2 {
        let answer = client.send(client.get("userinfo").unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    server.expire_access_tokens();
    let answer = client.send(client.get("userinfo").unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(server.counts().refreshes_ok, 1);
}

/// A refresh for one resource makes the process read the other's token from the file again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_made_itself_is_not_told_as_anothers() {
    let (_server, sandbox) = logged_in();
    let vault = vault(&sandbox);
    let session = vault.session("default").unwrap();
    let [one, other] = ["https://one.example/", "https://other.example/"]
        .map(|api| TokenOptions::default().resource(&api.parse().unwrap()));
    let mut events = vault.events();
    for options in [&one, &other] {
        assert!(session.token(options).await.unwrap().refreshed);
    }
    for options in [&one, &other] {
        assert!(!session.token(options).await.unwrap().refreshed);
    }
    session.logout(false).await.unwrap();
    for _ in 0..2 {
        let told = next(&mut events).await.kind;
        assert!(matches!(told, EventKind::Refreshed { .. }), "{told:?}");
    }
    assert_eq!(next(&mut events).await.kind, EventKind::LoggedOut);
}

/// The next event, which has happened already or is about to.
async fn next(events: &mut vault_core::event::Events) -> Event {
    let event = tokio::time::timeout(Duration::from_secs(20), events.next());
    event.await.expect("an event").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_told_and_counted() {
    let (server, sandbox) = logged_in();
    let (one, other) = (vault(&sandbox), vault(&sandbox));
    let (mut events, mut others) = (one.events(), other.events());
    let (session, beside) = (
        one.session("default").unwrap(),
        other.session("default").unwrap(),
    );
    session.access_token().await.unwrap();
    beside.access_token().await.unwrap();
    assert_eq!(next(&mut events).await.kind, EventKind::Adopted);
    assert_eq!(next(&mut others).await.kind, EventKind::Adopted);

    session.refresh_now(&Default::default()).await.unwrap();
    let told = next(&mut events).await;
    assert_eq!(told.profile, "default");
    assert!(matches!(told.kind, EventKind::Refreshed { took } if !took.is_zero()));
    for _ in 0..3 {
        session.access_token().await.unwrap();
        beside.access_token().await.unwrap();
    }
    assert_eq!(next(&mut others).await.kind, EventKind::Adopted);

    server.fail_always(Endpoint::Token, Fault::Instead(Reply::empty(503)));
    let refused = session.refresh_now(&Default::default()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ServerUnavailable);
    let EventKind::Failed { kind, served, .. } = next(&mut events).await.kind else {
        panic!("a failure")
    };
    assert_eq!((kind, served), (ErrorKind::ServerUnavailable, false));
    server.clear_faults(Endpoint::Token);
    session.logout(false).await.unwrap();
    assert_eq!(next(&mut events).await.kind, EventKind::LoggedOut);

    let counts = session.metrics();
    assert_eq!((counts.from_memory, counts.from_file), (2, 2));
    assert_eq!((counts.refreshed, counts.failed), (1, 1));
    assert_eq!(beside.metrics().from_memory, 2);
    assert_eq!(beside.metrics().from_file, 2);
    let shown = format!("{told:?}{counts:?}");
    assert!(shown.len() < 400, "nothing but what is told: {shown}");
}
