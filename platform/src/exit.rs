//! The end of the process, and its copies.
//!
//! A refresh between send and commit must not be cut by a normal exit; the
//! guard that waits for it is registered here. After `fork` without `exec` a
//! child has the parent's memory but none of its threads and must not act on
//! the parent's locks; [`ForkMark`] notices that.

use crate::sys;

/// Registers a function that runs at normal exit (`exit`, return from `main`).
///
/// It does not run when a signal or `abort` ends the process. Functions run in
/// the opposite order of their registration, on the thread that exits. Each
/// registered function must not panic.
///
/// Returns false when the system takes no more functions.
pub fn at_exit(function: extern "C" fn()) -> bool {
    sys::at_exit(function)
}

/// Ends this process at once, as the default handler of a console event does:
/// what waits for a normal exit is not waited for.
#[cfg(windows)]
pub fn end_at_once(code: u32) -> ! {
    sys::terminate(code)
}

/// Whether a signal is ignored, as whoever started this process wanted it
/// (`nohup`, a shell's background job). A handler would undo that.
#[cfg(unix)]
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    sys::is_ignored(signal)
}

/// Has a write to a pipe that nobody reads fail instead of ending the process,
/// as Rust's standard library does before `main`. Where that is left out, call it
/// before there are other threads.
#[cfg(unix)]
pub fn ignore_closed_pipes() {
    sys::ignore(libc::SIGPIPE);
}

/// Gives this process's id.
#[must_use]
pub fn process_id() -> u32 {
    std::process::id()
}

/// Remembers the process it was made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForkMark(u32);

impl ForkMark {
    /// Marks the present process.
    #[must_use]
    pub fn here() -> Self {
        Self(process_id())
    }

    /// Tells whether this still is the process of [`ForkMark::here`], not a
    /// forked child of it.
    #[must_use]
    pub fn is_here(self) -> bool {
        self.0 == process_id()
    }
}
