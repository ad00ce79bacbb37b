//! A session: one login of one profile, as an application sees it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use url::Url;
use vault_platform::store::StoreKind;

use crate::display::{HistoryEntry, LoginState};
use crate::enrolment::{self, Import, LoginReport};
use crate::error::{Error, ErrorKind, Result};
use crate::identity::{Fingerprint, Generation, LoginId};
use crate::login::{LoginInteraction, LoginRequest};
use crate::oauth::challenge::Verdict;
use crate::oauth::discovery::discover;
use crate::profile::{Look, LookedLogin, Profile, Waiting, is_fresh, serving};
use crate::proof::{StoreProof, prove};
use crate::record::{Asked, CacheKey, CachedToken};
use crate::refresh::ahead::{KeepFresh, keep_fresh};
use crate::refresh::description::describe;
use crate::refresh::driver::{self, Request, Supplied};
use crate::refresh::ending::{self, LogoutReport};
use crate::refresh::migration::{self, MigrationReport};
use crate::refresh::policy::RotationPolicy;
use crate::refresh::protocol::Failure;
use crate::refresh::refresher::{panicked, run_aside};
use crate::refresh::revocations::{self, RevocationsReport};
use crate::storage;
use crate::token::{AccessToken, RefreshToken};

/// One login of one profile. Cheap to clone; clones share everything.
///
/// Every method has a blocking twin in [`Blocking`]. The asynchronous ones work
/// on any runtime: the work is done on the refresher's own thread.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) profile: Arc<Profile>,
}

/// What a caller wants of an access token; the default is what the login
/// itself asked for.
#[derive(Clone, Debug, Default)]
pub struct TokenOptions {
    scope: Vec<String>,
    resource: Vec<String>,
    audience: Option<String>,
    min_valid: Option<Duration>,
    allow_wider: bool,
}

impl TokenOptions {
    /// Asks for a narrower scope (RFC 6749, section 6).
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope.push(scope.into());
        self
    }

    /// Asks for a token for this resource (RFC 8707).
    #[must_use]
    pub fn resource(mut self, resource: &Url) -> Self {
        self.resource.push(resource.to_string());
        self
    }

    /// Asks for a token for this audience, by the parameter `audience` that
    /// Auth0 and others take instead of RFC 8707's `resource`.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Asks for a token that is still valid for this long, as far as the
    /// server's tokens live long enough.
    #[must_use]
    pub fn min_valid(mut self, min_valid: Duration) -> Self {
        self.min_valid = Some(min_valid);
        self
    }

    /// Takes a token for more, too, if one is at hand: for the same resource
    /// and audience, and of a scope that the server said to hold all that is
    /// asked for. Saves a refresh; tells the resource a token that can do more
    /// than it needs.
    #[must_use]
    pub fn allow_wider(mut self, allow: bool) -> Self {
        self.allow_wider = allow;
        self
    }

    fn cache_key(&self) -> CacheKey {
        CacheKey::new(
            self.resource.iter().cloned(),
            self.audience.clone(),
            self.scope.iter().cloned(),
        )
    }

    fn asked(&self) -> Asked {
        Asked {
            key: self.cache_key(),
            min_valid: self.min_valid,
            allow_wider: self.allow_wider,
        }
    }
}

/// An access token and what is known of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Token {
    /// The token itself.
    pub access_token: AccessToken,
    /// What is left of its life; `None` if the server sets it no end.
    pub expires_in: Option<Duration>,
    /// When it expires by the wall clock, in milliseconds since the Unix
    /// epoch.
    pub expires_at_ms: Option<u64>,
    /// What the server granted, where it says so.
    pub scope: Option<Vec<String>>,
    /// The thumbprint of the login's DPoP key, which the token is bound to;
    /// `None` for a bearer token. See [`Session::authorization`].
    pub jkt: Option<String>,
    /// Whether this call made the refresh it came from.
    pub refreshed: bool,
    /// Why the refresh that was due failed, while this token is still valid.
    pub served_despite: Option<ErrorKind>,
}

/// How a session stands, and all that is stored for it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// How the login stands.
    pub state: LoginState,
    /// Why the server refused the refresh token, if it did.
    pub refusal: Option<String>,
    /// A refresh was sent and its answer has not come, or not yet.
    pub unconfirmed: bool,
    /// For how long no process asks the server again.
    pub backing_off: Option<Duration>,
    /// The login's identity.
    pub login_id: LoginId,
    /// How often its token was refreshed.
    pub generation: Generation,
    /// The authorization server.
    pub issuer: String,
    /// The OAuth client.
    pub client_id: String,
    /// The account's name, where the server told it.
    pub account: Option<String>,
    /// The thumbprint of the DPoP key that the tokens are bound to; `None` for
    /// bearer tokens.
    pub jkt: Option<String>,
    /// What the login asked for.
    pub scope: Vec<String>,
    /// What the server does with tokens that come again.
    pub rotation_policy: RotationPolicy,
    /// The kind of store.
    pub store: String,
    /// Who answers as the store.
    pub provider: String,
    /// The state folder, unless everything lives in memory.
    pub folder: Option<std::path::PathBuf>,
    /// When the login was made, in milliseconds since the Unix epoch.
    pub logged_in_at_ms: u64,
    /// When the newest refresh token came, in milliseconds since the Unix
    /// epoch.
    pub last_refresh_at_ms: u64,
    /// The refresh token. Showing it is the caller's decision.
    pub refresh_token: RefreshToken,
    /// The access tokens that are stored.
    pub access_tokens: Vec<InspectedToken>,
}

/// A stored access token.
#[derive(Debug)]
#[non_exhaustive]
pub struct InspectedToken {
    /// The token. Showing it is the caller's decision.
    pub token: AccessToken,
    /// Tells it from others without showing it.
    pub fingerprint: Fingerprint,
    /// It was asked for what the login itself asked for.
    pub is_the_logins_own: bool,
    /// The scope that was asked for, if it is a narrower one.
    pub scope: Vec<String>,
    /// The resources it was asked for.
    pub resource: Vec<String>,
    /// The audience it was asked for.
    pub audience: Option<String>,
    /// What the server granted, where it says so.
    pub granted_scope: Option<Vec<String>>,
    /// What is left of its life; `None` if the server sets it no end.
    pub expires_in: Option<Duration>,
    /// When it expires by the wall clock, in milliseconds since the Unix
    /// epoch.
    pub expires_at_ms: Option<u64>,
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
        Ok(self.token(&TokenOptions::default()).await?.access_token)
    }

    /// A valid access token with what is known of it.
    ///
    /// # Errors
    ///
    /// As [`Session::access_token`].
    pub async fn token(&self, options: &TokenOptions) -> Result<Token> {
        let asked = options.asked();
        match self.profile.cached(&asked) {
            Some(cached) => Ok(self.present(supplied(cached))),
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
    /// the server, and also with a refresh token that it has refused.
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
        };
        self.supply(request).await
    }

    /// Renews the token ahead of its end, for as long as the guard lives:
    /// callers are then served from memory all the time. Of all processes that
    /// do this, one refreshes.
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
    /// which may take its time there, and ask for tokens.
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
        run_aside(async move {
            let report = enrolment::log_in(&profile, &request, interaction).await?;
            revocations::retry(&profile, true).await;
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
        self.run(async move { enrolment::import(&profile, import, token).await })
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
        self.run(async move { migration::migrate(&profile, to).await })
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

    /// Asks the login's authorization server to describe itself, as a login
    /// does, and gives its issuer. Spends no token and changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`], and what discovery fails with.
    pub async fn reach_server(&self) -> Result<String> {
        let profile = self.profile.clone();
        self.run(async move {
            let settings = match profile.look(Waiting::Task).await? {
                Look::Login(login) => login.record.settings,
                _ => return Err(describe(Failure::NotLoggedIn, &profile.names, None)),
            };
            let http = profile.http(&settings.ca_certificates)?;
            Ok(discover(&http, &settings.issuer).await?.endpoints.issuer)
        })
        .await
    }

    /// Tries the revocations of the application's logouts again whose servers
    /// could not be reached. A login, a logout and a refresh do so by
    /// themselves.
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
        let patience = self.profile.settings.lock_timeout;
        let (reply, answer) = oneshot::channel();
        let profile = self.profile.clone();
        let refresher = &self.profile.settings.refresher;
        refresher.spawn(async move {
            serve(profile, request, Instant::now() + patience, reply).await;
        })?;
        let profile = self.profile.clone();
        let supplied = self.run(async move {
            // A little longer than the lock is waited for: that failure says
            // more than this one.
            match tokio::time::timeout(patience + Duration::from_millis(500), answer).await {
                Ok(Ok(supplied)) => supplied,
                Ok(Err(_)) => Err(panicked()),
                Err(_) => Err(own_refresh_under_way(&profile)),
            }
        });
        Ok(self.present(supplied.await?))
    }

    fn present(&self, supplied: Supplied) -> Token {
        let life = &supplied.token.life;
        Token {
            expires_in: life.left(&self.profile.now()),
            expires_at_ms: life.ends_at_wall_ms(),
            access_token: supplied.token.token,
            scope: supplied.token.granted_scope,
            jkt: supplied.token.key.jkt,
            refreshed: supplied.refreshed,
            served_despite: supplied.failure,
        }
    }

    fn inspection(&self, look: Look) -> Result<Inspection> {
        let profile = &self.profile;
        let login = match look {
            Look::NotLoggedIn => return Err(describe(Failure::NotLoggedIn, &profile.names, None)),
            Look::LoggedOut | Look::Ended(_) => {
                return Err(describe(Failure::LoggedOut, &profile.names, None));
            }
            Look::Damaged => {
                return Err(Error::new(
                    ErrorKind::Corrupted,
                    "the sealed file is damaged; the next refresh repairs it from the store",
                ));
            }
            Look::Login(login) => *login,
        };
        let LookedLogin {
            key,
            record,
            refused,
            unconfirmed,
            backing_off,
            client_refused,
        } = login;
        let storage = profile.storage()?;
        let store = profile.store_in_use()?;
        let store = store.store();
        let now = profile.now();
        Ok(Inspection {
            state: match &refused {
                Some(_) => LoginState::LoginRequired,
                None if unconfirmed && record.settings.policy.strict => {
                    LoginState::RotationUnconfirmed
                }
                None if client_refused => LoginState::ClientRefused,
                None => LoginState::LoggedIn,
            },
            refusal: refused,
            unconfirmed,
            backing_off: backing_off.map(|(_, pause)| pause),
            login_id: key.login,
            generation: record.generation,
            issuer: record.settings.issuer,
            client_id: record.settings.client_id,
            account: record.settings.account,
            jkt: record.settings.jkt,
            scope: record.settings.scope,
            rotation_policy: record.settings.policy,
            store: store.kind().to_string(),
            provider: store.provider(),
            folder: storage.and_then(|storage| storage.folder.path().map(Into::into)),
            logged_in_at_ms: record.settings.logged_in.wall_ms,
            last_refresh_at_ms: record.refreshed.wall_ms,
            refresh_token: record.refresh_token,
            access_tokens: record
                .access_tokens
                .into_iter()
                .map(|cached| InspectedToken {
                    fingerprint: Fingerprint::of(cached.token.expose()),
                    expires_in: cached.life.left(&now),
                    expires_at_ms: cached.life.ends_at_wall_ms(),
                    is_the_logins_own: cached.key.is_the_logins_own(),
                    scope: cached.key.scope,
                    resource: cached.key.resource,
                    audience: cached.key.audience,
                    granted_scope: cached.granted_scope,
                    token: cached.token,
                })
                .collect(),
        })
    }
}

fn supplied(token: CachedToken) -> Supplied {
    Supplied {
        token,
        refreshed: false,
        failure: None,
    }
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
    deadline: Instant,
    reply: oneshot::Sender<Result<Supplied>>,
) {
    let began = profile.attempts();
    let turn = profile.turn();
    let Ok(_turn) = tokio::time::timeout_at(deadline, turn.lock_owned()).await else {
        drop(reply.send(Err(own_refresh_under_way(&profile))));
        return;
    };
    if reply.is_closed() {
        return;
    }
    if request.refused.is_none() {
        if let Some(cached) = profile.cached(&request.asked) {
            drop(reply.send(Ok(supplied(cached))));
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
                }),
                None => Err(error),
            };
            drop(reply.send(failure));
            return;
        }
    }
    driver::refresh(profile, request, deadline, reply).await;
}

/// The session's methods for callers without an asynchronous runtime.
///
/// A valid token that is stored already costs no thread of the refresher.
/// Don't call these from an asynchronous task: they block it.
#[derive(Clone, Copy, Debug)]
pub struct Blocking<'a>(pub(crate) &'a Session);

impl Blocking<'_> {
    /// See [`Session::access_token`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn access_token(&self) -> Result<AccessToken> {
        Ok(self.token(&TokenOptions::default())?.access_token)
    }

    /// See [`Session::token`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn token(&self, options: &TokenOptions) -> Result<Token> {
        let asked = options.asked();
        let profile = &self.0.profile;
        if let Some(cached) = profile.cached(&asked) {
            return Ok(self.0.present(supplied(cached)));
        }
        let now = profile.now();
        if let Look::Login(login) = self.look()?
            && let Some(cached) = serving(login.record.tokens(), &asked, &now)
            && is_fresh(cached, asked.min_valid, &now)
        {
            return Ok(self.0.present(supplied(cached.clone())));
        }
        pollster::block_on(self.0.token(options))
    }

    /// See [`Session::replace`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn replace(&self, refused: &AccessToken, options: &TokenOptions) -> Result<Token> {
        pollster::block_on(self.0.replace(refused, options))
    }

    /// See [`Session::refused`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn refused(
        &self,
        refused: &AccessToken,
        verdict: &Verdict,
        options: &TokenOptions,
    ) -> Result<Token> {
        pollster::block_on(self.0.refused(refused, verdict, options))
    }

    /// See [`Session::refresh_now`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn refresh_now(&self, options: &TokenOptions) -> Result<Token> {
        pollster::block_on(self.0.refresh_now(options))
    }

    /// See [`Session::login`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn login(
        &self,
        request: LoginRequest,
        interaction: Arc<dyn LoginInteraction>,
    ) -> Result<LoginReport> {
        pollster::block_on(self.0.login(request, interaction))
    }

    /// See [`Session::import`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn import(&self, import: Import, token: RefreshToken) -> Result<LoginReport> {
        pollster::block_on(self.0.import(import, token))
    }

    /// See [`Session::logout`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn logout(&self, revoke: bool) -> Result<LogoutReport> {
        pollster::block_on(self.0.logout(revoke))
    }

    /// See [`Session::migrate`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn migrate(&self, to: StoreKind) -> Result<MigrationReport> {
        pollster::block_on(self.0.migrate(to))
    }

    /// See [`Session::inspect`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn inspect(&self) -> Result<Inspection> {
        let look = self.look()?;
        self.0.inspection(look)
    }

    /// See [`Session::prove_store`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn prove_store(&self) -> Result<StoreProof> {
        pollster::block_on(self.0.prove_store())
    }

    /// See [`Session::reach_server`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn reach_server(&self) -> Result<String> {
        pollster::block_on(self.0.reach_server())
    }

    /// See [`Session::retry_revocations`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn retry_revocations(&self) -> Result<RevocationsReport> {
        pollster::block_on(self.0.retry_revocations())
    }

    pub(crate) fn look(&self) -> Result<Look> {
        pollster::block_on(self.0.profile.look(Waiting::Thread))
    }
}
