//! Where an app kept its token by itself.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use keyring::Entry;
use vault_core::platform::secret::SecretBytes;

/// What went wrong, for a person.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// A place for one secret.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A file.
    File(PathBuf),
    /// An entry of the crate `keyring`.
    Keyring { service: String, user: String },
}

impl Place {
    /// The place beside this one, where no app looks.
    pub(crate) fn aside(&self) -> Self {
        match self {
            Self::File(path) => {
                let mut name = path.clone().into_os_string();
                name.push(".migrating");
                Self::File(name.into())
            }
            Self::Keyring { service, user } => Self::Keyring {
                service: service.clone(),
                user: format!("{user}.migrating"),
            },
        }
    }

    /// What lies there, if anything does.
    pub(crate) fn read(&self) -> Result<Option<SecretBytes>, Failure> {
        let contents = match self {
            Self::File(path) => match std::fs::read(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                read => read.map_err(|error| self.failed("read", &error))?,
            },
            Self::Keyring { .. } => match self.entry()?.get_secret() {
                Err(keyring::Error::NoEntry) => return Ok(None),
                read => read.map_err(|error| self.failed("read", &error))?,
            },
        };
        Ok(Some(contents.into()))
    }

    /// Moves what lies here to the place beside, where nothing lies yet. Ended
    /// in the middle it is in both.
    pub(crate) fn set_aside(&self, contents: &SecretBytes) -> Result<(), Failure> {
        let aside = self.aside();
        match (self, &aside) {
            (Self::File(from), Self::File(to)) => std::fs::rename(from, to)
                .and_then(|()| sync_folder(to))
                .map_err(|error| self.failed("set aside", &error)),
            _ => {
                let entry = aside.entry()?;
                let written = entry.set_secret(contents.expose());
                written.map_err(|error| aside.failed("written", &error))?;
                self.remove()
            }
        }
    }

    /// Removes what lies there. A file is overwritten first, which is all that a
    /// program can do: some disks and file systems keep old blocks.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        match self {
            Self::File(path) => wipe(path).map_err(|error| self.failed("removed", &error)),
            Self::Keyring { .. } => self
                .entry()?
                .delete_credential()
                .map_err(|error| self.failed("removed", &error)),
        }
    }

    fn entry(&self) -> Result<Entry, Failure> {
        let Self::Keyring { service, user } = self else {
            return Err("a file is no entry".into());
        };
        Entry::new(service, user).map_err(|error| self.failed("reached", &error))
    }

    fn failed(&self, what: &str, error: &dyn fmt::Display) -> Failure {
        format!("{self} can't be {what}: {error}").into()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "the file {}", path.display()),
            Self::Keyring { service, user } => {
                write!(formatter, "the keyring entry of {user} at {service}")
            }
        }
    }
}

fn wipe(path: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    file.write_all(&vec![0; length])?;
    file.sync_all()?;
    drop(file);
    std::fs::remove_file(path)?;
    sync_folder(path)
}

/// A name is there, or gone, for good once its folder is written.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
