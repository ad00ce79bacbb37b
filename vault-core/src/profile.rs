//! One profile within this process: its storage once it is opened, its sealing
//! key once it is read (`key`), the access tokens that may be handed out without
//! asking anyone (`cache`), and the look at what is stored (`look`).

mod cache;
mod key;
mod look;

pub(crate) use cache::{access_facts, is_fresh, serving};
pub(crate) use key::Waiting;
pub(crate) use look::{Look, LookedLogin};

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vault_platform::clock::Now;
use vault_platform::exit::ForkMark;
use vault_platform::folder::{FolderOptions, StateFolder};
use vault_platform::store::{StoreKind, StoreWorker};

use self::cache::Cache;
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventKind;
use crate::http::Http;
use crate::identity::Fingerprint;
use crate::metrics::{Counts, count};
use crate::oauth::dpop::Learnt;
use crate::record::{Asked, CachedToken, KeyItem, LoginRecord};
use crate::refresh::protocol::Failure;
use crate::settings::Settings;
use crate::storage::{self, Names, Storage};

/// Of so many of its tokens a process knows that it made them: one of an older
/// refresh is told as another's.
const MADE: usize = 32;

/// One profile within this process.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) names: Names,
    pub(crate) settings: Arc<Settings>,
    /// See [`Profile::turn`], and whose it is.
    turn: Mutex<(ForkMark, Arc<tokio::sync::Mutex<()>>)>,
    storage: Mutex<Option<Arc<Storage>>>,
    key: Mutex<Option<Arc<KeyItem>>>,
    cache: Mutex<Cache>,
    http: Mutex<Option<(Vec<String>, Arc<Http>)>>,
    /// What servers have told about proofs.
    pub(crate) learnt: Learnt,
    pub(crate) counts: Counts,
    /// The tokens of the newest refreshes of this process.
    made: Mutex<VecDeque<Fingerprint>>,
}

impl Profile {
    pub(crate) fn new(names: Names, settings: Arc<Settings>) -> Self {
        Self {
            names,
            settings,
            turn: Mutex::new((ForkMark::here(), Arc::default())),
            storage: Mutex::default(),
            key: Mutex::default(),
            cache: Mutex::default(),
            http: Mutex::default(),
            learnt: Learnt::default(),
            counts: Counts::default(),
            made: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.settings.clock.now()
    }

    /// Counts a refresh of this process, and tells of it.
    pub(crate) fn has_made(&self, token: Option<&CachedToken>, took: Duration) {
        if let Some(cached) = token {
            let mut made = lock(&self.made);
            made.truncate(MADE - 1);
            made.push_front(Fingerprint::of(cached.token.expose()));
        }
        count(&self.counts.refreshed);
        self.tell(EventKind::Refreshed { took });
    }

    /// Counts a token that was read, and tells if another process made it.
    pub(crate) fn has_read(&self, token: &CachedToken) {
        count(&self.counts.from_file);
        let token = Fingerprint::of(token.token.expose());
        if !lock(&self.made).contains(&token) {
            if let Some(storage) = &*lock(&self.storage) {
                storage.shared.count_adoption();
            }
            self.tell(EventKind::Adopted);
        }
    }

    pub(crate) fn tell(&self, kind: EventKind) {
        let (clock, name) = (&*self.settings.clock, &self.names.profile);
        self.settings.teller.tell(clock, name, kind);
    }

    /// One flow at a time works on a profile within this process. A child of
    /// fork has its own turns: the flow that had the parent's goes on in the
    /// parent alone.
    pub(crate) fn turn(&self) -> Arc<tokio::sync::Mutex<()>> {
        let mut turn = lock(&self.turn);
        if !turn.0.is_here() {
            *turn = (ForkMark::here(), Arc::default());
        }
        turn.1.clone()
    }

    // The folder and the store.

    fn folder_options(&self) -> FolderOptions {
        FolderOptions {
            allow_network_file_system: self.settings.allow_network_file_system,
        }
    }

    /// The profile's folder, if there is one. Each folder on the way is
    /// checked: who could write to one of them could exchange the next.
    pub(crate) fn existing_folder(&self) -> Result<Option<StateFolder>> {
        if self.settings.root.is_none() {
            return Ok(Some(self.settings.memory_folder(&self.names.profile)));
        }
        match self.application_folder()? {
            Some(application) => Ok(application.open_child(&self.names.profile)?),
            None => Ok(None),
        }
    }

    /// The folder of all profiles of the application, if there is one; none
    /// where everything lives in memory.
    pub(crate) fn application_folder(&self) -> Result<Option<StateFolder>> {
        let Some(root) = &self.settings.root else {
            return Ok(None);
        };
        match StateFolder::open(root, self.folder_options())? {
            Some(root) => Ok(root.open_child(&self.names.application)?),
            None => Ok(None),
        }
    }

    /// The folders of all profiles of the application.
    pub(crate) fn folders_of_all(&self) -> Result<Vec<StateFolder>> {
        if self.settings.root.is_none() {
            return Ok(self.settings.memory_folders());
        }
        let Some(application) = self.application_folder()? else {
            return Ok(Vec::new());
        };
        let mut folders = Vec::new();
        for name in application.children()? {
            folders.extend(application.open_child(&name)?);
        }
        Ok(folders)
    }

    /// Where the folder lies, or would lie, as a key item names it; `None` in
    /// memory.
    pub(crate) fn folder_path(&self) -> Result<Option<String>> {
        let Some(root) = &self.settings.root else {
            return Ok(None);
        };
        let names = [&*self.names.application, &*self.names.profile];
        let path = StateFolder::path_below(root, &names)?;
        Ok(Some(storage::path_text(&path)))
    }

    fn create_folder(&self) -> Result<StateFolder> {
        match &self.settings.root {
            Some(root) => Ok(StateFolder::create(root, self.folder_options())?
                .create_child(&self.names.application)?
                .create_child(&self.names.profile)?),
            None => Ok(self.settings.memory_folder(&self.names.profile)),
        }
    }

    /// The store that this profile is pinned to, or the one that the vault was
    /// opened with.
    fn store(&self, folder: Option<&StateFolder>, replace_pin: bool) -> Result<StoreWorker> {
        let pinned = match folder {
            Some(folder) => storage::folder_mark(folder)?.map(|mark| mark.store),
            None => None,
        };
        let kind = match (self.settings.store, pinned) {
            (Some(asked), Some(pinned)) if asked != pinned && !replace_pin => {
                return Err(Error::new(
                    ErrorKind::StoreRefused,
                    format!(
                        "the login of this profile is kept in the {pinned} store, not in {asked}"
                    ),
                ));
            }
            (Some(asked), _) => asked,
            (None, Some(pinned)) => pinned,
            (None, None) => StoreKind::native(),
        };
        self.settings.store(kind)
    }

    /// The store of this profile as it stands.
    pub(crate) fn store_in_use(&self) -> Result<StoreWorker> {
        self.store(self.existing_folder()?.as_ref(), false)
    }

    fn open_storage(&self, folder: StateFolder, replace_pin: bool) -> Result<Arc<Storage>> {
        let store = self.store(Some(&folder), replace_pin)?;
        let storage = Arc::new(Storage::open(
            self.names.clone(),
            folder,
            store,
            self.settings.store_deadline,
        )?);
        *lock(&self.storage) = Some(storage.clone());
        *lock(&self.key) = None;
        Ok(storage)
    }

    /// The storage, if the profile's folder is there. It is opened anew where
    /// folder or counters are not those that were opened any more.
    pub(crate) fn storage(&self) -> Result<Option<Arc<Storage>>> {
        let opened = lock(&self.storage).clone();
        if let Some(storage) = opened
            && storage.is_in_place()
            && storage.is_pinned()?
        {
            return Ok(Some(storage));
        }
        match self.existing_folder()? {
            Some(folder) => self.open_storage(folder, false).map(Some),
            None => Ok(None),
        }
    }

    /// The storage for a new login: the folder is made, and a store that was
    /// asked for replaces the one that the profile was pinned to.
    pub(crate) fn storage_for_login(&self) -> Result<Arc<Storage>> {
        let folder = self.create_folder()?;
        self.open_storage(folder, true)
    }

    /// The storage with the store that the profile is pinned to, whichever the
    /// vault was opened with.
    pub(crate) fn pinned_storage(&self) -> Result<Option<Arc<Storage>>> {
        let Some(folder) = self.existing_folder()? else {
            return Ok(None);
        };
        let kind = match storage::folder_mark(&folder)? {
            Some(mark) => mark.store,
            None => self.settings.store.unwrap_or_else(StoreKind::native),
        };
        let storage = Storage::open(
            self.names.clone(),
            folder,
            self.settings.store(kind)?,
            self.settings.store_deadline,
        )?;
        Ok(Some(Arc::new(storage)))
    }

    /// Whether another process has moved the profile to another store since
    /// this one opened it.
    fn has_moved(&self) -> bool {
        let opened = lock(&self.storage).clone();
        opened.is_some_and(|storage| !storage.is_pinned().unwrap_or(true))
    }

    /// The HTTP client for a login that trusts these certificate authorities
    /// besides the system's.
    pub(crate) fn http(&self, ca_certificates: &[String]) -> Result<Arc<Http>> {
        let mut http = lock(&self.http);
        if let Some((trusted, http)) = &*http
            && trusted == ca_certificates
        {
            return Ok(http.clone());
        }
        let made = Arc::new(self.settings.http(ca_certificates)?);
        *http = Some((ca_certificates.to_vec(), made.clone()));
        Ok(made)
    }

    // The cache.

    fn remember(&self, storage: &Arc<Storage>, version: Option<u64>, record: &LoginRecord) {
        *lock(&self.cache) = Cache::new(storage, version, record, &self.now());
    }

    /// How many refreshes of any process were ever begun, as far as this
    /// process can tell without opening anything.
    pub(crate) fn attempts(&self) -> Option<u64> {
        let storage = lock(&self.storage);
        storage.as_ref().map(|storage| storage.shared.attempts())
    }

    /// The version of what is stored, as far as this process can tell without
    /// opening anything.
    pub(crate) fn version(&self) -> Option<u64> {
        let storage = lock(&self.storage);
        storage.as_ref()?.shared.version()
    }

    /// The failure of a refresh that began later than [`Profile::attempts`]
    /// was asked.
    pub(crate) fn failed_since(&self, attempts: Option<u64>) -> Option<Failure> {
        let storage = lock(&self.storage);
        storage.as_ref()?.shared.failed_since(attempts?)
    }

    /// A token from memory that has not expired, however little is left of it.
    pub(crate) fn cached_while_valid(&self, asked: &Asked) -> Option<CachedToken> {
        let cache = lock(&self.cache);
        cache.valid(asked, &self.now()).cloned()
    }

    /// Step 1 of the protocol: what `take` takes of a token from memory, if
    /// nothing has moved since it was read. No lock of the file system, no
    /// store, no network.
    pub(crate) fn cached<T>(&self, asked: &Asked, take: fn(&CachedToken) -> T) -> Option<T> {
        let mut cache = lock(&self.cache);
        cache.fresh(asked, &*self.settings.clock).map(take)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Vault;

    #[test]
    fn a_folder_is_made_where_a_key_item_is_expected_to_say() {
        let place = tempfile::tempdir().unwrap();
        for (application, name) in [
            ("com.example.app", "work"),
            ("com.example.MyApp", "Work"),
            ("com.example.MyApp", "WORK"),
        ] {
            let vault = Vault::builder(application)
                .state_root(place.path().join("state"))
                .open()
                .unwrap();
            let session = vault.session(name).unwrap();
            let profile = &session.profile;
            let expected = profile.folder_path().unwrap();
            assert!(expected.is_some() && profile.existing_folder().unwrap().is_none());
            let folder = profile.create_folder().unwrap();
            assert_eq!(folder.path().map(storage::path_text), expected);
        }
        let memory = Vault::builder("com.example.MyApp").store(StoreKind::Memory);
        let session = memory.open().unwrap().session("Work").unwrap();
        assert_eq!(session.profile.folder_path().unwrap(), None);
    }
}
