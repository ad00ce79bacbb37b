//! Tracing a child, which is stopped when it begins and when it is about to end.

#![expect(unsafe_code, reason = "ptrace takes addresses")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr;

/// Why a traced child stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is about to end: all that it does has been done, and its memory is still there.
    Ending,
    /// It is to get this signal.
    Signal(i32),
    /// It has ended.
    Ended,
}

/// Has the child ask to be traced.
pub(super) fn trace(command: &mut Command) {
    // SAFETY: the closure makes system calls only, which are allowed after a fork.
    unsafe {
        command.pre_exec(|| {
            done(libc::ptrace(
                libc::PTRACE_TRACEME,
                0,
                ptr::null_mut::<u8>(),
                ptr::null_mut::<u8>(),
            ))
        });
    }
}

/// Lets the child write core dumps of any size.
pub(super) fn allow_dumps(command: &mut Command) {
    // SAFETY: as above.
    unsafe {
        command.pre_exec(unlimited_dumps);
    }
}

fn unlimited_dumps() -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is ours.
    unsafe {
        done(libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit).into())?;
        limit.rlim_cur = libc::RLIM_INFINITY;
        if libc::geteuid() == 0 {
            limit.rlim_max = libc::RLIM_INFINITY;
        }
        limit.rlim_cur = limit.rlim_cur.min(limit.rlim_max);
        done(libc::setrlimit(libc::RLIMIT_CORE, &raw const limit).into())
    }
}

/// Has a child that stands still stop once more before its end, and die with its tracer.
pub(super) fn stop_before_the_end(child: i32) -> io::Result<()> {
    let options = libc::PTRACE_O_TRACEEXIT | libc::PTRACE_O_EXITKILL;
    // SAFETY: no address is read or written.
    done(unsafe {
        libc::ptrace(
            libc::PTRACE_SETOPTIONS,
            child,
            ptr::null_mut::<u8>(),
            ptr::without_provenance_mut::<u8>(usize::try_from(options).unwrap_or(0)),
        )
    })
}

/// Lets a child go on, with this signal or with none (0).
pub(super) fn go_on(child: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no address is read or written.
    done(unsafe {
        libc::ptrace(
            libc::PTRACE_CONT,
            child,
            ptr::null_mut::<u8>(),
            ptr::without_provenance_mut::<u8>(usize::try_from(signal).unwrap_or(0)),
        )
    })
}

/// Waits until a traced child stands still, or has ended (it is still to be waited for then).
pub(super) fn wait(child: i32) -> io::Result<Stop> {
    // SAFETY: a zeroed structure is one; the call fills it in.
    let (waited, information) = unsafe {
        let mut information: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WSTOPPED | libc::WNOWAIT;
        let id = libc::id_t::try_from(child).unwrap_or(0);
        let waited = libc::waitid(libc::P_PID, id, &raw mut information, options);
        (waited, information)
    };
    done(waited.into())?;
    if !matches!(information.si_code, libc::CLD_TRAPPED | libc::CLD_STOPPED) {
        return Ok(Stop::Ended);
    }
    let mut status = 0;
    // SAFETY: the status is ours.
    done(unsafe { libc::waitpid(child, &raw mut status, libc::__WALL) }.into())?;
    Ok(match (status >> 8, libc::WSTOPSIG(status)) {
        (event, libc::SIGTRAP) if event >> 8 == libc::PTRACE_EVENT_EXIT => Stop::Ending,
        (_, signal) => Stop::Signal(signal),
    })
}

fn done(result: libc::c_long) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
