//! The system calls of the kernel's key rings; libc has no functions for them.
//!
//! Each function is safe to call; the reason stands at its block.

#![expect(
    unsafe_code,
    reason = "the system calls of key rings have no safe form"
)]

use std::ffi::{CStr, c_long};
use std::io;

use crate::secret::SecretBytes;

/// A key's or a key ring's number.
pub(super) type Serial = i32;

/// The ring of the calling thread; ends with it.
pub(super) const THREAD_RING: Serial = libc::KEY_SPEC_THREAD_KEYRING;

/// The ring of the user, in all sessions.
pub(super) const USER_RING: Serial = libc::KEY_SPEC_USER_KEYRING;

/// Everything for whoever possesses the key and for its user, nothing for
/// others. Without the user's rights only the processes of one session could
/// read it.
pub(super) const PERMISSIONS: u32 = 0x3f3f_0000;

/// Makes a key in a ring, or gives the one of this kind and name new contents.
pub(super) fn add(kind: &CStr, name: &CStr, contents: &[u8], ring: Serial) -> io::Result<Serial> {
    // SAFETY: both strings end with a zero; the contents are as long as told.
    let added = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            kind.as_ptr(),
            name.as_ptr(),
            contents.as_ptr(),
            contents.len(),
            ring,
        )
    };
    serial(added)
}

/// Gives a key new contents, in one step.
pub(super) fn update(key: Serial, contents: &[u8]) -> io::Result<()> {
    // SAFETY: the contents are as long as told.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_UPDATE,
            key,
            contents.as_ptr(),
            contents.len(),
            0,
        )
    };
    answered(answer).map(drop)
}

/// Finds a key in a ring by kind and name.
pub(super) fn search(ring: Serial, kind: &CStr, name: &CStr) -> io::Result<Serial> {
    // SAFETY: both strings end with a zero.
    let found = unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_SEARCH,
            ring,
            kind.as_ptr(),
            name.as_ptr(),
            0,
        )
    };
    serial(found)
}

/// Finds a special ring, and makes it if it is not there.
pub(super) fn ensure(ring: Serial) -> io::Result<()> {
    plain(libc::KEYCTL_GET_KEYRING_ID, ring, 1).map(drop)
}

/// Reads a key's contents, or the serials in a ring.
pub(super) fn read(key: Serial) -> io::Result<SecretBytes> {
    sized(libc::KEYCTL_READ, key)
}

/// Describes a key: `kind;user;group;permissions;name`.
pub(super) fn describe(key: Serial) -> io::Result<SecretBytes> {
    sized(libc::KEYCTL_DESCRIBE, key)
}

/// Puts a key into a ring, in the place of one of the same kind and name.
pub(super) fn link(key: Serial, ring: Serial) -> io::Result<()> {
    plain(libc::KEYCTL_LINK, key, ring).map(drop)
}

/// Takes a key out of a ring.
pub(super) fn unlink(key: Serial, ring: Serial) -> io::Result<()> {
    plain(libc::KEYCTL_UNLINK, key, ring).map(drop)
}

/// Lets a key expire after so many seconds.
pub(super) fn expire(key: Serial, seconds: u32) -> io::Result<()> {
    plain(libc::KEYCTL_SET_TIMEOUT, key, seconds).map(drop)
}

/// Opens a key to all processes of its user, and to nobody else.
pub(super) fn open_to_user(key: Serial) -> io::Result<()> {
    plain(libc::KEYCTL_SETPERM, key, PERMISSIONS).map(drop)
}

/// A call that takes numbers only.
fn plain(operation: u32, first: Serial, second: impl Into<i64>) -> io::Result<c_long> {
    // SAFETY: takes numbers only.
    let answer = unsafe { libc::syscall(libc::SYS_keyctl, operation, first, second.into(), 0, 0) };
    answered(answer)
}

/// A call that fills a buffer, as large as the kernel says it has to be.
fn sized(operation: u32, key: Serial) -> io::Result<SecretBytes> {
    let mut buffer = SecretBytes::from(Vec::new());
    loop {
        let mut bytes = buffer.into_vec();
        // SAFETY: the buffer is as long as told, and ours.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_keyctl,
                operation,
                key,
                bytes.as_mut_ptr(),
                bytes.len(),
                0,
            )
        };
        buffer = bytes.into();
        let length = usize::try_from(answered(answer)?).unwrap_or(0);
        if length <= buffer.len() {
            let mut bytes = buffer.into_vec();
            bytes.truncate(length);
            return Ok(bytes.into());
        }
        buffer = vec![0; length].into();
    }
}

fn answered(answer: c_long) -> io::Result<c_long> {
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer)
}

fn serial(answer: c_long) -> io::Result<Serial> {
    Serial::try_from(answered(answer)?).map_err(io::Error::other)
}
