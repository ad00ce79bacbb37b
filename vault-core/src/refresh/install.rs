//! Makes a new login the profile's login: does what the machine of
//! [`protocol::login`](super::protocol::login) says.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vault_platform::lock::LockGuard;
use vault_platform::sealed_file::SealingKey;

use super::claim::token_item;
use super::description::describe;
use super::farewell::{delete_leftovers, revoke_now};
use super::grant;
use super::protocol::login::Install;
use super::protocol::{Effect, Event, Failure, Outcome};
use crate::bound_host::{self, BoundHost};
use crate::display::{HistoryEntry, LoginState, ProfileSummary};
use crate::error::{Error, ErrorKind, Result};
use crate::fault;
use crate::identity::{FolderId, KeyId, LoginId};
use crate::life::{Life, Stamp};
use crate::oauth::ClientCredential;
use crate::oauth::dpop::DpopKey;
use crate::oauth::token_endpoint::TokenResponse;
use crate::profile::Profile;
use crate::record::{
    Binding, CacheKey, CachedToken, FolderMark, KeyItem, LoginRecord, LoginSettings, TokenItem,
};
use crate::storage::{FIRST_GENERATION, SealedReading, Storage, path_text};
use crate::token::RefreshToken;

/// The tokens and settings of a new login.
#[derive(Debug)]
pub(crate) struct NewLogin {
    pub(crate) settings: LoginSettings,
    pub(crate) tokens: NewTokens,
    /// What a confidential client proves itself with.
    pub(crate) credential: Option<ClientCredential>,
    /// What the tokens are bound to, if they are.
    pub(crate) dpop_key: Option<DpopKey>,
}

/// How a new login's tokens came.
#[derive(Debug)]
pub(crate) enum NewTokens {
    /// From the token endpoint, with the access token's life.
    Granted(Box<TokenResponse>, RefreshToken, Life),
    /// From the user: only a refresh token.
    Imported(RefreshToken),
}

/// Writes a new login. On an error the old one goes on working. Returns the
/// hosts that the login before was bound to and this one is not, because it is
/// not known to be the same account's.
pub(crate) async fn install(
    profile: &Profile,
    storage: &Arc<Storage>,
    new: NewLogin,
    deadline: Instant,
) -> Result<Vec<BoundHost>> {
    let imported = matches!(new.tokens, NewTokens::Imported(_));
    let (refresh_token, access_tokens, id_token) = match new.tokens {
        NewTokens::Imported(refresh_token) => (refresh_token, Vec::new(), None),
        NewTokens::Granted(response, refresh_token, life) => {
            let token = CachedToken {
                key: CacheKey::default().bound_to(new.settings.jkt.as_deref()),
                life,
                token: response.access_token,
                granted_scope: response.scope,
                refused: false,
            };
            (refresh_token, vec![token], response.id_token)
        }
    };
    let mut key = KeyItem {
        key: SealingKey::generate(),
        key_id: KeyId::random(),
        login: LoginId::random(),
        issuer: new.settings.issuer.clone(),
        client_id: new.settings.client_id.clone(),
        folder: match storage.folder_mark() {
            Ok(Some(mark)) => mark.id,
            _ => FolderId::random(),
        },
        path: storage.folder.path().map(path_text),
        credential: new.credential,
        dpop: new.dpop_key.map(Binding::Key),
    };
    // A long private key does not fit into every store: then the sealed file
    // holds it, whose key the item holds.
    let fits = key.credential.is_none() || storage.store_can_hold(&key.write());
    let credential = if fits { None } else { key.credential.take() };
    let record = LoginRecord {
        dpop_nonce: profile.learnt.to_keep(&new.settings),
        generation: FIRST_GENERATION,
        refresh_token,
        access_tokens,
        settings: new.settings,
        refreshed: Stamp::from(&profile.now()),
        credential,
        id_token,
    };
    let mut driver = Driver {
        profile,
        storage,
        key,
        record,
        imported,
        key_write_is_over: false,
        deadline,
        lock: None,
        left_behind: Vec::new(),
        error: None,
    };
    let mut machine = Install::default();
    let mut event = Event::Start;
    loop {
        let effect;
        (machine, effect) = machine.next(event);
        tracing::trace!(profile = %profile.names.profile, ?effect, "login");
        let point = fault::Around::new("login", &effect);
        point.before();
        match effect {
            Effect::Finish(Outcome::Installed) => {
                profile.know_key(driver.key);
                return Ok(bound_host::read_all(&driver.left_behind));
            }
            Effect::Finish(outcome) => {
                profile.forget();
                return Err(driver.error.unwrap_or_else(|| match outcome {
                    Outcome::Failed(failure) => describe(failure, &profile.names, None),
                    _ => Error::new(ErrorKind::Internal, "a login ended without an outcome"),
                }));
            }
            effect => event = driver.perform(effect).await,
        }
        point.after();
    }
}

struct Driver<'a> {
    profile: &'a Profile,
    storage: &'a Arc<Storage>,
    key: KeyItem,
    record: LoginRecord,
    /// A write of the key item that failed can't land later.
    key_write_is_over: bool,
    /// A token that the user brought is not ours to revoke.
    imported: bool,
    deadline: Instant,
    lock: Option<LockGuard>,
    /// Hosts that the login before was bound to, and this one is not.
    left_behind: Vec<String>,
    error: Option<Error>,
}

impl Driver<'_> {
    async fn perform(&mut self, effect: Effect) -> Event {
        let storage = self.storage;
        let result = match effect {
            Effect::TryLock => match storage.lock.try_lock() {
                Ok(Some(lock)) => {
                    self.lock = Some(lock);
                    return Event::Locked;
                }
                Ok(None) => return Event::Busy,
                Err(error) => Err(error.into()),
            },
            Effect::Wait => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let late = Instant::now() >= self.deadline;
                return Event::Waited {
                    moved: false,
                    failed: None,
                    late,
                };
            }
            Effect::WriteNewSealed => {
                self.take_hosts_over().await;
                self.write_sealed()
            }
            Effect::BeginChange => {
                storage.shared.begin_change();
                Ok(())
            }
            Effect::EndChange => {
                storage.shared.end_change();
                Ok(())
            }
            Effect::WriteKeyItem => {
                let result = storage.write_key_item(&self.key).await;
                if let Err(error) = &result {
                    self.key_write_is_over = is_final(error.kind());
                }
                result.and_then(|()| self.pin())
            }
            Effect::CheckKeyItem => match storage.key_item().await {
                Ok(Some(item)) if item.login == self.key.login => {
                    // In a store that the profile is not pinned to it is of no use.
                    return Event::KeyIsNew(storage.is_pinned().unwrap_or(true));
                }
                Ok(_) if self.key_write_is_over => return Event::KeyIsNew(false),
                Ok(_) => Err(Error::new(
                    ErrorKind::StoreFailed,
                    "the store did not write the key item, and may do so later",
                )),
                Err(error) => Err(error),
            },
            Effect::WriteTokenItem => {
                storage
                    .write_token_item(&token_item(&self.key, &self.record))
                    .await
            }
            Effect::UnlinkOld => {
                let unlinked = storage
                    .remove_other_sealed(self.key.login)
                    .and_then(|()| storage.remove_mark());
                unlinked.and(delete_leftovers(self.profile, storage).await)
            }
            Effect::UnlinkNew => storage.remove_sealed(self.key.login),
            Effect::RevokeReceived if self.imported || self.shares_its_grant() => Ok(()),
            Effect::RevokeReceived => revoke_now(self.profile, &self.record, Some(&self.key)).await,
            Effect::Record => self.write_display(),
            Effect::Unlock => {
                self.lock = None;
                Ok(())
            }
            effect => Err(Error::new(
                ErrorKind::Internal,
                format!("a login was asked to do {effect:?}"),
            )),
        };
        match result {
            Ok(()) => Event::Done,
            Err(error) => {
                tracing::debug!(?error, "a step of the login failed");
                self.error.get_or_insert(error);
                Event::Failed(Failure::Local)
            }
        }
    }

    /// The account's next login is bound to what its last one was. Read under
    /// the lock, so that nobody binds meanwhile; what can't be read binds
    /// nothing, for a damaged login must not keep a new one out.
    async fn take_hosts_over(&mut self) {
        let before = match self.settings_before().await {
            Ok(Some(before)) => before,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(?error, "what the login before was bound to is not known");
                return;
            }
        };
        let settings = &mut self.record.settings;
        let same_account = before.issuer == settings.issuer
            && before.subject.is_some()
            && before.subject == settings.subject;
        if same_account {
            settings.bound_hosts = before.bound_hosts;
        } else {
            self.left_behind = before.bound_hosts;
        }
    }

    /// Whether the end of these tokens could be that of a login that stays.
    fn shares_its_grant(&self) -> bool {
        let settings = &self.record.settings;
        settings.endpoints.as_ref().is_some_and(|endpoints| {
            grant::is_shared(self.profile, endpoints, &settings.client_id, None)
        })
    }

    async fn settings_before(&self) -> Result<Option<LoginSettings>> {
        let Some(storage) = self.profile.pinned_storage()? else {
            return Ok(None);
        };
        match storage.key_item().await? {
            Some(key) if !storage.is_buried(key.login)? => match storage.sealed(&key)? {
                SealedReading::Present(record) => Ok(Some(record.settings)),
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// Where the login comes into another store than the profile is pinned to,
    /// the pin follows its key item: until then the old login counts.
    fn write_sealed(&self) -> Result<()> {
        let storage = self.storage;
        let kind = storage.kind();
        let replaces = storage.has_any_sealed()?;
        storage.write_sealed(&self.key, &self.record)?;
        match storage.folder_mark()? {
            Some(mark) if mark.store == kind => storage.write_folder_mark(&mark.without(kind)),
            Some(mark) if replaces => storage.write_folder_mark(&mark.beside(kind)),
            Some(mark) => {
                let mut mark = mark.without(kind);
                mark.store = kind;
                storage.write_folder_mark(&mark)
            }
            None => storage.write_folder_mark(&FolderMark::new(self.key.folder, kind)),
        }
    }

    fn pin(&self) -> Result<()> {
        let storage = self.storage;
        match storage.folder_mark()? {
            Some(mark) if mark.store != storage.kind() => {
                storage.write_folder_mark(&mark.moved_to(storage.kind()))
            }
            _ => Ok(()),
        }
    }

    fn write_display(&self) -> Result<()> {
        let storage = self.storage;
        storage.shared.share_success();
        let at = Stamp::from(&self.profile.now()).wall_ms;
        let entry = HistoryEntry::new(at, "login", "ok", self.key.login, self.record.generation);
        let appended = entry.append(&storage.folder, true);
        let summary = ProfileSummary::of(storage, &self.record, LoginState::LoggedIn);
        appended.and(summary.write(&storage.folder))
    }
}

/// Whether a store that answers a write so will not make it later. A store that
/// hung or broke off may: then what the write would name is kept.
fn is_final(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::StoreMissing
            | ErrorKind::StoreLocked
            | ErrorKind::StoreRefused
            | ErrorKind::StoreKeyWrong
    )
}

/// The token items of an application's other profiles that hold this token:
/// two profiles that rotate one token would log each other out.
pub(crate) async fn check_not_in_use(storage: &Storage, token: &RefreshToken) -> Result<()> {
    let application = storage.names.application.clone();
    let own = storage.names.profile.clone();
    let items = storage
        .store
        .call(move |store| {
            let mut found = Vec::new();
            for name in store.list(&application)? {
                if name.account() != own && !name.account().contains('#') {
                    for value in store.get(&name)? {
                        found.push((name.account().to_owned(), value));
                    }
                }
            }
            Ok(found)
        })
        .await?;
    for (profile, value) in &items {
        let same =
            TokenItem::read(value).is_ok_and(|item| item.refresh_token.expose() == token.expose());
        if same {
            return Err(Error::new(
                ErrorKind::TokenInUse,
                format!("the profile `{profile}` already holds this refresh token"),
            ));
        }
    }
    Ok(())
}
