//! `oidc-agent`, with one account whose token it holds in its memory.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::{Result, indulgent};

pub struct OidcAgent {
    home: TempDir,
    socket: PathBuf,
    process: String,
}

impl OidcAgent {
    pub fn start() -> Result<Self> {
        let home = tempfile::tempdir()?;
        std::fs::create_dir(home.path().join(".oidc-agent"))?;
        let output = Command::new("oidc-agent")
            .env("HOME", home.path())
            .output()?;
        // A script for a shell: `OIDC_SOCK=PATH; export OIDC_SOCK;` and the like.
        let script = String::from_utf8(output.stdout)?;
        let variable = |name: &str| {
            let said = script
                .lines()
                .find_map(|line| line.strip_prefix(name)?.split(';').next());
            said.map(str::to_owned)
                .ok_or("oidc-agent said something else")
        };
        let agent = Self {
            home,
            socket: variable("OIDC_SOCK=")?.into(),
            process: variable("OIDCD_PID=")?,
        };
        let issuer = format!("--issuer={}", indulgent::serve("fake-access-token")?);
        let generated = agent
            .command("oidc-gen")
            .args(["--manual", &issuer, "--client-id=bench", "--client-secret="])
            .args([
                "--refresh-token=fake",
                "--scope=openid offline_access",
                "--prompt=none",
            ])
            .args(["--pw-cmd=echo fake", "--confirm-default", "bench"])
            .output()?;
        if !generated.status.success() {
            return Err(format!("oidc-gen: {generated:?}").into());
        }
        Ok(agent)
    }

    /// Asks the agent for the token.
    pub fn token(&self) -> Command {
        let mut command = self.command("oidc-token");
        command.arg("bench");
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("HOME", self.home.path())
            .env("OIDC_SOCK", &self.socket)
            .env("OIDCD_PID", &self.process);
        command
    }
}

impl Drop for OidcAgent {
    fn drop(&mut self) {
        drop(self.command("oidc-agent").arg("-k").output());
    }
}
