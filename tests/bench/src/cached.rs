//! A valid token in a process that has it already, beside libraries that keep theirs in memory.
//!
//! Ours looks, in each call, whether another process has refreshed or logged out meanwhile; the
//! peers don't.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use google_cloud_auth::credentials::AccessTokenCredentials;
use serde_json::json;
use tokio::runtime::Runtime;
use vault_core::platform::store::StoreKind;
use vault_core::{ErrorKind, Session};
use yup_oauth2::authenticator::DefaultAuthenticator;
use yup_oauth2::storage::TokenInfo;

use crate::measure::{self, Turn};
use crate::place::{Place, Server};
use crate::table::{Row, Table, Unit};
use crate::{Result, indulgent};

const ROUNDS: usize = 1001;
// So few that a turn mostly ends before another process is given the processor.
const CALLS: u32 = 500;
const SCOPES: [&str; 1] = ["https://api.example/read"];

pub fn measure(table: &mut Table) -> Result<()> {
    let mut server = Server::start(&[])?;
    let place = Place::new(StoreKind::EncryptedFile)?;
    place.log_in(&mut server, "default")?;
    let session = place.session("default")?;
    let text = session.blocking().access_token()?.expose().to_owned();

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Else rustls does not know which cryptography is meant.
    drop(rustls::crypto::ring::default_provider().install_default());
    let yup = yup(&runtime, &place.folder().join("yup.json"), &text)?;
    let google = google(&runtime, &text)?;
    let file = place.folder().join("stat");
    std::fs::write(&file, [])?;

    let kept = Mutex::new(text.clone());
    let clone = || {
        drop(std::hint::black_box(
            kept.lock().map(|text| text.clone()).ok(),
        ))
    };
    let figures = measure::calls(
        ROUNDS,
        CALLS,
        vec![
            ours(&runtime, &session),
            ours_blocking(&session),
            Box::new(|calls| {
                runtime.block_on(async {
                    for _ in 0..calls {
                        drop(std::hint::black_box(yup.token(&SCOPES).await));
                    }
                });
            }),
            Box::new(|calls| {
                runtime.block_on(async {
                    for _ in 0..calls {
                        drop(std::hint::black_box(google.access_token().await));
                    }
                });
            }),
            Box::new(|calls| (0..calls).for_each(|_| clone())),
            Box::new(|calls| {
                for _ in 0..calls {
                    drop(std::hint::black_box(std::fs::metadata(&file)));
                    clone();
                }
            }),
        ],
    );
    let row = |what: &str, ours: f64| Row::new(what, Unit::Nanoseconds, ours);
    let what = "valid token in process, coherent";
    table.add(
        row(what, figures[0])
            .beside("yup-oauth2", figures[2])
            .at_most(150.0),
    );
    table.add(row(what, figures[0]).beside("google-cloud-auth", figures[3]));
    table.add(row(what, figures[0]).beside("mutex and clone", figures[4]));
    table.add(row(what, figures[0]).beside("`stat` and clone", figures[5]));
    table.add(
        row("the same, blocking", figures[1])
            .beside("mutex and clone", figures[4])
            .at_most(150.0),
    );
    table.note(coherence(&place, &session)?);
    Ok(())
}

fn ours<'a>(runtime: &'a Runtime, session: &'a Session) -> Turn<'a> {
    Box::new(|calls| {
        runtime.block_on(async {
            for _ in 0..calls {
                drop(std::hint::black_box(session.access_token().await));
            }
        });
    })
}

fn ours_blocking(session: &Session) -> Turn<'_> {
    Box::new(|calls| {
        for _ in 0..calls {
            drop(std::hint::black_box(session.blocking().access_token()));
        }
    })
}

/// The call after another process's refresh, and after its logout.
fn coherence(place: &Place, session: &Session) -> Result<String> {
    const TIMES: usize = 20;
    let mut before = session.blocking().access_token()?;
    for _ in 0..TIMES {
        let output = place
            .vault_cli(&["refresh", "--force"])
            .stderr(Stdio::inherit())
            .output()?;
        let after = session.blocking().access_token()?;
        if !output.status.success() || after.expose() == before.expose() {
            return Err("a call after another process's refresh gave the token before".into());
        }
        before = after;
    }
    let output = place
        .vault_cli(&["logout"])
        .stderr(Stdio::inherit())
        .output()?;
    match session.blocking().access_token() {
        Err(error) if output.status.success() && error.kind() == ErrorKind::LoggedOut => {}
        _ => return Err("a call after another process's logout gave a token".into()),
    }
    Ok(format!(
        "Coherent: after each of {TIMES} refreshes in other processes the next call gave the new \
         token; after a logout in another process it gave none."
    ))
}

/// Its token comes from its file, is kept in memory, and does not end during this run.
fn yup(runtime: &Runtime, file: &Path, text: &str) -> Result<DefaultAuthenticator> {
    let token = TokenInfo {
        access_token: Some(text.to_owned()),
        refresh_token: None,
        expires_at: Some(time::OffsetDateTime::now_utc() + time::Duration::days(1)),
        id_token: None,
    };
    let tokens = json!([{ "scopes": SCOPES, "token": token }]);
    std::fs::write(file, tokens.to_string())?;
    let secret = serde_json::from_value(json!({
        "client_id": "bench", "client_secret": "", "refresh_token": "", "type": "authorized_user"
    }))?;
    let built = yup_oauth2::AuthorizedUserAuthenticator::builder(secret)
        .persist_tokens_to_disk(PathBuf::from(file))
        .build();
    let authenticator = runtime.block_on(built)?;
    let token = runtime.block_on(authenticator.token(&SCOPES))?;
    if token.token() != Some(text) {
        return Err("yup-oauth2 gave another token".into());
    }
    Ok(authenticator)
}

/// Its token comes from a server that gives everyone this one.
fn google(runtime: &Runtime, text: &str) -> Result<AccessTokenCredentials> {
    let user = json!({
        "client_id": "bench", "client_secret": "", "refresh_token": "fake", "type": "authorized_user"
    });
    let address = format!("{}/token", indulgent::serve(text)?);
    let built = async {
        let builder = google_cloud_auth::credentials::user_account::Builder::new(user);
        let credentials = builder
            .with_token_uri(address)
            .build_access_token_credentials()?;
        let token = credentials.access_token().await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((credentials, token.token))
    };
    let (credentials, token) = runtime.block_on(built)?;
    if token != text {
        return Err("google-cloud-auth gave another token".into());
    }
    Ok(credentials)
}
