//! A command-line tool that logs in once.
//!
//! The first call opens the browser. Every later one uses that login: in any
//! terminal, many at once, after a reboot. A call that finds the login ended
//! asks for a new one, and then does what it was asked to.
//!
//! ```text
//! cli-tool --issuer URL --client-id ID --api URL             asks the API
//! cli-tool --issuer URL --client-id ID --api URL --log-out   ends the login
//! ```
//!
//! A tool of yours has the issuer, the client and the API as constants.

mod terminal;

use std::error::Error as _;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use url::Url;
use vault_core::client::{AuthorizedClient, RequestError};
use vault_core::login::LoginRequest;
use vault_core::{Error, ErrorKind, Session, Vault, ZeroizingAllocator};

use crate::terminal::Terminal;

/// Wipes what libraries copy of a token while they work.
#[global_allocator]
static ALLOCATOR: ZeroizingAllocator = ZeroizingAllocator::new();

/// Asks an API, as the person who logged in.
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
    /// Ends the login, for every process
    #[arg(long)]
    log_out: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cli-tool: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), RequestError> {
    let session = Vault::open("com.example.cli-tool")?.session("default")?;
    if arguments.log_out {
        return Ok(log_out(&session).await?);
    }
    let api = AuthorizedClient::new(&session, &arguments.api)?;
    let answer = match ask(&api).await {
        Err(RequestError::Vault(error)) if error.is_login_required() => {
            log_in(&session, arguments).await?;
            ask(&api).await?
        }
        answer => answer?,
    };
    println!("{answer}");
    Ok(())
}

/// The API's answer. The token, and another one if the API refuses it, are the
/// client's business.
async fn ask(api: &AuthorizedClient) -> Result<String, RequestError> {
    let answer = api.send(api.get("")?).await?;
    let status = answer.status();
    let text = answer.text().await?;
    Ok(match status.is_success() {
        true => text,
        false => format!("the API answered {status}: {text}"),
    })
}

async fn log_in(session: &Session, arguments: &Arguments) -> Result<(), Error> {
    let request = LoginRequest::new(&arguments.issuer, &arguments.client_id)
        .scope("openid")
        .scope("offline_access");
    let report = session.login(request, Arc::new(Terminal::new())).await?;
    let account = report.account.as_deref().unwrap_or("somebody");
    eprintln!("logged in as {account}, kept in {}", report.store);
    Ok(())
}

async fn log_out(session: &Session) -> Result<(), Error> {
    match session.logout(true).await {
        Ok(_) => eprintln!("logged out"),
        Err(error) if matches!(error.kind(), ErrorKind::NotLoggedIn | ErrorKind::LoggedOut) => {
            eprintln!("nobody was logged in");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
