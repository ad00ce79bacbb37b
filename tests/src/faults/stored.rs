//! What is stored, byte for byte, and how it differs from what was stored
//! before.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use vault_core::display::LoginState;
use vault_core::session::Inspection;

use super::row::Change;

/// Every file below the state root by a name that is the same in each row,
/// but for the mapped counters, which are hints and move at each attempt.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot(BTreeMap<String, File>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    mode: u32,
    bytes: Vec<u8>,
}

const MARK: &str = "mark";
const SEALED: &str = "sealed";
const ASIDE: &str = "set aside";
const HISTORY: &str = "history";
const DISPLAY: &str = "profile.json";
const TOKEN_ITEM: &str = "token item";
const KEY_ITEM: &str = "key item";
/// How the names of temporary files begin.
const TEMPORARY: &str = ".tmp-";

impl Snapshot {
    pub(super) fn take(state_root: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        add(state_root, &mut files)?;
        Ok(Self(files))
    }

    /// The names whose contents, mode or being there differ.
    fn differing(&self, after: &Self) -> Vec<String> {
        let mut names: Vec<_> = self.0.keys().chain(after.0.keys()).cloned().collect();
        names.sort();
        names.dedup();
        names.retain(|name| self.0.get(name) != after.0.get(name));
        names
    }

    /// Whether a process has left a temporary file behind.
    pub(super) fn has_temporaries(&self) -> bool {
        self.0.keys().any(|name| name.starts_with(TEMPORARY))
    }

    fn text(&self, name: &str) -> &[u8] {
        self.0.get(name).map_or(&[], |file| &file.bytes)
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(self.text(name)).unwrap_or_default()
    }
}

fn add(folder: &Path, files: &mut BTreeMap<String, File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            add(&path, files)?;
            continue;
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "shared" {
            continue;
        }
        let name = match name.strip_prefix("sealed.") {
            Some(id) if id.len() == 32 => SEALED.to_owned(),
            Some(_) => ASIDE.to_owned(),
            None => item_name(&name).unwrap_or(name),
        };
        let mode = entry.metadata()?.permissions().mode();
        let bytes = fs::read(&path)?;
        files.insert(name, File { mode, bytes });
    }
    Ok(())
}

/// The encrypted-file store names its files by the account, in base32.
fn item_name(file: &str) -> Option<String> {
    let account = data_encoding::BASE32_DNSSEC
        .decode(file.strip_suffix(".item")?.as_bytes())
        .ok()?;
    let item = if account.ends_with(b"#key") {
        KEY_ITEM
    } else {
        TOKEN_ITEM
    };
    Some(item.to_owned())
}

/// What is known besides the files.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) before: &'a Inspection,
    pub(super) after: Option<&'a Inspection>,
    /// What the token item holds now.
    pub(super) token_item: Option<String>,
}

/// Compares what differs with what a row says, and tells both: what differs in
/// words, and what is wrong with it.
pub(super) fn compare(
    before: &Snapshot,
    after: &Snapshot,
    expected: &[Change],
    known: &Known<'_>,
) -> (String, Vec<String>) {
    let differing = before.differing(after);
    let mut wrong = Vec::new();
    for name in &differing {
        if !expected.iter().any(|change| change.touches(name)) {
            let how = match (before.0.get(name), after.0.get(name)) {
                (None, _) => "new",
                (_, None) => "gone",
                _ => "changed",
            };
            wrong.push(format!("`{name}` is {how}"));
        }
    }
    for change in expected {
        if let Err(problem) = change.check(before, after, known) {
            wrong.push(problem);
        }
    }
    let mut told = String::new();
    for name in &differing {
        if !told.is_empty() {
            told.push_str(", ");
        }
        told.push_str(name);
        if name == MARK {
            let mark = after.json(MARK);
            match mark["refused"].as_str() {
                Some(reason) => write!(told, " ({reason})"),
                None => write!(told, " ({})", mark["attempts"]),
            }
            .ok();
        }
    }
    if told.is_empty() {
        told.push_str("identical");
    }
    (told, wrong)
}

impl Change {
    fn touches(self, name: &str) -> bool {
        match self {
            Self::Mark(_) | Self::Refusal(_) => name == MARK,
            Self::Sealed(_) => name == SEALED,
            Self::TokenItem | Self::TokenItemAlone => name == TOKEN_ITEM,
            Self::History(..) => name == HISTORY,
            Self::Display(_) => name == DISPLAY,
            Self::SetAside => name == ASIDE,
            Self::Temporary => name.starts_with(TEMPORARY),
            Self::FolderMade => matches!(name, "lock" | "login.lock" | "folder"),
        }
    }

    fn check(self, before: &Snapshot, after: &Snapshot, known: &Known<'_>) -> Result<(), String> {
        match self {
            Self::Mark(attempts) => {
                let mark = after.json(MARK);
                let right = mark["attempts"] == attempts && mark["refused"].is_null();
                ensure(right, || {
                    format!("the mark is {mark}, not {attempts} sends")
                })
            }
            Self::Refusal(reason) => {
                let mark = after.json(MARK);
                let right = mark["refused"] == reason;
                ensure(right, || format!("the mark is {mark}, not `{reason}`"))
            }
            Self::Sealed(more) => {
                let was = known.before.generation.0;
                let is = known.after.map(|after| after.generation.0);
                let right = is == Some(was + more);
                ensure(right, || {
                    format!("the sealed file went from generation {was} to {is:?}")
                })?;
                ensure(before.text(SEALED) != after.text(SEALED), || {
                    "the sealed file is the old one".to_owned()
                })
            }
            Self::TokenItem => {
                let sealed = known.after.map(|after| after.refresh_token.expose());
                let same = sealed.is_some() && sealed == known.token_item.as_deref();
                ensure(same, || {
                    "the token item is no copy of the sealed file's token".to_owned()
                })
            }
            Self::History(outcomes) => {
                let (old, new) = (before.text(HISTORY), after.text(HISTORY));
                let added = new.strip_prefix(old).ok_or("the history was rewritten")?;
                let added: Vec<Value> = added
                    .split(|byte| *byte == b'\n')
                    .filter_map(|line| serde_json::from_slice(line).ok())
                    .collect();
                let added: Vec<_> = added
                    .iter()
                    .map(|line| line["outcome"].as_str().unwrap_or_default())
                    .collect();
                ensure(added == outcomes, || {
                    format!("the history gained {added:?}, not {outcomes:?}")
                })
            }
            Self::Display(state) => {
                let told: Option<LoginState> =
                    serde_json::from_value(after.json(DISPLAY)["state"].clone()).ok();
                ensure(told == Some(state), || {
                    format!("profile.json says {told:?}, not {state:?}")
                })
            }
            Self::SetAside => ensure(after.0.contains_key(ASIDE), || {
                "no damaged file was kept".to_owned()
            }),
            Self::Temporary => ensure(after.has_temporaries(), || {
                "no temporary file was left".to_owned()
            }),
            Self::TokenItemAlone | Self::FolderMade => Ok(()),
        }
    }
}

fn ensure(right: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(problem()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(files: &[(&str, &str)]) -> Snapshot {
        let files = files.iter().map(|(name, text)| {
            let bytes = text.as_bytes().to_vec();
            ((*name).to_owned(), File { mode: 0o600, bytes })
        });
        Snapshot(files.collect())
    }

    #[test]
    fn each_byte_mode_and_name_counts() {
        let before = snapshot(&[("mark", "1"), ("lock", "")]);
        assert!(before.differing(&before.clone()).is_empty());
        let changed = snapshot(&[("mark", "2"), ("lock", "")]);
        assert_eq!(before.differing(&changed), ["mark"]);
        let gone = snapshot(&[("lock", "")]);
        assert_eq!(before.differing(&gone), ["mark"]);
        assert_eq!(gone.differing(&before), ["mark"]);
        let mut opened = before.clone();
        if let Some(file) = opened.0.get_mut("lock") {
            file.mode = 0o644;
        }
        assert_eq!(before.differing(&opened), ["lock"]);
    }

    #[test]
    fn files_have_the_same_names_in_each_row() {
        let folder = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef0123456789abcdef";
        for name in [&format!("sealed.{id}"), "sealed.damaged-1", "shared"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        for account in ["work", "work#key"] {
            let name = data_encoding::BASE32_DNSSEC.encode(account.as_bytes());
            fs::write(folder.path().join(name + ".item"), "x").unwrap();
        }
        let snapshot = Snapshot::take(folder.path()).unwrap();
        let names: Vec<_> = snapshot.0.keys().collect();
        assert_eq!(names, [KEY_ITEM, SEALED, ASIDE, TOKEN_ITEM]);
    }
}
