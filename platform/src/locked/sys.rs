//! The calls that need `unsafe`: bytes in mapped memory, by address.

#![expect(unsafe_code, reason = "secrets lie in memory that is mapped by hand")]

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use memmap2::{MmapMut, MmapRaw};
use zeroize::{Zeroize, Zeroizing};

use super::{AfterFork, told};

/// Bytes of a page of slots: a multiple of what every system maps at least.
const PAGE: usize = 16 * 1024;

/// Bytes of one of its 64 slots: a key, or a usual token.
const SLOT: usize = PAGE / 64;

/// How many pages there can be of each kind. What comes after lies in the heap.
const PAGES: usize = 64;

/// Stands before the bytes of each block; a copy that was wiped has zeros.
const MARKER: [u8; 8] = *b"\x89secret\n";

/// Memory of one secret.
pub(super) struct Block {
    home: Home,
    /// Without the marker.
    length: usize,
    after_fork: AfterFork,
}

enum Home {
    /// Slots of a page, which stays for the life of the process.
    Slots {
        page: &'static Page,
        first: usize,
        count: usize,
    },
    /// A mapping for what is longer than a page.
    Own(MmapRaw),
    /// Where nothing can be mapped.
    Heap(Zeroizing<Vec<u8>>),
}

impl Block {
    /// Takes zeros.
    pub(super) fn new(length: usize, after_fork: AfterFork) -> Self {
        let whole = MARKER.len() + length;
        let home = match whole.div_ceil(SLOT) {
            count @ 0..64 => take_slots(count, after_fork),
            _ => map(whole, after_fork).ok().map(Home::Own),
        };
        let mut block = Self {
            home: home.unwrap_or_else(|| Home::Heap(Zeroizing::new(vec![0; whole]))),
            length,
            after_fork,
        };
        block.whole_mut()[..MARKER.len()].copy_from_slice(&MARKER);
        block
    }

    pub(super) fn bytes(&self) -> &[u8] {
        let (place, length) = (self.place(), MARKER.len() + self.length);
        // SAFETY: the place has so many bytes, all of them written, that are
        // this block's alone until it is dropped; nobody writes to them without
        // `&mut`.
        let whole = unsafe { std::slice::from_raw_parts(place, length) };
        &whole[MARKER.len()..]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.whole_mut()[MARKER.len()..]
    }

    pub(super) fn after_fork(&self) -> AfterFork {
        self.after_fork
    }

    pub(super) fn is_wiped(&self) -> bool {
        // SAFETY: each block begins with the marker. The kernel changes it
        // behind the compiler's back, so it is read where it lies.
        unsafe { self.place().read_volatile() == 0 }
    }

    fn whole_mut(&mut self) -> &mut [u8] {
        let (place, length) = (self.place(), MARKER.len() + self.length);
        // SAFETY: as in `bytes`, and `&mut self` keeps all others away.
        unsafe { std::slice::from_raw_parts_mut(place, length) }
    }

    fn place(&self) -> *mut u8 {
        match &self.home {
            // SAFETY: the slots lie within the page.
            Home::Slots { page, first, .. } => unsafe {
                page.memory.as_mut_ptr().add(first * SLOT)
            },
            Home::Own(memory) => memory.as_mut_ptr(),
            Home::Heap(bytes) => bytes.as_ptr().cast_mut(),
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.whole_mut().zeroize();
        if let Home::Slots { page, first, count } = self.home {
            page.taken.fetch_and(!mask(first, count), Ordering::Release);
        }
    }
}

/// 64 slots.
struct Page {
    memory: MmapRaw,
    taken: AtomicU64,
}

static WIPED: [AtomicPtr<Page>; PAGES] = [const { AtomicPtr::new(ptr::null_mut()) }; PAGES];
static KEPT: [AtomicPtr<Page>; PAGES] = [const { AtomicPtr::new(ptr::null_mut()) }; PAGES];

fn take_slots(count: usize, after_fork: AfterFork) -> Option<Home> {
    let pages = match after_fork {
        AfterFork::Wiped => &WIPED,
        AfterFork::Kept => &KEPT,
    };
    pages.iter().find_map(|place| {
        let page = page_at(place, after_fork)?;
        let first = page.take(count)?;
        Some(Home::Slots { page, first, count })
    })
}

/// Gives the page, which is mapped at its first use.
fn page_at(place: &AtomicPtr<Page>, after_fork: AfterFork) -> Option<&'static Page> {
    let mut page = place.load(Ordering::Acquire);
    if page.is_null() {
        let new = Box::into_raw(Box::new(Page {
            memory: map(PAGE, after_fork).ok()?,
            taken: AtomicU64::new(0),
        }));
        page =
            match place.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => new,
                Err(others) => {
                    // SAFETY: nobody else has seen it; another thread was faster.
                    drop(unsafe { Box::from_raw(new) });
                    others
                }
            };
    }
    // SAFETY: what was put there is a page that is never taken away.
    Some(unsafe { &*page })
}

impl Page {
    fn take(&self, count: usize) -> Option<usize> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let first = (0..=64 - count).find(|first| taken & mask(*first, count) == 0)?;
            match self.taken.compare_exchange_weak(
                taken,
                taken | mask(first, count),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(first),
                Err(changed) => taken = changed,
            }
        }
    }
}

/// The bits of `count` slots; less than 64.
fn mask(first: usize, count: usize) -> u64 {
    ((1 << count) - 1) << first
}

/// Maps memory and protects it as well as the system lets.
fn map(length: usize, after_fork: AfterFork) -> io::Result<MmapRaw> {
    let memory = MmapMut::map_anon(length)?;
    if let Err(error) = lock(&memory) {
        told("memory can't be locked", &error);
    }
    advise(&memory, after_fork);
    Ok(memory.into())
}

#[cfg(unix)]
fn lock(memory: &MmapMut) -> io::Result<()> {
    memory.lock()
}

#[cfg(windows)]
fn lock(memory: &MmapMut) -> io::Result<()> {
    use windows_sys::Win32::System::Memory::VirtualLock;

    // SAFETY: the address and length are those of a mapping that is there.
    match unsafe { VirtualLock(memory.as_ptr().cast(), memory.len()) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(not(any(unix, windows)))]
fn lock(_memory: &MmapMut) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn advise(memory: &MmapMut, after_fork: AfterFork) {
    let advised = |advice, told_if_not| {
        let (place, length) = (memory.as_ptr().cast_mut().cast(), memory.len());
        // SAFETY: the address and length are those of a mapping that is there;
        // what it holds in this process stays as it is.
        if unsafe { libc::madvise(place, length, advice) } != 0 {
            told(told_if_not, &io::Error::last_os_error());
        }
    };
    advised(
        libc::MADV_DONTDUMP,
        "memory can't be left out of core dumps",
    );
    if after_fork == AfterFork::Wiped {
        advised(libc::MADV_WIPEONFORK, "memory can't be wiped in children");
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn advise(_memory: &MmapMut, _after_fork: AfterFork) {}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::super::{AfterFork, LockedBytes};

    #[test]
    fn a_forked_child_has_no_key_and_can_make_one() {
        let key = LockedBytes::new(&[7; 32], AfterFork::Wiped);
        let token = LockedBytes::new(&[8; 64], AfterFork::Kept);
        let in_child = || {
            let new = LockedBytes::new(&[9; 32], AfterFork::Wiped);
            let right = key.is_wiped() && !new.is_wiped() && !token.is_wiped();
            right && new.expose() == [9; 32] && token.expose() == [8; 64]
        };
        // SAFETY: the child only compares memory and ends; it neither unwinds
        // nor runs the destructors of the test's threads.
        let status = unsafe {
            match libc::fork() {
                0 => libc::_exit(i32::from(!in_child())),
                child => {
                    let mut status = -1;
                    libc::waitpid(child, &raw mut status, 0);
                    status
                }
            }
        };
        assert_eq!(status, 0);
        assert_eq!(key.expose(), [7; 32], "the parent keeps it");
    }

    #[test]
    fn what_holds_secrets_is_locked_and_in_no_dump() {
        let key = LockedBytes::new(&[7; 32], AfterFork::Wiped);
        let at = key.expose().as_ptr().addr();
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("readable");
        let mut here = false;
        for line in maps.lines() {
            let range = line
                .split_once(' ')
                .and_then(|(range, _)| range.split_once('-'));
            if let Some((start, end)) = range
                && let Ok(start) = usize::from_str_radix(start, 16)
                && let Ok(end) = usize::from_str_radix(end, 16)
            {
                here = (start..end).contains(&at);
            }
            if here && line.starts_with("VmFlags:") {
                for flag in [" lo", " dd", " wf"] {
                    assert!(line.contains(flag), "{flag}: {line}");
                }
                return;
            }
        }
        panic!("the mapping is not there");
    }
}
