//! Where the state folder is, and the user's home.
//!
//! By the XDG rules on Linux (`$XDG_STATE_HOME/token-vault`), in the local,
//! not the roaming, application data elsewhere: a lock and a rotating token
//! must not follow a user to another machine.

use std::path::PathBuf;

use directories::{BaseDirs, ProjectDirs};

/// The user has no home folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no home folder to keep state in")]
pub struct NoHome;

/// Gives the folder that holds all applications' state; it need not exist.
///
/// # Errors
///
/// [`NoHome`] when the user has no home folder.
pub fn state_root() -> Result<PathBuf, NoHome> {
    let project = ProjectDirs::from("", "", "token-vault").ok_or(NoHome)?;
    Ok(project
        .state_dir()
        .unwrap_or_else(|| project.data_local_dir())
        .to_owned())
}

/// Gives the user's home folder.
#[must_use]
pub fn home() -> Option<PathBuf> {
    BaseDirs::new().map(|user| user.home_dir().to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_state_root_is_absolute_and_named_after_the_vault() {
        let root = super::state_root().expect("a home folder");
        assert!(root.is_absolute());
        assert!(
            root.components()
                .any(|part| part.as_os_str() == "token-vault")
        );
    }
}
