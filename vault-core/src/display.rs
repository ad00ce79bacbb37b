//! What people read: `profile.json`, a copy for listing without unlocking
//! anything, and `history`, the chain of rotations. Neither holds a secret,
//! neither is ever an input to a request, and losing them loses nothing.

use serde::{Deserialize, Serialize};
use vault_platform::folder::StateFolder;

use crate::error::{Error, ErrorKind, Result};
use crate::identity::{Generation, LoginId};
use crate::record::{CacheKey, LoginRecord, VERSION};
use crate::secret_text::to_ascii_line;
use crate::storage::Storage;

const PROFILE: &str = "profile.json";
const HISTORY: &str = "history";

/// Past this size the older half of the history is dropped.
const HISTORY_LIMIT: usize = 256 * 1024;

/// How a login stands, as last written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LoginState {
    /// It works, as far as is known.
    LoggedIn,
    /// The server refused its refresh token.
    LoginRequired,
    /// The answer to its last rotation was lost.
    RotationUnconfirmed,
    /// It was logged out.
    LoggedOut,
}

/// The display copy of a profile. Times are milliseconds since the Unix epoch
/// by the wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfileSummary {
    v: u32,
    /// The profile's name.
    pub profile: String,
    /// How the login stands.
    pub state: LoginState,
    /// The account's name, where the server told it.
    pub account: Option<String>,
    /// The authorization server.
    pub issuer: String,
    /// The OAuth client.
    pub client_id: String,
    /// What the login asked for.
    pub scope: Vec<String>,
    /// The kind of store that holds the login.
    pub store: String,
    /// When the login's own access token expires, if it does.
    pub expires_at_ms: Option<u64>,
    /// How often the token was refreshed.
    pub generation: u64,
    /// When the login was made.
    pub logged_in_at_ms: u64,
    /// When the newest refresh token came.
    pub last_refresh_at_ms: u64,
}

impl ProfileSummary {
    /// The display copy of a login.
    pub(crate) fn of(storage: &Storage, record: &LoginRecord, state: LoginState) -> Self {
        let settings = &record.settings;
        let own_token = record.access(&CacheKey::default());
        Self {
            v: VERSION,
            profile: storage.names.profile.clone(),
            state,
            account: settings.account.clone(),
            issuer: settings.issuer.clone(),
            client_id: settings.client_id.clone(),
            scope: settings.scope.clone(),
            store: storage.store.store().kind().to_string(),
            expires_at_ms: own_token.and_then(|cached| cached.life.ends_at_wall_ms()),
            generation: record.generation.0,
            logged_in_at_ms: settings.logged_in.wall_ms,
            last_refresh_at_ms: record.refreshed.wall_ms,
        }
    }

    /// Reads the display copy. One that can't be read is as good as none; one
    /// of a newer version is an error.
    pub(crate) fn read(folder: &StateFolder) -> Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let Some(bytes) = folder.read(PROFILE, 1 << 20)? else {
            return Ok(None);
        };
        match serde_json::from_slice(bytes.expose()) {
            Ok(Version { v }) if v > VERSION => Err(Error::new(
                ErrorKind::NewerVersion,
                format!("profile.json was written by a newer version (format {v})"),
            )),
            Ok(_) => Ok(serde_json::from_slice(bytes.expose()).ok()),
            Err(_) => Ok(None),
        }
    }

    /// Writes the display copy, unless a newer version's lies there.
    pub(crate) fn write(&self, folder: &StateFolder) -> Result<()> {
        Self::read(folder)?;
        folder.replace(PROFILE, to_ascii_line(self).expose())?;
        Ok(())
    }

    /// Notes another state, and keeps the rest.
    pub(crate) fn restate(folder: &StateFolder, state: LoginState) -> Result<()> {
        if let Some(summary) = Self::read(folder)? {
            Self { state, ..summary }.write(folder)?;
        }
        Ok(())
    }
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HistoryEntry {
    v: u32,
    /// When, in milliseconds since the Unix epoch by the wall clock.
    pub at_ms: u64,
    /// What happened: `login`, `refresh`, `logout`.
    pub event: String,
    /// How it ended: `ok` or the failure's name.
    pub outcome: String,
    /// Which login.
    pub login: LoginId,
    /// The generation afterwards.
    pub generation: u64,
    /// Which process did it.
    pub process: u32,
}

impl HistoryEntry {
    pub(crate) fn new(
        at_ms: u64,
        event: &str,
        outcome: &str,
        login: LoginId,
        generation: Generation,
    ) -> Self {
        Self {
            v: VERSION,
            at_ms,
            event: event.to_owned(),
            outcome: outcome.to_owned(),
            login,
            generation: generation.0,
            process: std::process::id(),
        }
    }

    /// Appends the line; the caller holds the lock if `may_rotate`.
    pub(crate) fn append(&self, folder: &StateFolder, may_rotate: bool) -> Result<()> {
        folder.append(HISTORY, to_ascii_line(self).expose())?;
        if may_rotate
            && let Some(bytes) = folder.read(HISTORY, 16 * HISTORY_LIMIT)?
            && bytes.len() > HISTORY_LIMIT
        {
            let tail = &bytes.expose()[bytes.len() - HISTORY_LIMIT / 2..];
            let whole_lines = tail
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            folder.replace(HISTORY, &tail[whole_lines..])?;
        }
        Ok(())
    }

    /// Reads the history, oldest first. A line that can't be read is left out.
    pub(crate) fn read_all(folder: &StateFolder) -> Result<Vec<Self>> {
        let bytes = folder.read(HISTORY, 16 * HISTORY_LIMIT)?;
        Ok(bytes
            .as_ref()
            .map_or(&[][..], |bytes| bytes.expose())
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect())
    }
}
