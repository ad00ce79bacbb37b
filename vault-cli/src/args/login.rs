//! `login` and `import`: how a login comes about.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use url::Url;
use vault_core::oauth::ClientAuthentication;
use vault_core::refresh::policy::RotationPolicy;

use super::value::{duration, parameter, rotation};

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
    #[command(flatten)]
    pub(crate) server: Server,
}

// What is to be known of the authorization server. clap takes a doc comment
// here for the description of every command that has these options.
#[derive(Args, Debug)]
pub(crate) struct Server {
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

// What a confidential client proves itself with. A secret is never an
// argument: other users can read those. No doc comment, as above.
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
    PossibleValuesParser::new(
        ClientAuthentication::ALL
            .iter()
            .map(|method| method.as_str()),
    )
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
    #[command(flatten)]
    pub(crate) server: Server,
}
