//! The stored formats: what lies in the store's items and in the files of a
//! profile's folder. Each carries a version; one that is newer than this
//! reader is a clear error and is never written over.
//!
//! All are one line of ASCII JSON. Those that hold a secret are written to and
//! read from memory that is wiped.

mod rehearsal;
#[cfg(test)]
#[cfg(feature = "openid")]
mod tests;

use std::fmt;
use std::time::Duration;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vault_platform::clock::{Clock, Now};
use vault_platform::sealed_file::SealingKey;
use vault_platform::secret::{SecretBytes, SecretString};
use vault_platform::store::StoreKind;
use zeroize::Zeroizing;

pub(crate) use self::rehearsal::rehearse;
pub(crate) use crate::cache_key::{Asked, CacheKey};
use crate::error::{Error, ErrorKind};
use crate::identity::{Fingerprint, FolderId, Generation, KeyId, LoginId};
use crate::life::{Life, Stamp, milliseconds};
use crate::oauth::Endpoints;
use crate::oauth::client::{Client, ClientCredential, ClientCredentialLine};
use crate::oauth::discovery::Description;
use crate::oauth::dpop::{DpopKey, ServerClock};
use crate::refresh::policy::RotationPolicy;
use crate::secret_text::{SecretText, to_ascii_line};
use crate::token::{AccessToken, IdToken, RefreshToken};

/// The version of every format here.
pub(crate) const VERSION: u32 = 1;

/// Why a record can't be used. Says which, and shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// A newer version wrote it.
    #[error("the {what} was written by a newer version (format {version})")]
    TooNew {
        /// Which record.
        what: &'static str,
        /// Its format.
        version: u32,
    },
    /// It is not what it should be.
    #[error("the {what} can't be read")]
    Unreadable {
        /// Which record.
        what: &'static str,
    },
}

/// Reads a record after a look at its version.
pub(crate) fn read<T: DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, RecordError> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let unreadable = RecordError::Unreadable { what };
    let Version { v: version } = serde_json::from_slice(bytes).map_err(|_| unreadable)?;
    if version > VERSION {
        return Err(RecordError::TooNew { what, version });
    }
    serde_json::from_slice(bytes).map_err(|_| unreadable)
}

/// The item `<profile>`: a copy of the newest refresh token.
#[derive(Debug)]
pub(crate) struct TokenItem {
    pub(crate) login: LoginId,
    pub(crate) generation: Generation,
    pub(crate) refresh_token: RefreshToken,
}

#[derive(Serialize, Deserialize)]
struct TokenItemLine {
    v: u32,
    login: LoginId,
    generation: Generation,
    refresh_token: SecretText,
}

impl TokenItem {
    pub(crate) fn write(&self) -> SecretBytes {
        to_ascii_line(&TokenItemLine {
            v: VERSION,
            login: self.login,
            generation: self.generation,
            refresh_token: secret_text(self.refresh_token.expose()),
        })
    }

    pub(crate) fn read(bytes: &SecretBytes) -> Result<Self, RecordError> {
        let line: TokenItemLine = read("token item", bytes.expose())?;
        Ok(Self {
            login: line.login,
            generation: line.generation,
            refresh_token: RefreshToken::new(line.refresh_token.0),
        })
    }
}

/// The item `<profile>#key`: written at login only.
pub(crate) struct KeyItem {
    pub(crate) key: SealingKey,
    pub(crate) key_id: KeyId,
    pub(crate) login: LoginId,
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) folder: FolderId,
    /// Where the folder lies; absent for a login that lives in memory.
    pub(crate) path: Option<String>,
    /// What a confidential client proves itself with.
    pub(crate) credential: Option<ClientCredential>,
    /// What the login's tokens are bound to, if they are.
    pub(crate) dpop: Option<Binding>,
}

/// A login's DPoP key, as the store holds it.
#[derive(Debug)]
pub(crate) enum Binding {
    Key(DpopKey),
    /// What stands there is no key. Written back as it was.
    Unreadable(SecretString),
}

impl fmt::Debug for KeyItem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyItem")
            .field("key_id", &self.key_id)
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct KeyItemLine {
    v: u32,
    key: SecretText,
    key_id: KeyId,
    login: LoginId,
    issuer: String,
    client_id: String,
    folder: FolderId,
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<ClientCredentialLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dpop: Option<SecretText>,
}

impl KeyItem {
    pub(crate) fn write(&self) -> SecretBytes {
        to_ascii_line(&KeyItemLine {
            v: VERSION,
            key: SecretText(SecretString::from(
                BASE64URL_NOPAD.encode(self.key.expose()),
            )),
            key_id: self.key_id,
            login: self.login,
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            folder: self.folder,
            path: self.path.clone(),
            credential: self.credential.as_ref().map(ClientCredentialLine::from),
            dpop: self.dpop.as_ref().map(Binding::write),
        })
    }

    pub(crate) fn read(bytes: &SecretBytes) -> Result<Self, RecordError> {
        let line: KeyItemLine = read("key item", bytes.expose())?;
        let unreadable = RecordError::Unreadable { what: "key item" };
        let key = BASE64URL_NOPAD
            .decode(line.key.0.expose().as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| unreadable)?;
        Ok(Self {
            key: SealingKey::from_slice(&key).ok_or(unreadable)?,
            key_id: line.key_id,
            login: line.login,
            issuer: line.issuer,
            client_id: line.client_id,
            folder: line.folder,
            path: line.path,
            credential: line
                .credential
                .map(|line| line.read().ok_or(unreadable))
                .transpose()?,
            dpop: line.dpop.map(Binding::read),
        })
    }

    /// The key that the login's tokens are bound to; `None` for bearer tokens.
    /// `jkt` is what the sealed file says about it, where there is one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::DpopKeyLost`] if it is not the key that the sealed file
    /// names, or no key at all. Nothing is to be sent then: a server that is
    /// shown a token without its proof may take it for stolen.
    pub(crate) fn dpop_key(&self, jkt: Option<&str>) -> Result<Option<&DpopKey>, Error> {
        let lost = |what: &str| {
            let message =
                format!("the login's tokens are bound to a DPoP key, and the store {what}");
            Err(Error::new(ErrorKind::DpopKeyLost, message))
        };
        match (&self.dpop, jkt) {
            (None, None) => Ok(None),
            (None, Some(_)) => lost("no longer holds it"),
            (Some(Binding::Unreadable(_)), _) => lost("holds something else in its place"),
            (Some(Binding::Key(key)), Some(jkt)) if key.thumbprint() != jkt => {
                lost("holds another one")
            }
            (Some(Binding::Key(key)), _) => Ok(Some(key)),
        }
    }
}

impl Binding {
    fn write(&self) -> SecretText {
        SecretText(match self {
            Self::Key(key) => SecretString::from(BASE64URL_NOPAD.encode(key.expose())),
            Self::Unreadable(text) => text.duplicate(),
        })
    }

    fn read(text: SecretText) -> Self {
        let private = BASE64URL_NOPAD.decode(text.0.expose().as_bytes());
        let private = private.ok().map(SecretBytes::from);
        match private.and_then(|private| DpopKey::from_bytes(private.expose())) {
            Some(key) => Self::Key(key),
            None => Self::Unreadable(text.0),
        }
    }
}

/// The clear header of `sealed.<login id>`, authenticated byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealedHeader {
    v: u32,
    kind: String,
    pub(crate) application: String,
    pub(crate) profile: String,
    pub(crate) login: LoginId,
    pub(crate) key_id: KeyId,
    pub(crate) generation: Generation,
}

impl SealedHeader {
    pub(crate) fn new(
        application: &str,
        profile: &str,
        key: &KeyItem,
        generation: Generation,
    ) -> Self {
        Self {
            v: VERSION,
            kind: "login".to_owned(),
            application: application.to_owned(),
            profile: profile.to_owned(),
            login: key.login,
            key_id: key.key_id,
            generation,
        }
    }

    pub(crate) fn write(&self) -> SecretBytes {
        to_ascii_line(self)
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let header: Self = read("sealed file's header", bytes)?;
        if header.kind == "login" {
            Ok(header)
        } else {
            Err(RecordError::Unreadable {
                what: "sealed file's header",
            })
        }
    }
}

/// An access token in the sealed file.
#[derive(Clone, Debug)]
pub(crate) struct CachedToken {
    pub(crate) key: CacheKey,
    pub(crate) token: AccessToken,
    pub(crate) life: Life,
    /// What the server granted, where it says so.
    pub(crate) granted_scope: Option<Vec<String>>,
    /// A tool said that its server refused the token: the tool is to be given
    /// another one.
    pub(crate) refused: bool,
}

impl CachedToken {
    pub(crate) fn token(&self) -> AccessToken {
        self.token.clone()
    }
}

#[derive(Serialize, Deserialize)]
struct CachedTokenLine {
    #[serde(flatten)]
    key: CacheKey,
    token: SecretText,
    life: Life,
    granted_scope: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    refused: bool,
}

const UNREADABLE_FILE: RecordError = RecordError::Unreadable {
    what: "sealed file",
};

/// What the sealed file holds: the authority on a login.
#[derive(Debug)]
pub(crate) struct LoginRecord {
    pub(crate) generation: Generation,
    pub(crate) refresh_token: RefreshToken,
    pub(crate) access_tokens: Vec<CachedToken>,
    pub(crate) settings: LoginSettings,
    /// When the newest refresh token came.
    pub(crate) refreshed: Stamp,
    /// What a confidential client proves itself with, if the store's item has
    /// no room for it.
    pub(crate) credential: Option<ClientCredential>,
    /// The nonce that the authorization server told last (RFC 9449, section
    /// 8), so that another process's first proof is a good one.
    pub(crate) dpop_nonce: Option<String>,
    /// Who logged in, in the server's words, for people who look.
    pub(crate) id_token: Option<IdToken>,
}

/// What was fixed at login and decides where a token is sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LoginSettings {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    /// Absent after a repair from the token item: to be discovered again.
    pub(crate) endpoints: Option<Endpoints>,
    pub(crate) scope: Vec<String>,
    pub(crate) resource: Vec<String>,
    pub(crate) policy: RotationPolicy,
    /// The account's name, for people.
    pub(crate) account: Option<String>,
    /// The account's `sub` claim, to tell another account from the same.
    pub(crate) subject: Option<String>,
    pub(crate) logged_in: Stamp,
    /// The server takes `audience` for what RFC 8707 calls a resource.
    #[serde(default)]
    pub(crate) audience_parameter: bool,
    /// Certificate authorities beyond the system's, as PEM text.
    #[serde(default)]
    pub(crate) ca_certificates: Vec<String>,
    /// The thumbprint of the DPoP key that the login's tokens are bound to
    /// (RFC 9449, section 6.1); absent for bearer tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) jkt: Option<String>,
    /// The age of `endpoints`; absent where the server did not tell them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) described: Option<Described>,
    /// The hosts whose tools may be given an access token, as
    /// [`BoundHost`](crate::BoundHost) writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) bound_hosts: Vec<String>,
}

/// When a server described itself, and for how long that is good.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Described {
    at: Stamp,
    good_for_ms: u64,
}

impl Described {
    pub(crate) fn new(at: &Now, good_for: Duration) -> Self {
        Self {
            at: Stamp::from(at),
            good_for_ms: milliseconds(good_for),
        }
    }

    /// Whether the server is to be asked again.
    pub(crate) fn is_old(&self, now: &Now) -> bool {
        let age = self.at.elapsed(now);
        age.is_none_or(|age| age >= Duration::from_millis(self.good_for_ms))
    }
}

impl LoginSettings {
    /// Takes over what the login's server says of itself by now.
    pub(crate) fn describe(&mut self, found: Description, now: &Now) {
        self.endpoints = Some(found.endpoints);
        self.described = Some(Described::new(now, found.good_for));
    }
}

#[derive(Serialize, Deserialize)]
struct LoginRecordLine {
    v: u32,
    generation: Generation,
    refresh_token: SecretText,
    access_tokens: Vec<CachedTokenLine>,
    settings: LoginSettings,
    refreshed: Stamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<ClientCredentialLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dpop_nonce: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_token: Option<SecretText>,
}

impl LoginRecord {
    pub(crate) fn write(&self) -> SecretBytes {
        to_ascii_line(&LoginRecordLine {
            v: VERSION,
            generation: self.generation,
            refresh_token: secret_text(self.refresh_token.expose()),
            access_tokens: self
                .access_tokens
                .iter()
                .map(|cached| CachedTokenLine {
                    key: cached.key.clone(),
                    token: secret_text(cached.token.expose()),
                    life: cached.life.clone(),
                    granted_scope: cached.granted_scope.clone(),
                    refused: cached.refused,
                })
                .collect(),
            settings: self.settings.clone(),
            refreshed: self.refreshed.clone(),
            credential: self.credential.as_ref().map(ClientCredentialLine::from),
            dpop_nonce: self.dpop_nonce.clone(),
            id_token: self
                .id_token
                .as_ref()
                .map(|token| secret_text(token.expose())),
        })
    }

    pub(crate) fn read(bytes: &SecretBytes) -> Result<Self, RecordError> {
        let line: LoginRecordLine = read("sealed file", bytes.expose())?;
        Ok(Self {
            generation: line.generation,
            refresh_token: RefreshToken::new(line.refresh_token.0),
            access_tokens: line
                .access_tokens
                .into_iter()
                .map(|cached| CachedToken {
                    key: cached.key,
                    token: AccessToken::new(cached.token.0),
                    life: cached.life,
                    granted_scope: cached.granted_scope,
                    refused: cached.refused,
                })
                .collect(),
            settings: line.settings,
            refreshed: line.refreshed,
            credential: line
                .credential
                .map(|line| line.read().ok_or(UNREADABLE_FILE))
                .transpose()?,
            dpop_nonce: line.dpop_nonce,
            id_token: line.id_token.map(|token| IdToken::new(token.0)),
        })
    }

    /// The client of this login, which is about to ask its server. Its
    /// credential lies in the key item, or here.
    pub(crate) fn client<'a>(
        &'a self,
        key: Option<&'a KeyItem>,
        clock: &'a dyn Clock,
    ) -> Client<'a> {
        let in_item = key.and_then(|key| key.credential.as_ref());
        Client {
            id: &self.settings.client_id,
            credential: in_item.or(self.credential.as_ref()),
            clock,
        }
    }

    /// The access tokens that are bound to the login's key, and to no other.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &CachedToken> + Clone {
        let jkt = &self.settings.jkt;
        self.access_tokens
            .iter()
            .filter(move |cached| cached.key.jkt == *jkt)
    }

    /// The token for a request, bound to the login's key and to no other.
    pub(crate) fn access(&self, key: &CacheKey) -> Option<&CachedToken> {
        let key = key.bound_to(self.settings.jkt.as_deref());
        self.access_tokens.iter().find(|cached| cached.key == key)
    }

    /// The authorization server's clock, as it was when it gave the newest
    /// access token.
    pub(crate) fn server_clock(&self) -> Option<ServerClock> {
        let newest = self
            .access_tokens
            .iter()
            .max_by_key(|cached| cached.life.since.wall_ms)?;
        let offset = newest.life.clock_offset_ms?;
        Some(ServerClock {
            server_ms: newest.life.since.wall_ms.checked_add_signed(offset)?,
            at: newest.life.since.clone(),
        })
    }
}

/// The file `mark`: a refresh in flight, or refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    v: u32,
    pub(crate) login: LoginId,
    pub(crate) generation: Generation,
    pub(crate) refresh: Fingerprint,
    pub(crate) attempts: u32,
    pub(crate) first_sent: Stamp,
    pub(crate) process: u32,
    /// The server's reason, if it refused the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<String>,
}

impl Mark {
    pub(crate) fn new(
        login: LoginId,
        generation: Generation,
        refresh: Fingerprint,
        attempts: u32,
        first_sent: Stamp,
    ) -> Self {
        Self {
            v: VERSION,
            login,
            generation,
            refresh,
            attempts,
            first_sent,
            process: std::process::id(),
            refused: None,
        }
    }

    pub(crate) fn write(&self) -> SecretBytes {
        to_ascii_line(self)
    }

    pub(crate) fn read(bytes: &SecretBytes) -> Result<Self, RecordError> {
        read("mark", bytes.expose())
    }
}

/// The file `tombstone.<login id>`: this login has ended. That it is there is
/// what counts; the line in it is for people. One file per login, so that two
/// logouts at once can't write over each other's.
#[derive(Debug, Serialize)]
pub(crate) struct Tombstone {
    v: u32,
    login: LoginId,
}

impl Tombstone {
    pub(crate) fn new(login: LoginId) -> Self {
        Self { v: VERSION, login }
    }

    pub(crate) fn write(&self) -> SecretBytes {
        to_ascii_line(self)
    }
}

/// The file `folder`: which folder this is, and which store its login is
/// pinned to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FolderMark {
    v: u32,
    pub(crate) id: FolderId,
    pub(crate) store: StoreKind,
    /// Stores that may hold items of this profile which nobody uses: a move to
    /// or from them was not finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) also: Vec<StoreKind>,
}

impl FolderMark {
    pub(crate) fn new(id: FolderId, store: StoreKind) -> Self {
        Self {
            v: VERSION,
            id,
            store,
            also: Vec::new(),
        }
    }

    /// The same with a store that items are about to be written to, beside the
    /// one that counts.
    pub(crate) fn beside(mut self, other: StoreKind) -> Self {
        if !self.also.contains(&other) {
            self.also.push(other);
        }
        self
    }

    /// The same pinned to another store; what the old one holds is of no use
    /// any more.
    pub(crate) fn moved_to(mut self, store: StoreKind) -> Self {
        let old = std::mem::replace(&mut self.store, store);
        let mark = if old == store { self } else { self.beside(old) };
        mark.without(store)
    }

    /// The same without what was noted of a store that holds nothing unused.
    pub(crate) fn without(mut self, store: StoreKind) -> Self {
        self.also.retain(|other| *other != store);
        self
    }

    pub(crate) fn write(&self) -> SecretBytes {
        to_ascii_line(self)
    }

    pub(crate) fn read(bytes: &SecretBytes) -> Result<Self, RecordError> {
        read("folder's own record", bytes.expose())
    }
}

fn secret_text(text: &str) -> SecretText {
    SecretText(SecretString::from(text.to_owned()))
}

/// A key item's fingerprint of a token, which only its holder can make.
pub(crate) fn fingerprint(key: &SealingKey, token: &str) -> Fingerprint {
    Fingerprint(vault_platform::sealed_file::keyed_fingerprint(
        key,
        "token",
        token.as_bytes(),
    ))
}

/// A name for a login's sealed file.
pub(crate) fn sealed_name(login: LoginId) -> String {
    format!("sealed.{}", HEXLOWER.encode(&login.0))
}
