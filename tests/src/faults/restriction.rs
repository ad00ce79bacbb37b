//! What the kernel refuses to the threads of one caller.
//!
//! Set on a thread, inherited by those that it starts, and gone with them: the
//! vault's own threads are started by its caller, so that a whole vault can be
//! restricted while the rest of the process goes on.

use super::Stop;

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restriction {
    /// Nothing.
    None,
    /// What file modes forbid, which root is otherwise allowed.
    Modes,
    /// File locks: the kernel answers as for a file system that has none.
    Locks,
}

impl Restriction {
    /// Restricts the calling thread and those that it starts from now on.
    pub(super) fn apply(self) -> Result<(), Stop> {
        match self {
            Self::None => Ok(()),
            Self::Modes => obey_modes(),
            Self::Locks => refuse_locks(),
        }
    }
}

#[cfg(target_os = "linux")]
fn obey_modes() -> Result<(), Stop> {
    use rustix::thread::CapabilitySet;

    let mut sets = rustix::thread::capabilities(None)?;
    let overriding = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    sets.effective -= overriding;
    sets.permitted -= overriding;
    sets.inheritable -= overriding;
    Ok(rustix::thread::set_capabilities(None, sets)?)
}

#[cfg(target_os = "linux")]
fn refuse_locks() -> Result<(), Stop> {
    rustix::thread::set_no_new_privs(true)?;
    super::sys::refuse_flock()
        .map_err(|error| Stop::Skip(format!("system calls can't be filtered here: {error}")))
}

#[cfg(not(target_os = "linux"))]
fn obey_modes() -> Result<(), Stop> {
    if rustix_is_root() {
        return Err(Stop::Skip("root is not bound by file modes".into()));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn rustix_is_root() -> bool {
    let probe = tempfile::NamedTempFile::new();
    probe.is_ok_and(|file| {
        use std::os::unix::fs::PermissionsExt;
        let closed = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(file.path(), closed).is_ok()
            && std::fs::File::open(file.path()).is_ok()
    })
}

#[cfg(not(target_os = "linux"))]
fn refuse_locks() -> Result<(), Stop> {
    Err(Stop::Skip("system calls are filtered on Linux only".into()))
}
