//! What every command works with: the options, the output, and the vault that
//! they open.

use std::path::Path;

use vault_core::platform::store::{Interaction, KeySource, KeychainOptions, StoreKind};
use vault_core::refresh::policy::RotationPolicy;
use vault_core::{Session, Vault};

use crate::args::Options;
use crate::failure::{Failure, Problem};
use crate::input;
use crate::output::Output;
use crate::terminal;

/// The options and where to print.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) options: Options,
    pub(crate) output: Output,
}

impl Context {
    pub(crate) fn new(options: Options) -> Self {
        let output = Output {
            json: options.json,
            quiet: options.quiet,
            verbose: options.verbose,
        };
        Self { options, output }
    }

    /// The vault of the application.
    pub(crate) fn vault(&self) -> Result<Vault, Problem> {
        self.open(None, None)
    }

    /// The session of the profile.
    pub(crate) fn session(&self) -> Result<Session, Problem> {
        Ok(self.vault()?.session(&self.options.profile)?)
    }

    /// The session for a new login, which trusts this certificate authority and
    /// records this rotation policy.
    pub(crate) fn session_for_login(
        &self,
        ca_cert: Option<&Path>,
        rotation: Option<RotationPolicy>,
    ) -> Result<Session, Problem> {
        Ok(self
            .open(ca_cert, rotation)?
            .session(&self.options.profile)?)
    }

    pub(crate) fn explain(&self, error: &vault_core::Error) -> Failure {
        Failure::explain(error, &self.options)
    }

    fn open(
        &self,
        ca_cert: Option<&Path>,
        rotation: Option<RotationPolicy>,
    ) -> Result<Vault, Problem> {
        let options = &self.options;
        let attended = terminal::is_attended();
        let mut builder = Vault::builder(&options.app)
            .user_agent(concat!("vault-cli/", env!("CARGO_PKG_VERSION")))
            .keychain(KeychainOptions {
                access_group: options.keychain_access_group.clone(),
                user_presence: options.keychain_user_presence,
            })
            .interaction(if attended {
                Interaction::Allowed
            } else {
                Interaction::Forbidden
            });
        if let Some(store) = options.store {
            builder = builder.store(store);
        }
        if let Some(folder) = &options.state_dir {
            builder = builder.state_root(folder);
        }
        if let Some(key) = &options.key_file {
            builder = builder.key_source(KeySource::KeyFile(key.clone()));
        } else if let Some(file) = &options.passphrase_file {
            builder = builder.key_source(KeySource::PassphraseFile(file.clone()));
        } else if options.store == Some(StoreKind::EncryptedFile) && attended {
            let passphrase = terminal::ask_secret("Passphrase of the encrypted-file store: ")?;
            builder = builder.key_source(KeySource::Passphrase(passphrase));
        }
        if let Some(path) = ca_cert {
            builder = builder.ca_certificate(input::certificate(path)?);
        }
        if let Some(rotation) = rotation {
            builder = builder.rotation_policy(rotation);
        }
        Ok(builder.open()?)
    }
}
