//! A background service without a terminal: it holds a login, asks an API with
//! it at intervals, and stops cleanly when it is told to.
//!
//! ```text
//! service … log-in     once, by the administrator: shows a code to type in elsewhere
//! service … run        what the service manager starts
//! ```
//!
//! There is no keyring and nobody to unlock one, so the login lies in an
//! encrypted file, whose key the service manager hands over:
//! `$CREDENTIALS_DIRECTORY/vault-key`. What else it keeps is in
//! `$STATE_DIRECTORY`. `service.service` beside this is the unit for systemd.

mod log_in;
mod stop;

use std::error::Error as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use url::Url;
use vault_core::client::{AuthorizedClient, RequestError};
use vault_core::platform::store::{Interaction, KeySource, StoreKind};
use vault_core::session::TokenOptions;
use vault_core::{Error, Vault, ZeroizingAllocator};

/// Wipes what libraries copy of a token while they work.
#[global_allocator]
static ALLOCATOR: ZeroizingAllocator = ZeroizingAllocator::new();

/// Longer than a request to the authorization server may take. The service
/// manager has to wait longer still before it kills.
const PATIENCE: Duration = Duration::from_secs(25);

/// Asks an API at intervals, as whoever logged it in.
#[derive(Parser)]
struct Arguments {
    /// The authorization server
    #[arg(long)]
    issuer: String,
    /// What this program is registered as there
    #[arg(long)]
    client_id: String,
    /// The address to ask
    #[arg(long)]
    api: Url,
    /// How many seconds lie between two questions
    #[arg(long, default_value_t = 60)]
    every: u64,
    /// Where the login is kept
    #[arg(long, env = "STATE_DIRECTORY")]
    state: PathBuf,
    /// The folder of the file `vault-key`
    #[arg(long, env = "CREDENTIALS_DIRECTORY")]
    credentials: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Logs in with a code that is typed in on another machine
    LogIn,
    /// Serves until it is told to stop
    Run,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::LogIn => log_in::log_in(&arguments).await.map_err(Into::into),
        Command::Run => serve(&arguments).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("service: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// The vault, with nobody to ask for anything.
fn open(arguments: &Arguments) -> Result<Vault, Error> {
    Vault::builder("com.example.service")
        .state_root(&arguments.state)
        .store(StoreKind::EncryptedFile)
        .key_source(KeySource::KeyFile(arguments.credentials.join("vault-key")))
        .interaction(Interaction::Forbidden)
        .open()
}

async fn serve(arguments: &Arguments) -> Result<(), RequestError> {
    let mut stop = stop::Signals::listen();
    let vault = open(arguments)?;
    let session = vault.session("default")?;
    let api = AuthorizedClient::new(&session, &arguments.api)?;
    // Nobody who asks has to wait for a refresh.
    let fresh = session.keep_fresh(&TokenOptions::default())?;
    let mut turn = tokio::time::interval(Duration::from_secs(arguments.every.max(1)));
    println!("started");
    loop {
        let work = async {
            turn.tick().await;
            ask(&api).await
        };
        tokio::select! {
            () = stop.told() => break,
            said = work => match said {
                Ok(answer) => println!("{answer}"),
                // A login that has ended, or a server that is away: both may be
                // mended while this runs.
                Err(error) => eprintln!("{}", told(&error)),
            },
        }
    }
    drop(fresh);
    // Not between a token's sending and the saving of its successor.
    if vault_core::exit::end(PATIENCE) {
        println!("stopped");
    } else {
        eprintln!("stopped while a refresh is still under way; the next start sorts it out");
    }
    Ok(())
}

async fn ask(api: &AuthorizedClient) -> Result<String, RequestError> {
    let answer = api.send(api.get("")?).await?;
    let status = answer.status();
    Ok(format!("{} {}", status.as_u16(), answer.text().await?))
}

/// An error and its causes, on one line of the journal.
fn told(error: &RequestError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    match error {
        RequestError::Vault(error) if error.is_login_required() => {
            format!("{text} (`service log-in` makes a login; no restart is needed)")
        }
        _ => text,
    }
}
