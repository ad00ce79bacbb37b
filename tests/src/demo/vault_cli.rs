//! The real `vault-cli`, and what it says about the demo's login.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Failure;
use super::place::{PROFILE, Place};
use super::progress::Progress;

/// The program.
#[derive(Debug)]
pub(super) struct VaultCli {
    path: PathBuf,
}

impl VaultCli {
    /// Finds the program beside this one. Under cargo it is built first, so
    /// that it is there and not an old one.
    pub(super) fn find(progress: &Progress) -> Result<Self, Failure> {
        let here = std::env::current_exe()?;
        let folder = here.parent().ok_or("this program lies in no folder")?;
        if let Some(cargo) = environment("CARGO") {
            let _busy = progress.busy("Building vault-cli…");
            build(cargo, folder)?;
        }
        let path = folder.join(format!("vault-cli{}", std::env::consts::EXE_SUFFIX));
        match path.is_file() {
            true => Ok(Self { path }),
            false => Err(format!(
                "there is no {}; `cargo build -p vault-cli` makes it",
                path.display()
            )
            .into()),
        }
    }

    /// Runs it on the demo's login, for a person to read.
    pub(super) fn say(&self, place: &Place, arguments: &[&str]) -> Result<(), Failure> {
        let mut stdout = std::io::stdout();
        writeln!(stdout, "\n$ vault-cli {}", arguments.join(" "))?;
        stdout.flush()?;
        let mut command = Command::new(&self.path);
        // What the user has set for logins of their own is not meant here.
        for variable in ["VAULT_PASSPHRASE_FILE", "VAULT_CA_CERT", "VAULT_KEY_FILE"] {
            command.env_remove(variable);
        }
        if let Some(key_file) = place.key_file() {
            command.env("VAULT_KEY_FILE", key_file);
        }
        let status = command
            .env("VAULT_STATE_DIR", place.state_root())
            .args(["--app", place.application(), "--profile", PROFILE])
            .args(["--store", place.store().as_str()])
            .args(arguments)
            .stdin(Stdio::null())
            .status()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("`vault-cli {}`: {status}", arguments.join(" ")).into()),
        }
    }
}

/// Has cargo build it with the settings that this program was built with.
fn build(cargo: OsString, folder: &Path) -> Result<(), Failure> {
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "vault-cli"]);
    if let Some(workspace) = environment("CARGO_MANIFEST_DIR") {
        command.current_dir(workspace);
    }
    // What cargo tells a program of its package would make ring's build script
    // run again, and all that needs ring compile again, each time.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => {}
        Some(profile) => {
            command.args(["--profile", profile]);
        }
    }
    let status = command.stdin(Stdio::null()).status()?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("vault-cli could not be built: {status}").into()),
    }
}

fn environment(name: &str) -> Option<OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is a program; cargo tells so where it is"
    )]
    std::env::var_os(name)
}
