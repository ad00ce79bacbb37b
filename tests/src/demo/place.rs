//! Where the demo keeps its login: the operating system's secure store if that
//! proves itself, an encrypted file if not. State lies in a temporary folder
//! either way.

use std::path::{Path, PathBuf};

use vault_core::platform::random;
use vault_core::platform::store::{Interaction, KeySource, StoreKind, create_key_file};
use vault_core::{Session, Vault};

use super::{Failure, TASKS, chain, tidying};
use crate::fleet::Assignment;

/// The profile that is logged in.
pub(super) const PROFILE: &str = "default";

/// A store, a folder and the login in them. Dropping it clears both as far as
/// that goes.
#[derive(Debug)]
pub(super) struct Place {
    application: String,
    store: StoreKind,
    why: String,
    /// `None` once it is cleared.
    session: Option<Session>,
    /// `None` once it is cleared.
    folder: Option<tempfile::TempDir>,
    state_root: PathBuf,
    key_file: Option<PathBuf>,
}

impl Place {
    /// Chooses the store, by proving it, and says why.
    pub(super) fn choose() -> Result<Self, Failure> {
        let suffix = data_encoding::HEXLOWER.encode(&random::bytes::<6>());
        let application = format!("com.example.vault-demo-{suffix}");
        let folder = tempfile::Builder::new().prefix("vault-demo-").tempdir()?;
        let state_root = folder.path().join("state");

        let native = StoreKind::native();
        let session = open(&application, &state_root, native, None)?;
        match session.blocking().prove_store() {
            Ok(proof) => Ok(Self {
                application,
                store: proof.kind,
                why: format!("{} gave back what was written to it", proof.provider),
                session: Some(session),
                folder: Some(folder),
                state_root,
                key_file: None,
            }),
            Err(error) => {
                // A store that failed half-way may hold what it was tried with.
                tidying::empty_store(native, &application, &state_root, None).ok();
                let key_file = folder.path().join("key");
                create_key_file(&key_file)?;
                let store = StoreKind::EncryptedFile;
                Ok(Self {
                    session: Some(open(&application, &state_root, store, Some(&key_file))?),
                    application,
                    store,
                    why: format!("in a temporary folder, because {}", reason(&error)),
                    folder: Some(folder),
                    state_root,
                    key_file: Some(key_file),
                })
            }
        }
    }

    /// Which store it is, and why.
    pub(super) fn description(&self) -> String {
        format!("{}: {}", self.store, self.why)
    }

    pub(super) fn session(&self) -> Result<&Session, Failure> {
        let session = self.session.as_ref();
        session.ok_or_else(|| "the login is cleared away".into())
    }

    pub(super) fn application(&self) -> &str {
        &self.application
    }

    pub(super) fn store(&self) -> StoreKind {
        self.store
    }

    pub(super) fn state_root(&self) -> &Path {
        &self.state_root
    }

    pub(super) fn key_file(&self) -> Option<&Path> {
        self.key_file.as_deref()
    }

    /// The same place, for another process.
    pub(super) fn assignment(&self) -> Assignment {
        Assignment {
            application: self.application.clone(),
            profile: PROFILE.to_owned(),
            state_root: self.state_root.clone(),
            store: Some(self.store),
            key_file: self.key_file.clone(),
            tasks: TASKS,
            lock_timeout_ms: 30_000,
            resources: Vec::new(),
            refused: false,
            faults: Vec::new(),
        }
    }

    /// Logs out, looks whether the store is empty, and removes the folder.
    /// Says what was found.
    pub(super) fn clear(&mut self) -> Result<String, Failure> {
        let Some(folder) = self.folder.take() else {
            return Ok("nothing was left to do".to_owned());
        };
        let logged_out = self.session().and_then(tidying::log_out);
        // Windows removes no folder of which a file is mapped.
        self.session = None;
        let key_file = self.key_file.as_deref();
        let left = tidying::empty_store(self.store, &self.application, &self.state_root, key_file)?;
        folder.close()?;
        let logged_out = logged_out?;
        match left.len() {
            0 => Ok(format!(
                "{logged_out}; the {} store lists nothing of {}; its folder is removed",
                self.store, self.application
            )),
            many => Err(format!(
                "the logout left {many} items in the {} store, which were deleted by hand: {}",
                self.store,
                left.join(", ")
            )
            .into()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever did not ask for it can't be told.
        self.clear().ok();
    }
}

/// Why the store did not prove itself, in the store's own words.
fn reason(error: &vault_core::Error) -> String {
    chain(std::error::Error::source(error).unwrap_or(error))
}

fn open(
    application: &str,
    state_root: &Path,
    store: StoreKind,
    key_file: Option<&Path>,
) -> Result<Session, vault_core::Error> {
    let mut builder = Vault::builder(application)
        .state_root(state_root)
        .store(store)
        // Nobody expects a demo to ask for a password.
        .interaction(Interaction::Forbidden);
    if let Some(key_file) = key_file {
        builder = builder.key_source(KeySource::KeyFile(key_file.to_owned()));
    }
    builder.open()?.session(PROFILE)
}
