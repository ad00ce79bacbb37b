//! What an access list of Windows lets others do.
//!
//! Read from the security descriptor in its self-relative form, as the system
//! gives it ([MS-DTYP], sections 2.4.2 to 2.4.6): pure, so that it is tried on
//! every system. Entries that forbid are passed over: they take nothing away
//! that would be missed here. Entries of a kind that files do not have count
//! as somebody else's.
//!
//! The user's own is what nobody else may use but the system itself and its
//! administrators, who can take everything anyway. Apps in a sandbox (an
//! `AppContainer`, `S-1-15-…`) are the user's, too: beside their own entry they
//! need the user's.
//!
//! [MS-DTYP]: https://learn.microsoft.com/openspecs/windows_protocols/ms-dtyp/

use super::Exposure;

/// Who owns what is as good as the user's: administrators, the system.
const TRUSTED: [&str; 2] = [ADMINISTRATORS, SYSTEM];
const ADMINISTRATORS: &str = "S-1-5-32-544";
const SYSTEM: &str = "S-1-5-18";

/// Stand for whoever owns or makes the thing.
const OWNERS: [&str; 2] = ["S-1-3-0", "S-1-3-4"];

/// Everyone, anonymous and authenticated users, those that sit here or come
/// through the network, the group of all users, guests.
const ALL: [&str; 8] = [
    "S-1-1-0",
    "S-1-5-7",
    "S-1-5-11",
    "S-1-5-4",
    "S-1-5-2",
    "S-1-5-32-545",
    "S-1-5-32-546",
    "S-1-5-32-547",
];

/// Begins the names of apps in a sandbox and of what they may do.
const SANDBOXED: &str = "S-1-15-";

/// Data and attributes, or names in a folder; removing it; its list and owner;
/// `GENERIC_ALL` and `GENERIC_WRITE`.
const WRITES: u32 = 0x2 | 0x4 | 0x10 | 0x40 | 0x100 | 0x1_0000 | 0x4_0000 | 0x8_0000 | 0x5000_0000;

/// Data, or names in a folder; `GENERIC_READ`.
const READS: u32 = 0x1 | 0x8000_0000;

/// `ACCESS_ALLOWED_ACE` and the same with a condition.
const ALLOWS: [u8; 2] = [0, 9];

/// What forbids: plain, for objects, with a condition, both.
const FORBIDS: [u8; 4] = [1, 6, 10, 12];

/// Who owns a file or folder, and who may do what with it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Access {
    owner: String,
    /// `None` without a list: then everybody may do everything.
    entries: Option<Vec<Entry>>,
}

/// It belongs to another user.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotOwner;

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// `None` for an entry of a kind that is not known.
    who: Option<String>,
    mask: u32,
}

impl Access {
    /// Reads a self-relative security descriptor; `None` if it is none.
    pub(super) fn parse(descriptor: &[u8]) -> Option<Self> {
        const LIST_PRESENT: u16 = 4;
        let control = u16::from_le_bytes(*descriptor.get(2..)?.first_chunk()?);
        let owner = sid(descriptor.get(number(descriptor, 4)?..)?)?;
        let list = number(descriptor, 16)?;
        let entries = match control & LIST_PRESENT != 0 && list != 0 {
            true => Some(entries(descriptor.get(list..)?)?),
            false => None,
        };
        Some(Self { owner, entries })
    }

    /// Tells what keeps it from being the user's alone.
    ///
    /// What everybody may write to is told as that, whosever it is: where there
    /// are no lists (FAT), there are no owners either.
    ///
    /// # Errors
    ///
    /// [`NotOwner`] if it belongs to somebody else, who can change its list.
    pub(super) fn judge(&self, user: &str) -> Result<Option<Exposure>, NotOwner> {
        let exposure = self.exposure(user);
        let is_owned = self.owner == user || TRUSTED.contains(&self.owner.as_str());
        match is_owned || exposure == Some(Exposure::OthersWrite) {
            true => Ok(exposure),
            false => Err(NotOwner),
        }
    }

    /// Tells what is worst of what others may do with it.
    fn exposure(&self, user: &str) -> Option<Exposure> {
        let Some(entries) = &self.entries else {
            return Some(Exposure::OthersWrite);
        };
        let others = || {
            entries
                .iter()
                .filter(|entry| !entry.who.as_ref().is_some_and(|who| is_own(who, user)))
        };
        let all = |entry: &&Entry| entry.who.as_deref().is_none_or(|who| ALL.contains(&who));
        if others().filter(all).any(|entry| entry.mask & WRITES != 0) {
            Some(Exposure::OthersWrite)
        } else if others().any(|entry| entry.mask & WRITES != 0) {
            Some(Exposure::AnotherWrites)
        } else if others().any(|entry| entry.mask & READS != 0) {
            Some(Exposure::OthersRead)
        } else {
            None
        }
    }
}

/// The list of a folder that is one user's alone, as text ([MS-DTYP], section
/// 2.5.1): nothing is inherited from above, and what is made in it inherits
/// full access for the user and for the system.
#[cfg(windows)]
pub(super) fn private(user: &str) -> String {
    format!("D:P(A;OICI;FA;;;{user})(A;OICI;FA;;;SY)")
}

fn is_own(who: &str, user: &str) -> bool {
    who == user || TRUSTED.contains(&who) || OWNERS.contains(&who) || who.starts_with(SANDBOXED)
}

fn entries(list: &[u8]) -> Option<Vec<Entry>> {
    let count = u16::from_le_bytes(*list.get(4..)?.first_chunk()?);
    let mut rest = list.get(8..)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let kind = *rest.first()?;
        let size = usize::from(u16::from_le_bytes(*rest.get(2..)?.first_chunk()?));
        let entry = rest.get(..size.max(8))?;
        let mask = u32::from_le_bytes(*entry.get(4..)?.first_chunk()?);
        if !FORBIDS.contains(&kind) {
            let who = match ALLOWS.contains(&kind) {
                true => Some(sid(entry.get(8..)?)?),
                false => None,
            };
            entries.push(Entry { who, mask });
        }
        rest = rest.get(entry.len()..)?;
    }
    Some(entries)
}

/// Writes the name of an account as `S-1-…` ([MS-DTYP], section 2.4.2.1).
pub(super) fn sid(bytes: &[u8]) -> Option<String> {
    let [revision, count, authority @ ..] = *bytes.first_chunk::<8>()?;
    let authority = authority
        .iter()
        .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let mut text = format!("S-{revision}-{authority}");
    let parts = bytes.get(8..8 + 4 * usize::from(count))?;
    for part in parts.as_chunks::<4>().0 {
        text.push_str(&format!("-{}", u32::from_le_bytes(*part)));
    }
    Some(text)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let number = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
    usize::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "S-1-5-21-1-2-3-1001";
    const BOB: &str = "S-1-5-21-1-2-3-1002";
    const FULL: u32 = 0x1f_01ff;
    const READ: u32 = 0x12_00a9;

    fn sid_bytes(text: &str) -> Vec<u8> {
        let mut parts = text
            .split('-')
            .skip(1)
            .map(|part| part.parse::<u64>().expect("a number"));
        let (revision, authority) = (parts.next().expect("one"), parts.next().expect("one"));
        let parts: Vec<u64> = parts.collect();
        let mut bytes = vec![revision as u8, parts.len() as u8];
        bytes.extend(&authority.to_be_bytes()[2..]);
        for part in parts {
            bytes.extend((part as u32).to_le_bytes());
        }
        bytes
    }

    /// A descriptor with these entries: kind, who, mask.
    fn descriptor(owner: &str, entries: Option<&[(u8, &str, u32)]>) -> Vec<u8> {
        let owner = sid_bytes(owner);
        let at = 20 + owner.len() as u32;
        let (control, list) = match entries {
            Some(_) => (0x8004_u16, at),
            None => (0x8000, 0),
        };
        let mut bytes = vec![1, 0];
        bytes.extend(control.to_le_bytes());
        for offset in [20, 0, 0, list] {
            bytes.extend(offset.to_le_bytes());
        }
        bytes.extend(owner);
        let entries = entries.unwrap_or_default();
        bytes.extend([2, 0, 0, 0, entries.len() as u8, 0, 0, 0]);
        for (kind, who, mask) in entries {
            let who = sid_bytes(who);
            bytes.extend([*kind, 0, 8 + who.len() as u8, 0]);
            bytes.extend(mask.to_le_bytes());
            bytes.extend(who);
        }
        bytes
    }

    fn exposure(entries: &[(u8, &str, u32)]) -> Option<Exposure> {
        let whole = [&[(0, USER, FULL), (0, SYSTEM, FULL)], entries].concat();
        let access = Access::parse(&descriptor(USER, Some(&whole))).expect("well-formed");
        access.exposure(USER)
    }

    #[test]
    fn what_others_may_do_is_told_by_the_worst() {
        for (entries, expected) in [
            (&[][..], None),
            (&[(0, ADMINISTRATORS, FULL)], None),
            (&[(0, "S-1-3-0", 0x1000_0000)], None),
            (&[(0, "S-1-15-3-65536-1-2", READ)], None),
            (&[(1, BOB, FULL)], None),
            // Nobody reads what he may only pass or ask the attributes of.
            (&[(0, "S-1-1-0", 0x12_00a0)], None),
            (&[(0, BOB, READ)], Some(Exposure::OthersRead)),
            (&[(0, "S-1-1-0", READ)], Some(Exposure::OthersRead)),
            (&[(9, BOB, READ)], Some(Exposure::OthersRead)),
            (&[(0, BOB, FULL)], Some(Exposure::AnotherWrites)),
            (&[(0, BOB, 0x4_0000)], Some(Exposure::AnotherWrites)),
            (
                &[(0, "S-1-3-1", 0x1000_0000)],
                Some(Exposure::AnotherWrites),
            ),
            (&[(0, "S-1-5-11", 0x13_01bf)], Some(Exposure::OthersWrite)),
            (&[(0, "S-1-5-32-545", 0x4)], Some(Exposure::OthersWrite)),
            (&[(5, BOB, FULL)], Some(Exposure::OthersWrite)),
            (
                &[(0, BOB, FULL), (0, "S-1-1-0", READ)],
                Some(Exposure::AnotherWrites),
            ),
        ] {
            assert_eq!(exposure(entries), expected, "{entries:x?}");
        }
    }

    #[test]
    fn without_a_list_everybody_may_do_everything_and_with_an_empty_one_nobody() {
        let without = Access::parse(&descriptor(USER, None)).expect("well-formed");
        assert_eq!(without.exposure(USER), Some(Exposure::OthersWrite));
        let empty = Access::parse(&descriptor(USER, Some(&[]))).expect("well-formed");
        assert_eq!(empty.exposure(USER), None);
    }

    #[test]
    fn it_is_the_users_own_or_an_administrators_or_the_systems() {
        for (owner, is_own) in [
            (USER, true),
            (ADMINISTRATORS, true),
            (SYSTEM, true),
            (BOB, false),
            ("S-1-5-7", false),
        ] {
            let judged = |entries: Option<&[_]>| {
                let access = Access::parse(&descriptor(owner, entries)).expect("well-formed");
                access.judge(USER)
            };
            let owned = |exposure| if is_own { Ok(exposure) } else { Err(NotOwner) };
            assert_eq!(judged(Some(&[])), owned(None), "{owner}");
            // Whose it is matters before what others may read.
            let readable = [(0, "S-1-1-0", READ)];
            assert_eq!(
                judged(Some(&readable)),
                owned(Some(Exposure::OthersRead)),
                "{owner}"
            );
            assert_eq!(judged(None), Ok(Some(Exposure::OthersWrite)), "{owner}");
        }
    }

    #[test]
    fn a_descriptor_that_is_cut_off_is_none() {
        let entries = [(0, USER, FULL), (1, BOB, FULL), (0, BOB, READ)];
        let whole = descriptor(USER, Some(&entries));
        assert!(Access::parse(&whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(Access::parse(&whole[..length]), None, "{length}");
        }
    }
}
