//! Where the soak takes place: two servers, one vault, a login with each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use vault_core::enrolment::Import;
use vault_core::platform::secret::SecretString;
use vault_core::platform::store::{Interaction, KeySource, StoreKind, create_key_file};
use vault_core::refresh::policy::RotationPolicy;
use vault_core::{RefreshToken, Session, Vault};

use super::Failure;
use crate::server::{AuthorizationServer, DEFAULT_CLIENT_ID, Rotation, ServerConfig};

const APPLICATION: &str = "com.example.soak";

/// How long the second server takes a used token again, and how long the vault
/// makes use of that.
const GRACE: Duration = Duration::from_secs(30);
const WINDOW: Duration = Duration::from_secs(25);
const RETRIES: u32 = 3;

/// Answers take this long, so that a kill finds a rotation under way.
const LATENCY: Duration = Duration::from_millis(5);

/// What becomes of a refresh token that comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The login is revoked.
    Strict,
    /// For a while it is taken again.
    Window,
}

/// One login, and its server.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) kind: Kind,
    pub(super) profile: &'static str,
    pub(super) server: AuthorizationServer,
    pub(super) session: Session,
    folder: PathBuf,
}

/// Everything that the processes share.
#[derive(Debug)]
pub(super) struct Place {
    folder: tempfile::TempDir,
    logins: Vec<Login>,
}

impl Place {
    pub(super) fn make(lifetime: Duration) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("vault-soak-").tempdir()?;
        create_key_file(&key_file(folder.path()))?;
        let rotations = [
            (Kind::Strict, "strict", Rotation::Strict),
            (Kind::Window, "window", Rotation::Grace(GRACE)),
        ];
        let mut logins = Vec::new();
        for (kind, profile, rotation) in rotations {
            let server = AuthorizationServer::start(ServerConfig {
                rotation,
                access_token_lifetime: lifetime,
                latency: LATENCY,
                ..ServerConfig::default()
            });
            let policy = match kind {
                Kind::Strict => RotationPolicy::strict(),
                Kind::Window => RotationPolicy::window(WINDOW, RETRIES),
            };
            let vault = open(&state_root(folder.path()), &key_file(folder.path()), policy)?;
            let session = vault.session(profile)?;
            let token = RefreshToken::new(SecretString::from(server.issue_login().refresh_token));
            let import = Import::from_issuer(server.issuer(), DEFAULT_CLIENT_ID);
            session.blocking().import(import, token)?;
            logins.push(Login {
                kind,
                profile,
                server,
                session,
                folder: state_root(folder.path()).join(APPLICATION).join(profile),
            });
        }
        Ok(Self { folder, logins })
    }

    pub(super) fn logins(&self) -> &[Login] {
        &self.logins
    }

    pub(super) fn login(&self, kind: Kind) -> Option<&Login> {
        self.logins.iter().find(|login| login.kind == kind)
    }

    pub(super) fn state_root(&self) -> PathBuf {
        state_root(self.folder.path())
    }

    pub(super) fn key_file(&self) -> PathBuf {
        key_file(self.folder.path())
    }
}

impl Login {
    /// The process that has sent the refresh token, or is about to, and has
    /// not committed what came of it: what the mark says.
    pub(super) fn in_flight(&self) -> Option<u32> {
        let mark = std::fs::read(self.folder.join("mark")).ok()?;
        let mark: serde_json::Value = serde_json::from_slice(&mark).ok()?;
        u32::try_from(mark.get("process")?.as_u64()?).ok()
    }
}

/// The vault of the soak. The policy is recorded with the login.
pub(super) fn open(
    state_root: &Path,
    key_file: &Path,
    policy: RotationPolicy,
) -> Result<Vault, vault_core::Error> {
    Vault::builder(APPLICATION)
        .state_root(state_root)
        .store(StoreKind::EncryptedFile)
        .key_source(KeySource::KeyFile(key_file.to_owned()))
        .interaction(Interaction::Forbidden)
        .rotation_policy(policy)
        .open()
}

fn state_root(folder: &Path) -> PathBuf {
    folder.join("state")
}

fn key_file(folder: &Path) -> PathBuf {
    folder.join("key")
}
