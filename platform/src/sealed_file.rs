//! Sealed bytes: a clear header, and contents that only the key opens.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), whose 24-byte nonce may be
//! drawn at random. Layout:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | magic |
//! | 2 | major version, little-endian |
//! | 4 | length of the header, little-endian |
//! | … | header, clear |
//! | 24 | nonce |
//! | … | ciphertext and 16-byte tag |
//!
//! Everything before the nonce is the associated data, byte for byte, so that
//! a changed version, length or header is as much a forgery as a changed
//! ciphertext. What the header says is the caller's, who puts into it what
//! binds the file to its place, so that files can't be swapped.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::locked::{AfterFork, LockedBytes};
use crate::random;
use crate::secret::SecretBytes;

const MAGIC: [u8; 8] = *b"\x89vault\r\n";
const VERSION: u16 = 1;
const PREFIX: usize = MAGIC.len() + 2 + 4;
const NONCE: usize = 24;
const TAG: usize = 16;

/// Why sealed bytes don't open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealedFileError {
    /// These bytes were never sealed by this format.
    #[error("not a sealed file")]
    NotSealed,
    /// A newer version of the program wrote it.
    #[error("sealed in format {version}, newer than this program knows")]
    TooNew {
        /// The major version it is in.
        version: u16,
    },
    /// It ends too early.
    #[error("the sealed file is cut off")]
    Truncated,
    /// The key is another one, or a byte was changed.
    #[error("the sealed file was changed, or sealed with another key")]
    Forged,
}

const KEY: usize = 32;

/// A 32-byte key in [locked memory](crate::locked); wiped when dropped, and in
/// a child of `fork`.
pub struct SealingKey(LockedBytes);

impl SealingKey {
    /// Makes a new random key.
    #[must_use]
    pub fn generate() -> Self {
        Self(LockedBytes::filled(KEY, AfterFork::Wiped, random::fill))
    }

    /// Takes the bytes of a key that was kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY]) -> Self {
        Self(LockedBytes::new(&*Zeroizing::new(bytes), AfterFork::Wiped))
    }

    /// Takes the bytes of a key that was kept; `None` unless they are 32.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == KEY).then(|| Self(LockedBytes::new(bytes, AfterFork::Wiped)))
    }

    /// Opens the one door to the bytes.
    ///
    /// # Panics
    ///
    /// In a child of `fork` where it was wiped.
    ///
    /// # Security
    ///
    /// Whoever copies the bytes out answers for the copy.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY] {
        self.0
            .expose()
            .try_into()
            .expect("it has the bytes of a key")
    }

    /// Tells whether this is the copy of a child of `fork`, which was wiped:
    /// the child has to read the key again.
    #[must_use]
    pub fn is_wiped(&self) -> bool {
        self.0.is_wiped()
    }

    /// Makes a second copy, which has to be wiped as well; hence no `Clone`.
    ///
    /// # Panics
    ///
    /// As [`SealingKey::expose`].
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealingKey")
    }
}

/// Seals the plaintext under a header that stays readable.
///
/// # Panics
///
/// When the header is 4 GiB or longer, or the plaintext 256 GiB.
#[must_use]
pub fn seal(key: &SealingKey, header: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let header_length = u32::try_from(header.len()).expect("a header below 4 GiB");
    let length = PREFIX + header.len() + NONCE + plaintext.len() + TAG;
    let mut sealed = Vec::with_capacity(length);
    sealed.extend_from_slice(&MAGIC);
    sealed.extend_from_slice(&VERSION.to_le_bytes());
    sealed.extend_from_slice(&header_length.to_le_bytes());
    sealed.extend_from_slice(header);
    let nonce = random::bytes::<NONCE>();
    let ciphertext = cipher(key)
        .encrypt(
            &XNonce::from(nonce),
            Payload {
                msg: plaintext,
                aad: &sealed,
            },
        )
        .expect("a plaintext below 256 GiB");
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(&ciphertext);
    sealed
}

/// Shows the header of sealed bytes, *not* authenticated.
///
/// # Errors
///
/// Every [`SealedFileError`] but [`SealedFileError::Forged`].
///
/// # Security
///
/// Good for choosing the key to try; nothing in it may be believed before
/// [`open`] has succeeded.
pub fn header(sealed: &[u8]) -> Result<&[u8], SealedFileError> {
    let (associated, _) = split(sealed)?;
    Ok(&associated[PREFIX..])
}

/// Opens sealed bytes; afterwards their header is authenticated, too.
///
/// # Errors
///
/// Every [`SealedFileError`].
pub fn open(key: &SealingKey, sealed: &[u8]) -> Result<SecretBytes, SealedFileError> {
    let (associated, rest) = split(sealed)?;
    let (nonce, ciphertext) = rest
        .split_first_chunk::<NONCE>()
        .ok_or(SealedFileError::Truncated)?;
    cipher(key)
        .decrypt(
            &XNonce::from(*nonce),
            Payload {
                msg: ciphertext,
                aad: associated,
            },
        )
        .map(SecretBytes::from)
        .map_err(|_| SealedFileError::Forged)
}

/// Names data by a key: HMAC-SHA-256 (RFC 2104), cut to 128 bits.
///
/// Without the key nobody can tell which data a fingerprint is of, or test a
/// guess. The label keeps fingerprints for different uses apart.
///
/// # Panics
///
/// Never: HMAC takes keys of any length.
#[must_use]
pub fn keyed_fingerprint(key: &SealingKey, label: &str, data: &[u8]) -> [u8; 16] {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key.expose())
        .expect("HMAC takes keys of any length");
    // The length keeps label and data apart.
    mac.update(&(label.len() as u64).to_le_bytes());
    mac.update(label.as_bytes());
    mac.update(data);
    let full = mac.finalize().into_bytes();
    let mut fingerprint = [0; 16];
    fingerprint.copy_from_slice(&full[..16]);
    fingerprint
}

fn cipher(key: &SealingKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.expose().into())
}

/// Splits into what is authenticated in the clear, and nonce with ciphertext.
fn split(sealed: &[u8]) -> Result<(&[u8], &[u8]), SealedFileError> {
    let seen = sealed.len().min(MAGIC.len());
    if sealed[..seen] != MAGIC[..seen] || seen == 0 {
        return Err(SealedFileError::NotSealed);
    }
    let prefix: &[u8; PREFIX] = sealed.first_chunk().ok_or(SealedFileError::Truncated)?;
    let version = u16::from_le_bytes([prefix[8], prefix[9]]);
    if version > VERSION {
        return Err(SealedFileError::TooNew { version });
    }
    if version == 0 {
        return Err(SealedFileError::NotSealed);
    }
    let header = u32::from_le_bytes([prefix[10], prefix[11], prefix[12], prefix[13]]);
    let header = usize::try_from(header).map_err(|_| SealedFileError::Truncated)?;
    let end = PREFIX
        .checked_add(header)
        .ok_or(SealedFileError::Truncated)?;
    let (associated, rest) = sealed
        .split_at_checked(end)
        .ok_or(SealedFileError::Truncated)?;
    if rest.len() < NONCE + TAG {
        return Err(SealedFileError::Truncated);
    }
    Ok((associated, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_depends_on_key_label_and_data() {
        let key = SealingKey::from_bytes([7; 32]);
        let print = keyed_fingerprint(&key, "label", b"data");
        assert_eq!(print, keyed_fingerprint(&key.duplicate(), "label", b"data"));
        let other = SealingKey::from_bytes([8; 32]);
        assert_ne!(print, keyed_fingerprint(&other, "label", b"data"));
        assert_ne!(print, keyed_fingerprint(&key, "labe", b"ldata"));
        assert_ne!(print, keyed_fingerprint(&key, "label", b"datb"));
    }
}
