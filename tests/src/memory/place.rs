//! A server, a user's folder, and all the secrets that were ever there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use tempfile::TempDir;
use vault_core::enrolment::Import;
use vault_core::platform::store::{
    self, Interaction, ItemName, KeySource, StoreKind, StoreOptions, create_key_file,
};
use vault_core::refresh::policy::RotationPolicy;
use vault_core::{RefreshToken, Session};

use super::needle::Canary;
use super::table::{ACCESS_TOKEN, CLIENT_SECRET, DPOP_KEY, KEY_FILE, REFRESH_TOKEN, SEALING_KEY};
use crate::kills::worker::{Failure, Place as Opened};
use crate::server::{AuthorizationServer, Client, ClientAuthentication, ServerConfig};

/// Where `vault-cli` keeps its logins; the programs of the tests do as well.
const APPLICATION: &str = "vault-cli";
const PROFILE: &str = "default";

/// A client that has a secret, beside the public one.
pub(super) const CONFIDENTIAL: &str = "confidential";

/// Random characters: whatever is found of them was copied.
const TOKEN_LENGTH: usize = 96;

/// A server, a user's folder, and the secrets.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) server: AuthorizationServer,
    pub(super) client_secret: String,
    program: Option<PathBuf>,
    folder: TempDir,
    known: BTreeSet<(&'static str, Vec<u8>)>,
}

impl Place {
    /// Starts a server; nobody is logged in.
    pub(super) fn new(config: ServerConfig) -> Result<Self, Failure> {
        let client_secret = random_text();
        let mut config = ServerConfig {
            refresh_token_length: TOKEN_LENGTH,
            access_token_format: crate::server::AccessTokenFormat::Opaque {
                length: TOKEN_LENGTH,
            },
            ..config
        };
        config.clients.push(Client::confidential(
            CONFIDENTIAL,
            ClientAuthentication::SecretBasic(client_secret.clone()),
        ));
        let mut place = Self {
            server: AuthorizationServer::start(config),
            client_secret,
            program: None,
            folder: tempfile::tempdir()?,
            known: BTreeSet::new(),
        };
        create_key_file(&place.key_file())?;
        let hex = std::fs::read(place.key_file())?;
        let key = data_encoding::HEXLOWER.decode(hex.trim_ascii())?;
        place.know(KEY_FILE, key);
        place.know(CLIENT_SECRET, place.client_secret.clone());
        Ok(place)
    }

    /// The same, with a login.
    pub(super) fn logged_in() -> Result<Self, Failure> {
        let mut place = Self::new(ServerConfig::default())?;
        let token = place.issue();
        let import = Import::from_issuer(place.server.issuer(), crate::server::DEFAULT_CLIENT_ID);
        let session = place.session()?;
        session
            .blocking()
            .import(import, RefreshToken::new(token.into()))?;
        session.blocking().access_token()?;
        place.learn()?;
        Ok(place)
    }

    /// A refresh token for the default client.
    pub(super) fn issue(&mut self) -> String {
        self.issue_for(crate::server::DEFAULT_CLIENT_ID)
    }

    pub(super) fn issue_for(&mut self, client: &str) -> String {
        let login = self.server.issue_login_for(client);
        self.know(REFRESH_TOKEN, login.refresh_token.clone());
        login.refresh_token
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn key_file(&self) -> PathBuf {
        self.path().join("key")
    }

    fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// How a program of the tests opens the same vault.
    pub(super) fn opened(&self) -> Opened {
        Opened {
            application: APPLICATION.to_owned(),
            store: StoreKind::EncryptedFile,
            pinned: false,
            root: self.state(),
            key_file: self.key_file(),
            ahead_ms: 0,
            rebooted: false,
            policy: RotationPolicy::default(),
            // A look takes its time, and the lock may be held meanwhile.
            lock_timeout_ms: 60_000,
        }
    }

    fn session(&self) -> Result<Session, Failure> {
        Ok(self.opened().open()?)
    }

    /// The same with this `vault-cli`, instead of the one beside this program.
    pub(super) fn with(mut self, program: &Path) -> Self {
        self.program = Some(program.to_owned());
        self
    }

    /// `vault-cli` with this user's environment, not started.
    pub(super) fn vault_cli(&self, arguments: &[&str]) -> Result<Command, Failure> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => beside("vault-cli")?,
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.path())
            .env("VAULT_STATE_DIR", self.state())
            .env("VAULT_STORE", "encrypted-file")
            .env("VAULT_KEY_FILE", self.key_file())
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(command)
    }

    /// Reads what is stored now, to look for it from now on. What was known stays known.
    pub(super) fn learn(&mut self) -> Result<(), Failure> {
        let Ok(stored) = self.session()?.blocking().inspect() else {
            return Ok(());
        };
        self.know(REFRESH_TOKEN, stored.refresh_token.expose());
        for token in &stored.access_tokens {
            self.know(ACCESS_TOKEN, token.token.expose());
        }
        let options = StoreOptions {
            state_root: Some(self.state()),
            key: Some(KeySource::KeyFile(self.key_file())),
            ..StoreOptions::default()
        };
        let store = store::open(StoreKind::EncryptedFile, &options)?;
        store.unlock(Interaction::Forbidden)?;
        let item = ItemName::new(APPLICATION, format!("{PROFILE}#key"))?;
        for value in store.get(&item)? {
            let item: Value = serde_json::from_slice(value.expose())?;
            for (member, name) in [("key", SEALING_KEY), ("dpop", DPOP_KEY)] {
                if let Some(text) = item[member].as_str() {
                    self.know(name, URL_SAFE_NO_PAD.decode(text)?);
                }
            }
        }
        Ok(())
    }

    fn know(&mut self, name: &'static str, secret: impl Into<Vec<u8>>) {
        self.known.insert((name, secret.into()));
    }

    /// Every secret that is known.
    pub(super) fn canaries(&self) -> Vec<Canary> {
        let known = self.known.iter();
        known
            .map(|(name, secret)| Canary::new(name, secret.clone()))
            .collect()
    }
}

/// A program that cargo has put beside this one.
pub(super) fn beside(name: &str) -> Result<PathBuf, Failure> {
    let here = std::env::current_exe()?;
    let path = here.with_file_name(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(format!(
            "there is no {}; `tests/run --memory` builds it",
            path.display()
        )
        .into()),
    }
}

/// A secret of random characters.
pub(super) fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(vault_core::platform::random::bytes::<48>())
}
