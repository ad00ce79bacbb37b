//! `token`, `exec` and `refresh`: what a token has to be good for, and how it
//! is given.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use url::Url;
use vault_core::session::TokenOptions;

use super::value::{duration, variable};

// What a token has to be good for. clap takes a doc comment here for the
// description of every command that has these options.
#[derive(Args, Debug)]
pub(crate) struct Wanted {
    /// How long the token has to be valid at least, such as 60s or 5min
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) min_valid: Option<std::time::Duration>,
    /// Ask for a narrower scope
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,
    /// Ask for a token for this API (RFC 8707)
    #[arg(long, value_name = "URL")]
    pub(crate) resource: Option<Url>,
    /// Ask for a token for this audience, where the server wants it so
    #[arg(long, value_name = "AUDIENCE")]
    pub(crate) audience: Option<String>,
}

impl Wanted {
    /// The same for the library.
    pub(crate) fn options(&self) -> TokenOptions {
        let mut options = TokenOptions::default();
        for scope in &self.scope {
            options = options.scope(scope);
        }
        if let Some(resource) = &self.resource {
            options = options.resource(resource);
        }
        if let Some(audience) = &self.audience {
            options = options.audience(audience);
        }
        if let Some(min_valid) = self.min_valid {
            options = options.min_valid(min_valid);
        }
        options
    }
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vault-cli exec -- terraform apply
  vault-cli exec --env GITLAB_TOKEN -- glab mr list
  vault-cli exec --token-file -- ./long-running   (reads $ACCESS_TOKEN_FILE again and again)

Exit codes: the command's own; 126 if it can't be run, 127 if there is none.")]
pub(crate) struct Exec {
    /// The variable that holds the token
    #[arg(long, value_name = "NAME", default_value = "ACCESS_TOKEN", value_parser = variable)]
    pub(crate) env: String,
    /// Keep the token in a private file for as long as the command runs, and
    /// fresh: its path is in NAME_FILE, and NAME is not set
    #[arg(long)]
    pub(crate) token_file: bool,
    /// Give the token by a file descriptor that can be read once: its number is
    /// in NAME_FD, and NAME is not set
    #[cfg(unix)]
    #[arg(long, conflicts_with = "token_file")]
    pub(crate) fd: bool,
    /// Where the token's file comes, instead of the system's temporary folder
    #[arg(long, env = "XDG_RUNTIME_DIR", value_name = "FOLDER", hide = true)]
    pub(crate) runtime_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vault-cli token
  vault-cli --profile work token --min-valid 5min
  vault-cli token --curl | curl -K - https://api.example/me
  curl -K <(vault-cli token --curl) https://api.example/me
  vault-cli token --header --dpop-url https://api.example/me | \\
      curl -H @- https://api.example/me     (of a login with --dpop)")]
pub(crate) struct Token {
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    /// Print it as the header `Authorization`
    #[arg(long)]
    pub(crate) header: bool,
    /// Print it as a line of curl's configuration, which `curl -K` reads
    #[arg(long, conflicts_with = "header")]
    pub(crate) curl: bool,
    /// Of a login with --dpop: print the header `DPoP` too, for one request to
    /// this address
    #[arg(long, value_name = "URL")]
    pub(crate) dpop_url: Option<Url>,
    /// The method of that request
    #[arg(
        long,
        value_name = "METHOD",
        default_value = "GET",
        requires = "dpop_url"
    )]
    pub(crate) dpop_method: String,
    /// The nonce that the API gave in its header `DPoP-Nonce`
    #[arg(
        long,
        value_name = "NONCE",
        requires = "dpop_url",
        allow_hyphen_values = true
    )]
    pub(crate) dpop_nonce: Option<String>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vault-cli refresh
  vault-cli refresh --force     (after a 401, or although nothing is due)")]
pub(crate) struct Refresh {
    /// Refresh although the token is still valid
    #[arg(long)]
    pub(crate) force: bool,
}
