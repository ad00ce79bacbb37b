//! A user's machine: the real `vault-cli` and all that it can see. Everything that it says is kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use vault_core::platform::random;
use vault_core::platform::store::{
    self, Interaction, KeySource, SecretStore, StoreErrorKind, StoreKind, StoreOptions,
};

use super::Failure;
use super::kept::{self, Kind, Place};
use super::watch::Watch;
use crate::server::browser;

/// The application that `vault-cli` stands for.
const APPLICATION: &str = "vault-cli";

/// A machine, watched as long as it is there.
#[derive(Debug)]
pub struct Machine {
    program: PathBuf,
    folder: tempfile::TempDir,
    watch: Option<Watch>,
}

impl Machine {
    /// A new one, whose program lies beside this one.
    ///
    /// # Errors
    ///
    /// If there is no program, or no folder can be made.
    pub fn new() -> Result<Self, Failure> {
        let here = std::env::current_exe()?;
        let program = here.with_file_name("vault-cli");
        if !program.is_file() {
            return Err("there is no vault-cli; `cargo build -p vault-cli` makes it".into());
        }
        let mut machine = Self {
            program,
            folder: tempfile::tempdir()?,
            watch: None,
        };
        for folder in ["home", "tmp", "state"] {
            std::fs::create_dir(machine.path(folder))?;
        }
        let key: [u8; 32] = random::bytes();
        machine.private_file("key", &key)?;
        kept::secret(Kind::StoreKey, key);
        machine.watch = Some(Watch::of_files(
            &machine.path("tmp"),
            &machine.path("state"),
        ));
        Ok(machine)
    }

    /// A path of the machine's.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A private file in the home folder, which no place is.
    ///
    /// # Errors
    ///
    /// If it can't be written.
    pub fn private_file(&self, name: &str, contents: &[u8]) -> Result<String, Failure> {
        let path = self.path(name);
        store::create_key_file(&path)?;
        std::fs::write(&path, contents)?;
        path.into_os_string()
            .into_string()
            .map_err(|_| "a path that is no text".into())
    }

    /// The program at its most talkative, not started yet.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("VAULT_STATE_DIR", self.path("state"))
            .env("VAULT_STORE", "encrypted-file")
            .env("VAULT_KEY_FILE", self.path("key"))
            .env("RUST_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .arg("-vvvv")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program, and asks that it ends as is said.
    ///
    /// # Errors
    ///
    /// If it ends otherwise.
    pub fn run(&self, arguments: &[&str], ends: i32) -> Result<(), Failure> {
        self.run_with_input(arguments, b"", ends)
    }

    /// The same with this standard input.
    ///
    /// # Errors
    ///
    /// If it ends otherwise.
    pub fn run_with_input(
        &self,
        arguments: &[&str],
        input: &[u8],
        ends: i32,
    ) -> Result<(), Failure> {
        self.finish(self.start(self.command(arguments), input)?, arguments, ends)
    }

    /// Runs the program, however it ends.
    ///
    /// # Errors
    ///
    /// If it can't be started.
    pub fn run_anyhow(&self, arguments: &[&str]) -> Result<ExitStatus, Failure> {
        let child = self.start(self.command(arguments), b"")?;
        let output = child.wait_with_output()?;
        self.keep(arguments, &output.stdout, &output.stderr);
        Ok(output.status)
    }

    /// Starts a program and looks at it from outside.
    ///
    /// # Errors
    ///
    /// If it can't be started.
    pub fn start(&self, mut command: Command, input: &[u8]) -> Result<Child, Failure> {
        let mut child = command.spawn()?;
        if let Some(watch) = &self.watch {
            watch.look_at(child.id());
        }
        if let Some(mut stdin) = child.stdin.take() {
            // A program that refuses earlier does not read it.
            stdin.write_all(input).ok();
        }
        Ok(child)
    }

    /// Waits for the end and keeps what was said.
    ///
    /// # Errors
    ///
    /// If it ends otherwise than is said; a signal ends with its number below zero.
    pub fn finish(&self, child: Child, arguments: &[&str], ends: i32) -> Result<(), Failure> {
        let output = child.wait_with_output()?;
        self.keep(arguments, &output.stdout, &output.stderr);
        judge(arguments, output.status, ends, &output.stderr)
    }

    /// Logs in, with a browser or with a code that the server approves by itself.
    ///
    /// # Errors
    ///
    /// If it ends otherwise than is said.
    pub fn log_in(&self, issuer: &str, more: &[&str], ends: i32) -> Result<(), Failure> {
        let mut arguments = vec!["login", "--issuer", issuer, "--client-id", "vault-cli"];
        arguments.extend(["--scope", "offline_access", "--no-browser", "--no-qr"]);
        arguments.extend(more);
        let mut child = self.start(self.command(&arguments), b"")?;
        let mut said = String::new();
        if let Some(stderr) = child.stderr.take() {
            let mut stderr = BufReader::new(stderr);
            let mut line = String::new();
            while stderr.read_line(&mut line)? > 0 {
                said.push_str(&line);
                if line.starts_with("http") && !arguments.contains(&"device") {
                    let followed = browser::follow_in_background(line.trim_end());
                    stderr.read_to_string(&mut said)?;
                    if let Ok(Ok(page)) = followed.join() {
                        kept::output(Place::Page, page.body);
                    }
                }
                line.clear();
            }
        }
        let output = child.wait_with_output()?;
        self.keep(&arguments, &output.stdout, said.as_bytes());
        self.tell_stored_secrets()?;
        judge(&arguments, output.status, ends, said.as_bytes())
    }

    fn keep(&self, arguments: &[&str], stdout: &[u8], stderr: &[u8]) {
        let place = match arguments.contains(&"token") {
            true => Place::TokenStdout,
            false => Place::Stdout,
        };
        kept::output(place, stdout);
        kept::output(Place::Stderr, stderr);
    }

    /// Tells the secrets that no server knows: the keys that lie in the store.
    ///
    /// # Errors
    ///
    /// If the store can't be read.
    pub fn tell_stored_secrets(&self) -> Result<(), Failure> {
        let options = StoreOptions {
            state_root: Some(self.path("state")),
            key: Some(KeySource::KeyFile(self.path("key"))),
            ..StoreOptions::default()
        };
        let store = store::open(StoreKind::EncryptedFile, &options)?;
        tell_secrets_in(&*store, APPLICATION)
    }
}

/// Tells the keys among an application's items.
///
/// # Errors
///
/// If the store can't be read.
pub fn tell_secrets_in(store: &dyn SecretStore, application: &str) -> Result<(), Failure> {
    for item in store.list(application)? {
        for secret in store.get(&item)? {
            let fields: Value = serde_json::from_slice(secret.expose())?;
            for (name, kind) in [("key", Kind::SealingKey), ("dpop", Kind::DpopKey)] {
                if let Some(text) = fields[name].as_str() {
                    kept::secret(kind, URL_SAFE_NO_PAD.decode(text)?);
                }
            }
        }
    }
    Ok(())
}

/// The kernel's key ring; `None` where the kernel has none.
///
/// # Errors
///
/// If it has one that does not work.
pub fn key_ring() -> Result<Option<Arc<dyn SecretStore>>, Failure> {
    let ring = store::open(StoreKind::Keyutils, &StoreOptions::default())?;
    match ring.unlock(Interaction::Forbidden) {
        Ok(()) => Ok(Some(ring)),
        Err(error) if error.kind == StoreErrorKind::Missing => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.watch = None;
        kept::files(&self.path("state"));
        for path in kept::below(&self.path("home")) {
            kept::output(Place::State, std::fs::read(path).unwrap_or_default());
        }
    }
}

fn judge(arguments: &[&str], status: ExitStatus, ends: i32, stderr: &[u8]) -> Result<(), Failure> {
    use std::os::unix::process::ExitStatusExt;
    let ended = status
        .code()
        .or_else(|| status.signal().map(|number| -number));
    if ended == Some(ends) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(stderr);
    let end: Vec<&str> = said.lines().rev().take(3).collect();
    let line = arguments.join(" ");
    Err(format!("`vault-cli {line}` ended with {status}, not with {ends}: {end:?}").into())
}

/// The folder that a program of the run keeps things in.
///
/// # Errors
///
/// If nobody looks.
pub fn folder() -> Result<&'static Path, Failure> {
    kept::folder().ok_or_else(|| "no run looks for leaks".into())
}
