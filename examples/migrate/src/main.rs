//! Moves a login that an app kept by itself into the vault: out of a plaintext
//! file of JSON, or out of an entry of the crate `keyring`.
//!
//! ```text
//! migrate --application com.example.app --issuer URL --client-id ID file PATH
//! migrate --application com.example.app --issuer URL --client-id ID keyring SERVICE USER
//! ```
//!
//! Whatever ends it in the middle, the token is in one place at least, and
//! calling it again goes on where it was:
//!
//! 1. The old copy is set aside: versions of the app that know nothing of the
//!    vault don't find it, and can't spend it behind the vault's back.
//! 2. The vault takes it over.
//! 3. The vault proves that it works, by a refresh. What was set aside is spent
//!    by that, where the server rotates refresh tokens.
//! 4. Only then what was set aside is wiped.
//!
//! What was set aside is never sent once the vault holds a login: a spent token
//! that is shown again ends the login at many servers.

mod place;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vault_core::enrolment::Import;
use vault_core::platform::secret::{SecretBytes, SecretString};
use vault_core::session::TokenOptions;
use vault_core::{ErrorKind, RefreshToken, Session, Vault, ZeroizingAllocator};

use crate::place::{Failure, Place};

/// Wipes what libraries copy of a token while they work.
#[global_allocator]
static ALLOCATOR: ZeroizingAllocator = ZeroizingAllocator::new();

/// Moves a login into the vault.
#[derive(Parser)]
struct Arguments {
    /// The app whose vault it is
    #[arg(long)]
    application: String,
    /// The profile that is to hold it
    #[arg(long, default_value = "default")]
    profile: String,
    /// The authorization server that issued the token
    #[arg(long)]
    issuer: String,
    /// What the app is registered as there
    #[arg(long)]
    client_id: String,
    #[command(subcommand)]
    from: From,
}

#[derive(Subcommand)]
enum From {
    /// A file of JSON, which is for tokens only: it is removed
    File {
        /// The file
        path: PathBuf,
        /// Where the refresh token stands in it (RFC 6901)
        #[arg(long, default_value = "/refresh_token")]
        pointer: String,
    },
    /// An entry of the crate `keyring`
    Keyring {
        /// The entry's service
        service: String,
        /// The entry's user
        user: String,
        /// Where the refresh token stands in it, if it holds JSON (RFC 6901)
        #[arg(long)]
        pointer: Option<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("migrate: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<String, Failure> {
    let (old, pointer) = match arguments.from {
        From::File { path, pointer } => (Place::File(path), Some(pointer)),
        From::Keyring {
            service,
            user,
            pointer,
        } => (Place::Keyring { service, user }, pointer),
    };
    let session = Vault::open(&arguments.application)?.session(&arguments.profile)?;
    let held = is_held(&session)?;
    let Some(contents) = set_aside(&old, held, pointer.as_deref())? else {
        return match held {
            true => Ok(format!(
                "{old} is not there: the vault has the login already"
            )),
            false => Err(format!("{old} is not there; nothing was changed").into()),
        };
    };
    let session = session.blocking();
    if !held {
        let import = Import::from_issuer(arguments.issuer, arguments.client_id);
        session.import(import, token(&contents, pointer.as_deref())?)?;
    }
    session.refresh_now(&TokenOptions::default())?;
    old.aside().remove()?;
    let store = session.inspect()?.store;
    Ok(format!(
        "the login works from the vault, in {store}; {old} is gone"
    ))
}

/// Whether the profile has a login.
fn is_held(session: &Session) -> Result<bool, Failure> {
    match session.blocking().inspect() {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotLoggedIn | ErrorKind::LoggedOut) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Sets the old copy aside, and gives what is set aside, by this call or an
/// earlier one.
fn set_aside(
    old: &Place,
    held: bool,
    pointer: Option<&str>,
) -> Result<Option<SecretBytes>, Failure> {
    let aside = old.aside();
    match (old.read()?, aside.read()?) {
        (None, contents) => Ok(contents),
        (Some(_), None) if held => {
            let message = "the profile holds a login, which is perhaps another one; nothing was \
                           changed. Name another --profile, or log out first";
            Err(message.into())
        }
        (Some(contents), None) => {
            // What can't be read is left where it is.
            token(&contents, pointer)?;
            old.set_aside(&contents)?;
            Ok(Some(contents))
        }
        // An earlier call ended between the two.
        (Some(contents), Some(copy)) if contents.same_as(&copy) => {
            old.remove()?;
            Ok(Some(contents))
        }
        (Some(_), Some(_)) => {
            let message = format!(
                "{old} and {aside} hold different tokens: an older version of the app has logged \
                 in meanwhile; nothing was changed. Delete the one whose login is not wanted"
            );
            Err(message.into())
        }
    }
}

/// The refresh token in an old copy.
fn token(contents: &SecretBytes, pointer: Option<&str>) -> Result<RefreshToken, Failure> {
    let text = match pointer {
        None => std::str::from_utf8(contents.expose())
            .map_err(|_| "the entry is not text; nothing was changed")?
            .to_owned(),
        Some(pointer) => {
            let json: serde_json::Value = serde_json::from_slice(contents.expose())
                .map_err(|error| format!("this is not JSON ({error}); nothing was changed"))?;
            let found = json.pointer(pointer).and_then(serde_json::Value::as_str);
            found
                .ok_or_else(|| format!("there is no text at {pointer}; nothing was changed"))?
                .to_owned()
        }
    };
    Ok(RefreshToken::new(SecretString::from(text)))
}
