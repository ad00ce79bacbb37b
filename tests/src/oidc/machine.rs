//! A person's machine: a home, a state folder, the key of an encrypted-file store, and vault-cli.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use vault_core::platform::store::{Interaction, KeySource, StoreKind, create_key_file};
use vault_core::{RefreshToken, Vault};

use super::Failure;

/// A machine that nobody has logged in on.
#[derive(Debug)]
pub(super) struct Machine {
    folder: TempDir,
}

/// What vault-cli said, and how it ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// A vault-cli that is running.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    said: String,
}

impl Machine {
    pub(super) fn new() -> Result<Self, Failure> {
        let machine = Self {
            folder: tempfile::tempdir()?,
        };
        create_key_file(&machine.key_file())?;
        Ok(machine)
    }

    pub(super) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(super) fn key_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// A file of this name on it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command<A: AsRef<str>>(&self, arguments: &[A]) -> Result<Command, Failure> {
        let mut command = Command::new(program()?);
        command
            .args(arguments.iter().map(AsRef::as_ref))
            .env_clear()
            .env("HOME", self.folder.path())
            .env("VAULT_STATE_DIR", self.state())
            .env("VAULT_STORE", "encrypted-file")
            .env("VAULT_KEY_FILE", self.key_file())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }

    /// Runs it to its end.
    pub(super) fn run<A: AsRef<str>>(&self, arguments: &[A]) -> Result<Said, Failure> {
        Ok(self.command(arguments)?.output()?.into())
    }

    /// The same with this standard input.
    pub(super) fn run_with_input<A: AsRef<str>>(
        &self,
        arguments: &[A],
        input: &str,
    ) -> Result<Said, Failure> {
        let mut child = self.command(arguments)?.stdin(Stdio::piped()).spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that refuses earlier does not read it.
            stdin.write_all(input.as_bytes()).ok();
        }
        Ok(child.wait_with_output()?.into())
    }

    /// Starts it, to read its standard error line by line.
    pub(super) fn start<A: AsRef<str>>(&self, arguments: &[A]) -> Result<Running, Failure> {
        let mut child = self.command(arguments)?.spawn()?;
        let stderr = child.stderr.take().ok_or("no standard error")?;
        Ok(Running {
            child,
            stderr: BufReader::new(stderr),
            said: String::new(),
        })
    }

    /// The refresh token as it is stored now.
    pub(super) fn stored_refresh_token(&self) -> Result<RefreshToken, Failure> {
        let vault = Vault::builder("vault-cli")
            .state_root(self.state())
            .store(StoreKind::EncryptedFile)
            .key_source(KeySource::KeyFile(self.key_file()))
            .interaction(Interaction::Forbidden)
            .open()?;
        let stored = vault.session("default")?.blocking().inspect()?;
        Ok(stored.refresh_token)
    }
}

impl Running {
    /// The first line of standard error that starts so; `None` if none does.
    pub(super) fn line_that_starts_with(&mut self, start: &str) -> Result<Option<String>, Failure> {
        loop {
            let mut line = String::new();
            if self.stderr.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            self.said.push_str(&line);
            if line.starts_with(start) {
                return Ok(Some(line.trim_end().to_owned()));
            }
        }
    }

    /// Waits for the end.
    pub(super) fn finish(mut self) -> Result<Said, Failure> {
        self.stderr.read_to_string(&mut self.said)?;
        let said = Said::from(self.child.wait_with_output()?);
        Ok(Said {
            stderr: self.said,
            ..said
        })
    }
}

impl Said {
    /// Itself, if it succeeded.
    pub(super) fn done(self, what: &str) -> Result<Self, Failure> {
        match self.code {
            Some(0) => Ok(self),
            _ => Err(format!("{what}: {self}").into()),
        }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_default()
    }

    /// The error's code, where it was asked for with `--json`.
    pub(super) fn error(&self) -> String {
        let code = &self.json()["error"]["code"];
        code.as_str().unwrap_or_default().to_owned()
    }
}

impl std::fmt::Display for Said {
    /// How it ended and what it complained of; standard output may be a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.code.unwrap_or(-1);
        let error = &self.json()["error"];
        write!(f, "exit code {code}, {}", self.stderr.trim())?;
        match error.is_null() {
            true => Ok(()),
            false => write!(f, " {error}"),
        }
    }
}

impl From<std::process::Output> for Said {
    fn from(output: std::process::Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// vault-cli, which lies beside this program.
fn program() -> Result<PathBuf, Failure> {
    let here = std::env::current_exe()?;
    let folder = here.parent().unwrap_or(Path::new("."));
    let path = folder.join(format!("vault-cli{}", std::env::consts::EXE_SUFFIX));
    match path.is_file() {
        true => Ok(path),
        false => Err(format!(
            "there is no {}; `cargo build -p vault-cli` makes it",
            path.display()
        )
        .into()),
    }
}
