//! Forking, for the tests of what a forked child must not do.

#![expect(unsafe_code, reason = "fork has no safe form")]

/// Forks; the child runs `child`, waits for `stay` bytes on its pipe's end and
/// ends without running destructors or exit handlers. Returns its process id.
pub(crate) fn fork(child: impl FnOnce()) -> i32 {
    // SAFETY: the child only runs the given closure, which the tests keep to
    // plain system calls, and `_exit`.
    unsafe {
        match libc::fork() {
            0 => {
                child();
                libc::_exit(0)
            }
            id => {
                assert!(id > 0, "fork failed");
                id
            }
        }
    }
}

/// Waits for a child and returns its raw status.
pub(crate) fn wait_for(id: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the status is ours.
    let waited = unsafe { libc::waitpid(id, &raw mut status, 0) };
    assert_eq!(waited, id);
    status
}

/// Sends SIGKILL.
pub(crate) fn kill(id: i32) {
    // SAFETY: takes two numbers.
    unsafe { libc::kill(id, libc::SIGKILL) };
}
