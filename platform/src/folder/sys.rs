//! The calls that need `unsafe`: who a user of Windows is, and access lists.
//!
//! Each function is safe to call; the reason stands at its block.

#![expect(unsafe_code, reason = "system calls take addresses")]

use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::{Component, Path, Prefix};
use std::ptr;

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, GetKernelObjectSecurity, GetLengthSid, GetTokenInformation,
    OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, SECURITY_ATTRIBUTES, TOKEN_QUERY, TOKEN_USER,
    TokenUser,
};
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// Gives the name of the user that this process runs as, in its binary form.
pub(super) fn user() -> io::Result<Vec<u8>> {
    let mut token = ptr::null_mut();
    // SAFETY: the pseudo handle of the own process needs no closing; the result
    // is ours.
    done(unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) })?;
    // SAFETY: the handle is new and nobody else's.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    // Enough for the structure and the longest name, and aligned.
    let mut buffer = [0_u64; 32];
    let mut length = 0;
    // SAFETY: the handle is open; the buffer has the bytes that are told.
    done(unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            buffer.as_mut_ptr().cast(),
            size_of_val(&buffer) as u32,
            &raw mut length,
        )
    })?;
    // SAFETY: the call has filled in the structure, whose name points into the
    // buffer and is as long as it says.
    unsafe {
        let user = buffer.as_ptr().cast::<TOKEN_USER>().read();
        let length = GetLengthSid(user.User.Sid) as usize;
        Ok(std::slice::from_raw_parts(user.User.Sid.cast::<u8>(), length).to_vec())
    }
}

/// Makes a folder that has this access list from its first moment on.
pub(super) fn create_folder(path: &Path, list: &str) -> io::Result<()> {
    let descriptor = Descriptor::of(list)?;
    let attributes = SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: descriptor.0,
        bInheritHandle: 0,
    };
    let name = name_for_the_system(path);
    // SAFETY: the name ends with a zero; the structure and its descriptor are
    // there until the call returns.
    done(unsafe { CreateDirectoryW(name.as_ptr(), &raw const attributes) })
}

/// A security descriptor that the system has made.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    /// Makes one of an access list as text.
    fn of(list: &str) -> io::Result<Self> {
        let list: Vec<u16> = list.encode_utf16().chain([0]).collect();
        let mut descriptor = ptr::null_mut();
        // SAFETY: the text ends with a zero; the result is ours.
        done(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                list.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        })?;
        Ok(Self(descriptor))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: what the system allocated is freed once.
        unsafe { LocalFree(self.0) };
    }
}

/// Gives what is open, with the right to do so (`WRITE_DAC`), another list.
#[cfg(test)]
pub(super) fn change_list(file: &File, list: &str) -> io::Result<()> {
    use windows_sys::Win32::Security::SetKernelObjectSecurity;

    let descriptor = Descriptor::of(list)?;
    // SAFETY: the handle is open as long as `file` is; the descriptor is there
    // until the call returns.
    done(unsafe {
        SetKernelObjectSecurity(
            file.as_raw_handle(),
            DACL_SECURITY_INFORMATION,
            descriptor.0,
        )
    })
}

/// Gives the owner and the access list of what is open, as a self-relative
/// security descriptor. The handle must allow to read them (`READ_CONTROL`).
pub(super) fn security_of(file: &File) -> io::Result<Vec<u8>> {
    const ERROR_INSUFFICIENT_BUFFER: i32 = 122;
    let mut buffer = vec![0_u64; 64];
    loop {
        let length = size_of_val(&*buffer);
        let mut needed = 0;
        // SAFETY: the handle is open as long as `file` is; the buffer has the
        // bytes that are told, and is aligned for what the system writes.
        let asked = done(unsafe {
            GetKernelObjectSecurity(
                file.as_raw_handle(),
                OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
                buffer.as_mut_ptr().cast(),
                u32::try_from(length).unwrap_or(u32::MAX),
                &raw mut needed,
            )
        });
        match asked {
            Ok(()) => return Ok(buffer.iter().flat_map(|word| word.to_le_bytes()).collect()),
            Err(error) if error.raw_os_error() != Some(ERROR_INSUFFICIENT_BUFFER) => {
                return Err(error);
            }
            // It has grown since; at most 64 KiB are a list's.
            Err(error) if needed as usize <= length || needed > 1 << 20 => return Err(error),
            Err(_) => buffer.resize((needed as usize).div_ceil(8), 0),
        }
    }
}

/// A path with a zero at its end. One that is too long for old programs gets
/// the form that says that we are none.
fn name_for_the_system(path: &Path) -> Vec<u16> {
    /// `MAX_PATH`, less what a short name of a file in it takes.
    const LONGEST: usize = 248;
    let name: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let (before, taken) = match path.components().next() {
        Some(Component::Prefix(prefix)) if name.len() > LONGEST => match prefix.kind() {
            Prefix::Disk(_) => (r"\\?\", 0),
            Prefix::UNC(..) => (r"\\?\UNC", 1),
            _ => ("", 0),
        },
        _ => ("", 0),
    };
    before
        .encode_utf16()
        .chain(name[taken..].iter().copied())
        .collect()
}

fn done(result: windows_sys::core::BOOL) -> io::Result<()> {
    match result {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
