//! The keyutils store: the Linux kernel's key rings, until reboot.
//!
//! Items are keys in the user's ring: every process of the user sees them,
//! whatever session it is in, and nothing is written to a disk. The ring ends
//! with the boot, and in a container with the user namespace. (Before Linux 5.3
//! it ended with the user's last process.) The *persistent* ring is not used:
//! it expires after three days without use.
//!
//! A key is named `vault:<application>/<account>`, and its first byte says in
//! which form the rest is, so that another program's key is told from ours.
//! The user's quota (`/proc/sys/kernel/keys`) is 200 keys and 20,000 bytes;
//! where the kernel has big keys, their contents do not count.

#[cfg(target_os = "linux")]
pub(crate) mod ring;
#[cfg(target_os = "linux")]
mod sys;

#[cfg(not(target_os = "linux"))]
pub use super::unsupported::Keyutils as KeyutilsStore;
#[cfg(target_os = "linux")]
pub use store::KeyutilsStore;

#[cfg(target_os = "linux")]
mod store {
    use std::ffi::CString;
    use std::io;

    use super::ring;
    use crate::secret::{SecretBuffer, SecretBytes};
    use crate::store::{
        Capabilities, Interaction, ItemName, Persistence, SecretStore, StoreError, StoreErrorKind,
        StoreKind, StoreOptions,
    };

    /// The longest secret in bytes: what a key takes that is given new contents,
    /// without the form. A few such fit into the user's quota.
    const LIMIT: usize = 4096 - 1;

    /// The form of what follows.
    const FORM: u8 = 1;

    /// The longest name that the kernel takes.
    const LONGEST_NAME: usize = 4095;

    /// The user's key ring.
    #[derive(Debug)]
    pub struct KeyutilsStore(());

    impl KeyutilsStore {
        /// Makes the store; asks nothing yet.
        ///
        /// # Errors
        ///
        /// None on this system.
        pub fn new(_options: &StoreOptions) -> Result<Self, StoreError> {
            Ok(Self(()))
        }
    }

    impl SecretStore for KeyutilsStore {
        fn kind(&self) -> StoreKind {
            StoreKind::Keyutils
        }

        fn provider(&self) -> String {
            "the kernel's key ring of this user, until reboot".to_owned()
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities {
                size_limit: Some(LIMIT),
                persistence: Persistence::UntilReboot,
                may_prompt: false,
            }
        }

        /// The kernel answers at once.
        fn keeps_deadlines(&self) -> bool {
            true
        }

        fn unlock(&self, _interaction: Interaction) -> Result<(), StoreError> {
            ring::prove().map_err(|cause| failed(cause, "unlock"))
        }

        fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
            let Ok(name) = key_name(item, "get") else {
                return Ok(Vec::new());
            };
            let found = ring::get(&name).map_err(|cause| failed(cause, "get"))?;
            let unframed = found.iter().map(|contents| match contents.expose() {
                [FORM, secret @ ..] => Ok(secret.to_vec().into()),
                _ => Err(error(StoreErrorKind::Corrupted, "get")
                    .because("another program, or a newer version of this one, wrote the key")),
            });
            unframed.collect()
        }

        fn set(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), StoreError> {
            if secret.len() > LIMIT {
                return Err(error(StoreErrorKind::TooLarge { limit: LIMIT }, "set"));
            }
            let name = key_name(item, "set")?;
            let mut contents = SecretBuffer::with_capacity(LIMIT + 1, secret.len() + 1);
            contents
                .push(&[FORM])
                .and_then(|()| contents.push(secret.expose()))
                .map_err(|cause| error(StoreErrorKind::Failed, "set").because(cause))?;
            ring::put(&name, contents.as_slice(), None).map_err(|cause| failed(cause, "set"))
        }

        fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
            match key_name(item, "delete") {
                Ok(name) => ring::remove(&name).map_err(|cause| failed(cause, "delete")),
                Err(_) => Ok(()),
            }
        }

        fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
            let prefix = prefix(application);
            let names = ring::names(&prefix).map_err(|cause| failed(cause, "list"))?;
            let mut items: Vec<ItemName> = names
                .iter()
                .filter_map(|name| ItemName::new(application, &name[prefix.len()..]).ok())
                .collect();
            items.sort_unstable();
            items.dedup();
            Ok(items)
        }
    }

    /// Begins the names of an application's keys. A slash of its own is
    /// written otherwise, so that the first slash ends it.
    fn prefix(application: &str) -> String {
        let application = application.replace('%', "%25").replace('/', "%2f");
        format!("vault:{application}/")
    }

    fn key_name(item: &ItemName, operation: &'static str) -> Result<CString, StoreError> {
        let name = prefix(item.application()) + item.account();
        if name.len() > LONGEST_NAME {
            return Err(error(StoreErrorKind::Refused, operation)
                .because("the names of application and account are too long for a key's"));
        }
        CString::new(name).map_err(|cause| error(StoreErrorKind::Refused, operation).because(cause))
    }

    /// Sorts an error of the kernel, and says what to do about it.
    fn kind_of(cause: &io::Error) -> (StoreErrorKind, &'static str) {
        match cause.raw_os_error() {
            Some(libc::ENOSYS | libc::EPERM) => (
                StoreErrorKind::Missing,
                "this kernel has no key rings, or the container forbids them (its seccomp profile \
                 has to allow add_key and keyctl); choose another store",
            ),
            Some(libc::EDQUOT) => (
                StoreErrorKind::Failed,
                "the user's quota of keys is used up: /proc/key-users shows it, and \
                 /proc/sys/kernel/keys/maxkeys and maxbytes set it; or choose another store",
            ),
            Some(libc::EACCES) => (
                StoreErrorKind::Corrupted,
                "another program made the key, for itself alone",
            ),
            _ => (StoreErrorKind::Failed, "the kernel's key ring"),
        }
    }

    fn failed(cause: io::Error, operation: &'static str) -> StoreError {
        let (kind, why) = kind_of(&cause);
        error(kind, operation).because(format!("{why}: {cause}"))
    }

    fn error(kind: StoreErrorKind, operation: &'static str) -> StoreError {
        StoreError::new(kind, StoreKind::Keyutils, operation)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_a_container_forbids_is_missing_and_a_full_quota_is_told() {
            for (code, kind) in [
                (libc::ENOSYS, StoreErrorKind::Missing),
                (libc::EPERM, StoreErrorKind::Missing),
                (libc::EDQUOT, StoreErrorKind::Failed),
                (libc::EACCES, StoreErrorKind::Corrupted),
                (libc::ENOMEM, StoreErrorKind::Failed),
            ] {
                let error = failed(io::Error::from_raw_os_error(code), "set");
                assert_eq!(error.kind, kind);
                assert!(std::error::Error::source(&error).is_some());
            }
        }

        #[test]
        fn the_first_slash_ends_the_application() {
            let named = |application: &str, account: &str| {
                let item = ItemName::new(application, account).expect("valid");
                key_name(&item, "get").expect("short")
            };
            assert_ne!(named("a/b", "c"), named("a", "b/c"));
            assert_ne!(named("a%2fb", "c"), named("a/b", "c"));
        }
    }
}
