//! `bind`, `setup` and `credential`: what other programs are given.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use vault_core::BoundHost;

use super::value::host;

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

// Whose protocol is spoken. clap takes a doc comment here for the description
// of `credential`.
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
