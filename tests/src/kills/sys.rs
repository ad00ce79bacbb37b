//! Forking, for the test of what a forked child does.

#![cfg_attr(unix, expect(unsafe_code, reason = "fork has no safe form"))]

/// Forks without `exec`. The child runs `child` and ends without running destructors or exit
/// handlers. Gives what it returned.
///
/// # Errors
///
/// The raw status of a child that was ended by a signal.
#[cfg(unix)]
pub(super) fn in_forked_child(child: impl FnOnce() -> bool) -> Result<bool, i32> {
    // SAFETY: no argument. In a child of a threaded process only async-signal-safe calls are sure
    // to work; what this library does there is what the test is about.
    match unsafe { libc::fork() } {
        0 => {
            let code = i32::from(!child());
            // SAFETY: ends the child.
            unsafe { libc::_exit(code) }
        }
        id => {
            let mut status = 0;
            // SAFETY: the status is ours.
            let waited = unsafe { libc::waitpid(id, &raw mut status, 0) };
            match waited == id && libc::WIFEXITED(status) {
                true => Ok(libc::WEXITSTATUS(status) == 0),
                false => Err(status),
            }
        }
    }
}

#[cfg(not(unix))]
pub(super) fn in_forked_child(_child: impl FnOnce() -> bool) -> Result<bool, i32> {
    Err(0)
}
