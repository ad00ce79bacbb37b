//! Which application and profile are meant, and which rule says so: an option,
//! a variable, a `.vault.toml` in this folder or above it, or what is usual.
//!
//! The search goes up to the home folder, and never out of the file system it
//! began in. A file that another user owns is not followed. Credential helpers
//! look for none: they answer for hosts, and a repository must not choose.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use crate::args::{DEFAULT_APP, Options};
use crate::failure::{Exit, Failure};
use crate::vault_toml::VaultToml;

/// The file's name.
const NAME: &str = ".vault.toml";

/// No such file is longer.
const LIMIT: u64 = 64 * 1024;

/// What chose a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "rule", content = "path", rename_all = "snake_case")]
pub(crate) enum Rule {
    Option,
    Environment,
    File(#[serde(serialize_with = "as_shown")] PathBuf),
    #[default]
    Usual,
}

/// What chose application and profile, and the files of a login.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    pub(crate) app: Rule,
    pub(crate) profile: Rule,
    pub(crate) state_dir: Rule,
    pub(crate) key_file: Rule,
    pub(crate) passphrase_file: Rule,
}

/// A path need not be text, and JSON has nothing else.
fn as_shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option => formatter.write_str("by option"),
            Self::Environment => formatter.write_str("by the environment"),
            Self::File(path) => write!(formatter, "by {}", path.display()),
            Self::Usual => formatter.write_str("as usual"),
        }
    }
}

/// Lets a `.vault.toml` choose what neither an option nor a variable has. Gives
/// the files that were not followed.
///
/// # Errors
///
/// A file that can't be read, or says what it may not.
pub(crate) fn apply(options: &mut Options) -> Result<Vec<PathBuf>, Failure> {
    let choice = options.chosen_by.clone();
    if choice.profile != Rule::Usual && choice.app != Rule::Usual {
        return Ok(Vec::new());
    }
    let Ok(here) = std::env::current_dir() else {
        return Ok(Vec::new());
    };
    // As the home folder is written, to be found on the way up.
    let here = here.canonicalize().unwrap_or(here);
    let home = std::env::home_dir().and_then(|home| home.canonicalize().ok());
    let search = search(&here, home.as_deref())?;
    if let Some((path, chosen)) = search.found {
        // Its profile is one of its application.
        let app = chosen.app.as_deref().unwrap_or(DEFAULT_APP);
        if choice.app == Rule::Usual || options.app == app {
            if let Some(app) = chosen.app
                && choice.app == Rule::Usual
            {
                options.app = app;
                options.chosen_by.app = Rule::File(path.clone());
            }
            if let Some(profile) = chosen.profile
                && choice.profile == Rule::Usual
            {
                options.profile = profile;
                options.chosen_by.profile = Rule::File(path);
            }
        }
    }
    Ok(search.not_followed)
}

#[derive(Debug, Default)]
struct Search {
    found: Option<(PathBuf, VaultToml)>,
    not_followed: Vec<PathBuf>,
}

fn search(from: &Path, home: Option<&Path>) -> Result<Search, Failure> {
    let mut search = Search::default();
    let file_system = owner::file_system(from);
    for folder in from.ancestors() {
        if owner::file_system(folder) != file_system {
            break;
        }
        let path = folder.join(NAME);
        match read(&path) {
            Ok(Some(text)) => {
                let chosen = VaultToml::read(&text).map_err(|why| unusable(&path, &why))?;
                search.found = Some((path, chosen));
                break;
            }
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                search.not_followed.push(path);
            }
            Err(error) => return Err(unusable(&path, &format!("can't be read: {error}"))),
        }
        if Some(folder) == home {
            break;
        }
    }
    Ok(search)
}

/// The file's text; `None` where there is none, and "permission denied" for a
/// file that another user owns.
fn read(path: &Path) -> io::Result<Option<String>> {
    let about = match std::fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !owner::is_ours(path, &about)? {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    if !about.is_file() || about.len() > LIMIT {
        return Err(io::Error::other("it is no file of a few lines"));
    }
    std::fs::read_to_string(path).map(Some)
}

fn unusable(path: &Path, why: &str) -> Failure {
    Failure::new(
        "vault_toml_unusable",
        Exit::Usage,
        format!("{} {why}", path.display()),
        "correct or remove it, or say with `--app` and `--profile` what is meant",
    )
}

#[cfg(unix)]
mod owner {
    use std::fs::Metadata;
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    /// Whether file and link, if it is one, are this user's.
    pub(super) fn is_ours(path: &Path, about: &Metadata) -> io::Result<bool> {
        let user = rustix::process::geteuid().as_raw();
        let link = std::fs::symlink_metadata(path)?;
        Ok(about.uid() == user && link.uid() == user)
    }

    /// Which file system a folder lies on.
    pub(super) fn file_system(folder: &Path) -> Option<u64> {
        std::fs::metadata(folder).ok().map(|about| about.dev())
    }
}

#[cfg(not(unix))]
mod owner {
    use std::fs::Metadata;
    use std::io;
    use std::path::Path;

    /// Who may write to a folder of this user's own is not asked here.
    pub(super) fn is_ours(_path: &Path, _about: &Metadata) -> io::Result<bool> {
        Ok(true)
    }

    pub(super) fn file_system(_folder: &Path) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, text: &str) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join(NAME), text).unwrap();
    }

    fn found(from: &Path, home: &Path) -> Option<String> {
        let search = search(from, Some(home)).unwrap();
        search.found.and_then(|(_, chosen)| chosen.profile)
    }

    #[test]
    fn the_nearest_file_counts_and_none_above_the_home_folder() {
        let top = tempfile::tempdir().unwrap();
        let home = top.path().join("home");
        let project = home.join("project");
        let deep = project.join("src/deep");
        std::fs::create_dir_all(&deep).unwrap();
        write(top.path(), "profile = 'above'");
        assert_eq!(found(&deep, &home), None);
        write(&home, "profile = 'home'");
        assert_eq!(found(&deep, &home).as_deref(), Some("home"));
        write(&project, "profile = 'project'");
        assert_eq!(found(&deep, &home).as_deref(), Some("project"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_of_another_user_is_not_followed() {
        let top = tempfile::tempdir().unwrap();
        let project = top.path().join("project");
        write(top.path(), "profile = 'mine'");
        write(&project, "profile = 'other'");
        let nobody = Some(65534);
        if std::os::unix::fs::chown(project.join(NAME), nobody, None).is_err() {
            // Only root can give a file away.
            assert!(!rustix::process::geteuid().is_root());
            return;
        }
        let search = search(&project, Some(top.path())).unwrap();
        assert_eq!(search.not_followed, [project.join(NAME)]);
        assert_eq!(found(&project, top.path()).as_deref(), Some("mine"));
    }

    #[test]
    fn what_is_no_file_is_an_error() {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir(top.path().join(NAME)).unwrap();
        let failure = search(top.path(), None).unwrap_err();
        assert_eq!(failure.code, "vault_toml_unusable");
        assert_eq!(failure.exit, Exit::Usage);
    }
}
