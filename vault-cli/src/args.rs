//! The command line and the environment variables that stand for its options.
//!
//! Names are fixed: scripts depend on them. This is the one place where the
//! environment is read, by clap.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, Resettable, TypedValueParser};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use url::Url;
use vault_core::BoundHost;
use vault_core::oauth::ClientAuthentication;
use vault_core::platform::store::StoreKind;
use vault_core::refresh::policy::RotationPolicy;
use vault_core::session::TokenOptions;

use crate::choice::{Choice, Rule};
use crate::version;

/// Log in once, and every process shares one token.
///
/// Keeps the rotating refresh token of a login in the operating system's
/// secure store and hands out access tokens. However many processes ask at
/// once, one refreshes and the others get its token.
#[derive(Debug, Parser)]
#[command(
    name = "vault-cli",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Examples:
  vault-cli login --issuer https://login.example --client-id my-client --scope offline_access
  curl -H \"$(vault-cli token --header)\" https://api.example/me
  vault-cli list

Exit codes: 0 done, 1 failed, 2 usage, 3 login required, 4 store missing, locked or refused,
5 server or network unavailable (try later), 6 timed out waiting for the lock"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Reads a command line. A variable that is set and empty counts as not
    /// set: that is how scripts take one back.
    pub(crate) fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let mut command = without_empty_variables(Self::command());
        command = command.long_version(version::long());
        let matches = command.try_get_matches_from_mut(arguments)?;
        let read = Self::from_arg_matches(&matches);
        let mut read = read.map_err(|error| error.format(&mut command))?;
        read.options.chosen_by = Choice {
            app: rule(&matches, "app"),
            profile: rule(&matches, "profile"),
        };
        Ok(read)
    }
}

/// What gave an option its value.
fn rule(matches: &ArgMatches, option: &str) -> Rule {
    match matches.value_source(option) {
        Some(ValueSource::CommandLine) => Rule::Option,
        Some(ValueSource::EnvVariable) => Rule::Environment,
        _ => Rule::Usual,
    }
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    #[expect(clippy::disallowed_methods, reason = "the program's own variables")]
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|argument| match argument.get_env() {
            Some(name) if is_empty(name) => argument.env(Resettable::Reset),
            _ => argument,
        })
        .mut_subcommands(without_empty_variables)
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Options {
    /// The application whose logins are meant; `list` and `status` take '*' for
    /// all of them
    #[arg(long, global = true, env = "VAULT_APP", value_name = "ID", default_value = DEFAULT_APP)]
    pub(crate) app: String,
    /// The profile: one login
    #[arg(long, global = true, env = "VAULT_PROFILE", value_name = "NAME",
          default_value = DEFAULT_PROFILE)]
    pub(crate) profile: String,
    /// What chose application and profile.
    #[arg(skip)]
    pub(crate) chosen_by: Choice,
    /// Where the refresh token is kept; without this where the profile is, and
    /// for a new one the operating system's store
    #[arg(long, global = true, env = "VAULT_STORE", value_name = "KIND",
          value_parser = store_kinds())]
    pub(crate) store: Option<StoreKind>,
    /// The folder for state, instead of the user's own
    #[arg(long, global = true, env = "VAULT_STATE_DIR", value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The key of the encrypted-file store: 32 bytes, or a line of hex or base64
    #[arg(long, global = true, env = "VAULT_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The passphrase of the encrypted-file store, on the file's first line
    #[arg(
        long,
        global = true,
        env = "VAULT_PASSPHRASE_FILE",
        value_name = "FILE"
    )]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The access group of the protected-keychain store, which signed programs
    /// of one team share
    #[arg(
        long,
        global = true,
        env = "VAULT_KEYCHAIN_ACCESS_GROUP",
        value_name = "GROUP"
    )]
    pub(crate) keychain_access_group: Option<String>,
    /// Have the protected-keychain store ask for Touch ID or the password at
    /// each read
    #[arg(long, global = true)]
    pub(crate) keychain_user_presence: bool,
    /// Let the kernel hold the key that the passphrase yields for this long, such
    /// as 15min, so that further calls need no passphrase (Linux)
    #[arg(long, global = true, env = "VAULT_REMEMBER", value_name = "TIME",
          value_parser = duration)]
    pub(crate) remember: Option<std::time::Duration>,
    /// Where systemd puts a service's credentials: `vault-key` and
    /// `vault-passphrase` are looked for there
    #[arg(
        long,
        global = true,
        env = "CREDENTIALS_DIRECTORY",
        value_name = "FOLDER",
        hide = true
    )]
    pub(crate) credentials_directory: Option<PathBuf>,
    /// Print one JSON document, errors included
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print nothing but the answer and errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Tell the causes of an error; twice: log to standard error
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The application that is meant if none is named.
pub(crate) const DEFAULT_APP: &str = "vault-cli";
/// The profile that is meant if none is named.
const DEFAULT_PROFILE: &str = "default";

impl Options {
    /// A command line that means the same application and profile, for hints.
    pub(crate) fn command_line(&self, rest: &str) -> String {
        let mut line = String::from("vault-cli ");
        for (option, value, usual) in [
            ("--app", &self.app, DEFAULT_APP),
            ("--profile", &self.profile, DEFAULT_PROFILE),
        ] {
            if value != usual {
                line.push_str(&format!("{option} {} ", value.escape_default()));
            }
        }
        line + rest
    }
}

fn store_kinds() -> impl TypedValueParser<Value = StoreKind> {
    PossibleValuesParser::new(StoreKind::ALL.map(StoreKind::as_str))
        .try_map(|name| name.parse::<StoreKind>())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in to an authorization server
    Login(Login),
    /// Take over a refresh token from standard input
    Import(Import),
    /// Print a valid access token, and nothing else
    Token(Token),
    /// Run a command with a valid access token in its environment
    Exec(Exec),
    /// Refresh the access token if it is due
    Refresh(Refresh),
    /// List the profiles
    #[command(after_help = "Examples:
  vault-cli list
  vault-cli --app com.example.app list --json
  vault-cli --app '*' list      (of every application that uses the vault)")]
    List,
    /// Show everything that is stored, secrets as length and fingerprint
    Show(Show),
    /// Tell in one line how the login stands
    #[command(after_help = "Examples:
  vault-cli status
  vault-cli --app '*' status
  vault-cli --profile work status --quiet || vault-cli --profile work login …")]
    Status,
    /// Show who refreshed when
    #[command(after_help = "Examples:
  vault-cli history
  vault-cli --profile work history --json")]
    History,
    /// Watch on a full screen what all processes do with the logins
    #[command(after_help = "Examples:
  vault-cli watch
  vault-cli --app '*' watch       (the logins of every application)

Keys: q quit, arrows select, r refresh, l log out, Enter inspect, ? help. Until r or l is pressed no
store is opened and no server asked.")]
    Watch,
    /// Log out for good, in all processes
    Logout(Logout),
    /// List what is known of authorization servers
    #[command(after_help = "Examples:
  vault-cli issuers
  vault-cli issuers --json > servers.json
  vault-cli issuers --issuers-file servers.json --issuer https://login.example")]
    Issuers(Issuers),
    /// Answer a tool that asks for a token
    #[command(after_help = "Examples:
  printf 'protocol=https\\nhost=git.example.com\\n' | vault-cli credential git get
  echo registry.example.com | docker-credential-vault-cli get

Tools call this themselves: `vault-cli setup` tells them to. Only hosts that a login is bound to are
answered about: see `vault-cli bind`. Under the name docker-credential-vault-cli (or git-…, kubectl-…,
cargo-…, bazel-credential-vault-cli) this program is that tool's helper.")]
    Credential(Credential),
    /// Let a host's tools be given the token
    Bind(Bind),
    /// Have a tool ask for the token of bound hosts
    Setup(Setup),
    /// Take a host's binding back
    Unbind(Bind),
    /// Move a login to another store
    Migrate(Migrate),
    /// Prove that store, folder, lock and server work
    #[command(after_help = "Examples:
  vault-cli doctor
  vault-cli --profile work doctor --json")]
    Doctor,
    /// Change the passphrase of the encrypted-file store
    Passphrase(Passphrase),
    /// Print completions for a shell
    Completions(Completions),
    /// Print the manual page
    Man(Man),
}

impl Command {
    /// Whether it works with the profile that is chosen, so that a `.vault.toml`
    /// may choose it.
    pub(crate) fn is_about_a_profile(&self) -> bool {
        !matches!(
            self,
            Self::Completions(_) | Self::Man(_) | Self::Issuers(_) | Self::Credential(_)
        )
    }

    /// Whether every application can be meant.
    pub(crate) fn takes_all(&self) -> bool {
        matches!(self, Self::List | Self::Watch | Self::Status)
    }
}

/// How a person logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flow {
    /// With a browser on this machine
    Browser,
    /// With any browser, by a code to type in
    Device,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vault-cli login      (on a terminal: asks for the rest)
  vault-cli login --issuer https://login.example --client-id my-client \\
      --scope openid --scope offline_access
  vault-cli login --issuer https://login.example --client-id my-client --flow device
  vault-cli --profile work --store encrypted-file --key-file ~/.vault-key login \\
      --issuer https://login.example --client-id my-client --no-browser")]
pub(crate) struct Login {
    /// The authorization server, exactly as it names itself; without this, and
    /// without the client id, a terminal asks
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,
    /// This program's client id there
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// A scope to ask for; many servers want `offline_access`
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,
    /// An API that the tokens are for (RFC 8707)
    #[arg(long, value_name = "URL")]
    pub(crate) resource: Vec<Url>,
    /// How to log in: `browser` unless the terminal asks
    #[arg(long, value_enum)]
    pub(crate) flow: Option<Flow>,
    /// Open no browser: print the URL on a line of standard error
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// The port of the loopback redirect, for servers that want a fixed one
    #[arg(long, value_name = "PORT")]
    pub(crate) redirect_port: Option<u16>,
    /// The loopback redirect as it is registered, such as
    /// `http://localhost:8080/cb`, or `http://[::1]/callback` for IPv6
    #[arg(long, value_name = "URL", conflicts_with = "redirect_port")]
    pub(crate) redirect_uri: Option<Url>,
    /// Show no QR code
    #[arg(long)]
    pub(crate) no_qr: bool,
    /// What the server shall ask: `login`, `consent`, `select_account`, `none`
    #[arg(long, value_name = "WORDS")]
    pub(crate) prompt: Option<String>,
    /// The account that is meant, as its owner would write it
    #[arg(long, value_name = "NAME")]
    pub(crate) login_hint: Option<String>,
    /// How long ago the person may have logged in to the server, such as 5min
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) max_age: Option<std::time::Duration>,
    /// Another parameter of the authorization request, for what a server wants
    /// beyond the standards
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    pub(crate) parameter: Vec<(String, String)>,
    /// Bind the tokens to a key that is kept in the store (DPoP, RFC 9449):
    /// without it they open nothing
    #[arg(long)]
    pub(crate) dpop: bool,
    /// What the server does with a refresh token that comes again: `strict`, or
    /// for how long it takes it once more, such as 30s
    #[arg(long, value_name = "strict|TIME", value_parser = rotation)]
    pub(crate) rotation: Option<RotationPolicy>,
    /// Trust this certificate authority (PEM) too
    #[arg(long, env = "VAULT_CA_CERT", value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// A list of known servers that comes before the built-in one
    #[arg(long, env = "VAULT_ISSUERS_FILE", value_name = "FILE")]
    pub(crate) issuers_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) confidential: Confidential,
}

/// What a confidential client proves itself with. A secret is never an
/// argument: other users can read those.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of confidential clients")]
pub(crate) struct Confidential {
    /// How the client proves itself; without this as the server lists it
    #[arg(long, value_name = "METHOD", value_parser = client_authentications())]
    pub(crate) client_auth: Option<ClientAuthentication>,
    /// The client's secret, on the file's first line; `-` reads standard input,
    /// or asks on a terminal
    #[arg(long, value_name = "FILE|-", conflicts_with = "client_key_file")]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// The client's private key (PEM, PKCS#8: P-256, Ed25519 or RSA)
    #[arg(long, value_name = "FILE")]
    pub(crate) client_key_file: Option<PathBuf>,
    /// What the server knows the key by (`kid`)
    #[arg(
        long,
        value_name = "ID",
        requires = "client_key_file",
        allow_hyphen_values = true
    )]
    pub(crate) client_key_id: Option<String>,
    /// The key's certificate (PEM), for servers that know the key by it, as
    /// Entra ID does
    #[arg(long, value_name = "FILE", requires = "client_key_file")]
    pub(crate) client_certificate: Option<PathBuf>,
}

fn client_authentications() -> impl TypedValueParser<Value = ClientAuthentication> {
    PossibleValuesParser::new(ClientAuthentication::ALL.map(ClientAuthentication::as_str))
        .try_map(|name| name.parse::<ClientAuthentication>())
}

#[derive(Args, Debug)]
#[command(
    group = clap::ArgGroup::new("server").required(true),
    after_help = "Examples:
  vault-cli import --issuer https://login.example --client-id my-client < token.txt
  pass show api/refresh-token | vault-cli --profile work import \\
      --token-endpoint https://login.example/token --client-id my-client"
)]
pub(crate) struct Import {
    /// The authorization server, exactly as it names itself
    #[arg(long, value_name = "URL", group = "server")]
    pub(crate) issuer: Option<String>,
    /// The token endpoint of a server that does not describe itself
    #[arg(long, value_name = "URL", group = "server")]
    pub(crate) token_endpoint: Option<Url>,
    /// The client that the token was issued to
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: String,
    /// A scope that the token has, for display
    #[arg(long, value_name = "SCOPE")]
    pub(crate) scope: Vec<String>,
    /// What the server does with a refresh token that comes again: `strict`, or
    /// for how long it takes it once more, such as 30s
    #[arg(long, value_name = "strict|TIME", value_parser = rotation)]
    pub(crate) rotation: Option<RotationPolicy>,
    /// Trust this certificate authority (PEM) too
    #[arg(long, env = "VAULT_CA_CERT", value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// A list of known servers that comes before the built-in one
    #[arg(long, env = "VAULT_ISSUERS_FILE", value_name = "FILE")]
    pub(crate) issuers_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) confidential: Confidential,
}

/// What a token has to be good for.
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
pub(crate) struct Issuers {
    /// Only what is known of the server with this name
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: Option<String>,
    /// A list of known servers that comes before the built-in one
    #[arg(long, env = "VAULT_ISSUERS_FILE", value_name = "FILE")]
    pub(crate) issuers_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vault-cli bind git.example.com
  vault-cli --profile work bind registry.example.com:8443
  vault-cli unbind git.example.com

A credential helper gives a host's tools the token of the profile that is bound to it: by https, to
exactly that host and port. See `vault-cli setup --help`.")]
pub(crate) struct Bind {
    /// The host, with its port if that is not 443
    #[arg(value_name = "HOST[:PORT]", value_parser = host)]
    pub(crate) host: BoundHost,
}

/// A tool that can be told to ask this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SetupTool {
    /// git, for clone, fetch and push by https
    Git,
    /// docker, for the registries of images
    Docker,
    /// kubectl, for clusters
    Kubectl,
    /// cargo, for the registries of its configuration
    Cargo,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vault-cli bind git.example.com
  vault-cli setup git             (prints what would be done)
  vault-cli setup git --write
  vault-cli setup git --remove

It is the tool's own, per-user configuration; what else stands there stays.")]
pub(crate) struct Setup {
    /// The tool
    #[arg(value_enum)]
    pub(crate) tool: SetupTool,
    /// Change the tool's configuration, instead of printing how
    #[arg(long)]
    pub(crate) write: bool,
    /// Take it back
    #[arg(long, conflicts_with = "write")]
    pub(crate) remove: bool,
    /// Where docker keeps its configuration
    #[arg(long, env = "DOCKER_CONFIG", value_name = "FOLDER", hide = true)]
    pub(crate) docker_config: Option<PathBuf>,
    /// Where cargo keeps its own
    #[arg(long, env = "CARGO_HOME", value_name = "FOLDER", hide = true)]
    pub(crate) cargo_home: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Credential {
    #[command(subcommand)]
    pub(crate) tool: Tool,
}

/// Whose protocol is spoken.
#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// Speak git's protocol: get, store, erase
    Git(Action),
    /// Speak docker's protocol: get, store, erase, list
    Docker(Action),
    /// Speak kubectl's protocol: ExecCredential
    Kubectl(ExecInfo),
    /// Speak cargo's protocol: version 1
    Cargo,
    /// Speak bazel's protocol: get
    Bazel(Action),
}

#[derive(Args, Debug)]
pub(crate) struct Action {
    /// What the tool wants
    pub(crate) action: String,
}

#[derive(Args, Debug)]
pub(crate) struct ExecInfo {
    /// What kubectl says of the cluster
    #[arg(long, env = "KUBERNETES_EXEC_INFO", value_name = "JSON", hide = true)]
    pub(crate) exec_info: Option<String>,
}

impl Tool {
    /// The tool whose helper this program is by the name that it was started
    /// by, such as `docker-credential-vault-cli`.
    pub(crate) fn of_program(name: &OsStr) -> Option<&'static str> {
        let name = std::path::Path::new(name).file_name()?.to_str()?;
        let name = name.strip_suffix(".exe").unwrap_or(name);
        let tool = name.strip_suffix("-credential-vault-cli")?;
        ["git", "docker", "kubectl", "cargo", "bazel"]
            .into_iter()
            .find(|known| *known == tool)
    }
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
  vault-cli completions bash > ~/.local/share/bash-completion/completions/vault-cli
  vault-cli completions fish > ~/.config/fish/completions/vault-cli.fish")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  vault-cli man > vault-cli.1
  vault-cli man token | man -l -")]
pub(crate) struct Man {
    /// The command whose page is wanted
    pub(crate) command: Option<String>,
}

fn host(text: &str) -> Result<BoundHost, String> {
    text.parse()
        .map_err(|error: vault_core::Error| error.to_string())
}

/// A rotation policy: `strict`, or a window within which the same token may be
/// sent once more.
fn rotation(text: &str) -> Result<RotationPolicy, String> {
    if text == "strict" {
        return Ok(RotationPolicy::strict());
    }
    let window =
        duration(text).map_err(|_| "write `strict`, or a time such as `30s`".to_owned())?;
    Ok(RotationPolicy::window(window, 1))
}

/// A parameter as people write it: `name=value`.
fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write a parameter as `name=value`".to_owned()),
    }
}

/// The name of a variable, as every shell takes it.
fn variable(text: &str) -> Result<String, String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if text.is_empty() || !text.chars().all(fits) || text.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err("a variable's name has letters, digits and `_`".to_owned());
    }
    Ok(text.to_owned())
}

/// A time as people write it: `60s`, `5 min`, `1h30m`, or a number of seconds.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    let parsed = match text.parse::<u32>() {
        Ok(seconds) => Ok(SignedDuration::from_secs(seconds.into())),
        Err(_) => text.parse::<SignedDuration>(),
    };
    parsed
        .ok()
        .and_then(|duration| std::time::Duration::try_from(duration).ok())
        .ok_or_else(|| "write a time as `60s`, `5min` or `1h30m`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_manual_of_systems_tells_of_every_environment_variable_and_store() {
        let manual = include_str!("../../docs/PLATFORMS.md");
        let mut command = Arguments::command();
        command.build();
        let mut commands = vec![&command];
        commands.extend(command.get_subcommands());
        let variables: std::collections::BTreeSet<_> = commands
            .into_iter()
            .flat_map(clap::Command::get_arguments)
            .filter_map(clap::Arg::get_env)
            .filter_map(std::ffi::OsStr::to_str)
            .collect();
        assert!(variables.contains("VAULT_STORE"), "{variables:?}");
        for name in variables {
            assert!(manual.contains(&format!("`{name}`")), "{name}");
        }
        for kind in StoreKind::ALL {
            assert!(manual.contains(&format!("`{kind}`")), "{kind}");
        }
    }

    #[test]
    fn every_commands_help_has_examples() {
        for command in Arguments::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
    }

    #[test]
    fn times_are_written_as_people_write_them() {
        for (text, seconds) in [
            ("60s", 60),
            ("90", 90),
            ("5min", 300),
            ("1h30m", 5400),
            ("2 m", 120),
        ] {
            assert_eq!(
                duration(text).map(|time| time.as_secs()),
                Ok(seconds),
                "{text}"
            );
        }
        for text in ["", "soon", "-5s", "5 parsecs"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_hint_names_application_and_profile_only_where_they_are_not_the_usual_ones() {
        let arguments =
            Arguments::parse_from(["vault-cli", "--app", "a", "--profile", "p", "status"]);
        assert_eq!(
            arguments.options.command_line("login"),
            "vault-cli --app a --profile p login"
        );
        let arguments = Arguments::parse_from(["vault-cli", "status"]);
        assert_eq!(arguments.options.command_line("login"), "vault-cli login");
    }
}
