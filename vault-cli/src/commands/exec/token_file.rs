//! A token in a file of the user's own, for a command that runs for long. The
//! file is replaced atomically, and removed with its folder at the end.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile, TempDir};

const PREFIX: &str = "vault-cli-exec-";

/// The file in its private folder.
#[derive(Debug)]
pub(super) struct TokenFile {
    folder: TempDir,
}

impl TokenFile {
    /// Makes it in the runtime folder, which ends with the user's session, or
    /// where temporary files go.
    pub(super) fn create(runtime: Option<&Path>, token: &str) -> io::Result<Self> {
        let parent = runtime.map_or_else(std::env::temp_dir, Path::to_owned);
        sweep(&parent);
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let mut builder = Builder::new();
        builder.prefix(&prefix);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o700));
        }
        let file = Self {
            folder: builder.tempdir_in(parent)?,
        };
        file.write(token)?;
        Ok(file)
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("token")
    }

    /// Puts another token in its place; a reader sees the one or the other.
    pub(super) fn write(&self, token: &str) -> io::Result<()> {
        // The user's alone (mode 0600), as all files of this library.
        let mut file = NamedTempFile::new_in(self.folder.path())?;
        file.write_all(token.as_bytes())?;
        file.persist(self.path())?;
        Ok(())
    }
}

/// Removes what processes have left that were killed. What belongs to another
/// user can't be removed, and nothing else is tried than what has our name.
fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|rest| rest.split('-').next())
            .and_then(|process| process.parse::<i32>().ok());
        if process.is_some_and(|process| !is_alive(process)) {
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
}

#[cfg(unix)]
fn is_alive(process: i32) -> bool {
    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};

    let alive = Pid::from_raw(process).map(test_kill_process);
    !matches!(alive, None | Some(Err(Errno::SRCH)))
}

/// Not known here: the system's own cleaning has to do.
#[cfg(not(unix))]
fn is_alive(_process: i32) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_private_replaced_and_removed() {
        let parent = tempfile::tempdir().unwrap();
        let file = TokenFile::create(Some(parent.path()), "one").unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), b"one");
        file.write("two").unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), b"two");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&file.path()), 0o600);
            assert_eq!(mode(file.folder.path()), 0o700);
        }
        assert_eq!(std::fs::read_dir(file.folder.path()).unwrap().count(), 1);
        drop(file);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn what_a_dead_process_left_is_removed_and_no_other() {
        let parent = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let alive = std::process::id();
        for name in [
            format!("{PREFIX}{dead}-x"),
            format!("{PREFIX}{alive}-x"),
            "vault-cli-exec-other".to_owned(),
        ] {
            std::fs::create_dir(parent.path().join(name)).unwrap();
        }
        sweep(parent.path());
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 2);
    }
}
