//! A session: one login of one profile, as an application sees it.

mod binding;
mod blocking;
mod inspection;
mod request;
#[cfg(test)]
mod threads;

pub use blocking::Blocking;
pub use inspection::{InspectedToken, Inspection};
pub use request::{Token, TokenOptions};

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use vault_platform::store::{Interaction, StoreKind};

use crate::display::HistoryEntry;
use crate::enrolment::{Import, LoginReport};
use crate::error::{Error, ErrorKind, Result};
use crate::event::EventKind;
use crate::identity::Fingerprint;
use crate::login::{LoginInteraction, LoginRequest};
use crate::metrics::{Metrics, count};
use crate::oauth::challenge::Verdict;
use crate::profile::{Look, Profile, Waiting};
use crate::proof::{StoreProof, prove};
use crate::record::{Asked, CacheKey, CachedToken};
use crate::refresh::ahead::{KeepFresh, keep_fresh};
use crate::refresh::description::describe;
use crate::refresh::driver::{Request, Supplied};
use crate::refresh::ending::LogoutReport;
use crate::refresh::migration::MigrationReport;
use crate::refresh::patience::Patience;
use crate::refresh::protocol::Failure;
use crate::refresh::refresher::{panicked, run_aside};
use crate::refresh::revocations::RevocationsReport;
use crate::refresh::{driver, ending, migration, policy, revocations};
use crate::token::{AccessToken, RefreshToken};
use crate::{enrolment, storage};

/// One login of one profile. Cheap to clone; clones share everything.
///
/// Every method has a blocking twin in [`Blocking`]. The asynchronous ones work
/// on any runtime: the work is done on the refresher's own thread.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) profile: Arc<Profile>,
}

impl Session {
    pub(crate) fn new(profile: Arc<Profile>) -> Self {
        Self { profile }
    }

    /// The profile's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.profile.names.profile
    }

    /// The same, for callers without an asynchronous runtime.
    #[must_use]
    pub fn blocking(&self) -> Blocking<'_> {
        Blocking(self)
    }

    /// A valid access token: from memory, from what another process stored, or
    /// by a refresh.
    ///
    /// # Errors
    ///
    /// By kind: what [`Error::is_login_required`] tells needs a person, what
    /// [`Error::is_transient`] tells may succeed later, the rest is a failure
    /// of store or folder.
    ///
    /// # Security
    ///
    /// The token is a bearer credential, unless the login was made with DPoP:
    /// send it only to the API it is for.
    pub async fn access_token(&self) -> Result<AccessToken> {
        match self.remembered(&Asked::default(), CachedToken::token) {
            Some(token) => Ok(token),
            None => Ok(self.token(&TokenOptions::default()).await?.access_token),
        }
    }

    /// A valid access token with what is known of it.
    ///
    /// # Errors
    ///
    /// As [`Session::access_token`].
    pub async fn token(&self, options: &TokenOptions) -> Result<Token> {
        let asked = options.asked();
        match self.remembered(&asked, CachedToken::clone) {
            Some(cached) => Ok(self.present(Supplied::new(cached, false))),
            None => {
                let request = Request {
                    asked,
                    ..Request::default()
                };
                self.supply(request).await
            }
        }
    }

    /// Another access token than `refused`, which a resource did not take.
    /// Many callers with the same refused token cause one refresh.
    ///
    /// # Errors
    ///
    /// As [`Session::access_token`].
    pub async fn replace(&self, refused: &AccessToken, options: &TokenOptions) -> Result<Token> {
        let request = Request {
            asked: options.asked(),
            refused: Some(Fingerprint::of(refused.expose())),
            insist: false,
            ahead: false,
        };
        self.supply(request).await
    }

    /// Does what an API's refusal of an access token asks for: gives the token
    /// to repeat the request with, once, or the error that says what is
    /// missing. `verdict` is [`Verdict::of`] the API's answer, and `options`
    /// are those that the token was asked for with.
    ///
    /// ```no_run
    /// # use vault_core::{AccessToken, Session, oauth::challenge::Verdict};
    /// # use vault_core::session::TokenOptions;
    /// # async fn example(session: Session, token: AccessToken) -> vault_core::Result<()> {
    /// # let (status, www_authenticate) = (401, ["Bearer error=\"invalid_token\""]);
    /// let verdict = Verdict::of(status, www_authenticate);
    /// let other = session.refused(&token, &verdict, &TokenOptions::default()).await?;
    /// # let _ = other;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ScopeInsufficient`] with [`Error::needed_scope`],
    /// [`ErrorKind::StepUpRequired`], [`ErrorKind::AccessRefused`] if no token
    /// helps: then nothing was refreshed. Else as [`Session::access_token`].
    pub async fn refused(
        &self,
        refused: &AccessToken,
        verdict: &Verdict,
        options: &TokenOptions,
    ) -> Result<Token> {
        match verdict {
            Verdict::RefreshAndRepeat => self.replace(refused, options).await,
            // The token is good: the next proof carries the nonce.
            Verdict::DpopNonce => self.token(options).await,
            verdict => Err(verdict.error()),
        }
    }

    /// Refreshes now, because a person asks: also while others stay away from
    /// the server, and also with a refresh token that it has refused. One whose
    /// answer was lost is sent again only as the login's rotation policy allows.
    ///
    /// # Errors
    ///
    /// As [`Session::access_token`].
    pub async fn refresh_now(&self, options: &TokenOptions) -> Result<Token> {
        let key = options.cache_key();
        let refused = self
            .stored(&key)
            .await?
            .map(|cached| Fingerprint::of(cached.token.expose()));
        let request = Request {
            asked: options.asked(),
            refused,
            insist: true,
            ahead: false,
        };
        self.supply(request).await
    }

    /// Renews the token ahead of its end, for as long as the guard lives:
    /// callers are then served from memory all the time. Of all processes that
    /// do this, one refreshes. It renews what is stored: the first token for a
    /// resource or scope, and the first after an import, somebody has to ask
    /// for. Where there is none it looks again every two minutes. Nobody is
    /// asked to unlock a store for it: it waits until the next call has.
    ///
    /// # Errors
    ///
    /// If the refresher's thread can't be started.
    pub fn keep_fresh(&self, options: &TokenOptions) -> Result<KeepFresh> {
        let (guard, stopped) = KeepFresh::new();
        let work = keep_fresh(self.profile.clone(), options.cache_key(), stopped);
        self.profile.settings.refresher.spawn(work)?;
        Ok(guard)
    }

    /// Logs in, or again: tells the user through `interaction` what to do,
    /// which may take its time there, and ask for tokens. A future that is
    /// dropped while the user is waited for ends the login; one that is dropped
    /// later does not tear it apart.
    ///
    /// # Errors
    ///
    /// An error leaves an earlier login as it was.
    pub async fn login(
        &self,
        request: LoginRequest,
        interaction: Arc<dyn LoginInteraction>,
    ) -> Result<LoginReport> {
        let profile = self.profile.clone();
        run_aside(async move |caller| {
            let report = enrolment::log_in(&profile, &request, interaction, caller).await?;
            profile.tell(EventKind::LoggedIn);
            Ok(report)
        })
        .await
    }

    /// Takes over a refresh token that was issued to another program.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for what can't be a token,
    /// [`ErrorKind::TokenInUse`] if another profile holds it. An error leaves
    /// an earlier login as it was.
    pub async fn import(&self, import: Import, token: RefreshToken) -> Result<LoginReport> {
        let profile = self.profile.clone();
        self.run(async move {
            let report = enrolment::import(&profile, import, token).await?;
            profile.tell(EventKind::LoggedIn);
            // Not before: the token is there already, and a revocation could end
            // it. Once it is stored, what could do so is given up.
            revocations::retry(&profile, true).await;
            Ok(report)
        })
        .await
    }

    /// Logs out for good, in all processes, and revokes the refresh token if
    /// `revoke` says so. Where its server can't be reached, that is done later:
    /// see [`LogoutReport::queued`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`] if there is no login. A revocation that
    /// failed is not an error: it stands in the report.
    pub async fn logout(&self, revoke: bool) -> Result<LogoutReport> {
        let profile = self.profile.clone();
        self.run(async move {
            let login = enrolment::current_login(&profile).await?;
            let Some((storage, login)) = login else {
                return Err(describe(Failure::NotLoggedIn, &profile.names, None));
            };
            let report = ending::log_out(&profile, &storage, login, revoke).await?;
            profile.tell(EventKind::LoggedOut);
            if matches!(report.revoked, Ok(true)) {
                revocations::retry(&profile, true).await;
            }
            Ok(report)
        })
        .await
    }

    /// Moves the login to another store, while other processes go on asking
    /// for tokens. The store that the profile is pinned to is the source,
    /// whichever the vault was opened with. A process that ends in the middle
    /// leaves the login whole in one of the two; calling this again finishes.
    ///
    /// Afterwards a vault that was opened with [`VaultBuilder::store`] naming
    /// the old store is refused, with an error that names the new one.
    ///
    /// [`VaultBuilder::store`]: crate::VaultBuilder::store
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for the memory store,
    /// [`ErrorKind::NotLoggedIn`] or [`ErrorKind::LoggedOut`] without a login,
    /// [`ErrorKind::KeptElsewhere`] if the other store holds a login of this
    /// name that another state folder belongs to, [`ErrorKind::LockTimeout`],
    /// and the failures of stores and folder. The login stays where it was.
    pub async fn migrate(&self, to: StoreKind) -> Result<MigrationReport> {
        let profile = self.profile.clone();
        self.run(async move {
            let report = migration::migrate(&profile, to).await?;
            profile.tell(EventKind::Moved { to });
            Ok(report)
        })
        .await
    }

    /// The store that the profile is pinned to: where its login was made or
    /// moved to. `None` before the first login. Asks no store.
    ///
    /// # Errors
    ///
    /// If the folder can't be read.
    pub fn pinned_store(&self) -> Result<Option<StoreKind>> {
        let folder = self.profile.existing_folder()?;
        let mark = folder.as_ref().map(storage::folder_mark).transpose()?;
        Ok(mark.flatten().map(|mark| mark.store))
    }

    /// Everything that is stored, read without the lock and without the
    /// network.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`] and the failures of store and folder.
    pub async fn inspect(&self) -> Result<Inspection> {
        let profile = self.profile.clone();
        let look = self
            .run(async move { profile.look(Waiting::Task).await })
            .await?;
        self.inspection(look)
    }

    /// The history of this profile, oldest first. Asks no store.
    ///
    /// # Errors
    ///
    /// If the folder can't be read.
    pub fn history(&self) -> Result<Vec<HistoryEntry>> {
        match self.profile.existing_folder()? {
            Some(folder) => HistoryEntry::read_all(&folder),
            None => Ok(Vec::new()),
        }
    }

    /// What this session has done in this process.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.profile.counts.read()
    }

    /// Proves the store: writes an item, reads it back, deletes it.
    ///
    /// # Errors
    ///
    /// The store's failure.
    pub async fn prove_store(&self) -> Result<StoreProof> {
        let worker = self.profile.store_in_use()?;
        let (names, interaction) = (
            self.profile.names.clone(),
            self.profile.settings.interaction,
        );
        self.run(async move {
            let proof = worker.call(move |store| {
                Ok(prove(
                    store,
                    &names.application,
                    &names.profile,
                    interaction,
                ))
            });
            proof.await?
        })
        .await
    }

    /// Tries the revocations of the application's logouts again whose servers
    /// could not be reached. A login, an import, a logout and a refresh do so
    /// by themselves.
    ///
    /// # Errors
    ///
    /// If the refresher's thread can't be started.
    pub async fn retry_revocations(&self) -> Result<RevocationsReport> {
        let profile = self.profile.clone();
        self.run(async move { Ok(revocations::retry(&profile, true).await) })
            .await
    }

    // Inside.

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.profile.settings.refresher.run(work).await
    }

    pub(crate) fn remembered<T>(&self, asked: &Asked, take: fn(&CachedToken) -> T) -> Option<T> {
        remembered(&self.profile, asked, take)
    }

    async fn stored(&self, key: &CacheKey) -> Result<Option<CachedToken>> {
        let profile = self.profile.clone();
        match self
            .run(async move { profile.look(Waiting::Task).await })
            .await?
        {
            Look::Login(login) => Ok(login.record.access(key).cloned()),
            _ => Ok(None),
        }
    }

    /// Asks the refresher. The caller's deadline lets the caller go; what was
    /// begun goes on.
    async fn supply(&self, request: Request) -> Result<Token> {
        let supplied = match self.supply_once(request.clone()).await {
            Err(error) if self.was_locked_later(&error) => {
                self.unlock().await?;
                self.supply_once(request).await
            }
            supplied => supplied,
        };
        Ok(self.present(supplied?))
    }

    /// Whether a person may be asked for what is missing, and was not: who
    /// knows the key asks the store under the lock only, where nobody is asked.
    fn was_locked_later(&self, error: &Error) -> bool {
        let profile = &self.profile;
        error.kind() == ErrorKind::StoreLocked
            && profile.settings.interaction == Interaction::Allowed
            && profile.known_key().is_some()
    }

    async fn unlock(&self) -> Result<()> {
        let profile = self.profile.clone();
        self.run(async move {
            let Some(storage) = profile.storage()? else {
                return Ok(());
            };
            let store = &storage.store;
            let key = profile.read_key(store, Some(&storage), Waiting::Task);
            key.await.map(drop)
        })
        .await
    }

    async fn supply_once(&self, request: Request) -> Result<Supplied> {
        let each = self.profile.settings.lock_timeout;
        let (reply, answer) = oneshot::channel();
        let profile = self.profile.clone();
        let refresher = &self.profile.settings.refresher;
        refresher.spawn(async move {
            serve(profile, request, Patience::new(each), reply).await;
        })?;
        let profile = self.profile.clone();
        self.run(async move {
            // A little longer than the lock is waited for: that failure says
            // more than this one.
            let mut patience = Patience::new(each + Duration::from_millis(500));
            match patience.wait_for(&profile, answer).await {
                Some(Ok(supplied)) => supplied,
                Some(Err(_)) => Err(panicked()),
                None => Err(own_refresh_under_way(&profile)),
            }
        })
        .await
    }

    fn present(&self, supplied: Supplied) -> Token {
        let life = &supplied.token.life;
        let left = life.left(&self.profile.now());
        let last = life.lifetime().map(policy::mandatory_window);
        Token {
            expires_in: left,
            fresh_for: left.map(|left| left.saturating_sub(last.unwrap_or_default())),
            expires_at_ms: life.ends_at_wall_ms(),
            access_token: supplied.token.token,
            scope: supplied.token.granted_scope,
            jkt: supplied.token.key.jkt,
            refreshed: supplied.refreshed,
            served_despite: supplied.failure,
        }
    }
}

fn remembered<T>(profile: &Profile, asked: &Asked, take: fn(&CachedToken) -> T) -> Option<T> {
    let token = profile.cached(asked, take);
    if token.is_some() {
        count(&profile.counts.from_memory);
    }
    token
}

/// What was waited for in vain is in this process.
fn own_refresh_under_way(profile: &Profile) -> Error {
    Error::new(
        ErrorKind::LockTimeout,
        format!(
            "this process's own refresh of `{}` is still under way: the server has not answered, \
             or the answer can't be saved yet",
            profile.names.profile
        ),
    )
}

/// Step 3 of the protocol: within a process, one flow at a time; who waited
/// finds what it made.
async fn serve(
    profile: Arc<Profile>,
    request: Request,
    mut patience: Patience,
    reply: oneshot::Sender<Result<Supplied>>,
) {
    let began = profile.attempts();
    let turn = profile.turn();
    let Some(_turn) = patience.wait_for(&profile, turn.lock_owned()).await else {
        drop(reply.send(Err(own_refresh_under_way(&profile))));
        return;
    };
    if reply.is_closed() {
        return;
    }
    if request.refused.is_none() {
        if let Some(cached) = remembered(&profile, &request.asked, CachedToken::clone) {
            drop(reply.send(Ok(Supplied::new(cached, false))));
            return;
        }
        // An attempt that was made while this caller waited counts for it too.
        if !request.insist
            && let Some(failure) = profile.failed_since(began)
        {
            let error = describe(failure, &profile.names, None);
            let failure = match profile.cached_while_valid(&request.asked) {
                Some(token) => Ok(Supplied {
                    token,
                    refreshed: false,
                    failure: Some(error.kind()),
                    retry_after: None,
                }),
                None => Err(error),
            };
            drop(reply.send(failure));
            return;
        }
    }
    driver::refresh(profile, request, patience, reply).await;
}
