//! One profile's stored things: reads and writes them, decides nothing.
//!
//! Files are read and written in place (microseconds to milliseconds); the
//! store is called on its own thread, because it may be slow, ask a person or
//! hang.

mod held_key;
pub(crate) mod items;

use std::path::Path;
use std::time::Duration;

use vault_platform::clock::Now;
use vault_platform::counters::SharedWords;
use vault_platform::folder::{PreparedFile, StateFolder};
use vault_platform::lock::LockFile;
use vault_platform::sealed_file::{self, SealedFileError};
use vault_platform::secret::SecretBytes;
use vault_platform::store::{
    ItemName, SecretStore, StoreError, StoreErrorKind, StoreKind, StoreWorker,
};

use self::items::{Claims, KeyItems, Left};
use crate::error::{Error, ErrorKind, Result};
use crate::identity::{Generation, LoginId};
use crate::record::{
    CacheKey, FolderMark, KeyItem, LoginRecord, Mark, RecordError, SealedHeader, TokenItem,
    Tombstone, sealed_name,
};
use crate::refresh::protocol::Failure;
use crate::shared::{self, Shared};

const FOLDER: &str = "folder";
const MARK: &str = "mark";
const TOMBSTONE: &str = "tombstone.";

/// A sealed file holds answers of at most 1 MiB each; more is not ours.
const SEALED_LIMIT: usize = 16 << 20;
const SMALL_LIMIT: usize = 1 << 20;

/// The names by which a profile is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Names {
    pub(crate) application: String,
    pub(crate) profile: String,
}

/// What a sealed file turned out to be.
#[derive(Debug)]
pub(crate) enum SealedReading {
    Absent,
    /// It claims to be this login's, under this key, and is damaged.
    Unreadable,
    /// Another key's, or a newer version's.
    Foreign(Error),
    Present(Box<LoginRecord>),
}

/// One profile's stored things.
#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) names: Names,
    pub(crate) folder: StateFolder,
    pub(crate) shared: Shared,
    pub(crate) lock: LockFile,
    pub(crate) login_lock: LockFile,
    pub(crate) store: StoreWorker,
    /// How long a read of the store may take.
    pub(crate) store_deadline: Duration,
}

impl Storage {
    pub(crate) fn open(
        names: Names,
        folder: StateFolder,
        store: StoreWorker,
        store_deadline: Duration,
    ) -> Result<Self> {
        Ok(Self {
            shared: Shared::new(SharedWords::open(&folder, shared::FILE)?),
            lock: LockFile::new(&folder, "lock"),
            login_lock: LockFile::new(&folder, "login.lock"),
            names,
            folder,
            store,
            store_deadline,
        })
    }

    /// The same folder with another store.
    pub(crate) fn beside(&self, store: StoreWorker) -> Result<Self> {
        Self::open(
            self.names.clone(),
            self.folder.clone(),
            store,
            self.store_deadline,
        )
    }

    /// Whether the paths still lead to this very folder and to the counters that
    /// are mapped, which are as long as they were made. Counters that were
    /// removed, replaced or cut tell of no change any more, or end the process.
    pub(crate) fn is_in_place(&self) -> bool {
        // This looks at the folder, too.
        self.shared.is_in_place()
    }

    /// Which store this is.
    pub(crate) fn kind(&self) -> StoreKind {
        self.store.store().kind()
    }

    /// Whether the profile is still pinned to this store: another process may
    /// have moved it. A pin that was lost moves nothing.
    pub(crate) fn is_pinned(&self) -> Result<bool> {
        Ok(self
            .folder_mark()?
            .is_none_or(|mark| mark.store == self.kind()))
    }

    // The store.

    fn token_item_name(&self) -> Result<ItemName> {
        token_item_name(&self.names)
    }

    fn key_item_name(&self) -> Result<ItemName> {
        key_item_name(&self.names)
    }

    /// Reads the store on its thread; gives up after the deadline, which a
    /// reader may do.
    async fn read_store(&self, item: ItemName) -> Result<Vec<SecretBytes>> {
        let call = self.store.call(move |store| store.get(&item));
        match tokio::time::timeout(self.store_deadline, call).await {
            Ok(values) => Ok(values?),
            Err(_) => Err(hung(self.store.store().as_ref(), "read")),
        }
    }

    /// Writes the store on its thread, however long it takes: a write that was
    /// given up could land later, over a newer one.
    async fn write_store(&self, item: ItemName, value: SecretBytes) -> Result<()> {
        Ok(self
            .store
            .call(move |store| store.set(&item, &value))
            .await?)
    }

    async fn delete_from_store(&self, item: ItemName) -> Result<()> {
        Ok(self.store.call(move |store| store.delete(&item)).await?)
    }

    /// Reads the key item; of several, the one that fits this folder best.
    pub(crate) async fn key_item(&self) -> Result<Option<KeyItem>> {
        self.choose_key_item(self.key_items().await?)
    }

    /// Reads the key item of this login, which may have ended.
    pub(crate) async fn key_item_of(&self, login: LoginId) -> Result<Option<KeyItem>> {
        let items = self.key_items().await?;
        let found = items.choose(|item, _| item.login == login)?;
        Ok(found.filter(|item| item.login == login))
    }

    async fn key_items(&self) -> Result<KeyItems> {
        let (key, token) = (self.key_item_name()?, self.token_item_name()?);
        let call = self
            .store
            .call(move |store| KeyItems::read(store, &key, &token));
        match tokio::time::timeout(self.store_deadline, call).await {
            Ok(items) => Ok(items?),
            Err(_) => Err(hung(self.store.store().as_ref(), "read")),
        }
    }

    pub(crate) fn choose_key_item(&self, items: KeyItems) -> Result<Option<KeyItem>> {
        let here = self.folder.path().map(path_text);
        items.choose(|item, has_token| {
            let buried = self.is_buried(item.login);
            let lives = buried.as_ref().is_ok_and(|buried| !buried);
            Claims {
                is_sealed_here: lives && self.has_sealed(item.login),
                is_of_this_folder: item.path == here,
                left: match buried {
                    Ok(true) => Left::Tombstone,
                    Ok(false) if has_token => Left::Token,
                    _ => Left::Nothing,
                },
            }
        })
    }

    fn has_sealed(&self, login: LoginId) -> bool {
        self.folder
            .read(&sealed_name(login), SEALED_LIMIT)
            .is_ok_and(|bytes| bytes.is_some())
    }

    /// Reads the token item of this login; of several, the newest.
    pub(crate) async fn token_item(&self, login: LoginId) -> Result<Option<TokenItem>> {
        let values = match self.read_store(self.token_item_name()?).await {
            // As one that is damaged: a copy that is written again.
            Err(error) if is_of_damage(&error) => Vec::new(),
            read => read?,
        };
        let mut newest: Option<TokenItem> = None;
        for value in &values {
            match TokenItem::read(value) {
                Ok(item) if item.login == login => {
                    if newest
                        .as_ref()
                        .is_none_or(|newest| newest.generation < item.generation)
                    {
                        newest = Some(item);
                    }
                }
                Err(error @ RecordError::TooNew { .. }) => return Err(error.into()),
                // Another login's, or damaged: a copy that is written again.
                Ok(_) | Err(RecordError::Unreadable { .. }) => {}
            }
        }
        Ok(newest)
    }

    /// Whether the store can hold this token; where it can't, the sealed file
    /// is the only copy.
    pub(crate) fn store_can_hold(&self, item: &SecretBytes) -> bool {
        let limit = self.store.store().capabilities().size_limit;
        limit.is_none_or(|limit| item.len() <= limit)
    }

    pub(crate) async fn write_token_item(&self, item: &TokenItem) -> Result<()> {
        let value = item.write();
        let name = self.token_item_name()?;
        if self.store_can_hold(&value) {
            self.write_store(name, value).await
        } else {
            // An older token that fitted must not stay behind.
            self.delete_from_store(name).await
        }
    }

    pub(crate) async fn write_key_item(&self, item: &KeyItem) -> Result<()> {
        self.release_key();
        self.write_store(self.key_item_name()?, item.write()).await
    }

    /// Deletes both items, unless the key item names another login by now.
    pub(crate) async fn delete_items(&self, login: LoginId) -> Result<()> {
        let keys = self.read_store(self.key_item_name()?).await?;
        let is_anothers =
            |value: &SecretBytes| KeyItem::read(value).is_ok_and(|item| item.login != login);
        if keys.iter().any(is_anothers) {
            return Ok(());
        }
        self.release_key();
        self.delete_from_store(self.token_item_name()?).await?;
        self.delete_from_store(self.key_item_name()?).await
    }

    /// Deletes what this profile has left in a store that it is not pinned to.
    /// Items of a login that is kept in another folder are not ours.
    pub(crate) async fn delete_leftovers(&self) -> Result<()> {
        if self.other_folder().await?.is_some() {
            return Ok(());
        }
        self.release_key();
        self.delete_from_store(self.token_item_name()?).await?;
        self.delete_from_store(self.key_item_name()?).await
    }

    /// The other folder whose login this store holds under the profile's name,
    /// if it does.
    pub(crate) async fn other_folder(&self) -> Result<Option<String>> {
        let here = self.folder.path().map(path_text);
        for value in &self.read_store(self.key_item_name()?).await? {
            match KeyItem::read(value) {
                Ok(item) if item.path != here => return Ok(item.path),
                Err(error @ RecordError::TooNew { .. }) => return Err(error.into()),
                // Ours, or nobody's.
                Ok(_) | Err(RecordError::Unreadable { .. }) => {}
            }
        }
        Ok(None)
    }

    /// Whether the store gives back exactly these items.
    pub(crate) async fn holds(&self, key: &KeyItem, token: &TokenItem) -> Result<bool> {
        let keys = self.read_store(self.key_item_name()?).await?;
        let tokens = self.read_store(self.token_item_name()?).await?;
        let token = token.write();
        let is = |found: &[SecretBytes], wanted: &SecretBytes| matches!(found, [one] if one.same_as(wanted));
        let token_is_right = match self.store_can_hold(&token) {
            true => is(&tokens, &token),
            false => tokens.is_empty(),
        };
        Ok(is(&keys, &key.write()) && token_is_right)
    }

    // The folder.

    pub(crate) fn folder_mark(&self) -> Result<Option<FolderMark>> {
        folder_mark(&self.folder)
    }

    pub(crate) fn write_folder_mark(&self, mark: &FolderMark) -> Result<()> {
        Ok(self.folder.replace(FOLDER, mark.write().expose())?)
    }

    /// Whether this process works in the folder that the login is kept in: the
    /// lock of another folder would guard nothing. A folder that was wiped and
    /// made again at the recorded path takes over by itself.
    pub(crate) fn check_folder(&self, key: &KeyItem) -> Result<()> {
        if let Some(recorded) = self.kept_elsewhere(key) {
            return Err(Error::new(
                ErrorKind::KeptElsewhere,
                format!("the login is kept in another folder: {recorded}"),
            ));
        }
        // Without the lock nothing may be written over: another process may be
        // pinning the profile to another store.
        if key.path.is_some() && self.folder_mark()?.is_none() {
            let mark = FolderMark::new(key.folder, self.kind());
            self.folder.create_new(FOLDER, mark.write().expose())?;
        }
        Ok(())
    }

    /// The path of the folder that the login is kept in, if that is another.
    fn kept_elsewhere<'a>(&self, key: &'a KeyItem) -> Option<&'a String> {
        let here = self.folder.path().map(path_text);
        key.path
            .as_ref()
            .filter(|path| Some(*path) != here.as_ref())
    }

    /// Makes the folder the one that the key item names. Wants the lock.
    pub(crate) fn take_folder_over(&self, key: &KeyItem) -> Result<()> {
        self.check_folder(key)?;
        match self.folder_mark()? {
            Some(mark) if mark.id == key.folder => Ok(()),
            Some(mut mark) => {
                mark.id = key.folder;
                self.write_folder_mark(&mark)
            }
            None => self.write_folder_mark(&FolderMark::new(key.folder, self.kind())),
        }
    }

    /// Whether this login was logged out.
    pub(crate) fn is_buried(&self, login: LoginId) -> Result<bool> {
        let tombstone = self.folder.read(&tombstone_name(login), SMALL_LIMIT)?;
        Ok(tombstone.is_some())
    }

    /// Whether any login was ever logged out here.
    pub(crate) fn has_any_tombstone(&self) -> Result<bool> {
        let names = self.folder.names()?;
        Ok(names.iter().any(|name| name.starts_with(TOMBSTONE)))
    }

    pub(crate) fn bury(&self, login: LoginId) -> Result<()> {
        let tombstone = Tombstone::new(login).write();
        Ok(self
            .folder
            .replace(&tombstone_name(login), tombstone.expose())?)
    }

    /// The mark; one that can't be read counts as none, because its token's
    /// generation could not be told.
    pub(crate) fn mark(&self) -> Result<Option<Mark>> {
        match self.folder.read(MARK, SMALL_LIMIT)? {
            Some(bytes) => match Mark::read(&bytes) {
                Ok(mark) => Ok(Some(mark)),
                Err(error @ RecordError::TooNew { .. }) => Err(error.into()),
                Err(RecordError::Unreadable { .. }) => Ok(None),
            },
            None => Ok(None),
        }
    }

    pub(crate) fn write_mark(&self, mark: &Mark) -> Result<()> {
        Ok(self.folder.replace(MARK, mark.write().expose())?)
    }

    pub(crate) fn remove_mark(&self) -> Result<()> {
        Ok(self.folder.remove(MARK)?)
    }

    /// Whether to stay away from the server with this request, why and for how
    /// long.
    pub(crate) fn left_alone(
        &self,
        key: &KeyItem,
        request: &CacheKey,
        now: &Now,
    ) -> Option<(Failure, Duration)> {
        let refusal = || {
            let name = request.name(&key.key, now.boot);
            let (_, left) = self.shared.refusal_of(name, now)?;
            Some((Failure::RequestRefused, left))
        };
        self.shared.backing_off(now).or_else(refusal)
    }

    /// Reads and opens the sealed file that the key names.
    pub(crate) fn sealed(&self, key: &KeyItem) -> Result<SealedReading> {
        let Some(bytes) = self.folder.read(&sealed_name(key.login), SEALED_LIMIT)? else {
            return Ok(SealedReading::Absent);
        };
        let header = match sealed_file::header(bytes.expose()) {
            Ok(header) => SealedHeader::read(header),
            Err(SealedFileError::TooNew { version, .. }) => Err(RecordError::TooNew {
                what: "sealed file",
                version: version.into(),
            }),
            Err(_) => return Ok(SealedReading::Unreadable),
        };
        match header {
            Ok(header) if header.key_id != key.key_id || header.login != key.login => {
                return Ok(SealedReading::Foreign(Error::new(
                    ErrorKind::Corrupted,
                    "the sealed file belongs to another key than the store holds",
                )));
            }
            Ok(header)
                if header.application != self.names.application
                    || header.profile != self.names.profile =>
            {
                return Ok(SealedReading::Unreadable);
            }
            Ok(_) => {}
            Err(error @ RecordError::TooNew { .. }) => {
                return Ok(SealedReading::Foreign(error.into()));
            }
            Err(RecordError::Unreadable { .. }) => return Ok(SealedReading::Unreadable),
        }
        match sealed_file::open(&key.key, bytes.expose()) {
            Ok(plain) => match LoginRecord::read(&plain) {
                Ok(record) => Ok(SealedReading::Present(Box::new(record))),
                Err(error @ RecordError::TooNew { .. }) => Ok(SealedReading::Foreign(error.into())),
                Err(RecordError::Unreadable { .. }) => Ok(SealedReading::Unreadable),
            },
            Err(_) => Ok(SealedReading::Unreadable),
        }
    }

    pub(crate) fn seal(&self, key: &KeyItem, record: &LoginRecord) -> Vec<u8> {
        let names = &self.names;
        let header = SealedHeader::new(&names.application, &names.profile, key, record.generation);
        sealed_file::seal(&key.key, header.write().expose(), record.write().expose())
    }

    pub(crate) fn write_sealed(&self, key: &KeyItem, record: &LoginRecord) -> Result<()> {
        let sealed = self.seal(key, record);
        Ok(self.folder.replace(&sealed_name(key.login), &sealed)?)
    }

    pub(crate) fn prepare_sealed(&self, login: LoginId, size: usize) -> Result<PreparedFile> {
        Ok(self.folder.prepare(&sealed_name(login), size)?)
    }

    pub(crate) fn sealed_size(&self, login: LoginId) -> usize {
        let bytes = self.folder.read(&sealed_name(login), SEALED_LIMIT);
        bytes.ok().flatten().map_or(0, |bytes| bytes.len())
    }

    pub(crate) fn remove_sealed(&self, login: LoginId) -> Result<()> {
        Ok(self.folder.remove(&sealed_name(login))?)
    }

    pub(crate) fn set_sealed_aside(&self, login: LoginId) -> Result<String> {
        Ok(self.folder.set_aside(&sealed_name(login))?)
    }

    /// The logins whose sealed files lie here.
    pub(crate) fn sealed_logins(&self) -> Result<Vec<LoginId>> {
        sealed_logins(&self.folder)
    }

    /// Whether any sealed file lies here, of whichever login.
    pub(crate) fn has_any_sealed(&self) -> Result<bool> {
        has_sealed(&self.folder)
    }

    /// The login whose sealed file lies here, if there is exactly one.
    pub(crate) fn only_login(&self) -> Option<LoginId> {
        match self.sealed_logins().ok()?.as_slice() {
            [login] => Some(*login),
            _ => None,
        }
    }

    /// Removes every sealed file but this login's.
    pub(crate) fn remove_other_sealed(&self, login: LoginId) -> Result<()> {
        let keep = sealed_name(login);
        for name in self.folder.names()? {
            if sealed_login(&name).is_some() && name != keep {
                self.folder.remove(&name)?;
            }
        }
        Ok(())
    }
}

fn tombstone_name(login: LoginId) -> String {
    format!("{TOMBSTONE}{login}")
}

/// Whether a store answered, and what it holds can't be read.
fn is_of_damage(error: &Error) -> bool {
    let cause = std::error::Error::source(error);
    let of_store = cause.and_then(|cause| cause.downcast_ref::<StoreError>());
    of_store.is_some_and(|error| error.kind == StoreErrorKind::Corrupted)
}

/// Whether a profile's folder holds a sealed file, of whichever login.
pub(crate) fn has_sealed(folder: &StateFolder) -> Result<bool> {
    Ok(!sealed_logins(folder)?.is_empty())
}

fn sealed_logins(folder: &StateFolder) -> Result<Vec<LoginId>> {
    let names = folder.names()?;
    Ok(names.iter().filter_map(|name| sealed_login(name)).collect())
}

/// The login that a sealed file's name names, if it is one's.
fn sealed_login(name: &str) -> Option<LoginId> {
    LoginId::from_text(name.strip_prefix("sealed.")?)
}

pub(crate) fn folder_mark(folder: &StateFolder) -> Result<Option<FolderMark>> {
    match folder.read(FOLDER, SMALL_LIMIT)? {
        Some(bytes) => match FolderMark::read(&bytes) {
            Ok(mark) => Ok(Some(mark)),
            Err(error @ RecordError::TooNew { .. }) => Err(error.into()),
            Err(RecordError::Unreadable { .. }) => Ok(None),
        },
        None => Ok(None),
    }
}

/// Whether a folder holds what only profiles have.
pub(crate) fn is_of_a_profile(folder: &StateFolder) -> bool {
    let is_ours = |name: &String| name == FOLDER || sealed_login(name).is_some();
    folder
        .names()
        .map_or(true, |names| names.iter().any(is_ours))
}

/// How a folder's path is recorded in the key item.
pub(crate) fn path_text(path: &Path) -> String {
    path.display().to_string()
}

pub(crate) fn token_item_name(names: &Names) -> Result<ItemName> {
    Ok(ItemName::new(&names.application, &names.profile)?)
}

pub(crate) fn key_item_name(names: &Names) -> Result<ItemName> {
    Ok(ItemName::new(
        &names.application,
        format!("{}#key", names.profile),
    )?)
}

pub(crate) fn hung(store: &dyn SecretStore, operation: &'static str) -> Error {
    StoreError::new(StoreErrorKind::Hung, store.kind(), operation).into()
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        let kind = match error {
            RecordError::TooNew { .. } => ErrorKind::NewerVersion,
            RecordError::Unreadable { .. } => ErrorKind::Corrupted,
        };
        Self::new(kind, error.to_string())
    }
}

/// A generation's first value: the login itself.
pub(crate) const FIRST_GENERATION: Generation = Generation(1);
