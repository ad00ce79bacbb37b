//! The one call of a handshake that has no safe form.

#![expect(unsafe_code, reason = "control messages are written through pointers")]

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// Sends a zero byte with which the kernel hands over who sends it.
pub(super) fn send_credentials(stream: &UnixStream) -> io::Result<()> {
    let mut byte = [0_u8];
    let mut piece = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: byte.len(),
    };
    // The kernel writes the credentials; only a header stands here. Of words, so
    // that it is aligned as a header is.
    let mut control = [0_usize; 8];
    // SAFETY: takes a number.
    let space = unsafe { libc::CMSG_SPACE(0) };
    // SAFETY: all of its fields may be zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = space;
    // SAFETY: the header lies in `control`, which is large enough for one.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_CREDS;
        (*header).cmsg_len = libc::CMSG_LEN(0);
    }
    // SAFETY: the message and what it points to live until the call returns.
    match unsafe { libc::sendmsg(stream.as_raw_fd(), &raw const message, 0) } {
        sent if sent < 0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
