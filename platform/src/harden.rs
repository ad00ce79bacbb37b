//! Keeps a process's memory out of core dumps and from debuggers.
//!
//! For programs, not for libraries: it changes the whole process. It hinders
//! other processes of the same user and crash reporters; it does not stop the
//! administrator.

use std::io;

/// What [`forbid_core_dumps`] could do on this system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hardening {
    /// No core dump is written and other processes of the user can't read the
    /// memory (Linux), or attach a debugger (macOS).
    DumpsAndDebuggers,
    /// No core dump is written.
    Dumps,
    /// This system offers nothing of the kind.
    Nothing,
}

/// Forbids core dumps of this process and, where possible, debuggers.
///
/// On Linux the process also loses ownership of its `/proc/self` files: a
/// debugger or profiler of the same user can't attach until the next `exec`.
///
/// # Errors
///
/// What the system refused.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn forbid_core_dumps() -> io::Result<Hardening> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};

    forbid_dump_files()?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(Hardening::DumpsAndDebuggers)
}

/// Forbids core dumps of this process and, where possible, debuggers.
///
/// # Errors
///
/// What the system refused.
#[cfg(target_os = "macos")]
pub fn forbid_core_dumps() -> io::Result<Hardening> {
    forbid_dump_files()?;
    crate::sys::deny_debuggers()?;
    Ok(Hardening::DumpsAndDebuggers)
}

/// Forbids core dumps of this process and, where possible, debuggers.
///
/// # Errors
///
/// What the system refused.
#[cfg(all(
    unix,
    not(any(target_os = "linux", target_os = "android", target_os = "macos"))
))]
pub fn forbid_core_dumps() -> io::Result<Hardening> {
    forbid_dump_files()?;
    Ok(Hardening::Dumps)
}

/// Forbids crash reports of this process, which hold parts of its memory. The
/// programs that it starts inherit that.
///
/// # Errors
///
/// None.
#[cfg(windows)]
pub fn forbid_core_dumps() -> io::Result<Hardening> {
    crate::sys::forbid_crash_reports();
    Ok(Hardening::Dumps)
}

/// Does nothing here: this system has no per-process switch for dumps.
///
/// # Errors
///
/// None.
#[cfg(not(any(unix, windows)))]
pub fn forbid_core_dumps() -> io::Result<Hardening> {
    Ok(Hardening::Nothing)
}

/// Gives back what [`forbid_core_dumps`] took of the limit for core dumps: for
/// a program that is to replace this one, or that this one starts. The kernel's
/// own note, that this process is not to be dumped, stays until then.
///
/// # Errors
///
/// What the system refused.
pub fn restore_core_limit() -> io::Result<()> {
    #[cfg(unix)]
    if let Some(before) = CORE_LIMIT.get() {
        rustix::process::setrlimit(rustix::process::Resource::Core, *before)?;
    }
    Ok(())
}

/// The limit for core dumps as it was.
#[cfg(unix)]
static CORE_LIMIT: std::sync::OnceLock<rustix::process::Rlimit> = std::sync::OnceLock::new();

/// The hard limit stays: what this program starts must be able to have its own
/// again.
#[cfg(unix)]
fn forbid_dump_files() -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let before = CORE_LIMIT.get_or_init(|| getrlimit(Resource::Core));
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: before.maximum,
        },
    )?;
    Ok(())
}
