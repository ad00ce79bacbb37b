//! What an app may hand from one thread to another: all of it.

use std::sync::Arc;

use vault_platform::store::StoreKind;

use crate::enrolment::Import;
use crate::event::Events;
use crate::login::{LoginRequest, SystemBrowser};
use crate::oauth::challenge::Verdict;
use crate::session::{Token, TokenOptions};
use crate::token::{AccessToken, RefreshToken};
use crate::{Error, Session, Vault, VaultBuilder};

/// Compiles for what may be waited for on any thread; the future never begins.
fn movable<F: Future + Send>(future: F) {
    drop(future);
}

#[test]
fn every_future_of_a_session_can_move_between_threads() {
    let vault = Vault::builder("com.example.threads").store(StoreKind::Memory);
    let session = vault.open().unwrap().session("default").unwrap();
    let options = TokenOptions::default();
    let token = AccessToken::new("canary".to_owned().into());
    let host = "https://git.example.com".parse().unwrap();
    let request = LoginRequest::new("https://login.example.com", "client");

    movable(session.access_token());
    movable(session.token(&options));
    movable(session.replace(&token, &options));
    movable(session.refused(&token, &Verdict::RefreshAndRepeat, &options));
    movable(session.refresh_now(&options));
    movable(session.login(request, Arc::new(SystemBrowser::new())));
    movable(session.import(
        Import::from_issuer("https://login.example.com", "client"),
        RefreshToken::new("canary".to_owned().into()),
    ));
    movable(session.logout(true));
    movable(session.migrate(StoreKind::Memory));
    movable(session.inspect());
    movable(session.prove_store());
    movable(session.retry_revocations());
    movable(session.bind(&host));
    movable(session.unbind(&host));
    movable(session.note_refused(&token));
    movable(session.token_for_host(&host, &options));
    movable(session.diagnose());
}

#[test]
fn an_apps_own_types_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Vault>();
    shared::<VaultBuilder>();
    shared::<Session>();
    shared::<Token>();
    shared::<AccessToken>();
    shared::<RefreshToken>();
    shared::<Events>();
    shared::<Error>();
}
