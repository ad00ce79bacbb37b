//! Named secrets in the user's key ring.
//!
//! A key is made in the ring of the calling thread, opened to the user and then
//! linked into the user's ring, where it takes the place of another program's of
//! the same name, in one step; our own is given new contents, in one step as
//! well. Nobody sees it half made, and nobody sees none.

use std::ffi::{CStr, CString};
use std::io;
use std::time::Duration;

use super::sys::{self, PERMISSIONS, Serial, THREAD_RING, USER_RING};
use crate::secret::SecretBytes;

/// The kinds of keys, the one that is made first. A big key's contents do not
/// count against the user's quota of some 20,000 bytes; not every kernel has
/// it.
const KINDS: [&CStr; 2] = [c"big_key", c"user"];

/// How often a look is repeated that another process's change fell into.
const TRIES: u32 = 10_000;

/// Makes the user's ring if it is not there, and so proves that the kernel has
/// rings and lets this process use them.
pub(crate) fn prove() -> io::Result<()> {
    sys::ensure(USER_RING)
}

/// Puts a secret under a name, until it is removed, the time has passed or the
/// machine reboots.
pub(crate) fn put(name: &CStr, contents: &[u8], time: Option<Duration>) -> io::Result<()> {
    let replaced = match time {
        None => replace(name, contents)?,
        // The time is a key's own: this makes a new one.
        Some(_) => None,
    };
    let kind = match replaced {
        Some(kind) => kind,
        None => patiently(|| make(name, contents, time))?,
    };
    // Another program may have put its own under the name.
    let mut others = KINDS.into_iter().filter(|other| *other != kind);
    others.try_for_each(|other| remove_kind(other, name))
}

/// Gives our key of this name new contents; tells its kind, or none if there is
/// no such key. A new key each time would fill the quota with old ones, which
/// the kernel takes away a little later.
fn replace(name: &CStr, contents: &[u8]) -> io::Result<Option<&'static CStr>> {
    for kind in KINDS {
        let Ok(Some(key)) = find(kind, name) else {
            continue;
        };
        let ours = sys::describe(key).is_ok_and(|described| {
            let rights = format!("{PERMISSIONS:08x}");
            let mut parts = described.expose().split(|byte| *byte == b';');
            parts.nth(3) == Some(rights.as_bytes())
        });
        if !ours {
            continue;
        }
        match sys::update(key, contents) {
            Ok(()) => return Ok(Some(kind)),
            // It was removed meanwhile.
            Err(error) if is_absent(&error) => {}
            // The kernel can't with this kind.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Makes a key and puts it in the place of what has its kind and name.
fn make(name: &CStr, contents: &[u8], time: Option<Duration>) -> io::Result<&'static CStr> {
    let (made, kind) = match sys::add(KINDS[0], name, contents, THREAD_RING) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {
            (sys::add(KINDS[1], name, contents, THREAD_RING)?, KINDS[1])
        }
        made => (made?, KINDS[0]),
    };
    let linked = sys::open_to_user(made)
        .and_then(|()| match time {
            Some(time) => {
                // Zero would mean for ever.
                let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
                sys::expire(made, seconds.max(1))
            }
            None => Ok(()),
        })
        .and_then(|()| sys::link(made, USER_RING));
    sys::unlink(made, THREAD_RING).ok();
    linked.map(|()| kind)
}

/// Tries again for a second while the quota is full: keys that were removed
/// count until the kernel has swept them up.
fn patiently<T>(make: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let mut tries = 50;
    loop {
        match make() {
            Err(error) if error.raw_os_error() == Some(libc::EDQUOT) && tries > 0 => {
                tries -= 1;
                #[expect(
                    clippy::disallowed_methods,
                    reason = "stores block, and have a thread of their own for it"
                )]
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// Reads all there is under a name.
pub(crate) fn get(name: &CStr) -> io::Result<Vec<SecretBytes>> {
    let mut found = Vec::new();
    for kind in KINDS {
        found.extend(settled(|| match find(kind, name)? {
            Some(key) => sys::read(key).map(Some),
            None => Ok(None),
        })?);
    }
    Ok(found)
}

/// Removes all there is under a name.
pub(crate) fn remove(name: &CStr) -> io::Result<()> {
    KINDS
        .into_iter()
        .try_for_each(|kind| remove_kind(kind, name))
}

/// Lists the names that begin so; a name may come twice.
pub(crate) fn names(prefix: &str) -> io::Result<Vec<String>> {
    let found = entries()?;
    let ours = found.into_iter().filter(|(_, kind, _)| is_ours(kind));
    Ok(ours
        .map(|(_, _, name)| name)
        .filter(|name| name.starts_with(prefix))
        .collect())
}

fn is_ours(kind: &str) -> bool {
    KINDS.iter().any(|ours| ours.to_bytes() == kind.as_bytes())
}

fn remove_kind(kind: &CStr, name: &CStr) -> io::Result<()> {
    settled(|| {
        loop {
            let found = match find(kind, name) {
                // It is another program's and not to be found by its name.
                Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
                    find_listed(kind, name)?
                }
                found => found?,
            };
            match found.map(|key| sys::unlink(key, USER_RING)) {
                None => return Ok(()),
                // Another process was faster; it may have put a new one there.
                Some(Err(error)) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Some(done) => done?,
            }
        }
    })
}

fn find(kind: &CStr, name: &CStr) -> io::Result<Option<Serial>> {
    match sys::search(USER_RING, kind, name) {
        Ok(key) => Ok(Some(key)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn find_listed(kind: &CStr, name: &CStr) -> io::Result<Option<Serial>> {
    let found = entries()?.into_iter().find(|(_, its_kind, its_name)| {
        its_kind.as_bytes() == kind.to_bytes() && its_name.as_bytes() == name.to_bytes()
    });
    Ok(found.map(|(key, _, _)| key))
}

/// Serial, kind and name of every key in the user's ring.
fn entries() -> io::Result<Vec<(Serial, String, String)>> {
    settled(|| {
        let ring = sys::read(USER_RING)?;
        let (serials, _) = ring.expose().as_chunks::<4>();
        let mut entries = Vec::new();
        for serial in serials {
            let key = Serial::from_ne_bytes(*serial);
            let described = match sys::describe(key) {
                // Somebody else's that may not even be looked at.
                Err(error) if error.raw_os_error() == Some(libc::EACCES) => continue,
                // Expired or revoked, but not yet gone.
                Err(error) if is_dead(&error) => continue,
                described => described?,
            };
            let described =
                CString::from_vec_with_nul(described.expose().to_vec()).unwrap_or_default();
            let described = described.to_string_lossy();
            let mut parts = described.splitn(5, ';');
            if let (Some(kind), Some(name)) = (parts.next(), parts.nth(3)) {
                entries.push((key, kind.to_owned(), name.to_owned()));
            }
        }
        Ok(entries)
    })
}

/// Repeats a look until no key vanishes in the middle of it.
fn settled<T>(look: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let mut tries = TRIES;
    loop {
        match look() {
            Err(error) if is_absent(&error) && tries > 0 => tries -= 1,
            result => return result,
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOKEY) || is_dead(error)
}

fn is_dead(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EKEYEXPIRED | libc::EKEYREVOKED)
    )
}
