//! Moves a profile to another store, while other processes go on asking for
//! tokens.
//!
//! The commit is one file that is replaced: the folder's own record, which pins
//! the profile to a store. Before it, everything is in the new store and was
//! read back; after it, the old store's items go. So whoever is killed anywhere
//! leaves a profile that is whole in the store that it is pinned to. What may
//! be left in the other one is noted in the same file from the moment before
//! it is written, and deleted by the next refresh, migration, login or logout.
//!
//! Both locks are held: nobody rotates the token meanwhile, and nobody logs in.
//! Other processes read the pin when they look, and again under the lock.

use std::sync::Arc;

use tokio::time::Instant;
use vault_platform::lock::LockGuard;
use vault_platform::store::{Persistence, StoreKind};

use super::alteration::{claim_newest, take_lock};
use super::claim::{Claim, token_item};
use super::description::describe;
use super::farewell::{delete_copies, delete_leftovers};
use super::protocol::Failure;
use crate::display::{HistoryEntry, ProfileSummary};
use crate::enrolment::{login_under_way, poll_login_lock, prove_store};
use crate::error::{Error, ErrorKind, Result};
use crate::fault;
use crate::life::Stamp;
use crate::profile::{Look, Profile, Waiting};
use crate::record::FolderMark;
use crate::storage::Storage;

/// What a migration did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MigrationReport {
    /// The store that held the login before.
    pub from: StoreKind,
    /// The store that holds it now.
    pub to: StoreKind,
    /// Who answers as that store.
    pub provider: String,
    /// How long that store keeps what it is given.
    pub persistence: Persistence,
    /// Whether that store holds a copy of the refresh token, or it is too long
    /// for it and stands in the state folder alone.
    pub copied: bool,
    /// Why items that nobody uses are left in the old store, if they are.
    pub remains: Option<String>,
}

impl MigrationReport {
    /// Whether the login was somewhere else before.
    #[must_use]
    pub fn has_moved(&self) -> bool {
        self.from != self.to
    }
}

/// The steps under the locks, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Notes that the new store is about to hold something.
    Announce,
    WriteTokenItem,
    WriteKeyItem,
    ReadBack,
    /// Pins the profile to the new store: the commit.
    Pin,
    /// Deletes from the old store, and the note of it.
    DeleteOld,
}

/// Moves the profile to another store.
pub(crate) async fn migrate(profile: &Arc<Profile>, to: StoreKind) -> Result<MigrationReport> {
    check_kinds(profile, to)?;
    let deadline = Instant::now() + profile.settings.lock_timeout;
    loop {
        // Prompts come before the locks.
        let source = unlocked(profile).await?;
        let target = source.beside(profile.settings.store(to)?)?;
        if source.kind() != to {
            prove_store(profile, &target).await?;
        }
        let Some(_login_lock) = poll_login_lock(&source, deadline).await? else {
            return Err(login_under_way());
        };
        let lock = take_lock(profile, &source, deadline).await?;
        if source.is_pinned()? {
            return Migration::begin(profile, source, target, lock)
                .await?
                .run()
                .await;
        }
        // Another process was faster; see where it has moved the profile.
    }
}

fn check_kinds(profile: &Profile, to: StoreKind) -> Result<()> {
    let refused = match to {
        StoreKind::Memory => "the memory store ends with this process, and the login with it",
        _ if profile.settings.root.is_none() => {
            "what lives in memory has no state folder that another store could share"
        }
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::InvalidInput, refused))
}

/// The storage that the profile is pinned to, with its store unlocked.
async fn unlocked(profile: &Profile) -> Result<Arc<Storage>> {
    let nobody = || describe(Failure::NotLoggedIn, &profile.names, None);
    let storage = profile.pinned_storage()?.ok_or_else(nobody)?;
    let key = profile
        .read_key(&storage.store, Some(&storage), Waiting::Task)
        .await?;
    if key.is_none() && storage.is_pinned()? {
        return Err(match profile.look_without_key(&storage)? {
            Look::LoggedOut => describe(Failure::LoggedOut, &profile.names, None),
            _ => nobody(),
        });
    }
    Ok(storage)
}

/// A migration under the locks.
struct Migration<'a> {
    profile: &'a Profile,
    source: Arc<Storage>,
    target: Storage,
    /// Holds the refresh lock.
    claim: Claim,
    /// The folder's own record as it was.
    before: FolderMark,
}

impl<'a> Migration<'a> {
    /// Reads everything under the lock, and sees to it that the sealed file is
    /// the newest copy: the new store may be one that can't hold the token.
    async fn begin(
        profile: &'a Profile,
        source: Arc<Storage>,
        target: Storage,
        lock: LockGuard,
    ) -> Result<Self> {
        let claim = claim_newest(profile, &source, lock).await?;
        if source.kind() != target.kind()
            && let Some(path) = target.other_folder().await?
        {
            return Err(Error::new(
                ErrorKind::KeptElsewhere,
                format!(
                    "the {} store already holds a login of this name, which is kept in another \
                     folder: {path}",
                    target.kind()
                ),
            ));
        }
        let before = source
            .folder_mark()?
            .unwrap_or_else(|| FolderMark::new(claim.key.folder, source.kind()));
        Ok(Self {
            profile,
            source,
            target,
            claim,
            before,
        })
    }

    async fn run(self) -> Result<MigrationReport> {
        // What earlier moves have left, so that the note of it can't grow.
        let earlier = delete_leftovers(self.profile, &self.source).await;
        let mut remains = earlier.err();
        if self.source.kind() != self.target.kind() {
            for step in order() {
                let point = fault::Around::new("migrate", &step);
                point.before();
                match self.perform(step).await {
                    Ok(()) => {}
                    Err(error) if step == Step::DeleteOld => remains = Some(error),
                    Err(error) => return Err(self.take_back(error).await),
                }
                point.after();
            }
            self.finish().await?;
        }
        let store = self.target.store.store();
        Ok(MigrationReport {
            from: self.source.kind(),
            to: self.target.kind(),
            provider: store.provider(),
            persistence: store.capabilities().persistence,
            copied: self.target.store_can_hold(&self.token_item()?.write()),
            remains: remains.map(|error| format!("{error:?}")),
        })
    }

    async fn perform(&self, step: Step) -> Result<()> {
        let (source, target) = (&self.source, &self.target);
        match step {
            Step::Announce => source.write_folder_mark(&self.mark()?.beside(target.kind())),
            Step::WriteTokenItem => target.write_token_item(&self.token_item()?).await,
            Step::WriteKeyItem => target.write_key_item(&self.claim.key).await,
            Step::ReadBack if target.holds(&self.claim.key, &self.token_item()?).await? => Ok(()),
            Step::ReadBack => Err(Error::new(
                ErrorKind::StoreFailed,
                format!(
                    "the {} store did not give back what was written to it",
                    target.kind()
                ),
            )),
            Step::Pin => {
                source.shared.begin_change();
                let pinned = source.write_folder_mark(&self.mark()?.moved_to(target.kind()));
                source.shared.end_change();
                pinned
            }
            Step::DeleteOld => {
                source.delete_leftovers().await?;
                source.write_folder_mark(&self.mark()?.without(source.kind()))
            }
        }
    }

    /// The login goes on in the store that it is pinned to, and the other one
    /// is left as it was found, if that can be done.
    async fn take_back(&self, error: Error) -> Error {
        // Where the pin was changed and its durability is in doubt, both stores
        // keep what they hold, and the note says so.
        if self.source.is_pinned().unwrap_or(false) && self.target.delete_leftovers().await.is_ok()
        {
            let mark = self.before.clone().without(self.target.kind());
            self.source.write_folder_mark(&mark).ok();
        }
        error
    }

    /// A logout needs no lock: one that came meanwhile is final.
    async fn finish(&self) -> Result<()> {
        let login = self.claim.key.login;
        if self.source.is_buried(login)? {
            delete_copies(self.profile, &self.target, login).await?;
            return Err(describe(Failure::LoggedOut, &self.profile.names, None));
        }
        if let Err(error) = self.record() {
            tracing::debug!(?error, "the display copy could not be written");
        }
        Ok(())
    }

    fn record(&self) -> Result<()> {
        let Some(record) = self.claim.record() else {
            return Ok(());
        };
        let folder = &self.target.folder;
        let at = Stamp::from(&self.profile.now()).wall_ms;
        let login = self.claim.key.login;
        HistoryEntry::new(at, "migrate", "ok", login, record.generation).append(folder, true)?;
        if let Some(summary) = ProfileSummary::read(folder)? {
            ProfileSummary::of(&self.target, record, summary.state).write(folder)?;
        }
        Ok(())
    }

    fn mark(&self) -> Result<FolderMark> {
        let mark = self.source.folder_mark()?;
        Ok(mark.unwrap_or_else(|| self.before.clone()))
    }

    fn token_item(&self) -> Result<crate::record::TokenItem> {
        match self.claim.record() {
            Some(record) => Ok(token_item(&self.claim.key, record)),
            None => Err(describe(Failure::Corrupted, &self.profile.names, None)),
        }
    }
}

/// The steps, or the order in which a test wants to see them fail.
fn order() -> [Step; 6] {
    use Step::{Announce, DeleteOld, Pin, ReadBack, WriteKeyItem, WriteTokenItem};

    if fault::is_injected(fault::DELETE_BEFORE_PIN) {
        [
            Announce,
            WriteTokenItem,
            DeleteOld,
            WriteKeyItem,
            ReadBack,
            Pin,
        ]
    } else if fault::is_injected(fault::PIN_BEFORE_WRITE) {
        [
            Announce,
            Pin,
            WriteTokenItem,
            WriteKeyItem,
            ReadBack,
            DeleteOld,
        ]
    } else {
        [
            Announce,
            WriteTokenItem,
            WriteKeyItem,
            ReadBack,
            Pin,
            DeleteOld,
        ]
    }
}
