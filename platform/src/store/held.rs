//! Secrets that the Linux kernel holds for a while, so that not every process
//! has to derive them, or ask a slow store for them.
//!
//! They lie in the user's key ring: every process of the user can read one until
//! its time has passed or the machine reboots, and no other user can. The kernel
//! counts the time, from the holding on; nothing prolongs it. Nothing is held
//! unless somebody asked for it. Other systems hold nothing.
//!
//! What a held secret is good for, and when it is no longer, is the callers' to
//! know.

#[cfg(target_os = "linux")]
pub use linux::{any, held, hold, prove, release};
#[cfg(not(target_os = "linux"))]
pub use other::{any, held, hold, prove, release};

/// Begins the names of all keys that are held.
#[cfg(target_os = "linux")]
const PREFIX: &str = "vault-";

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CString;
    use std::io;
    use std::time::Duration;

    use super::PREFIX;
    use crate::secret::SecretBytes;
    use crate::store::keyutils::ring;

    /// Proves that the kernel can hold secrets for this process.
    ///
    /// # Errors
    ///
    /// What the kernel says: a container may forbid it.
    pub fn prove() -> io::Result<()> {
        ring::prove()
    }

    /// Holds a secret under a name from now on for this long, in place of what
    /// was held there.
    ///
    /// # Errors
    ///
    /// What the kernel says: the user's quota of keys may be used up.
    pub fn hold(name: &str, secret: &[u8], time: Duration) -> io::Result<()> {
        ring::put(&key_name(name)?, secret, Some(time))
    }

    /// Gives what is held under a name. Whether it is the right one is the
    /// caller's to check; a kernel without key rings holds nothing.
    #[must_use]
    pub fn held(name: &str) -> Option<SecretBytes> {
        let found = ring::get(&key_name(name).ok()?).ok()?;
        found.into_iter().next()
    }

    /// Holds what has this name no longer.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn release(name: &str) -> io::Result<()> {
        match held(name) {
            Some(_) => ring::remove(&key_name(name)?),
            None => Ok(()),
        }
    }

    /// Tells whether anything is held whose name begins so.
    #[must_use]
    pub fn any(beginning: &str) -> bool {
        let names = ring::names(&format!("{PREFIX}{beginning}"));
        names.is_ok_and(|names| !names.is_empty())
    }

    fn key_name(name: &str) -> io::Result<CString> {
        CString::new(format!("{PREFIX}{name}")).map_err(io::Error::from)
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io;
    use std::time::Duration;

    use crate::secret::SecretBytes;

    /// Says that only Linux holds secrets.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn prove() -> io::Result<()> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "only Linux has one",
        ))
    }

    /// As [`prove`].
    ///
    /// # Errors
    ///
    /// Always.
    pub fn hold(_name: &str, _secret: &[u8], _time: Duration) -> io::Result<()> {
        prove()
    }

    /// Nothing is held.
    #[must_use]
    pub fn held(_name: &str) -> Option<SecretBytes> {
        None
    }

    /// Nothing is held.
    ///
    /// # Errors
    ///
    /// None.
    pub fn release(_name: &str) -> io::Result<()> {
        Ok(())
    }

    /// Nothing is held.
    #[must_use]
    pub fn any(_beginning: &str) -> bool {
        false
    }
}
