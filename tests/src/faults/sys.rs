//! The one system call of the matrix that no safe wrapper offers.
#![expect(
    unsafe_code,
    reason = "a seccomp filter is installed by prctl with a pointer"
)]

use std::io;

/// Makes `flock` fail with `ENOLCK` on this thread and those that it starts
/// from now on, for good. The thread has given up new privileges before.
///
/// # Errors
///
/// If the kernel takes no filter.
pub(super) fn refuse_flock() -> io::Result<()> {
    let [load, equal, answer] = [
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    ];
    // The number of the system call is the first word of `seccomp_data`.
    let program = [
        statement(load, 0, 0, 0)?,
        statement(equal, u32::try_from(libc::SYS_flock).unwrap_or(0), 0, 1)?,
        statement(
            answer,
            libc::SECCOMP_RET_ERRNO | libc::ENOLCK.unsigned_abs(),
            0,
            0,
        )?,
        statement(answer, libc::SECCOMP_RET_ALLOW, 0, 0)?,
    ];
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(0),
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `filter` and the program that it points to outlive the call,
    // which copies them and writes to neither.
    let refused = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const filter,
        )
    };
    match refused {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn statement(code: u32, k: u32, jt: u8, jf: u8) -> io::Result<libc::sock_filter> {
    let code = u16::try_from(code).map_err(io::Error::other)?;
    Ok(libc::sock_filter { code, jt, jf, k })
}
