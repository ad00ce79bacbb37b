//! A user's machine: an authorization server, a folder for state on a real disk, `vault-cli`.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use vault_core::platform::store::{KeySource, StoreKind};
use vault_core::{Session, Vault};

use crate::Result;

/// The tests' strict authorization server, as a process of its own.
pub struct Server {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pub issuer: String,
}

impl Server {
    /// Its tokens live for a day unless the options say otherwise.
    pub fn start(options: &[&str]) -> Result<Self> {
        let mut process = Command::new(program("VAULT_BENCH_SERVER")?)
            .args(["--access-token-lifetime", "86400"])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().ok_or("a pipe")?);
        let mut server = Self {
            process,
            orders,
            answers,
            issuer: String::new(),
        };
        server.issuer = text(&server.answer()?, "issuer")?;
        Ok(server)
    }

    /// A refresh token of a new login.
    pub fn issue(&mut self) -> Result<String> {
        writeln!(self.orders.as_mut().ok_or("a pipe")?, "login")?;
        text(&self.answer()?, "refresh_token")
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.orders = None;
        drop(self.process.wait());
    }
}

fn text(answer: &Value, name: &str) -> Result<String> {
    let text = answer[name]
        .as_str()
        .ok_or("the server said something else")?;
    Ok(text.to_owned())
}

/// A program that `tests/bench/run` has built.
pub fn program(variable: &str) -> Result<PathBuf> {
    let path = std::env::var_os(variable).ok_or_else(|| format!("{variable} is not set"))?;
    Ok(path.into())
}

/// A program as it is installed.
pub fn installed(name: &str) -> Result<PathBuf> {
    Ok(program("VAULT_BENCH_INSTALLED")?.join(name))
}

/// A program that lies beside this one.
pub fn beside(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// A state folder, and the store of its logins.
pub struct Place {
    folder: TempDir,
    store: StoreKind,
}

impl Place {
    /// On the disk that the programs lie on: a file system in memory would make each `fsync` free.
    pub fn new(store: StoreKind) -> Result<Self> {
        let folder = tempfile::tempdir_in(beside("")?)?;
        std::fs::write(folder.path().join("key"), "5a".repeat(32))?;
        restrict(&folder.path().join("key"))?;
        Ok(Self { folder, store })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    fn key(&self) -> PathBuf {
        self.folder().join("key")
    }

    /// `vault-cli`, in this place.
    pub fn vault_cli(&self, arguments: &[&str]) -> Command {
        self.command(&installed("vault-cli").unwrap_or_default(), arguments)
    }

    /// The same with another build of it.
    pub fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("VAULT_STATE_DIR", self.state());
        if self.store == StoreKind::EncryptedFile {
            command
                .env("VAULT_STORE", "encrypted-file")
                .env("VAULT_KEY_FILE", self.key());
        }
        command
    }

    /// Logs in to `vault-cli`'s profile.
    pub fn log_in(&self, server: &mut Server, profile: &str) -> Result<()> {
        let mut command = self.vault_cli(&["--profile", profile, "import"]);
        command.args(["--issuer", &server.issuer, "--client-id", "vault-cli"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let mut input = child.stdin.take().ok_or("a pipe")?;
        writeln!(input, "{}", server.issue()?)?;
        drop(input);
        if !child.wait()?.success() {
            return Err("the login failed".into());
        }
        Ok(())
    }

    /// The same login, in this process.
    pub fn session(&self, profile: &str) -> Result<Session> {
        open(&self.state(), &self.key(), self.store, profile)
    }

    /// The arguments of [`open`] for another process.
    pub fn arguments(&self, profile: &str) -> [PathBuf; 4] {
        let store = self.store.to_string();
        [self.state(), self.key(), store.into(), profile.into()]
    }
}

/// Opens `vault-cli`'s vault in a place.
pub fn open(state: &Path, key: &Path, store: StoreKind, profile: &str) -> Result<Session> {
    let mut builder = Vault::builder("vault-cli").state_root(state).store(store);
    if store == StoreKind::EncryptedFile {
        builder = builder.key_source(KeySource::KeyFile(key.to_owned()));
    }
    Ok(builder.open()?.session(profile)?)
}

fn restrict(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(0o600),
    )?)
}
