//! All that is stored for a login, for people who look.

use std::time::Duration;

use super::Session;
use crate::bound_host::{self, BoundHost};
use crate::display::LoginState;
use crate::error::{Error, ErrorKind, Result};
use crate::identity::{Fingerprint, Generation, LoginId};
use crate::profile::{Look, LookedLogin};
use crate::refresh::description::describe;
use crate::refresh::policy::RotationPolicy;
use crate::refresh::protocol::Failure;
use crate::token::{AccessToken, IdToken, RefreshToken};

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
    /// The ID token of the login, checked when it came (OpenID Connect Core,
    /// section 3.1.3.7); none where the server gave none.
    pub id_token: Option<IdToken>,
    /// The access tokens that are stored.
    pub access_tokens: Vec<InspectedToken>,
    /// The hosts whose tools may be given an access token.
    pub bound_hosts: Vec<BoundHost>,
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
    pub(super) fn inspection(&self, look: Look) -> Result<Inspection> {
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
            id_token: record.id_token,
            bound_hosts: bound_host::read_all(&record.settings.bound_hosts),
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
