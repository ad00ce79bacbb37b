//! What every command works with: the options, the output, and the vault that
//! they open.

use std::path::Path;

use vault_core::known_servers::KnownServers;
use vault_core::platform::store::{Interaction, KeySource, KeychainOptions, StoreKind};
use vault_core::{Session, Vault, VaultBuilder};

use crate::args::{Options, Server};
use crate::failure::{Failure, Problem};
use crate::input;
use crate::nearest;
use crate::output::Output;
use crate::terminal;

/// What stands for every application.
const ALL: &str = "*";

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

    /// The same for another application.
    pub(crate) fn of_application(&self, app: &str) -> Self {
        let mut options = self.options.clone();
        app.clone_into(&mut options.app);
        Self::new(options)
    }

    /// The same for another profile.
    pub(crate) fn of_profile(&self, profile: &str) -> Self {
        let mut options = self.options.clone();
        profile.clone_into(&mut options.profile);
        Self::new(options)
    }

    /// Whether every application is meant.
    pub(crate) fn is_of_all(&self) -> bool {
        self.options.app == ALL
    }

    /// A context for each application that is meant.
    pub(crate) fn applications(&self) -> Result<Vec<Self>, Problem> {
        if !self.is_of_all() {
            return Ok(vec![self.of_application(&self.options.app)]);
        }
        let names = Vault::applications(self.options.state_dir.as_deref())?;
        Ok(names.iter().map(|name| self.of_application(name)).collect())
    }

    /// The vault of the application.
    pub(crate) fn vault(&self) -> Result<Vault, Problem> {
        Ok(self.builder(None, Asks::ToRead)?.open()?)
    }

    /// The vault for a command that opens no store, so that nobody is asked for
    /// its passphrase.
    pub(crate) fn vault_without_store(&self) -> Result<Vault, Problem> {
        Ok(self.builder(None, Asks::Never)?.open()?)
    }

    /// The vault for a move to another store, whose key may be needed too.
    pub(crate) fn vault_for_migration(&self, to: StoreKind) -> Result<Vault, Problem> {
        let asks = Asks::ToStore(Some(to));
        Ok(self.builder(None, asks)?.open()?)
    }

    /// The same with the encrypted-file store's passphrase at hand, even while
    /// its key is remembered.
    pub(crate) fn vault_with_passphrase(&self) -> Result<Vault, Problem> {
        Ok(self.builder(None, Asks::Always)?.open()?)
    }

    /// The session of the profile.
    pub(crate) fn session(&self) -> Result<Session, Problem> {
        Ok(self.vault()?.session(&self.options.profile)?)
    }

    /// The session of the profile, whose store is to be proved by storing
    /// something there.
    pub(crate) fn session_for_proof(&self) -> Result<Session, Problem> {
        let vault = self.builder(None, Asks::ToStore(None))?.open()?;
        Ok(vault.session(&self.options.profile)?)
    }

    /// The session for a new login at a server of which this was said.
    pub(crate) fn session_for_login(&self, server: &Server) -> Result<Session, Problem> {
        let asks = Asks::ToStore(None);
        let mut builder = self.builder(server.ca_cert.as_deref(), asks)?;
        if let Some(rotation) = server.rotation {
            builder = builder.rotation_policy(rotation);
        }
        let known = known_servers(server.issuers_file.as_deref())?;
        let vault = builder.known_servers(known).open()?;
        Ok(vault.session(&self.options.profile)?)
    }

    pub(crate) fn explain(&self, error: &vault_core::Error) -> Failure {
        self.suggesting(Failure::explain(error, &self.options))
    }

    /// Why a command failed.
    pub(crate) fn explain_problem(&self, problem: Problem) -> Failure {
        self.suggesting(problem.explain(&self.options))
    }

    /// Asks whether a profile of another name was meant, where nobody has
    /// logged in to this one.
    fn suggesting(&self, mut failure: Failure) -> Failure {
        if failure.code != "not_logged_in" {
            return failure;
        }
        let known = self
            .vault_without_store()
            .and_then(|vault| Ok(vault.profiles()?));
        let known = known.unwrap_or_default();
        let names: Vec<_> = known.iter().map(|(name, _)| name.as_str()).collect();
        if let Some(name) = nearest::of(&self.options.profile, &names) {
            failure.hint = format!("did you mean `--profile {name}`? Else {}", failure.hint);
        }
        failure
    }

    fn builder(&self, ca_cert: Option<&Path>, asks: Asks) -> Result<VaultBuilder, Problem> {
        let options = &self.options;
        let attended = terminal::is_attended();
        let mut keychain = KeychainOptions::default();
        keychain
            .access_group
            .clone_from(&options.keychain_access_group);
        keychain.user_presence = options.keychain_user_presence;
        let mut builder = Vault::builder(&options.app)
            .user_agent(concat!("vault-cli/", env!("CARGO_PKG_VERSION")))
            .keychain(keychain)
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
        if let Some(time) = options.remember {
            builder = builder.remember_key(time);
        }
        if let Some(key) = self.key_source(asks)? {
            builder = builder.key_source(key);
        }
        if let Some(path) = ca_cert {
            builder =
                builder.ca_certificate(input::certificate(path, "--ca-cert` (or `VAULT_CA_CERT")?);
        }
        Ok(builder)
    }

    /// The key of the encrypted-file store: from the file that is named, from a
    /// credential of systemd, or from a person.
    fn key_source(&self, asks: Asks) -> Result<Option<KeySource>, Problem> {
        let options = &self.options;
        if let Some(file) = &options.key_file {
            return Ok(Some(KeySource::KeyFile(file.clone())));
        }
        if let Some(file) = &options.passphrase_file {
            return Ok(Some(KeySource::PassphraseFile(file.clone())));
        }
        if let Some(folder) = &options.credentials_directory {
            let (key, passphrase) = (folder.join("vault-key"), folder.join("vault-passphrase"));
            if key.exists() {
                return Ok(Some(KeySource::KeyFile(key)));
            }
            if passphrase.exists() {
                return Ok(Some(KeySource::PassphraseFile(passphrase)));
            }
        }
        if !terminal::is_attended() {
            return Ok(None);
        }
        let (to, stores) = match asks {
            Asks::Never => return Ok(None),
            Asks::Always => return Self::asked_for_passphrase(),
            Asks::ToRead => (None, false),
            Asks::ToStore(to) => (to, true),
        };
        let vault = self.plain_vault();
        let knows = |is: fn(&Vault) -> Result<bool, vault_core::Error>| {
            vault.as_ref().ok().and_then(|vault| is(vault).ok())
        };
        if !self.uses_passphrase(to) || knows(Vault::store_key_is_remembered) == Some(true) {
            return Ok(None);
        }
        // What can't be read is there, and is told as it is when it is opened.
        if !stores || knows(Vault::has_store_key) != Some(false) {
            return Self::asked_for_passphrase();
        }
        let prompt = "New passphrase, for the encrypted-file store: ";
        let passphrase = terminal::ask_new_passphrase(prompt)?;
        Ok(Some(KeySource::Passphrase(passphrase)))
    }

    fn asked_for_passphrase() -> Result<Option<KeySource>, Problem> {
        let passphrase = terminal::ask_secret("Passphrase of the encrypted-file store: ")?;
        Ok(Some(KeySource::Passphrase(passphrase)))
    }

    /// Whether a store that is to be opened is the encrypted-file store: the
    /// one that was named, the one that the profile is in, or the one that it
    /// moves to.
    fn uses_passphrase(&self, to: Option<StoreKind>) -> bool {
        let pinned = || {
            let session = self.plain_vault()?.session(&self.options.profile)?;
            session.pinned_store()
        };
        let from = match (to, self.options.store) {
            (None, Some(named)) => Some(named),
            _ => pinned().ok().flatten(),
        };
        [from, to].contains(&Some(StoreKind::EncryptedFile))
    }

    /// The vault as far as it needs no key. What fails here fails again, and
    /// is told, when the vault is opened.
    fn plain_vault(&self) -> Result<Vault, vault_core::Error> {
        let mut builder = Vault::builder(&self.options.app);
        if let Some(folder) = &self.options.state_dir {
            builder = builder.state_root(folder);
        }
        builder.open()
    }
}

/// When a person is asked for the encrypted-file store's passphrase.
#[derive(Clone, Copy, Debug)]
enum Asks {
    Never,
    /// Where that store is opened; not while the kernel holds its key.
    ToRead,
    /// The same, and twice where it has no key yet: for a new passphrase. It may
    /// be the store that the profile moves to.
    ToStore(Option<StoreKind>),
    Always,
}

/// The built-in list of servers, behind that of the file.
pub(crate) fn known_servers(file: Option<&Path>) -> Result<KnownServers, Problem> {
    let built_in = KnownServers::built_in();
    Ok(match file {
        None => built_in,
        Some(path) => KnownServers::read(&input::known_servers(path)?)?.and(built_in),
    })
}
