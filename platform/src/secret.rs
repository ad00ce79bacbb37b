//! Secrets as types with one door.
//!
//! A secret's bytes are reached through `expose` and nowhere else; the types
//! have no `Display`, no serialization and no `Clone`, and their `Debug` tells
//! a length only. Memory is wiped when a value is dropped and when a growing
//! buffer moves.
//!
//! Not promised: what the operating system copies (swap, hibernation, a core
//! dump: see [`crate::harden`], and [`crate::locked`] for what lives long), what
//! a library copies while it works (see [`crate::allocator`], and
//! [`wipe_stack`]), and bytes that a caller copies out of
//! [`SecretBytes::expose`].

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

use crate::fault;

/// Bytes that must not be seen; wiped when dropped.
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Opens the one door to the bytes.
    ///
    /// # Security
    ///
    /// Whoever copies the bytes out answers for the copy.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Counts the bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes a second copy, which has to be wiped as well; hence no `Clone`.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// Compares in a time that depends on the lengths only.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        same_bytes(&self.0, &other.0)
    }

    /// Takes the bytes out, to be wiped by the caller.
    pub(crate) fn into_vec(mut self) -> Vec<u8> {
        std::mem::take(&mut *self.0)
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretBytes({})", self.len())
    }
}

/// Text that must not be seen; wiped when dropped.
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Opens the one door to the text.
    ///
    /// # Security
    ///
    /// Whoever copies the text out answers for the copy.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Counts the bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Makes a second copy, which has to be wiped as well; hence no `Clone`.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// Compares in a time that depends on the lengths only.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        same_bytes(self.0.as_bytes(), other.0.as_bytes())
    }

    /// Gives the text as bytes, without copying it.
    #[must_use]
    pub fn into_bytes(mut self) -> SecretBytes {
        std::mem::take(&mut *self.0).into_bytes().into()
    }
}

impl Drop for SecretString {
    fn drop(&mut self) {
        // The field wipes itself.
        if fault::is_injected(fault::SKIP_WIPE) {
            drop(std::mem::take(&mut *self.0));
        }
    }
}

impl From<String> for SecretString {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl TryFrom<SecretBytes> for SecretString {
    type Error = NotText;

    /// Takes the bytes over without copying them; they are wiped on failure.
    fn try_from(bytes: SecretBytes) -> Result<Self, NotText> {
        match String::from_utf8(bytes.into_vec()) {
            Ok(text) => Ok(text.into()),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(NotText)
            }
        }
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretString({})", self.len())
    }
}

/// The bytes are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret is not text")]
pub struct NotText;

/// More bytes than a [`SecretBuffer`] was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("longer than {limit} bytes")]
pub struct TooLong {
    /// The buffer's limit in bytes.
    pub limit: usize,
}

/// A growing buffer that wipes the memory it grows out of.
///
/// A plain `Vec` leaves its old contents behind when it moves to a larger
/// allocation; this one copies and wipes. It never holds more than its limit.
pub struct SecretBuffer {
    bytes: Zeroizing<Vec<u8>>,
    limit: usize,
}

impl SecretBuffer {
    /// Makes an empty buffer that takes at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self::with_capacity(limit, 0)
    }

    /// Makes an empty buffer with room for `capacity` of its `limit` bytes.
    #[must_use]
    pub fn with_capacity(limit: usize, capacity: usize) -> Self {
        Self {
            bytes: Zeroizing::new(Vec::with_capacity(capacity.min(limit))),
            limit,
        }
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`TooLong`] when the limit would be passed; the buffer then is as it was.
    pub fn push(&mut self, more: &[u8]) -> Result<(), TooLong> {
        let length = self.bytes.len().saturating_add(more.len());
        if length > self.limit {
            return Err(TooLong { limit: self.limit });
        }
        if length > self.bytes.capacity() {
            let capacity = length.saturating_mul(2).max(64).min(self.limit);
            let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
            larger.extend_from_slice(&self.bytes);
            // The smaller allocation is wiped as it is dropped here.
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    /// Shows what is there so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Ends the growing.
    #[must_use]
    pub fn finish(self) -> SecretBytes {
        SecretBytes(self.bytes)
    }
}

impl fmt::Debug for SecretBuffer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretBuffer({})", self.bytes.len())
    }
}

/// Wipes what the functions that the caller has called left on the stack: the
/// blocks of a cipher, the pieces of a parser. As deep as a look at what is
/// stored or a call of a store goes, and no thread's stack is that small.
///
/// What was computed must have been called, and not inlined into the caller.
pub fn wipe_stack() {
    zeroize::zeroize_stack::<{ 64 << 10 }>();
}

/// The same for a thread of the vault's own that has a stack of
/// [`THREAD_STACK`] bytes and goes as deep as a request to a server does.
pub fn wipe_thread_stack() {
    zeroize::zeroize_stack::<{ THREAD_STACK / 4 }>();
}

/// Bytes of the stack of the vault's own threads.
pub const THREAD_STACK: usize = 2 << 20;

fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut difference = 0;
    for (a, b) in left.iter().zip(right) {
        // The black box keeps the compiler from leaving the loop early.
        difference = std::hint::black_box(difference | (a ^ b));
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_tells_the_length_and_nothing_else() {
        let bytes = SecretBytes::from(b"canary".to_vec());
        let text = SecretString::from("canary".to_owned());
        let mut buffer = SecretBuffer::new(10);
        buffer.push(b"canary").expect("fits");
        assert_eq!(format!("{bytes:?}"), "SecretBytes(6)");
        assert_eq!(format!("{text:#?}"), "SecretString(6)");
        assert_eq!(format!("{buffer:?}"), "SecretBuffer(6)");
    }

    #[test]
    fn bytes_become_text_without_moving() {
        let bytes = SecretBytes::from(b"token".to_vec());
        let place = bytes.expose().as_ptr();
        let text = SecretString::try_from(bytes).expect("utf-8");
        assert_eq!(text.expose(), "token");
        assert_eq!(text.expose().as_ptr(), place);
        assert_eq!(text.into_bytes().expose().as_ptr(), place);
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let bytes = SecretBytes::from(vec![0xff, 0xfe]);
        assert_eq!(SecretString::try_from(bytes).err(), Some(NotText));
    }

    #[test]
    fn comparing_looks_at_every_byte() {
        let one = SecretBytes::from(b"abc".to_vec());
        assert!(one.same_as(&one.duplicate()));
        for other in [&b"abd"[..], b"bbc", b"ab", b"abcd", b""] {
            assert!(!one.same_as(&SecretBytes::from(other.to_vec())));
        }
    }

    #[test]
    fn a_buffer_grows_up_to_its_limit_and_no_further() {
        let mut buffer = SecretBuffer::new(1000);
        for _ in 0..100 {
            buffer.push(&[7; 10]).expect("within the limit");
        }
        assert_eq!(buffer.push(b"x"), Err(TooLong { limit: 1000 }));
        assert_eq!(buffer.as_slice(), &[7; 1000]);
        assert_eq!(buffer.finish().len(), 1000);
    }
}
