//! What the status codes of Apple's Security framework mean for a store.
//!
//! A pure table over `OSStatus`, compiled on every system so that its test runs
//! on every system. The numbers are those of the framework's `SecBase.h`.

use std::fmt;

use super::{StoreError, StoreErrorKind, StoreKind};

/// errSecItemNotFound: absent is an answer, not a failure.
pub(crate) const NOT_FOUND: i32 = -25300;
/// errSecDuplicateItem: somebody else was first to add it.
#[cfg(any(test, target_os = "macos"))]
pub(crate) const DUPLICATE: i32 = -25299;

/// What a status means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meaning {
    status: i32,
    name: &'static str,
    kind: StoreErrorKind,
    /// What a person can do.
    hint: &'static str,
}

const fn meaning(
    status: i32,
    name: &'static str,
    kind: StoreErrorKind,
    hint: &'static str,
) -> Meaning {
    Meaning {
        status,
        name,
        kind,
        hint,
    }
}

const ASK_SOMEBODY: &str = "unlock the keychain (over SSH: `security unlock-keychain`), or run \
    this on the Mac's own screen, where it can be asked for";
const ANOTHER_STORE: &str = "a daemon or a session without a login has no keychain: choose \
    `--store encrypted-file --key-file FILE` there";
const DEFECT: &str = "this is a defect; `-vv` shows more for a report";

/// The statuses that are told apart.
const MEANINGS: [Meaning; 26] = {
    use StoreErrorKind::{Corrupted, Failed, Locked, Missing, Refused};
    [
        // Nobody may be asked, or nobody agreed.
        meaning(-25308, "errSecInteractionNotAllowed", Locked, ASK_SOMEBODY),
        meaning(-25315, "errSecInteractionRequired", Locked, ASK_SOMEBODY),
        meaning(
            -25320,
            "errSecInDarkWake",
            Locked,
            "the Mac is half asleep; try again when it is awake",
        ),
        meaning(
            -25293,
            "errSecAuthFailed",
            Locked,
            "the keychain's password was wrong, or the item does not let this program in: open \
             Keychain Access, and see the item's Access Control",
        ),
        meaning(
            -128,
            "errSecUserCanceled",
            Locked,
            "try again and agree to the question; `Always Allow` ends the questions",
        ),
        // This process may not.
        meaning(
            -34018,
            "errSecMissingEntitlement",
            Refused,
            "the data-protection keychain is for signed programs with the entitlement \
             keychain-access-groups: sign the program for it, or choose `--store keychain`",
        ),
        meaning(
            -34020,
            "errSecRestrictedAPI",
            Refused,
            "this program's signature does not allow that: choose `--store keychain`",
        ),
        meaning(
            -25243,
            "errSecNoAccessForItem",
            Refused,
            "the item does not let this program in: open Keychain Access, and see the item's \
             Access Control",
        ),
        meaning(
            -25244,
            "errSecInvalidOwnerEdit",
            Refused,
            "another program owns the item: delete it in Keychain Access, then log in again",
        ),
        meaning(
            -25292,
            "errSecReadOnly",
            Refused,
            "the keychain can't be written: see to the permissions of ~/Library/Keychains",
        ),
        meaning(
            -61,
            "errSecWrPerm",
            Refused,
            "the keychain can't be written: see to the permissions of ~/Library/Keychains",
        ),
        // There is none.
        meaning(-25291, "errSecNotAvailable", Missing, ANOTHER_STORE),
        meaning(
            -25307,
            "errSecNoDefaultKeychain",
            Missing,
            "name one: `security default-keychain -s login.keychain-db`",
        ),
        meaning(
            -25294,
            "errSecNoSuchKeychain",
            Missing,
            "the keychain's file is gone: bring it back, or name another one with `security \
             default-keychain -s`",
        ),
        meaning(
            -25295,
            "errSecInvalidKeychain",
            Missing,
            "the keychain's file is damaged: bring it back from a backup, or reset it in Keychain \
             Access",
        ),
        meaning(
            -4,
            "errSecUnimplemented",
            Missing,
            "this system is too old for it: choose another one with `--store`",
        ),
        // What is there can't be understood.
        meaning(
            -26275,
            "errSecDecode",
            Corrupted,
            "log in again; it replaces what is damaged",
        ),
        // The rest.
        meaning(-25300, "errSecItemNotFound", Failed, DEFECT),
        meaning(
            -25299,
            "errSecDuplicateItem",
            Failed,
            "another item stands in the way: delete it in Keychain Access, or try again",
        ),
        meaning(-50, "errSecParam", Failed, DEFECT),
        meaning(-909, "errSecBadReq", Failed, DEFECT),
        meaning(-25303, "errSecNoSuchAttr", Failed, DEFECT),
        meaning(-25304, "errSecInvalidItemRef", Failed, "try again"),
        meaning(
            -36,
            "errSecIO",
            Failed,
            "see that the disk works and has room, then try again",
        ),
        meaning(
            -108,
            "errSecAllocate",
            Failed,
            "free some memory and try again",
        ),
        meaning(
            -2070,
            "errSecInternalComponent",
            Failed,
            "often a locked keychain over SSH: `security unlock-keychain`, then try again",
        ),
    ]
};

const UNKNOWN: &str = "`security error NUMBER` tells what the status means";

/// Makes our error of a status.
pub(crate) fn store_error(status: i32, store: StoreKind, operation: &'static str) -> StoreError {
    let known = MEANINGS.iter().find(|known| known.status == status);
    let kind = known.map_or(StoreErrorKind::Failed, |known| known.kind);
    StoreError::new(kind, store, operation)
        .because(Status(status))
        .with_hint(known.map_or(UNKNOWN, |known| known.hint))
}

/// A status as the cause of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Status(i32);

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match MEANINGS.iter().find(|known| known.status == self.0) {
            Some(known) => write!(formatter, "{} ({})", known.name, self.0),
            None => write!(formatter, "status {}", self.0),
        }
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::error::Error as _;

    use super::*;

    fn kind(status: i32) -> StoreErrorKind {
        store_error(status, StoreKind::Keychain, "get").kind
    }

    #[test]
    fn what_a_person_could_solve_by_answering_is_locked_and_never_absent() {
        for status in [-25308, -25315, -25320, -25293, -128] {
            assert_eq!(kind(status), StoreErrorKind::Locked, "{status}");
            assert_ne!(status, NOT_FOUND);
        }
    }

    #[test]
    fn what_this_process_may_not_is_refused_and_no_keychain_is_missing() {
        for status in [-34018, -34020, -25243, -25244, -25292, -61] {
            assert_eq!(kind(status), StoreErrorKind::Refused, "{status}");
        }
        for status in [-25291, -25307, -25294, -25295, -4] {
            assert_eq!(kind(status), StoreErrorKind::Missing, "{status}");
        }
    }

    #[test]
    fn damage_is_corrupted_and_everything_else_failed() {
        assert_eq!(kind(-26275), StoreErrorKind::Corrupted);
        for status in [
            NOT_FOUND, DUPLICATE, -50, -909, -25303, -36, -108, -2070, -1, 7,
        ] {
            assert_eq!(kind(status), StoreErrorKind::Failed, "{status}");
        }
    }

    #[test]
    fn every_status_is_named_once_and_has_a_hint() {
        let statuses: BTreeSet<i32> = MEANINGS.iter().map(|known| known.status).collect();
        let names: BTreeSet<&str> = MEANINGS.iter().map(|known| known.name).collect();
        assert_eq!(
            (statuses.len(), names.len()),
            (MEANINGS.len(), MEANINGS.len())
        );
        for known in MEANINGS {
            assert!(known.name.starts_with("errSec"), "{}", known.name);
            let error = store_error(known.status, StoreKind::Keychain, "get");
            assert_eq!(error.hint(), Some(known.hint));
        }
    }

    #[test]
    fn the_cause_has_name_and_number_and_an_unknown_one_the_number() {
        let cause = |status| {
            let error = store_error(status, StoreKind::Keychain, "get");
            error.source().expect("a cause").to_string()
        };
        assert_eq!(cause(-25308), "errSecInteractionNotAllowed (-25308)");
        assert_eq!(cause(-12345), "status -12345");
        let unknown = store_error(-12345, StoreKind::Keychain, "get");
        assert_eq!(unknown.hint(), Some(UNKNOWN));
    }
}
