//! A login from its beginning to its end: the store is proved before anyone is
//! asked for anything, one login serves all who wait for it, and an earlier
//! login goes on working until the new one is committed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use url::Url;
use vault_platform::lock::LockGuard;
use vault_platform::secret::SecretString;
use vault_platform::store::StoreError;

use crate::bound_host::BoundHost;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::LoginId;
use crate::known_servers::KnownServer;
use crate::life::Stamp;
use crate::login::{self, Aside, Caller, LoggedIn, LoginInteraction, LoginRequest};
use crate::oauth::client::Client;
use crate::oauth::discovery::{Description, discover};
use crate::oauth::dpop::{DpopKey, Prover};
use crate::oauth::jwt::Claims;
use crate::oauth::{ClientCredential, Endpoints};
use crate::profile::{Look, Profile, Waiting};
use crate::proof::prove;
use crate::record::{Described, LoginSettings};
use crate::refresh::grant;
use crate::refresh::install::{NewLogin, NewTokens, check_not_in_use, install};
use crate::refresh::policy::RotationPolicy;
use crate::refresh::renewal::life;
use crate::refresh::revocations;
use crate::storage::{self, SealedReading, Storage};
use crate::token::RefreshToken;

/// What a login came to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoginReport {
    /// The account's name, where the server told it.
    pub account: Option<String>,
    /// The authorization server.
    pub issuer: String,
    /// The kind of store that holds it.
    pub store: String,
    /// Who answers as the store.
    pub provider: String,
    /// Another process made the login while this one waited.
    pub shared: bool,
    /// Hosts that the login before was bound to and this one is not, because
    /// it is not known to be the same account's.
    pub unbound: Vec<BoundHost>,
}

/// Where an imported refresh token is to be sent.
#[derive(Clone, Debug)]
pub struct Import {
    server: Server,
    client_id: String,
    scope: Vec<String>,
    credential: Option<Arc<ClientCredential>>,
}

#[derive(Clone, Debug)]
enum Server {
    Issuer(String),
    TokenEndpoint(Url),
}

impl Import {
    /// A token of a server that describes itself (RFC 8414).
    #[must_use]
    pub fn from_issuer(issuer: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            server: Server::Issuer(issuer.into()),
            client_id: client_id.into(),
            scope: Vec::new(),
            credential: None,
        }
    }

    /// A token of a server of which only the token endpoint is known. It can't
    /// be revoked at logout.
    #[must_use]
    pub fn from_token_endpoint(endpoint: Url, client_id: impl Into<String>) -> Self {
        Self {
            server: Server::TokenEndpoint(endpoint),
            client_id: client_id.into(),
            scope: Vec::new(),
            credential: None,
        }
    }

    /// Gives what a confidential client proves itself with. It is kept with
    /// the login, in the store.
    #[must_use]
    pub fn credential(mut self, credential: ClientCredential) -> Self {
        self.credential = Some(Arc::new(credential));
        self
    }

    /// Notes a scope that the token has, for display.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope.push(scope.into());
        self
    }
}

/// Chooses how the client proves itself, before anyone is asked for anything.
fn settle(
    credential: Option<&ClientCredential>,
    endpoints: &Endpoints,
    known: Option<&KnownServer>,
) -> Result<Option<ClientCredential>> {
    let audience = known.map(|server| server.assertion_audience);
    credential
        .map(|credential| credential.settle(endpoints, audience.unwrap_or_default()))
        .transpose()
}

/// What the caller says of the server, else what is known of it.
fn policy(profile: &Profile, known: Option<&KnownServer>) -> RotationPolicy {
    let known = known.and_then(|server| server.rotation);
    profile.settings.policy.or(known).unwrap_or_default()
}

/// The request as its server wants it, where that is a known one.
fn adapted(request: &LoginRequest, known: Option<&KnownServer>) -> LoginRequest {
    known.map_or_else(|| request.clone(), |server| server.adapt(request))
}

/// How long a new login waits for the refresh lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn log_in(
    profile: &Arc<Profile>,
    request: &LoginRequest,
    interaction: Arc<dyn LoginInteraction>,
    caller: Caller,
) -> Result<LoginReport> {
    let storage = profile.storage_for_login()?;
    prove_store(profile, &storage).await?;
    let deadline = Instant::now() + request.timeout.unwrap_or(LoginRequest::BROWSER_TIMEOUT);
    let interaction = Aside(&*interaction);
    let turn = wait_for_turn(profile, &storage, request, &interaction, deadline);
    let _login_lock = match caller.unless_gone(turn).await? {
        Turn::Mine(lock) => lock,
        Turn::Served(report) => return Ok(report),
    };
    let storage = as_it_stands_now(profile, storage).await?;
    // Not after: a server may attach the new tokens to the old ones' grant.
    revocations::retry(profile, true).await;
    storage.shared.login_begins();
    let made = make_login(profile, &storage, request, &interaction, &caller).await;
    storage.shared.login_ended(made.is_ok());
    made
}

async fn make_login(
    profile: &Arc<Profile>,
    storage: &Arc<Storage>,
    request: &LoginRequest,
    interaction: &dyn LoginInteraction,
    caller: &Caller,
) -> Result<LoginReport> {
    let known = profile.settings.known_servers().find(&request.issuer);
    let request = &adapted(request, known);
    let http = profile.http(&[])?;
    let Description {
        endpoints,
        good_for,
        ..
    } = discover(&http, &request.issuer).await?;
    let described = Some(Described::new(&profile.now(), good_for));
    let credential = settle(request.credential.as_deref(), &endpoints, known)?;
    let client = Client {
        id: &request.client_id,
        credential: credential.as_ref(),
        clock: profile.settings.clock.as_ref(),
    };
    let dpop_key = request.dpop.then(DpopKey::generate);
    let prover = dpop_key.as_ref().map(|key| Prover {
        key,
        learnt: &profile.learnt,
        clock: profile.settings.clock.as_ref(),
    });
    let LoggedIn {
        tokens,
        refresh_token,
        sent,
        answered,
        claims,
    } = login::run(&login::Context {
        http: &http,
        endpoints: &endpoints,
        request,
        client: &client,
        interaction,
        prover: prover.as_ref(),
        caller,
        gives_back: &|| !grant::is_shared(profile, &endpoints, client.id, None),
    })
    .await?;
    let sent_at = Stamp::from(&sent);
    let life = life(&tokens, sent_at.clone(), &answered);
    let account = claims.as_ref().and_then(Claims::account_label);
    let subject = claims.and_then(|claims| claims.sub);
    let settings = LoginSettings {
        issuer: request.issuer.clone(),
        client_id: request.client_id.clone(),
        endpoints: Some(endpoints.clone()),
        scope: request.scopes.clone(),
        resource: request.resources.iter().map(Url::to_string).collect(),
        audience_parameter: request.quirks.audience_parameter,
        policy: policy(profile, known),
        account,
        subject,
        logged_in: sent_at,
        ca_certificates: profile.settings.ca_certificates.clone(),
        jkt: dpop_key.as_ref().map(|key| key.thumbprint().to_owned()),
        described,
        // The login before says which.
        bound_hosts: Vec::new(),
    };
    if let Err(refused) = check_account(profile, &settings, interaction).await {
        // The login before is another account's, and does not end with it.
        let own = Some(&*profile.names.profile);
        if !grant::is_shared(profile, &endpoints, client.id, own) {
            login::give_back(&http, &endpoints, &client, &refresh_token).await;
        }
        return Err(refused);
    }
    let mut report = report(storage, &settings, false);
    let tokens = NewTokens::Granted(Box::new(tokens), refresh_token, life);
    let deadline = Instant::now() + LOCK_PATIENCE;
    let new = NewLogin {
        settings,
        tokens,
        credential,
        dpop_key,
    };
    report.unbound = install(profile, storage, new, deadline).await?;
    Ok(report)
}

pub(crate) async fn import(
    profile: &Arc<Profile>,
    import: Import,
    token: RefreshToken,
) -> Result<LoginReport> {
    let token = check_token(token)?;
    let storage = profile.storage_for_login()?;
    prove_store(profile, &storage).await?;
    check_not_in_use(&storage, &token).await?;
    let (issuer, endpoints, described) = match import.server {
        Server::Issuer(issuer) => {
            let http = profile.http(&[])?;
            let found = discover(&http, &issuer).await?;
            let described = Described::new(&profile.now(), found.good_for);
            (issuer, found.endpoints, Some(described))
        }
        Server::TokenEndpoint(token_endpoint) => {
            let issuer = token_endpoint.origin().ascii_serialization();
            (
                issuer.clone(),
                Endpoints::for_token_endpoint(issuer, token_endpoint)?,
                None,
            )
        }
    };
    let known = profile.settings.known_servers().find(&issuer);
    let credential = settle(import.credential.as_deref(), &endpoints, known)?;
    let settings = LoginSettings {
        audience_parameter: known.is_some_and(|server| server.audience_parameter),
        issuer,
        client_id: import.client_id,
        endpoints: Some(endpoints),
        scope: import.scope,
        resource: Vec::new(),
        policy: policy(profile, known),
        account: None,
        subject: None,
        logged_in: Stamp::from(&profile.now()),
        ca_certificates: profile.settings.ca_certificates.clone(),
        jkt: None,
        described,
        // The login before says which.
        bound_hosts: Vec::new(),
    };
    let deadline = Instant::now() + LOCK_PATIENCE;
    let Some(_login_lock) = poll_login_lock(&storage, deadline).await? else {
        return Err(login_under_way());
    };
    let storage = as_it_stands_now(profile, storage).await?;
    let mut report = report(&storage, &settings, false);
    let tokens = NewTokens::Imported(token);
    let new = NewLogin {
        settings,
        tokens,
        credential,
        dpop_key: None,
    };
    report.unbound = install(profile, &storage, new, deadline).await?;
    Ok(report)
}

/// What RFC 6749, appendix A.17, allows: visible ASCII, one line, not empty.
fn check_token(token: RefreshToken) -> Result<RefreshToken> {
    let problem = match token.expose() {
        "" => "it is empty",
        text if text.contains(['\n', '\r']) => "it has more than one line",
        text if !text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) => {
            "it has characters that no token has"
        }
        text if text.trim() != text => "it begins or ends with a space",
        _ => return Ok(token),
    };
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("this can't be a refresh token: {problem}"),
    ))
}

fn report(storage: &Storage, settings: &LoginSettings, shared: bool) -> LoginReport {
    let store = storage.store.store();
    LoginReport {
        account: settings.account.clone(),
        issuer: settings.issuer.clone(),
        store: store.kind().to_string(),
        provider: store.provider(),
        shared,
        unbound: Vec::new(),
    }
}

/// The storage, asked for under the login lock: while this process waited for
/// it, another one may have moved the profile.
async fn as_it_stands_now(profile: &Profile, storage: Arc<Storage>) -> Result<Arc<Storage>> {
    let now = profile.storage_for_login()?;
    if now.kind() != storage.kind() {
        prove_store(profile, &now).await?;
    }
    Ok(now)
}

/// Proves the store before anyone is asked for anything: a login whose token
/// can't be saved would be lost.
pub(crate) async fn prove_store(profile: &Profile, storage: &Storage) -> Result<()> {
    let names = profile.names.clone();
    let interaction = profile.settings.interaction;
    let deadline = profile.settings.unlock_deadline + profile.settings.store_deadline;
    let proof = storage.store.call(move |store| {
        Ok::<_, StoreError>(prove(
            store,
            &names.application,
            &names.profile,
            interaction,
        ))
    });
    match tokio::time::timeout(deadline, proof).await {
        Ok(proof) => proof?.map(drop),
        Err(_) => Err(storage::hung(storage.store.store().as_ref(), "probe")),
    }
}

enum Turn {
    Mine(LockGuard),
    Served(LoginReport),
}

/// One login serves all who wait for it and ask for no more than it did, its
/// failure included: nobody wants eight browser windows, or seven after having
/// closed one.
async fn wait_for_turn(
    profile: &Profile,
    storage: &Arc<Storage>,
    request: &LoginRequest,
    interaction: &dyn LoginInteraction,
    deadline: Instant,
) -> Result<Turn> {
    if let Some(lock) = storage.login_lock.try_lock()? {
        return Ok(Turn::Mine(lock));
    }
    // Before the interaction, which takes its own time: the login may end in it.
    let before = storage.shared.newest_login();
    interaction.waiting("another process is logging in");
    let Some(lock) = poll_login_lock(storage, deadline).await? else {
        return Err(login_under_way());
    };
    match storage.shared.login_since(before) {
        // What was waited for was no login: this process goes on.
        None => Ok(Turn::Mine(lock)),
        Some(false) => Err(Error::new(
            ErrorKind::AccessDenied,
            "the login that another process was making did not succeed",
        )),
        Some(true) => {
            profile.forget();
            let known = profile.settings.known_servers().find(&request.issuer);
            let is_plain = is_plain(request);
            let request = adapted(request, known);
            match profile.look(Waiting::Task).await? {
                Look::Login(login) if is_plain && serves(&login.record.settings, &request) => {
                    Ok(Turn::Served(report(storage, &login.record.settings, true)))
                }
                _ => Ok(Turn::Mine(lock)),
            }
        }
    }
}

/// Whether a request has no wish of its own for how the person logs in, which
/// nothing that is stored could be compared with.
fn is_plain(request: &LoginRequest) -> bool {
    request.parameters.is_empty()
        && request.max_age.is_none()
        && request.prompt.is_none()
        && request.login_hint.is_none()
}

/// Whether a login is one that this request would have come to, or one that
/// was asked for more.
fn serves(settings: &LoginSettings, request: &LoginRequest) -> bool {
    let has_scope = |wanted: &str| {
        let mut words = settings.scope.iter().flat_map(|scope| scope.split(' '));
        words.any(|word| word == wanted)
    };
    let has_resource = |wanted: &Url| {
        let mut known = settings.resource.iter();
        known.any(|url| url == wanted.as_str())
    };
    settings.issuer == request.issuer
        && settings.client_id == request.client_id
        && settings.jkt.is_some() == request.dpop
        && request.each_scope().all(has_scope)
        && request.resources.iter().all(has_resource)
}

pub(crate) async fn poll_login_lock(
    storage: &Storage,
    deadline: Instant,
) -> Result<Option<LockGuard>> {
    loop {
        if let Some(lock) = storage.login_lock.try_lock()? {
            return Ok(Some(lock));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn login_under_way() -> Error {
    Error::new(
        ErrorKind::LockTimeout,
        "another process is still logging in",
    )
}

/// Another account than before is shown and confirmed: the wrong browser
/// session must not silently take a profile over.
async fn check_account(
    profile: &Profile,
    settings: &LoginSettings,
    interaction: &dyn LoginInteraction,
) -> Result<()> {
    let Some(before) = stored_settings(profile).await else {
        return Ok(());
    };
    let same_server = before.issuer == settings.issuer;
    let (Some(old), Some(new)) = (&before.subject, &settings.subject) else {
        return Ok(());
    };
    if same_server && old != new {
        let old = before.account.as_ref().unwrap_or(old);
        let new = settings.account.as_ref().unwrap_or(new);
        if !interaction.confirm_other_account(old, new) {
            return Err(Error::new(
                ErrorKind::AccessDenied,
                format!("the login is for {new}, the profile belongs to {old}"),
            ));
        }
    }
    Ok(())
}

/// What the profile holds now, in the store that it is pinned to: the login
/// may be on its way into another one. `None` too where that can't be read.
async fn stored_settings(profile: &Profile) -> Option<LoginSettings> {
    let storage = profile.pinned_storage().ok()??;
    let key = profile.read_key(&storage.store, Some(&storage), Waiting::Task);
    let key = key.await.ok()??;
    if storage.is_buried(key.login).ok()? {
        return None;
    }
    match storage.sealed(&key).ok()? {
        SealedReading::Present(record) => Some(record.settings),
        _ => None,
    }
}

/// The login that a logout ends: what the key item names, or what the folder
/// still holds if the store has nothing.
pub(crate) async fn current_login(profile: &Profile) -> Result<Option<(Arc<Storage>, LoginId)>> {
    let look = profile.look(Waiting::Task).await;
    let Some(storage) = profile.storage()? else {
        return look.map(|_| None);
    };
    let login = match look {
        Ok(Look::Login(login)) => Some(login.key.login),
        Ok(Look::Damaged) => profile.known_key().map(|key| key.login),
        // What is left of it is deleted by a second logout too.
        Ok(Look::Ended(login)) => Some(login),
        Ok(Look::NotLoggedIn | Look::LoggedOut) => None,
        Err(error) => match profile.known_key().map(|key| key.login) {
            Some(login) => Some(login),
            None => storage.only_login().ok_or(error).map(Some)?,
        },
    };
    Ok(login.map(|login| (storage, login)))
}

/// A token as it is read from a file or standard input: one line, whose end
/// belongs to the file.
#[must_use]
pub fn without_line_end(text: SecretString) -> SecretString {
    let line = text.expose();
    let trimmed = line.strip_suffix('\n').unwrap_or(line);
    let trimmed = trimmed.strip_suffix('\r').unwrap_or(trimmed);
    if trimmed.len() == line.len() {
        text
    } else {
        SecretString::from(trimmed.to_owned())
    }
}
