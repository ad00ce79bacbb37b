//! What can be seen of a profile from outside, while other processes use it:
//! the display copy, the history and the shared counters. For who watches.
//!
//! A look asks no store, unlocks nothing, takes no lock and writes nothing. It
//! holds no secret. What it tells is never an input to a request.

use std::time::Duration;

use vault_platform::clock::Now;
use vault_platform::counters::SharedWords;
use vault_platform::folder::StateFolder;

use crate::display::{HistoryEntry, ProfileSummary};
use crate::error::{ErrorKind, Result};
use crate::refresh::description::describe;
use crate::shared::{self, Shared};
use crate::storage::Names;

/// What can be seen of a profile.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Glance {
    /// The display copy; none before the first login, or if it can't be read.
    pub summary: Option<ProfileSummary>,
    /// The history, oldest first.
    pub history: Vec<HistoryEntry>,
    /// The counters; none where they can't be read. Losing them loses nothing.
    pub counters: Option<Counters>,
}

/// What processes tell each other at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// How many refreshes were ever begun.
    pub attempts: u64,
    /// Which of these failed last; zero if none did.
    pub failed_attempt: u64,
    /// How the newest one failed, if it did.
    pub failure: Option<ErrorKind>,
    /// For how long all processes stay away from the server.
    pub backing_off: Option<Duration>,
    /// How many tokens processes took over that another one had stored.
    pub adopted: u64,
}

impl Glance {
    /// Looks.
    pub(crate) fn read(folder: &StateFolder, names: &Names, now: &Now) -> Result<Self> {
        // One that can't be mapped is as good as none.
        let words = SharedWords::look(folder, shared::FILE).unwrap_or_default();
        let counters = words.map(|words| {
            let shared = Shared::new(words);
            let kind = |failure| describe(failure, names, None).kind();
            Counters {
                attempts: shared.attempts(),
                failed_attempt: shared.failed_attempt(),
                failure: shared.failure().map(kind),
                backing_off: shared.backing_off(now).map(|(_, pause)| pause),
                adopted: shared.adopted(),
            }
        });
        Ok(Self {
            summary: ProfileSummary::read_with_pin(folder)?,
            history: HistoryEntry::read_all(folder)?,
            counters,
        })
    }
}

#[cfg(test)]
mod tests {
    use vault_platform::clock::{Clock, ManualClock};

    use super::*;
    use crate::refresh::protocol::Failure;

    fn glance(folder: &StateFolder, clock: &ManualClock) -> Glance {
        let names = Names {
            application: "app".to_owned(),
            profile: "work".to_owned(),
        };
        Glance::read(folder, &names, &clock.now()).unwrap()
    }

    #[test]
    fn a_look_at_a_folder_makes_no_file() {
        let place = tempfile::tempdir().unwrap();
        let folder = StateFolder::create(&place.path().join("state"), Default::default()).unwrap();
        let seen = glance(&folder, &ManualClock::new());
        assert!(seen.summary.is_none() && seen.history.is_empty() && seen.counters.is_none());
        assert_eq!(folder.names().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_other_processes_count_is_seen() {
        let place = tempfile::tempdir().unwrap();
        let folder = StateFolder::create(&place.path().join("state"), Default::default()).unwrap();
        let clock = ManualClock::new();
        let shared = Shared::new(SharedWords::open(&folder, shared::FILE).unwrap());
        shared.count_attempt();
        shared.count_adoption();
        let before = glance(&folder, &clock).counters.unwrap();
        assert_eq!((before.attempts, before.adopted), (1, 1));
        assert_eq!((before.failed_attempt, before.failure), (0, None));
        shared.share_failure(Failure::ServerUnavailable, None, &clock.now());
        let after = glance(&folder, &clock).counters.unwrap();
        assert_eq!(after.failed_attempt, 1);
        assert_eq!(after.failure, Some(ErrorKind::ServerUnavailable));
        assert!(after.backing_off.is_some());
        shared.share_success();
        let again = glance(&folder, &clock).counters.unwrap();
        assert_eq!((again.failure, again.backing_off), (None, None));
    }
}
