//! Memory for secrets that live long: keys, and a refresh token while it is
//! held.
//!
//! It lies in pages of its own, which are locked (the system does not write
//! them to swap) and left out of core dumps, and is wiped when a value goes.
//! What a child of `fork` gets is said with each value: keys are wiped there,
//! for they can be read again; [`LockedBytes::is_wiped`] tells. The child's
//! copy of the pages is not locked (`mlock`(2)).
//!
//! | system | locked | not in dumps | wiped in children |
//! |---|---|---|---|
//! | Linux, Android | `mlock` | `MADV_DONTDUMP` | `MADV_WIPEONFORK` |
//! | macOS, iOS, FreeBSD | `mlock` | no | no |
//! | Windows | `VirtualLock` | no | there is no `fork` |
//!
//! Where the system refuses something (a process may lock little), it is told
//! once and done without.
//!
//! A page is divided into 64 slots, whose owners are the bits of one word. So
//! neither taking nor giving back waits for anyone: a child of `fork` can't
//! find a mutex that a thread of its parent holds.

mod sys;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use sys::Block;

/// What the memory of a secret is in a child that is forked without `exec`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFork {
    /// All zeros, where the system can do that: for what can be read again.
    Wiped,
    /// As in the parent: for what may be there only once.
    Kept,
}

/// Bytes that must not be seen, in locked memory; wiped when dropped.
pub struct LockedBytes(Block);

impl LockedBytes {
    /// Copies the bytes; the caller answers for the original.
    #[must_use]
    pub fn new(bytes: &[u8], after_fork: AfterFork) -> Self {
        Self::filled(bytes.len(), after_fork, |here| here.copy_from_slice(bytes))
    }

    /// Has `length` bytes, zeros at first, filled in place.
    #[must_use]
    pub fn filled(length: usize, after_fork: AfterFork, fill: impl FnOnce(&mut [u8])) -> Self {
        let mut block = Block::new(length, after_fork);
        fill(block.bytes_mut());
        Self(block)
    }

    /// Opens the one door to the bytes.
    ///
    /// # Panics
    ///
    /// In a child of `fork` whose copy was wiped: zeros must not be taken for
    /// a key.
    ///
    /// # Security
    ///
    /// Whoever copies the bytes out answers for the copy.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        assert!(
            !self.is_wiped(),
            "a secret that stayed in the parent process is used in its child"
        );
        self.0.bytes()
    }

    /// Tells whether this is a child's copy that was wiped.
    #[must_use]
    pub fn is_wiped(&self) -> bool {
        self.0.is_wiped()
    }

    /// Makes a second copy, which has to be wiped as well; hence no `Clone`.
    ///
    /// # Panics
    ///
    /// As [`LockedBytes::expose`].
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::new(self.expose(), self.0.after_fork())
    }

    /// Counts the bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.bytes().len()
    }

    /// Tells whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for LockedBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LockedBytes({})", self.len())
    }
}

/// Says once what memory for secrets had to do without.
fn told(what: &'static str, error: &std::io::Error) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        tracing::warn!(%error, "{what}; secrets are held without it (`ulimit -l` tells how much a process may lock)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(bytes: &[u8]) -> LockedBytes {
        LockedBytes::new(bytes, AfterFork::Wiped)
    }

    #[test]
    fn what_goes_in_comes_out_whatever_its_length() {
        for length in [0, 1, 32, 247, 248, 249, 5000, 16_376, 16_377, 100_000] {
            let bytes: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            for after_fork in [AfterFork::Wiped, AfterFork::Kept] {
                let locked = LockedBytes::new(&bytes, after_fork);
                assert_eq!(locked.expose(), bytes);
                assert_eq!(locked.duplicate().expose(), bytes);
                assert!(!locked.is_wiped());
                assert_eq!(locked.is_empty(), length == 0);
            }
        }
    }

    #[test]
    fn many_at_once_have_places_of_their_own() {
        let threads: Vec<_> = (0..8_u8)
            .map(|thread| {
                std::thread::spawn(move || {
                    for round in 0..50_u8 {
                        let all: Vec<_> = (0..20_usize)
                            .map(|n| locked(&vec![thread ^ round; 1 + n * 40]))
                            .collect();
                        for (n, one) in all.iter().enumerate() {
                            assert_eq!(one.expose(), vec![thread ^ round; 1 + n * 40]);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no mixing up");
        }
    }

    #[test]
    fn a_place_is_used_again() {
        let first = locked(&[7; 32]);
        let place = first.expose().as_ptr();
        drop(first);
        let found = (0..5000).any(|_| locked(&[8; 32]).expose().as_ptr() == place);
        assert!(found);
    }

    #[test]
    fn debug_tells_the_length_and_nothing_else() {
        assert_eq!(format!("{:?}", locked(b"canary")), "LockedBytes(6)");
    }
}
