//! The calls that need `unsafe`.
//!
//! Each function is safe to call; the reason stands at its block.

#![expect(unsafe_code, reason = "system calls take addresses")]

use std::io;
use std::sync::atomic::AtomicU64;

use memmap2::MmapRaw;

/// Bytes of the mapping of [`SharedMapping`]; one page everywhere.
pub(crate) const MAPPING_BYTES: usize = 4096;

/// Bytes of one counter.
const WORD_BYTES: usize = size_of::<AtomicU64>();

/// A mapped file, seen as counters.
#[derive(Debug)]
pub(crate) struct SharedMapping(MmapRaw);

impl SharedMapping {
    /// Maps the first page of the file, shared with every other process.
    pub(crate) fn shared(file: &std::fs::File) -> io::Result<Self> {
        long_enough(file)?;
        let map = memmap2::MmapOptions::new()
            .len(MAPPING_BYTES)
            .map_raw(file)?;
        Ok(Self(map))
    }

    /// Maps the first page of a file that can't be written to.
    ///
    /// Copy-on-write: a store by mistake changes a private copy instead of
    /// ending the process by a signal.
    pub(crate) fn read_only(file: &std::fs::File) -> io::Result<Self> {
        long_enough(file)?;
        // SAFETY: the map is only ever read and written through atomics (see
        // `word`), so that changes by other processes are no data race. The
        // file is never truncated by this crate.
        let map = unsafe {
            memmap2::MmapOptions::new()
                .len(MAPPING_BYTES)
                .map_copy(file)?
        };
        Ok(Self(map.into()))
    }

    pub(crate) fn word(&self, index: usize) -> Option<&AtomicU64> {
        if index >= MAPPING_BYTES / WORD_BYTES {
            return None;
        }
        // SAFETY: the mapping is MAPPING_BYTES long, writable, and lives as
        // long as `self`; it starts at a page boundary, so each word is
        // aligned; nothing but atomics from here accesses it in this process,
        // and other processes do the same. Where somebody has cut the file, an
        // access is a signal that ends the process, and nothing worse.
        Some(unsafe { AtomicU64::from_ptr(self.0.as_mut_ptr().cast::<u64>().add(index)) })
    }
}

/// Reading a mapped page beyond a file's end is a signal, not an error.
pub(crate) fn long_enough(file: &std::fs::File) -> io::Result<()> {
    if file.metadata()?.len() < MAPPING_BYTES as u64 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Registers a function for normal exit.
pub(crate) fn at_exit(function: extern "C" fn()) -> bool {
    // SAFETY: `atexit` is thread-safe; the function pointer is valid for the
    // life of the process.
    unsafe { libc::atexit(function) == 0 }
}

/// Whether a signal's action is to be ignored.
#[cfg(unix)]
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action, `sigaction` only writes the present one to
    // the memory that is given, which is large enough and was zeroed: a valid
    // value also where the call fails.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Has a signal be ignored.
#[cfg(unix)]
pub(crate) fn ignore(signal: i32) {
    // SAFETY: no handler runs, so none can do what is forbidden to one.
    unsafe {
        libc::signal(signal, libc::SIG_IGN);
    }
}

#[cfg(unix)]
pub(crate) use fork::{forget_lock, remember_lock};

/// Closes a forked child's copies of lock descriptors.
///
/// A child that is forked without `exec` has a copy of each descriptor and,
/// with it, of a `flock`: when the parent dies, the child's copy keeps the
/// lock. So the child closes its copies. Closing leaves the parent's lock
/// alone as long as the parent has its descriptor; unlocking would not.
#[cfg(unix)]
mod fork {
    use std::os::fd::{AsRawFd, BorrowedFd};
    use std::sync::Once;
    use std::sync::atomic::{AtomicI32, Ordering};

    const EMPTY: i32 = -1;

    // A table without locks or allocation: the child's handler may run while
    // another thread of the parent was in the middle of anything.
    static HELD: [AtomicI32; 256] = [const { AtomicI32::new(EMPTY) }; 256];
    static HANDLER: Once = Once::new();

    /// Notes a descriptor; `None` when the table is full.
    pub(crate) fn remember_lock(file: BorrowedFd<'_>) -> Option<usize> {
        HANDLER.call_once(|| {
            // SAFETY: the handler only loads and swaps atomics and closes
            // descriptors, all allowed after a fork of a threaded process.
            let refused = unsafe { libc::pthread_atfork(None, None, Some(close_copies)) };
            if refused != 0 {
                tracing::warn!("forked children can't be watched");
            }
        });
        HELD.iter().position(|slot| {
            slot.compare_exchange(EMPTY, file.as_raw_fd(), Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        })
    }

    /// Takes a descriptor out again; before it is closed.
    pub(crate) fn forget_lock(slot: usize) {
        HELD[slot].store(EMPTY, Ordering::Release);
    }

    unsafe extern "C" fn close_copies() {
        for slot in &HELD {
            let descriptor = slot.swap(EMPTY, Ordering::AcqRel);
            if descriptor != EMPTY {
                // SAFETY: the descriptor is open in the child, as it was in
                // the parent; the guard that owned it leaves it alone in a
                // child (see `lock::LockGuard`).
                unsafe { libc::close(descriptor) };
            }
        }
    }
}

/// Keeps debuggers from attaching.
#[cfg(target_os = "macos")]
pub(crate) fn deny_debuggers() -> io::Result<()> {
    // SAFETY: PT_DENY_ATTACH takes no address.
    let refused = unsafe { libc::ptrace(libc::PT_DENY_ATTACH, 0, std::ptr::null_mut(), 0) };
    if refused == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Keeps the system from reporting a crash of this process.
#[cfg(windows)]
pub(crate) fn forbid_crash_reports() {
    use windows_sys::Win32::System::Diagnostics::Debug::{
        SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX, SetErrorMode,
    };

    // SAFETY: takes no address.
    unsafe { SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX) };
}

/// The words of a keychain query that fails where it would ask a person.
#[cfg(any(target_os = "macos", target_os = "ios"))]
pub(crate) fn fail_instead_of_asking() -> (
    core_foundation::string::CFString,
    core_foundation::base::CFType,
) {
    use core_foundation::base::TCFType;
    use core_foundation::string::{CFString, CFStringRef};

    #[link(name = "Security", kind = "framework")]
    unsafe extern "C" {
        static kSecUseAuthenticationUI: CFStringRef;
        static kSecUseAuthenticationUIFail: CFStringRef;
    }
    // SAFETY: both are constants of the framework, valid for the life of the
    // process.
    unsafe {
        (
            CFString::wrap_under_get_rule(kSecUseAuthenticationUI),
            CFString::wrap_under_get_rule(kSecUseAuthenticationUIFail).into_CFType(),
        )
    }
}

/// Asks the kernel for the name of this boot.
#[cfg(target_os = "macos")]
pub(crate) fn boot_name() -> Option<Vec<u8>> {
    let mut name = vec![0_u8; 64];
    let mut length = name.len();
    // SAFETY: the buffer has `length` bytes; the kernel writes at most that
    // many and stores how many it wrote.
    let refused = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            name.as_mut_ptr().cast(),
            &raw mut length,
            std::ptr::null_mut(),
            0,
        )
    };
    name.truncate(length);
    (refused == 0 && length > 0).then_some(name)
}

/// Asks the registry for the number of this boot.
#[cfg(windows)]
pub(crate) fn boot_name() -> Option<Vec<u8>> {
    use windows_sys::Win32::System::Registry::{
        HKEY_LOCAL_MACHINE, RRF_RT_REG_DWORD, RegGetValueW,
    };

    let wide = |text: &str| -> Vec<u16> { text.encode_utf16().chain([0]).collect() };
    let key = wide(
        r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters",
    );
    let value = wide("BootId");
    let mut number = 0_u32;
    let mut length = 4_u32;
    // SAFETY: both names end with a zero; the buffer has the four bytes that
    // `length` promises.
    let refused = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            key.as_ptr(),
            value.as_ptr(),
            RRF_RT_REG_DWORD,
            std::ptr::null_mut(),
            (&raw mut number).cast(),
            &raw mut length,
        )
    };
    (refused == 0).then(|| number.to_le_bytes().to_vec())
}

/// No boot id is known on this system.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    windows
)))]
pub(crate) fn boot_name() -> Option<Vec<u8>> {
    None
}

/// Reads the clock that counts sleep.
#[cfg(windows)]
pub(crate) fn milliseconds_since_boot() -> u64 {
    // SAFETY: takes no arguments and can't fail.
    unsafe { windows_sys::Win32::System::SystemInformation::GetTickCount64() }
}

/// A turn at the Credential Manager, among all processes of the session.
///
/// Windows needs none. Wine writes an item in several steps, and a read in
/// between gives a mixture or goes beyond its buffer.
#[cfg(windows)]
#[derive(Debug)]
pub(crate) struct CredentialTurn {
    mutex: std::os::windows::io::OwnedHandle,
    /// The thread that took it gives it back.
    _of_this_thread: std::marker::PhantomData<*const ()>,
}

#[cfg(windows)]
impl CredentialTurn {
    /// Waits for the turn, but not for ever: `None` goes without.
    pub(crate) fn take() -> Option<Self> {
        use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
        use windows_sys::Win32::Foundation::{WAIT_ABANDONED, WAIT_OBJECT_0};
        use windows_sys::Win32::System::Threading::{CreateMutexW, WaitForSingleObject};

        const PATIENCE_MS: u32 = 5_000;
        let name: Vec<u16> = r"Local\vault-credential-manager"
            .encode_utf16()
            .chain([0])
            .collect();
        // SAFETY: no attributes; the name ends with a zero.
        let handle = unsafe { CreateMutexW(std::ptr::null(), 0, name.as_ptr()) };
        if handle.is_null() {
            return None;
        }
        // SAFETY: the handle is new and nobody else's.
        let mutex = unsafe { OwnedHandle::from_raw_handle(handle) };
        // SAFETY: the handle is open.
        let waited = unsafe { WaitForSingleObject(mutex.as_raw_handle(), PATIENCE_MS) };
        // A process that died within its turn left it to us.
        matches!(waited, WAIT_OBJECT_0 | WAIT_ABANDONED).then_some(Self {
            mutex,
            _of_this_thread: std::marker::PhantomData,
        })
    }
}

#[cfg(windows)]
impl Drop for CredentialTurn {
    fn drop(&mut self) {
        use std::os::windows::io::AsRawHandle;
        use windows_sys::Win32::System::Threading::ReleaseMutex;

        // SAFETY: the handle is open, and the mutex is this thread's.
        unsafe { ReleaseMutex(self.mutex.as_raw_handle()) };
    }
}

/// Lists the targets of the user's generic credentials that begin with a prefix.
///
/// Reads them where they lie: Wine aligns neither the structures nor their
/// strings, which the native store's own search takes for granted.
#[cfg(windows)]
pub(crate) fn credential_targets(prefix: &str) -> io::Result<Vec<String>> {
    use windows_sys::Win32::Foundation::ERROR_NOT_FOUND;
    use windows_sys::Win32::Security::Credentials::{
        CRED_TYPE_GENERIC, CREDENTIALW, CredEnumerateW, CredFree,
    };

    let filter: Vec<u16> = prefix.encode_utf16().chain([u16::from(b'*'), 0]).collect();
    let mut count = 0_u32;
    let mut list: *mut *mut CREDENTIALW = std::ptr::null_mut();
    // SAFETY: the filter ends with a zero; both results are ours.
    if unsafe { CredEnumerateW(filter.as_ptr(), 0, &raw mut count, &raw mut list) } == 0 {
        let error = io::Error::last_os_error();
        let nothing = i32::try_from(ERROR_NOT_FOUND) == Ok(error.raw_os_error().unwrap_or(0));
        return if nothing { Ok(Vec::new()) } else { Err(error) };
    }
    let mut targets = Vec::new();
    for index in 0..count as usize {
        // SAFETY: the list has `count` pointers to structures, whose blobs have
        // the length that is told and whose targets end with a zero; all are
        // valid and ours until they are freed, below.
        unsafe {
            let credential = list.add(index).read_unaligned().read_unaligned();
            for offset in 0..credential.CredentialBlobSize as usize {
                credential.CredentialBlob.add(offset).write_volatile(0);
            }
            let name = credential.TargetName;
            if credential.Type == CRED_TYPE_GENERIC && !name.is_null() {
                let units = (0..).map(|at| name.add(at).read_unaligned());
                let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
                targets.push(String::from_utf16_lossy(&units));
            }
        }
    }
    // SAFETY: what the system allocated is freed once.
    unsafe { CredFree(list.cast()) };
    Ok(targets)
}

/// Ends this process at once: no exit handler runs, no destructor.
#[cfg(windows)]
pub(crate) fn terminate(code: u32) -> ! {
    use windows_sys::Win32::System::Threading::{GetCurrentProcess, TerminateProcess};

    // SAFETY: the pseudo handle of the own process needs no closing.
    unsafe { TerminateProcess(GetCurrentProcess(), code) };
    // Not reached: a process may always end itself.
    std::process::abort()
}

/// Opens a folder for asking its identity and access list, leaving others free
/// to rename it.
#[cfg(windows)]
pub(crate) fn open_folder(path: &std::path::Path) -> io::Result<std::fs::File> {
    use std::os::windows::fs::OpenOptionsExt;
    use windows_sys::Win32::Storage::FileSystem::{
        FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES,
        READ_CONTROL,
    };

    std::fs::OpenOptions::new()
        .access_mode(FILE_READ_ATTRIBUTES | READ_CONTROL)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)
}

/// Tells whether a drive's letter is mapped to a share.
#[cfg(windows)]
pub(crate) fn is_remote_drive(letter: u8) -> bool {
    use windows_sys::Win32::Storage::FileSystem::GetDriveTypeW;

    /// DRIVE_REMOTE.
    const REMOTE: u32 = 4;
    let root = [u16::from(letter), u16::from(b':'), u16::from(b'\\'), 0];
    // SAFETY: the path ends with a zero.
    unsafe { GetDriveTypeW(root.as_ptr()) == REMOTE }
}

/// Identifies an open file or folder: volume, and number on it.
#[cfg(windows)]
pub(crate) fn file_id(file: &std::fs::File) -> io::Result<(u32, u64)> {
    use std::os::windows::io::AsRawHandle;
    use windows_sys::Win32::Storage::FileSystem::{
        BY_HANDLE_FILE_INFORMATION, GetFileInformationByHandle,
    };

    let mut information = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open as long as `file` is; the structure is ours.
    let done = unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut information) };
    if done == 0 {
        return Err(io::Error::last_os_error());
    }
    let index = u64::from(information.nFileIndexHigh) << 32 | u64::from(information.nFileIndexLow);
    Ok((information.dwVolumeSerialNumber, index))
}
