//! One login, many access tokens: one refresh token for every resource and
//! scope, spent by one process after the other, and narrow refusals that leave
//! the login alone.

use std::process::Command;
use std::time::Duration;

use url::Url;
use vault_core::display::{LoginState, ProfileSummary};
use vault_core::oauth::challenge::Verdict;
use vault_core::refresh::policy::RotationPolicy;
use vault_core::session::{Token, TokenOptions};
use vault_core::{Error, ErrorKind, Session, fault};
use vault_tests::fleet::{Assignment, Call, Fleet};
use vault_tests::server::{Endpoint, Fault, Reply, ServerConfig, fingerprint};

use super::scene::{LIFETIME, Scene, errors, now, pause, tell, wait_until};

const PROCESSES: usize = 8;

fn apis(number: usize) -> Vec<String> {
    (0..number)
        .map(|number| format!("https://api-{number}.example/"))
        .collect()
}

/// A strict server at which only these resources exist.
fn logged_in(resources: &[String]) -> Scene {
    let config = ServerConfig {
        access_token_lifetime: Duration::from_secs(600),
        resources: resources.to_vec(),
        ..ServerConfig::default()
    };
    Scene::logged_in(config, RotationPolicy::strict())
}

fn fleet(assignment: &Assignment) -> Fleet {
    Fleet::start(PROCESSES, assignment, || {
        Command::new(env!("CARGO_BIN_EXE_contender"))
    })
    .unwrap()
}

fn for_resource(resource: &str) -> TokenOptions {
    TokenOptions::default().resource(&Url::parse(resource).unwrap())
}

fn token(session: &Session, options: &TokenOptions) -> Result<Token, Error> {
    session.blocking().token(options)
}

/// Which calls got a token for another resource than they asked for.
fn misplaced(scene: &Scene, calls: &[Call], resources: &[String]) -> usize {
    let is_right = |(number, call): (usize, &Call)| {
        let token = call.token.as_deref().unwrap_or_default();
        let wanted = &resources[number % resources.len()];
        scene.server.resources_of(token) == Some(vec![wanted.clone()])
    };
    let right = calls.iter().enumerate().filter(|call| is_right(*call));
    calls.len() - right.count()
}

#[test]
fn twenty_resources_for_eight_processes_are_twenty_refreshes_one_after_another() {
    let resources = apis(20);
    let scene = logged_in(&resources);
    let assignment = Assignment {
        resources: resources.clone(),
        ..scene.assignment(resources.len())
    };
    let mut fleet = fleet(&assignment);
    let calls = fleet.round().unwrap();
    assert_eq!(errors(&calls), Vec::<&str>::new());
    assert_eq!(calls.len(), 160);
    assert_eq!(misplaced(&scene, &calls, &resources), 0);
    let counts = scene.server.counts();
    assert_eq!((counts.refreshes_ok, counts.refresh_requests), (20, 20));
    assert_eq!(counts.peak_concurrent_refreshes, 1);
    assert_eq!((counts.reuse_detected, counts.families_revoked), (0, 0));
    let mut took: Vec<_> = calls.iter().map(|call| call.took_us / 1000).collect();
    took.sort_unstable();
    let (median, longest) = (took[took.len() / 2], took[took.len() - 1]);
    tell(&format!(
        "160 callers, 20 resources: median {median} ms, longest {longest} ms"
    ));

    // All side by side: nobody asks again.
    let again = fleet.round().unwrap();
    assert_eq!(errors(&again), Vec::<&str>::new());
    assert_eq!(misplaced(&scene, &again, &resources), 0);
    assert_eq!(scene.server.counts().refresh_requests, 20);
}

/// The broken variant of the test above.
#[test]
fn a_token_that_serves_whatever_it_was_asked_for_is_noticed() {
    let resources = apis(20);
    let scene = logged_in(&resources);
    let assignment = Assignment {
        resources: resources.clone(),
        faults: vec![fault::ADOPT_ANOTHER_KEY.to_owned()],
        ..scene.assignment(resources.len())
    };
    let calls = fleet(&assignment).round().unwrap();
    assert!(misplaced(&scene, &calls, &resources) > 0);
}

#[test]
fn a_refused_resource_is_asked_for_once_by_all_and_the_login_stays() {
    let known = apis(1);
    let scene = logged_in(&known);
    let unknown = "https://elsewhere.example/".to_owned();
    let assignment = Assignment {
        resources: vec![unknown.clone()],
        ..scene.assignment(8)
    };
    let mut fleet = fleet(&assignment);
    for _ in 0..2 {
        let calls = fleet.round().unwrap();
        assert_eq!(errors(&calls).len(), 64);
        let refused = |call: &Call| {
            let error = call.error.as_deref().unwrap_or_default();
            error.starts_with("RequestRefused") && error.contains("invalid_target")
        };
        assert!(calls.iter().all(refused), "{:?}", errors(&calls));
        assert!(calls.iter().all(|call| !call.login_lost));
    }
    assert_eq!(scene.server.counts().refresh_requests, 1);

    // Another request is granted, the login stands, and a person is heard.
    let session = scene.session();
    let blocking = session.blocking();
    assert!(token(&session, &for_resource(&known[0])).unwrap().refreshed);
    assert_eq!(blocking.inspect().unwrap().state, LoginState::LoggedIn);
    let error = token(&session, &for_resource(&unknown)).unwrap_err();
    assert!(error.retry_after().is_some(), "{error:?}");
    assert_eq!(scene.server.counts().refresh_requests, 2);
    let insisted = blocking.refresh_now(&for_resource(&unknown)).unwrap_err();
    assert_eq!(insisted.kind(), ErrorKind::RequestRefused);
    assert_eq!(scene.server.counts().refresh_requests, 3);
    scene
        .server
        .configure(|config| config.resources.push(unknown.clone()));
    blocking.refresh_now(&for_resource(&unknown)).unwrap();
    let calls = fleet.round().unwrap();
    assert_eq!(errors(&calls), Vec::<&str>::new());
    assert_eq!(scene.server.counts().refresh_requests, 4);
}

#[test]
fn a_narrow_invalid_grant_does_not_end_the_login() {
    let scene = logged_in(&apis(2));
    let session = scene.session();
    let refused = Fault::oauth_error(400, "invalid_grant");
    scene.server.fail_next(Endpoint::Token, 1, refused);
    for _ in 0..3 {
        let error = token(&session, &for_resource(&apis(1)[0])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RequestRefused);
        assert!(error.to_string().contains("invalid_grant"), "{error}");
    }
    assert_eq!(scene.server.counts().refresh_requests, 1);
    token(&session, &TokenOptions::default()).unwrap();
    token(&session, &for_resource(&apis(2)[1])).unwrap();
    assert_eq!(
        session.blocking().inspect().unwrap().state,
        LoginState::LoggedIn
    );
}

/// GitHub refuses a refresh token that is of no use any more with a name of its own, and with 200.
#[test]
fn a_dead_token_ends_the_login_by_githubs_name_too() {
    let scene = logged_in(&apis(1));
    let dead = Reply::oauth_error_with(
        200,
        "bad_refresh_token",
        "The refresh token passed is incorrect or expired.",
    );
    let session = scene.session();
    scene
        .server
        .fail_next(Endpoint::Token, 1, Fault::Instead(dead.clone()));
    let narrow = token(&session, &for_resource(&apis(1)[0])).unwrap_err();
    assert_eq!(narrow.kind(), ErrorKind::RequestRefused, "{narrow:?}");
    assert!(!narrow.is_login_required());

    scene
        .server
        .fail_always(Endpoint::Token, Fault::Instead(dead));
    let before = scene.server.counts().refresh_requests;
    for session in [session, scene.session()] {
        let error = token(&session, &TokenOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LoginRequired, "{error:?}");
        assert!(error.is_login_required());
        let inspected = session.blocking().inspect().unwrap();
        assert_eq!(inspected.state, LoginState::LoginRequired);
    }
    assert_eq!(scene.server.counts().refresh_requests, before + 1);
}

#[test]
fn an_unknown_scope_is_refused_for_itself() {
    let scene = logged_in(&[]);
    let session = scene.session();
    let unknown = TokenOptions::default().scope("unheard-of");
    for _ in 0..2 {
        let error = token(&session, &unknown).unwrap_err();
        assert!(error.to_string().contains("invalid_scope"), "{error}");
    }
    assert_eq!(scene.server.counts().refresh_requests, 1);
    token(&session, &TokenOptions::default().scope("read")).unwrap();
}

#[test]
fn a_refused_client_is_told_and_not_asked_for_again_at_once() {
    let scene = logged_in(&[]);
    let refused = Fault::oauth_error(401, "invalid_client");
    scene.server.fail_always(Endpoint::Token, refused);
    let mut fleet = fleet(&scene.assignment(8));
    let calls = fleet.round().unwrap();
    assert_eq!(errors(&calls).len(), 64);
    let told = |call: &Call| {
        let error = call.error.as_deref().unwrap_or_default();
        error.starts_with("ClientRefused")
    };
    assert!(calls.iter().all(told), "{:?}", errors(&calls));
    assert_eq!(scene.server.counts().refresh_requests, 1);
    let session = scene.session();
    let state = |session: &Session| session.blocking().inspect().unwrap().state;
    let listed = || -> ProfileSummary {
        let vault = scene.vault(RotationPolicy::strict());
        vault.profiles().unwrap().remove(0).1.unwrap()
    };
    assert_eq!(state(&session), LoginState::ClientRefused);
    // A login of a refresh token only has a display copy, too.
    assert_eq!(listed().state, LoginState::ClientRefused);

    scene.server.clear_faults(Endpoint::Token);
    let all = TokenOptions::default();
    let error = token(&session, &all).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientRefused);
    assert!(error.retry_after().is_some());
    session.blocking().refresh_now(&all).unwrap();
    assert_eq!(state(&session), LoginState::LoggedIn);
    // The display copy is written after the token is handed out.
    wait_until("listed as logged in", || {
        listed().state == LoginState::LoggedIn
    });
}

#[test]
fn a_narrow_token_never_serves_a_wide_request_and_the_other_way_on_request_only() {
    let scene = logged_in(&[]);
    let session = scene.session();
    let (all, read) = (
        TokenOptions::default(),
        TokenOptions::default().scope("read"),
    );
    let narrow = token(&session, &read).unwrap();
    assert_eq!(narrow.scope, Some(vec!["read".to_owned()]));
    let wide = token(&session, &all).unwrap();
    assert!(wide.refreshed, "the narrow one is for less");
    let write = TokenOptions::default().scope("write");
    assert!(token(&session, &write).unwrap().refreshed);
    assert_eq!(scene.server.counts().refresh_requests, 3);

    let profile = TokenOptions::default().scope("profile");
    let other = scene.session();
    for session in [&session, &other] {
        let served = token(session, &profile.clone().allow_wider(true)).unwrap();
        assert!(!served.refreshed);
        assert_eq!(served.access_token.expose(), wide.access_token.expose());
    }
    let unknown = TokenOptions::default()
        .scope("unheard-of")
        .allow_wider(true);
    assert_eq!(
        token(&session, &unknown).unwrap_err().kind(),
        ErrorKind::RequestRefused
    );
    assert!(token(&session, &profile).unwrap().refreshed);
}

#[test]
fn what_the_server_grants_instead_is_told() {
    let scene = logged_in(&[]);
    let session = scene.session();
    let other = Fault::set("scope", "openid profile");
    scene.server.fail_next(Endpoint::Token, 1, other);
    let token = token(&session, &TokenOptions::default().scope("read")).unwrap();
    let granted = ["openid", "profile"].map(str::to_owned).to_vec();
    assert_eq!(token.scope, Some(granted));
}

#[test]
fn an_audience_is_sent_as_such() {
    let scene = logged_in(&apis(2));
    let session = scene.session();
    let audience = TokenOptions::default().audience(&apis(2)[1]);
    let first = token(&session, &audience).unwrap();
    let print = fingerprint(first.access_token.expose());
    assert_eq!(
        scene.server.resources_of(&print),
        Some(vec![apis(2)[1].clone()])
    );
    assert!(!token(&session, &audience).unwrap().refreshed);
    assert!(
        token(&session, &for_resource(&apis(2)[1]))
            .unwrap()
            .refreshed
    );
}

#[test]
fn many_processes_whose_token_was_refused_make_one_refresh() {
    let scene = logged_in(&[]);
    let assignment = Assignment {
        refused: true,
        ..scene.assignment(4)
    };
    let mut one = fleet(&assignment);
    let mut two = fleet(&assignment);
    one.round().unwrap();
    let first = two.round().unwrap();
    assert_eq!(scene.server.counts().refresh_requests, 1);
    // 16 processes hold the same token, which an API does not take.
    let others = std::thread::spawn(move || two.round().unwrap());
    let mut calls = one.round().unwrap();
    calls.extend(others.join().unwrap());
    assert_eq!(errors(&calls), Vec::<&str>::new());
    assert_eq!(scene.server.counts().refresh_requests, 2);
    assert!(calls.iter().all(|call| call.token == calls[0].token));
    assert_ne!(calls[0].token, first[0].token);
}

#[test]
fn what_no_refresh_helps_is_not_refreshed() {
    let scene = logged_in(&[]);
    let session = scene.session();
    let all = TokenOptions::default();
    let held = token(&session, &all).unwrap().access_token;
    let refused = |status, header: &str| {
        let verdict = Verdict::of(status, [header]);
        session.blocking().refused(&held, &verdict, &all)
    };
    let error = refused(403, r#"Bearer error="insufficient_scope", scope="admin""#).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ScopeInsufficient);
    assert_eq!(error.needed_scope(), ["admin"]);
    let step_up =
        r#"Bearer error="insufficient_user_authentication", acr_values="mfa", max_age=60"#;
    let error = refused(401, step_up).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StepUpRequired);
    assert!(error.to_string().contains("mfa") && error.is_login_required());
    let error = refused(401, "Basic realm=\"proxy\"").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccessRefused);
    let nonce = refused(401, "DPoP error=\"use_dpop_nonce\"").unwrap();
    assert_eq!(nonce.access_token.expose(), held.expose());
    assert_eq!(scene.server.counts().refresh_requests, 1);
    assert!(refused(401, "Bearer").unwrap().refreshed);
}

#[test]
fn why_a_due_refresh_was_not_made_is_told_exactly() {
    let config = ServerConfig {
        access_token_lifetime: 10 * LIFETIME,
        ..ServerConfig::default()
    };
    let scene = Scene::logged_in(config, RotationPolicy::strict());
    let session = scene.session();
    token(&session, &TokenOptions::default()).unwrap();
    pause(LIFETIME + LIFETIME / 2);
    // The key is gone from the store, and known to this process.
    std::fs::remove_dir_all(Scene::items(&scene.state_root())).unwrap();
    let began = now();
    let fresh = TokenOptions::default().min_valid(10 * LIFETIME);
    let served = token(&session, &fresh).unwrap();
    assert!(now() - began < 8 * LIFETIME, "the token is still valid");
    assert_eq!(served.served_despite, Some(ErrorKind::ItemMissing));
}

#[test]
fn a_token_endpoint_that_has_moved_is_found_again_and_kept() {
    let scene = logged_in(&[]);
    let session = scene.session();
    let old = scene.server.url("/gone");
    let announce = |endpoint: Option<&str>| {
        let change = endpoint.map(|url| ("token_endpoint".to_owned(), url.into()));
        scene
            .server
            .configure(|config| config.metadata_changes = change.into_iter().collect());
    };
    announce(Some(&old));
    scene.log_in(&session);
    let all = TokenOptions::default();
    // Nothing else is announced: the server is away, and no login is needed.
    let error = token(&session, &all).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerUnavailable);
    assert!(!error.is_login_required());
    announce(None);
    session.blocking().refresh_now(&all).unwrap();
    let asked = scene.server.counts().requests;
    session.blocking().refresh_now(&all).unwrap();
    let after = scene.server.counts().requests;
    assert_eq!((after.token, after.other), (asked.token + 1, asked.other));
    assert_eq!(after.openid_metadata, asked.openid_metadata);
}
