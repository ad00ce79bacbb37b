//! One run's own authorization server, state folder and login.

use std::path::{Path, PathBuf};
use std::time::Duration;

use vault_core::enrolment::Import;
use vault_core::platform::clock::{Clock, SystemClock};
use vault_core::platform::folder::{FolderOptions, StateFolder};
use vault_core::platform::lock::LockFile;
use vault_core::platform::random;
use vault_core::platform::secret::SecretString;
use vault_core::platform::store::{self, StoreKind, StoreOptions};
use vault_core::refresh::policy::RotationPolicy;
use vault_core::{RefreshToken, Session};

use super::scenario::{Scenario, Work};
use super::worker::{APPLICATION, Failure, PROFILE, Place, pause, wanted};
use crate::server::{AuthorizationServer, Rotation, ServerConfig, fingerprint};
use crate::stand_in;

/// How long access tokens live. The clocks of the runs jump; nobody waits.
pub const LIFETIME: Duration = Duration::from_secs(300);

/// How long a process waits for another one.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// A server, a folder, and a login that has been refreshed once.
#[derive(Debug)]
pub struct Scene {
    /// The server.
    pub server: AuthorizationServer,
    /// The access token that is stored, as a fingerprint.
    pub token: String,
    /// The login's id.
    pub login: String,
    place: Place,
    _folder: tempfile::TempDir,
}

impl Scene {
    /// Starts a server and logs in.
    ///
    /// # Errors
    ///
    /// If the folder can't be made, or the login fails.
    pub fn logged_in(rotation: Rotation, policy: RotationPolicy) -> Result<Self, Failure> {
        let config = ServerConfig {
            rotation,
            ..ServerConfig::default()
        };
        Self::made(config, policy, StoreKind::EncryptedFile)
    }

    /// The same, as the scenario says.
    ///
    /// # Errors
    ///
    /// As [`Scene::logged_in`].
    pub fn of(scenario: &Scenario) -> Result<Self, Failure> {
        let config = ServerConfig {
            rotation: scenario.rotation(),
            refresh_token_length: scenario.token_length,
            ..ServerConfig::default()
        };
        let mut scene = Self::made(config, scenario.policy(), scenario.store)?;
        scene.place.pinned = scenario.work == Work::Migrate;
        let session = scene.place.open()?;
        for host in scenario.bound()[0] {
            session.blocking().bind(&host.parse()?)?;
        }
        scene.settle()?;
        Ok(scene)
    }

    fn made(
        config: ServerConfig,
        policy: RotationPolicy,
        store: StoreKind,
    ) -> Result<Self, Failure> {
        let server = AuthorizationServer::start(ServerConfig {
            access_token_lifetime: LIFETIME,
            ..config
        });
        let folder = folder()?;
        let key_file = folder.path().join("key");
        std::fs::write(&key_file, [7; 32])?;
        make_private(&key_file)?;
        let application = match store {
            StoreKind::EncryptedFile => APPLICATION.to_owned(),
            _ => format!("{APPLICATION}.{:016x}", u64::from_le_bytes(random::bytes())),
        };
        let place = Place {
            application,
            store,
            root: folder.path().join("state"),
            pinned: false,
            key_file,
            ahead_ms: 0,
            rebooted: false,
            policy,
            lock_timeout_ms: u64::try_from(LOCK_TIMEOUT.as_millis())?,
        };
        let session = place.open()?;
        import(&server, &session)?;
        let token = session.blocking().token(&wanted(0))?;
        let login = format!("{:?}", session.blocking().inspect()?.login_id);
        let scene = Self {
            token: fingerprint(token.access_token.expose()),
            login,
            server,
            place,
            _folder: folder,
        };
        scene.settle()?;
        Ok(scene)
    }

    /// Waits until this process's refreshes are over: they go on after a token was handed out.
    ///
    /// # Errors
    ///
    /// If the folder can't be opened, or a refresh never ends.
    pub fn settle(&self) -> Result<(), Failure> {
        let folder = self.place.root.join(&self.place.application).join(PROFILE);
        let Some(folder) = StateFolder::open(&folder, FolderOptions::default())? else {
            return Ok(());
        };
        let lock = LockFile::new(&folder, "lock");
        for _ in 0..20_000 {
            if lock.try_lock()?.is_some() {
                return Ok(());
            }
            pause(Duration::from_millis(1));
        }
        Err("a refresh holds the lock for ever".into())
    }

    /// The accounts that a store holds items of.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn accounts(&self, kind: StoreKind) -> Result<Vec<String>, Failure> {
        let place = &self.place;
        let (root, key_file) = (&place.root, &place.key_file);
        Ok(stand_in::accounts(
            kind,
            root,
            key_file,
            &place.application,
        )?)
    }

    /// The same vault, at a later time, perhaps after the machine was started again.
    #[must_use]
    pub fn place(&self, ahead: Duration, rebooted: bool) -> Place {
        Place {
            ahead_ms: u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX),
            rebooted,
            ..self.place.clone()
        }
    }

    /// Makes a further login, as a person would who was told to.
    ///
    /// # Errors
    ///
    /// If the login fails.
    pub fn log_in_again(&self, session: &Session) -> Result<(), Failure> {
        import(&self.server, session)
    }
}

impl Drop for Scene {
    /// Leaves nothing in a store that outlives the run.
    fn drop(&mut self) {
        if self.place.store == StoreKind::EncryptedFile {
            return;
        }
        if let Ok(store) = store::open(self.place.store, &StoreOptions::default()) {
            for item in store.list(&self.place.application).unwrap_or_default() {
                store.delete(&item).ok();
            }
        }
    }
}

fn import(server: &AuthorizationServer, session: &Session) -> Result<(), Failure> {
    let issued = server.issue_login();
    let token = RefreshToken::new(SecretString::from(issued.refresh_token));
    let server = Import::from_issuer(server.issuer(), "vault-cli");
    session.blocking().import(server, token)?;
    Ok(())
}

/// A folder in memory where there is one: what is tested is order, not the disk.
fn folder() -> std::io::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let mut named = tempfile::Builder::new();
    named.prefix("vault-kills-");
    match memory.is_dir() {
        true => named.tempdir_in(memory).or_else(|_| named.tempdir()),
        false => named.tempdir(),
    }
}

fn make_private(path: &PathBuf) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    let _ = path;
    Ok(())
}

/// Time since the machine was started.
pub(super) fn since_boot() -> Duration {
    SystemClock.since_boot()
}
