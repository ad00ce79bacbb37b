//! Check 8: the history tells every rotation of the login, from the first that
//! is kept to the one that is stored.

use super::login::Found;
use super::{Code, Report, folder};
use crate::display::HistoryEntry;

pub(super) fn examine(found: &Found, report: &mut Report) {
    let folder = &found.storage.folder;
    let path = folder.path().map(|path| path.join(HistoryEntry::FILE));
    let (entries, unreadable) = match HistoryEntry::read_counting(folder) {
        Ok(read) => read,
        Err(error) => return report.failed(folder::code(&error), &error),
    };
    if unreadable > 0 {
        let message = format!("{unreadable} of its lines can't be read");
        report.found_at(Code::HistoryUnreadable, path.clone(), message);
    }
    let links: Vec<u64> = entries
        .iter()
        .filter(|entry| entry.login == found.key.login && entry.is_link())
        .map(|entry| entry.generation)
        .collect();
    match gap(&links, found.record.generation.0) {
        Some((last, next)) => {
            let message = format!("generation {last} is followed by {next}");
            report.found_at(Code::HistoryBroken, path, message);
        }
        None if unreadable > 0 => {}
        None => {
            let message = match links.first() {
                Some(first) => format!(
                    "unbroken from generation {first} to {}",
                    found.record.generation
                ),
                None => "empty; the next refresh begins it".to_owned(),
            };
            report.found(Code::History, message);
        }
    }
}

/// Where the chain does not count up by one, or ends before what is stored. A
/// history that holds nothing of the login begins with its next rotation.
fn gap(links: &[u64], stored: u64) -> Option<(u64, u64)> {
    let pairs = links.windows(2).map(|pair| (pair[0], pair[1]));
    let end = links.last().map(|last| (*last, stored));
    pairs
        .filter(|(one, next)| one.checked_add(1) != Some(*next))
        .chain(end.filter(|(last, stored)| last != stored))
        .next()
}

#[cfg(test)]
mod tests {
    use super::gap;

    #[test]
    fn a_chain_counts_up_by_one_to_what_is_stored() {
        assert_eq!(gap(&[], 7), None);
        assert_eq!(gap(&[3, 4, 5], 5), None);
        assert_eq!(gap(&[3, 5], 5), Some((3, 5)));
        assert_eq!(gap(&[3, 3], 3), Some((3, 3)));
        assert_eq!(gap(&[3, 4], 6), Some((4, 6)));
    }
}
