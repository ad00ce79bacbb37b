//! `cargo demo`: one login that many processes share, shown on real parts and
//! counted at the server.
//!
//! A strict authorization server runs on loopback: it rotates the refresh
//! token, and revokes the login when a used one comes again. The demo logs in
//! by a real browser flow, keeps the login in the operating system's secure
//! store where one answers, and has 8 processes of 8 tasks ask for a token at
//! the same instant whenever the last one has expired, 10 times. What counts
//! is what the server saw: one refresh for each lifetime, no reuse.
//!
//! It promises to leave nothing behind, also when it fails or is interrupted
//! (but not when it is killed), and says so only after it has looked. A user's
//! own logins are out of its reach: the application's name is new each time,
//! and all state lies in a temporary folder.

mod arguments;
mod figures;
mod interruption;
mod place;
mod progress;
mod rounds;
mod tidying;
mod vault_cli;
mod visitor;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use vault_core::login::LoginRequest;

use crate::fleet;
use crate::server::{AuthorizationServer, DEFAULT_CLIENT_ID, ServerConfig};
use arguments::Arguments;
use figures::Figures;
use interruption::{Interrupted, Interruption};
use place::Place;
use progress::Progress;
use vault_cli::VaultCli;
use visitor::Visitor;

/// Whatever went wrong, for a person to read.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How many processes share the login.
const PROCESSES: usize = 8;
/// How many tasks of each process ask at once.
const TASKS: usize = 8;
/// How many tokens are lived through after the login's own.
const LIFETIMES: usize = 10;
/// How long an access token lives.
const LIFETIME: Duration = Duration::from_secs(3);

/// The program: reads the arguments, runs, and tells the outcome.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(problem) => {
            complain(&format!("{problem}\n\n{}", arguments::USAGE));
            return ExitCode::from(2);
        }
    };
    let outcome = match arguments {
        Arguments::Help => {
            writeln!(std::io::stdout(), "{}", arguments::HELP).map_err(Failure::from)
        }
        Arguments::Worker => fleet::work(),
        Arguments::Show { json } => run(json),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&chain(&*failure));
            // 128 + SIGINT, as shells say it.
            let interrupted = failure.is::<Interrupted>();
            ExitCode::from(if interrupted { 130 } else { 1 })
        }
    }
}

fn run(json: bool) -> Result<(), Failure> {
    let interruption = Interruption::watch()?;
    let progress = Progress::new(json);
    let vault_cli = match json {
        // Its words are for people.
        true => None,
        false => Some(VaultCli::find(&progress)?),
    };
    let server = AuthorizationServer::start(ServerConfig {
        access_token_lifetime: LIFETIME,
        ..ServerConfig::default()
    });
    progress.fact(
        "Server",
        &format!(
            "{} rotates strictly, tokens live {} s",
            server.issuer(),
            LIFETIME.as_secs()
        ),
    );
    let mut place = Place::choose()?;
    progress.fact("Store", &place.description());
    let shown = show(
        &server,
        &place,
        vault_cli.as_ref(),
        &progress,
        &interruption,
    );
    let left = place.clear().and_then(|cleared| {
        let alive = server.living_logins();
        if shown.is_ok() && alive != 0 {
            return Err(format!("the server still knows {alive} living login").into());
        }
        progress.pause();
        progress.fact("Cleaned up", &cleared);
        Ok(())
    });
    match (shown, left) {
        (Ok(figures), left) => left.and_then(|()| figures.judge().map_err(Failure::from)),
        (Err(failure), Ok(())) => Err(failure),
        (Err(failure), Err(more)) => {
            complain(&chain(&*more));
            Err(failure)
        }
    }
}

/// All of it between the choice of the store and the cleaning up.
fn show(
    server: &AuthorizationServer,
    place: &Place,
    vault_cli: Option<&VaultCli>,
    progress: &Progress,
    interruption: &Interruption,
) -> Result<Figures, Failure> {
    let session = place.session()?;
    let request = LoginRequest::new(server.issuer(), DEFAULT_CLIENT_ID)
        .scope("openid")
        .scope("offline_access")
        .timeout(Duration::from_secs(20));
    let visitor = Arc::new(Visitor::default());
    let report = session.blocking().login(request, visitor.clone())?;
    visitor.leave()?;
    progress.fact(
        "Login",
        &format!(
            "{} by authorization code and PKCE",
            report.account.as_deref().unwrap_or("somebody")
        ),
    );

    let figures = rounds::run(server, place, progress, interruption)?;
    match vault_cli {
        None => figures.print_json()?,
        Some(vault_cli) => {
            figures.print_table()?;
            vault_cli.say(place, &["list"])?;
            vault_cli.say(place, &["show"])?;
        }
    }
    Ok(figures)
}

fn complain(message: &str) {
    // Where even this can't be said, the exit status is left.
    drop(writeln!(std::io::stderr(), "error: {message}"));
}

/// An error with its causes, in one line. What a cause only repeats is left
/// out.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text
}
