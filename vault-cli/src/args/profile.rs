//! `show`, `logout`, `migrate` and `passphrase`: what is done with what is
//! stored.

use std::path::PathBuf;

use clap::Args;
use vault_core::platform::store::StoreKind;

use super::value::store_kinds;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vault-cli show
  vault-cli --profile work show --claims
  vault-cli show --json")]
pub(crate) struct Show {
    /// Show what is written in access tokens and ID token, if they are JWTs (unverified)
    #[arg(long)]
    pub(crate) claims: bool,
    /// Show the secrets themselves; on a terminal only, and after a question
    #[arg(long)]
    pub(crate) reveal: bool,
    /// Reveal without a question, also where the answer goes into a file or a
    /// pipe
    #[arg(long, requires = "reveal")]
    pub(crate) yes_i_know: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vault-cli logout
  vault-cli logout --all        (every profile of the application)
  vault-cli logout --no-revoke  (without a word to the server)
  vault-cli logout --end-session   (and out of the server, in the browser)")]
pub(crate) struct Logout {
    /// Do not ask the server to revoke the refresh token
    #[arg(long)]
    pub(crate) no_revoke: bool,
    /// Log out of every profile of the application
    #[arg(long)]
    pub(crate) all: bool,
    /// Afterwards open the server's own page for logging out in the browser,
    /// where it has one
    #[arg(long)]
    pub(crate) end_session: bool,
    /// Open no browser: print that page's URL on a line of standard error
    #[arg(long, requires = "end_session")]
    pub(crate) no_browser: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vault-cli migrate --to secret-service
  vault-cli --key-file ~/.vault-key migrate --to encrypted-file
  vault-cli migrate --all --to keychain   (every profile of the application)

It comes from the store that the profile is in, whatever `--store` says. Other processes go on
meanwhile. If it is interrupted, the login is whole in one of the two stores: run it again.")]
pub(crate) struct Migrate {
    /// The store to move to
    #[arg(long, value_name = "KIND", value_parser = store_kinds())]
    pub(crate) to: StoreKind,
    /// Move every profile of the application
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vault-cli passphrase          (asks for the old one and the new one)
  vault-cli --passphrase-file old passphrase --new-passphrase-file new
  vault-cli passphrase --new-key-file ~/.vault-key")]
pub(crate) struct Passphrase {
    /// The new passphrase, on the file's first line; without this it is asked for
    #[arg(long, value_name = "FILE", conflicts_with = "new_key_file")]
    pub(crate) new_passphrase_file: Option<PathBuf>,
    /// A key file instead of a passphrase
    #[arg(long, value_name = "FILE")]
    pub(crate) new_key_file: Option<PathBuf>,
}
