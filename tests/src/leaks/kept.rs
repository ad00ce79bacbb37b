//! What servers, tests and workers tell a run that looks for leaks: each secret that they make or
//! are sent, and each output that they see. It goes into files of one folder, which all processes
//! of the run append to. Without [`VARIABLE`] nobody looks, and nothing is kept.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The environment variable that names the folder.
pub const VARIABLE: &str = "VAULT_TEST_LEAKS";

/// The file of the secrets, a line of JSON each.
pub const SECRETS: &str = "secrets";

/// What kind of secret it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    RefreshToken,
    AccessToken,
    IdToken,
    AuthorizationCode,
    CodeVerifier,
    DeviceCode,
    ClientSecret,
    ClientAssertion,
    ClientKey,
    DpopProof,
    DpopKey,
    SealingKey,
    StoreKey,
    Passphrase,
}

/// A secret that is to be found nowhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Canary {
    /// Its kind.
    pub kind: Kind,
    /// Its bytes in base64.
    pub value: String,
}

impl fmt::Debug for Canary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut canary = formatter.debug_struct("Canary");
        canary.field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Where something came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "`title` says it")]
pub enum Place {
    TokenStdout,
    AnyStdout,
    Stdout,
    Stderr,
    Log,
    Errors,
    Panics,
    Page,
    CommandLine,
    Environment,
    ExecEnvironment,
    History,
    ProfileJson,
    Lock,
    Temporary,
    Sealed,
    Items,
    State,
    KernelKeys,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 19] = [
        Self::TokenStdout,
        Self::AnyStdout,
        Self::Stdout,
        Self::Stderr,
        Self::Log,
        Self::Errors,
        Self::Panics,
        Self::Page,
        Self::CommandLine,
        Self::Environment,
        Self::ExecEnvironment,
        Self::History,
        Self::ProfileJson,
        Self::Lock,
        Self::Temporary,
        Self::Sealed,
        Self::Items,
        Self::State,
        Self::KernelKeys,
    ];

    /// What it is, for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::TokenStdout => "stdout of `vault-cli token`",
            Self::AnyStdout => "stdout of vault-cli, any command",
            Self::Stdout => "stdout of all other commands",
            Self::Stderr => "stderr of vault-cli",
            Self::Log => "log at TRACE, libraries' too",
            Self::Errors => "error chains, Debug, events",
            Self::Panics => "panic messages, backtraces",
            Self::Page => "pages in the browser",
            Self::CommandLine => "/proc/*/cmdline",
            Self::Environment => "/proc/*/environ",
            Self::ExecEnvironment => "environment of what `exec` runs",
            Self::History => "history",
            Self::ProfileJson => "profile.json",
            Self::Lock => "lock files",
            Self::Temporary => "temporary files",
            Self::Sealed => "sealed files",
            Self::Items => "items of the encrypted-file store",
            Self::State => "all else in the state folder",
            Self::KernelKeys => "names of the kernel's keys, /proc/keys",
        }
    }

    /// What belongs there: it is what the command is for.
    #[must_use]
    pub fn purpose(self) -> &'static [Kind] {
        match self {
            Self::TokenStdout | Self::AnyStdout => &[Kind::AccessToken, Kind::DpopProof],
            Self::ExecEnvironment => &[Kind::AccessToken],
            _ => &[],
        }
    }

    /// The place of a process's environment: `exec` puts the access token into its command's.
    #[must_use]
    pub fn of_environment(variables: &[u8]) -> Self {
        let names = [&b"ACCESS_TOKEN="[..], b"API_KEY="];
        let mut each = variables.split(|byte| *byte == 0);
        match each.any(|variable| names.iter().any(|name| variable.starts_with(name))) {
            true => Self::ExecEnvironment,
            false => Self::Environment,
        }
    }

    /// The place of a file of the state folder.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let within = |folder: &str| path.iter().any(|part| part == folder);
        match name.as_ref() {
            "profile.json" => Self::ProfileJson,
            name if name.starts_with(".tmp-") => Self::Temporary,
            name if name.starts_with("history") => Self::History,
            name if name.ends_with("lock") => Self::Lock,
            name if name.starts_with("sealed.") => Self::Sealed,
            _ if within("items") => Self::Items,
            _ => Self::State,
        }
    }

    /// The folder of what came out there.
    #[must_use]
    pub fn folder(self, root: &Path) -> PathBuf {
        root.join(format!("{self:?}"))
    }
}

static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Keeps what this process tells from now on, whatever the environment says.
pub fn begin(folder: &Path) {
    // What was begun before goes on.
    FOLDER.set(Some(folder.to_owned())).ok();
}

/// Makes all that is needed in a folder, for processes of any user: some tests give theirs up.
///
/// # Errors
///
/// If it can't be made.
#[cfg(unix)]
pub fn open_to_all(root: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let open =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    open(root, 0o1777)?;
    File::create(root.join(SECRETS))?;
    open(&root.join(SECRETS), 0o666)?;
    for place in Place::ALL {
        std::fs::create_dir(place.folder(root))?;
        open(&place.folder(root), 0o1777)?;
    }
    Ok(())
}

/// The folder, if somebody looks.
pub fn folder() -> Option<&'static Path> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the run's own variable, for tests only"
    )]
    let named = || std::env::var_os(VARIABLE).map(PathBuf::from);
    FOLDER.get_or_init(named).as_deref()
}

/// Tells a secret that was made or sent.
///
/// # Panics
///
/// If the run's folder can't be written to.
pub fn secret(kind: Kind, value: impl AsRef<[u8]>) {
    let Some(folder) = folder() else { return };
    let value = STANDARD.encode(value);
    let written = serde_json::to_string(&Canary { kind, value })
        .map_err(io::Error::from)
        .and_then(|line| append(&folder.join(SECRETS), &line));
    written.expect("the run's folder can be written to");
}

/// Tells what came out somewhere.
///
/// # Panics
///
/// If the run's folder can't be written to.
pub fn output(place: Place, bytes: impl AsRef<[u8]>) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let Some(folder) = folder() else { return };
    let folder = place.folder(folder);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("{}-{number}", std::process::id()));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, bytes))
        .expect("the run's folder can be written to");
}

/// Tells all files below a folder. One that is gone meanwhile is left out.
pub fn files(root: &Path) {
    if folder().is_none() {
        return;
    }
    for path in below(root) {
        if let Ok(bytes) = std::fs::read(&path) {
            output(Place::of_file(&path), bytes);
        }
    }
}

/// All regular files below a folder, at any depth.
#[must_use]
pub fn below(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.filter_map(Result::ok) {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}

/// Logs everything of this process at TRACE, whatever library says it, for the run to search.
///
/// # Panics
///
/// If the run's folder can't be written to.
pub fn log() {
    static ONCE: Once = Once::new();
    let Some(folder) = folder() else { return };
    ONCE.call_once(|| {
        let file = log_file(folder).expect("the run's folder can be written to");
        // A program that has its own log already keeps that.
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(Mutex::new(file))
            .try_init()
            .ok();
    });
}

fn log_file(folder: &Path) -> io::Result<File> {
    let folder = Place::Log.folder(folder);
    std::fs::create_dir_all(&folder)?;
    let name = std::process::id().to_string();
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(name))
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}
