//! Other people's tools with tokens of the vault: the real programs, against
//! hosts that demand a token. The lane `cli` brings what they need.

mod bazel;
mod cargo;
mod curl;
mod docker;
mod git;
mod https;
mod kubectl;
mod protocols;
mod setup;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::support::{Output, Sandbox, vault_cli};

/// A short life of a token: in nine tenths of it a tool has begun.
const SHORT_LIFE: Duration = Duration::from_secs(6);

/// What a request takes that outlasts it.
const LONGER: Duration = Duration::from_millis(6500);

fn logged_in() -> (Arc<AuthorizationServer>, Sandbox) {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    (Arc::new(server), sandbox)
}

#[track_caller]
fn run(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let output = vault_cli(sandbox, arguments);
    assert_eq!(output.code(), Some(0), "{arguments:?} {output:?}");
    output
}

/// Gets an access token with this life, as those that follow have it.
fn have_token(server: &AuthorizationServer, sandbox: &Sandbox, life: Duration) {
    server.configure(|config| config.access_token_lifetime = life);
    run(sandbox, &["refresh", "--force"]);
}

/// A tool that sees the sandbox and finds programs where this test does.
fn tool(sandbox: &Sandbox, program: impl AsRef<Path>) -> Command {
    let ours = sandbox.command(&[]);
    let mut command = Command::new(program.as_ref());
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(sandbox.home())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in ours.get_envs() {
        command.env(name, value.unwrap());
    }
    command
}

/// Where the program lies, for what other programs are to start.
fn program(sandbox: &Sandbox) -> String {
    let command = sandbox.command(&[]);
    command.get_program().to_str().unwrap().to_owned()
}

fn end(mut command: Command) -> Output {
    command.output().unwrap().into()
}
