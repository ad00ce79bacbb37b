//! What people read: `profile.json`, a copy for listing without unlocking
//! anything, and `history`, the chain of rotations. Neither holds a secret,
//! neither is ever an input to a request, and losing them loses nothing. A
//! revocation is not made while `profile.json` tells of a login that it could end.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vault_platform::folder::StateFolder;

use crate::error::{Error, ErrorKind, Result};
use crate::identity::{Generation, LoginId};
use crate::life::milliseconds;
use crate::record::{CacheKey, LoginRecord, VERSION};
use crate::secret_text::to_ascii_line;
use crate::storage::{FIRST_GENERATION, Storage, folder_mark};

const PROFILE: &str = "profile.json";
const HISTORY: &str = "history";

/// Past this size the older half of the history is dropped.
const HISTORY_LIMIT: usize = 256 * 1024;

/// More missing lines than this mean that the history is of another time (a
/// backup that was put back): then it begins anew.
const MISSING_LIMIT: u64 = 1000;

const OK: &str = "ok";
const RECOVERED: &str = "recovered";

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
    /// The server refuses the client that it was made with.
    ClientRefused,
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
    /// The hosts that the login is bound to. What a helper may answer is read
    /// from the sealed file, not from here.
    #[serde(default)]
    pub bound_hosts: Vec<String>,
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
            bound_hosts: settings.bound_hosts.clone(),
        }
    }

    /// Reads the display copy, with the store from the pin itself.
    pub(crate) fn read_with_pin(folder: &StateFolder) -> Result<Option<Self>> {
        let Some(mut summary) = Self::read(folder)? else {
            return Ok(None);
        };
        if let Some(mark) = folder_mark(folder)? {
            summary.store = mark.store.to_string();
        }
        Ok(Some(summary))
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

    /// Notes another state, and keeps the rest. What is logged out stays so
    /// until the next login: a refresh that was under way may end later.
    pub(crate) fn restate(folder: &StateFolder, state: LoginState) -> Result<()> {
        match Self::read(folder)? {
            Some(summary) if summary.state != LoginState::LoggedOut => {
                Self { state, ..summary }.write(folder)
            }
            _ => Ok(()),
        }
    }
}

/// The name of this program's file.
fn program() -> Option<String> {
    let path = std::env::current_exe().ok()?;
    Some(path.file_name()?.to_string_lossy().into_owned())
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
    /// How it ended: `ok`, `refused`, `unconfirmed`; `recovered` for what a
    /// process committed that died before it could say so.
    pub outcome: String,
    /// Which login.
    pub login: LoginId,
    /// The generation afterwards.
    pub generation: u64,
    /// Which process did it; of what was recovered, the one that found it.
    pub process: u32,
    /// What that process ran: its file's name, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// How long a refresh took, from its mark to its commit, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
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
            program: program(),
            took_ms: None,
        }
    }

    /// The same, of something that took so long.
    pub(crate) fn taking(self, time: Option<Duration>) -> Self {
        Self {
            took_ms: time.map(milliseconds),
            ..self
        }
    }

    /// Whether the line is a link of the chain of rotations: a login, or a
    /// refresh that was committed. The links of one login count up by one.
    #[must_use]
    pub fn is_link(&self) -> bool {
        let made_one = matches!(self.event.as_str(), "login" | "refresh");
        made_one && matches!(self.outcome.as_str(), OK | RECOVERED)
    }

    /// Adds the links that are missing before `newest`, which is what is
    /// stored: a process committed them and died, or had no space left for
    /// the line. The caller holds the lock. `at_ms` is when the newest came.
    ///
    /// What is kept of a history is so unbroken, whoever was killed when.
    pub(crate) fn complete(
        folder: &StateFolder,
        login: LoginId,
        newest: Generation,
        at_ms: u64,
    ) -> Result<()> {
        let bytes = folder.read(HISTORY, 16 * HISTORY_LIMIT)?;
        let bytes = bytes.as_ref().map_or(&[][..], |bytes| bytes.expose());
        let last = Self::parse_all(bytes)
            .filter(|entry| entry.login == login && entry.is_link())
            .map(|entry| entry.generation)
            .max();
        let first = match last {
            Some(last) if newest.0.saturating_sub(last) <= MISSING_LIMIT => last.saturating_add(1),
            _ => newest.0,
        };
        if first > newest.0 {
            return Ok(());
        }
        if bytes.last().is_some_and(|byte| *byte != b'\n') {
            // Half a line, where the space ran out or the power failed.
            folder.append(HISTORY, b"")?;
        }
        for generation in first..=newest.0 {
            let event = match Generation(generation) {
                FIRST_GENERATION => "login",
                _ => "refresh",
            };
            Self::new(at_ms, event, RECOVERED, login, Generation(generation))
                .append(folder, false)?;
        }
        Ok(())
    }

    /// Appends the line, by one write, so that lines of several processes do
    /// not mix; the caller holds the lock if `may_rotate`.
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

    /// The name of the file.
    pub(crate) const FILE: &str = HISTORY;

    /// Reads the history as [`HistoryEntry::read_all`] does, and counts the lines
    /// that can't be read.
    pub(crate) fn read_counting(folder: &StateFolder) -> Result<(Vec<Self>, usize)> {
        let bytes = folder.read(HISTORY, 16 * HISTORY_LIMIT)?;
        let bytes = bytes.as_ref().map_or(&[][..], |bytes| bytes.expose());
        let entries: Vec<_> = Self::parse_all(bytes).collect();
        let lines = bytes.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.is_empty()).count();
        let unreadable = lines.saturating_sub(entries.len());
        Ok((entries, unreadable))
    }

    /// Reads the history, oldest first. A line that can't be read is left out.
    pub(crate) fn read_all(folder: &StateFolder) -> Result<Vec<Self>> {
        let bytes = folder.read(HISTORY, 16 * HISTORY_LIMIT)?;
        let bytes = bytes.as_ref().map_or(&[][..], |bytes| bytes.expose());
        Ok(Self::parse_all(bytes).collect())
    }

    fn parse_all(bytes: &[u8]) -> impl Iterator<Item = Self> {
        bytes
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: LoginId = LoginId([1; 16]);

    fn committed(folder: &StateFolder, generation: u64) {
        let event = if generation == 1 { "login" } else { "refresh" };
        HistoryEntry::new(generation, event, OK, LOGIN, Generation(generation))
            .append(folder, true)
            .unwrap();
    }

    fn links(folder: &StateFolder) -> Vec<(u64, String)> {
        HistoryEntry::read_all(folder)
            .unwrap()
            .into_iter()
            .filter(HistoryEntry::is_link)
            .map(|entry| (entry.generation, entry.outcome))
            .collect()
    }

    fn complete(folder: &StateFolder, newest: u64) {
        HistoryEntry::complete(folder, LOGIN, Generation(newest), 7).unwrap();
    }

    #[test]
    fn what_a_dead_process_committed_is_added_once() {
        let folder = StateFolder::in_memory();
        committed(&folder, 1);
        committed(&folder, 2);
        for _ in 0..2 {
            complete(&folder, 4);
        }
        committed(&folder, 5);
        complete(&folder, 5);
        let wanted = [(1, OK), (2, OK), (3, RECOVERED), (4, RECOVERED), (5, OK)];
        let wanted = wanted.map(|(generation, outcome)| (generation, outcome.to_owned()));
        assert_eq!(links(&folder), wanted);
    }

    #[test]
    fn a_history_that_was_removed_begins_with_what_is_stored() {
        let folder = StateFolder::in_memory();
        complete(&folder, 41);
        committed(&folder, 42);
        let generations: Vec<u64> = links(&folder).iter().map(|link| link.0).collect();
        assert_eq!(generations, [41, 42]);
    }

    #[test]
    fn half_a_line_costs_no_line_but_itself() {
        let folder = StateFolder::in_memory();
        committed(&folder, 1);
        let mut torn = folder
            .read(HISTORY, 1 << 20)
            .unwrap()
            .unwrap()
            .expose()
            .to_vec();
        torn.extend_from_slice(br#"{"v":1,"at_ms":2,"event":"ref"#);
        folder.replace(HISTORY, &torn).unwrap();
        complete(&folder, 2);
        committed(&folder, 3);
        let generations: Vec<u64> = links(&folder).iter().map(|link| link.0).collect();
        assert_eq!(generations, [1, 2, 3]);
    }

    #[test]
    fn a_long_history_keeps_its_newer_part_whole() {
        let folder = StateFolder::in_memory();
        for generation in 1..=3000 {
            committed(&folder, generation);
        }
        let size = folder.read(HISTORY, 1 << 20).unwrap().unwrap().len();
        assert!(size <= HISTORY_LIMIT, "{size}");
        let generations: Vec<u64> = links(&folder).iter().map(|link| link.0).collect();
        let first = generations[0];
        assert!(first > 1 && first < 2500, "{first}");
        assert_eq!(generations, (first..=3000).collect::<Vec<_>>());
    }
}
