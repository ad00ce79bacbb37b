//! The right to spend one refresh token.
//!
//! A [`Claim`] comes only from [`Claim::take`], which wants the held lock and
//! *then* reads: a token that was read before the lock can't be sent, because
//! there is no way to write that down. [`Claim::exchange`] consumes it, and
//! gives it back only where the token is still the newest that is known.

use std::sync::Arc;

use vault_platform::clock::{Clock, Now};
use vault_platform::lock::LockGuard;
use vault_platform::secret::SecretBytes;

use crate::error::{Error, ErrorKind, Result};
use crate::http::Http;
use crate::life::Stamp;
use crate::oauth::discovery::Description;
use crate::oauth::dpop::{Learnt, Prover};
use crate::oauth::token_endpoint::{Answer, Grant, TokenResponse, request_tokens};
use crate::oauth::trouble::Trouble;
use crate::profile::{Profile, access_facts};
use crate::record::{
    Asked, CacheKey, KeyItem, LoginRecord, LoginSettings, Mark, TokenItem, fingerprint,
};
use crate::refresh::endpoints::{UNDER_THE_LOCK, ask_again};
use crate::refresh::policy::RotationPolicy;
use crate::refresh::protocol::{Claimed, MarkFacts, SealedCopy, StoredCopy};
use crate::storage::{SealedReading, Storage};
use crate::token::RefreshToken;

/// The lock, and what is stored, read under it.
#[derive(Debug)]
pub(crate) struct Claim {
    lock: LockGuard,
    pub(crate) key: Arc<KeyItem>,
    record: Option<LoginRecord>,
    item: Option<TokenItem>,
    /// The mark as it was found, to be put back if nothing was sent.
    found_mark: Option<Mark>,
}

/// What came of an exchange.
#[derive(Debug)]
pub(crate) enum Exchanged {
    /// The server gave new tokens, so the old one is gone.
    Granted(Held, TokenResponse),
    /// The server gave a new refresh token in an answer that is of no use
    /// otherwise.
    RefreshTokenOnly(Held, RefreshToken, String),
    /// Anything else; the token is still the newest that is known.
    Unspent(Claim, Answer),
}

/// The lock and the key, after the token was spent.
#[derive(Debug)]
pub(crate) struct Held {
    /// Held for its end: dropping it lets the next process in.
    _lock: LockGuard,
    pub(crate) key: Arc<KeyItem>,
    /// What was stored before; its refresh token is dead.
    pub(crate) before: LoginRecord,
}

impl Claim {
    /// Reads everything again, under the lock, and derives the facts that the
    /// protocol decides by. On an error the lock is released.
    ///
    /// # Errors
    ///
    /// If store or folder can't be read, or hold what is not ours to touch.
    /// Then nothing may be sent.
    pub(crate) async fn take(
        lock: LockGuard,
        profile: &Profile,
        storage: &Storage,
        asked: &Asked,
    ) -> Result<(Self, Claimed)> {
        let key = storage.key_item().await?.ok_or_else(|| {
            Error::new(
                ErrorKind::ItemMissing,
                "the login's key is gone from the store",
            )
        })?;
        let key = profile.know_key(key);
        storage.take_folder_over(&key)?;
        key.dpop_key(None)?;
        let now = profile.now();
        let tombstoned = storage.is_buried(key.login)?;
        let (sealed, record) = match storage.sealed(&key)? {
            SealedReading::Absent => (SealedCopy::Absent, None),
            SealedReading::Unreadable => (SealedCopy::Unreadable, None),
            SealedReading::Foreign(error) => return Err(error),
            SealedReading::Present(record) => {
                key.dpop_key(record.settings.jkt.as_deref())?;
                let copy = stored_copy(&key, record.generation, &record.refresh_token);
                (SealedCopy::Present(copy), Some(*record))
            }
        };
        let item = storage.token_item(key.login).await?;
        let found_mark = storage.mark()?.filter(|mark| mark.login == key.login);
        let newest_value = record
            .as_ref()
            .map(|record| token_item(&key, record).write());
        let fits = |value: &SecretBytes| storage.store_can_hold(value);
        let policy_without_record = profile.settings.policy.unwrap_or_default();
        let claimed = Claimed {
            login: key.login,
            tombstoned,
            sealed,
            item: item
                .as_ref()
                .map(|item| stored_copy(&key, item.generation, &item.refresh_token)),
            item_impossible: newest_value.as_ref().is_some_and(|value| !fits(value)),
            mark: found_mark.as_ref().map(|mark| MarkFacts {
                generation: mark.generation,
                refresh: mark.refresh,
                attempts: mark.attempts,
                age: mark.first_sent.elapsed(&now),
                refused: mark.refused.is_some(),
            }),
            access: record
                .as_ref()
                .and_then(|record| access_facts(record, asked, &now)),
            settled: storage.shared.version().is_some(),
            backing_off: storage
                .left_alone(&key, &asked.key, &now)
                .map(|left| left.0),
            policy: record
                .as_ref()
                .map_or(policy_without_record, |record| record.settings.policy),
        };
        Ok((
            Self {
                lock,
                key,
                record,
                item,
                found_mark,
            },
            claimed,
        ))
    }

    /// The login as the sealed file holds it, where it does.
    pub(crate) fn record(&self) -> Option<&LoginRecord> {
        self.record.as_ref()
    }

    /// The same, to be altered; [`Claim::write_sealed`] commits that.
    pub(crate) fn record_mut(&mut self) -> Option<&mut LoginRecord> {
        self.record.as_mut()
    }

    /// Writes the sealed file as the record is by now. Its refresh token and
    /// generation are those that were read.
    pub(crate) fn write_sealed(&self, storage: &Storage) -> Result<()> {
        storage.write_sealed(&self.key, self.newest()?)
    }

    /// Takes over what the login's server has said of itself meanwhile.
    pub(crate) fn describe(&mut self, found: Description, now: &Now) {
        if let Some(record) = &mut self.record
            && record.settings.issuer == found.endpoints.issuer
        {
            record.settings.describe(found, now);
        }
    }

    /// Breaks the rule that this module is about, for [`crate::fault`].
    pub(crate) fn forget_what_was_read(&mut self, read_before: LoginRecord) {
        self.record = Some(read_before);
    }

    /// Sets the damaged sealed file aside.
    pub(crate) fn set_aside(&self, storage: &Storage) -> Result<String> {
        storage.set_sealed_aside(self.key.login)
    }

    /// Writes the sealed file anew from the token item. What only the sealed
    /// file knew is discovered again; its rotation policy is what the vault was
    /// opened with.
    pub(crate) fn repair_sealed(
        &mut self,
        storage: &Storage,
        now: Stamp,
        policy: RotationPolicy,
    ) -> Result<()> {
        let Some(item) = &self.item else {
            return Err(Error::new(
                ErrorKind::Internal,
                "there is no token item to repair from",
            ));
        };
        let refresh_token = item.refresh_token.duplicate();
        let repaired = match self.record.take() {
            Some(record) => LoginRecord {
                generation: item.generation,
                refresh_token,
                ..record
            },
            None => LoginRecord {
                generation: item.generation,
                refresh_token,
                access_tokens: Vec::new(),
                settings: LoginSettings {
                    issuer: self.key.issuer.clone(),
                    client_id: self.key.client_id.clone(),
                    endpoints: None,
                    scope: Vec::new(),
                    resource: Vec::new(),
                    policy,
                    account: None,
                    subject: None,
                    logged_in: now.clone(),
                    audience_parameter: false,
                    ca_certificates: Vec::new(),
                    jkt: self
                        .key
                        .dpop_key(None)?
                        .map(|key| key.thumbprint().to_owned()),
                    described: None,
                    bound_hosts: Vec::new(),
                },
                refreshed: now,
                credential: None,
                dpop_nonce: None,
                id_token: None,
            },
        };
        storage.write_sealed(&self.key, &repaired)?;
        self.record = Some(repaired);
        Ok(())
    }

    /// Writes the token item anew from the sealed file.
    pub(crate) async fn repair_item(&self, storage: &Storage) -> Result<()> {
        match &self.record {
            Some(record) => {
                storage
                    .write_token_item(&token_item(&self.key, record))
                    .await
            }
            None => Ok(()),
        }
    }

    /// Writes the mark durably, before a send.
    pub(crate) fn mark(&self, storage: &Storage, attempts: u32, now: Stamp) -> Result<Stamp> {
        let record = self.newest()?;
        let refresh = fingerprint(&self.key.key, record.refresh_token.expose());
        let first_sent = self
            .found_mark
            .as_ref()
            .filter(|mark| mark.refresh == refresh && mark.refused.is_none() && attempts > 1)
            .map_or(now, |mark| mark.first_sent.clone());
        let mark = Mark::new(
            self.key.login,
            record.generation,
            refresh,
            attempts,
            first_sent.clone(),
        );
        storage.write_mark(&mark)?;
        Ok(first_sent)
    }

    /// Remembers that the mark now counts a send of which nothing is known, so
    /// that a further attempt which is not sent puts back this one.
    pub(crate) fn keep_mark(&mut self, storage: &Storage) {
        if let Ok(Some(mark)) = storage.mark() {
            self.found_mark = Some(mark);
        }
    }

    /// Puts the mark back as it was found.
    pub(crate) fn unmark(&self, storage: &Storage) -> Result<()> {
        match &self.found_mark {
            Some(mark) => storage.write_mark(mark),
            None => storage.remove_mark(),
        }
    }

    /// Writes into the mark that the server refused this very token.
    pub(crate) fn mark_refused(&self, storage: &Storage, reason: &str) -> Result<()> {
        if let Some(mut mark) = storage.mark()? {
            mark.refused = Some(reason.to_owned());
            storage.write_mark(&mark)?;
        }
        Ok(())
    }

    fn newest(&self) -> Result<&LoginRecord> {
        self.record
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "nothing was claimed to be sent"))
    }

    /// Sends the claimed refresh token. Consumes the claim.
    pub(crate) async fn exchange(
        mut self,
        http: &Http,
        cache_key: &CacheKey,
        learnt: &Learnt,
        clock: &dyn Clock,
    ) -> Exchanged {
        let Some(mut record) = self.record.take() else {
            let reason = "nothing was claimed to be sent";
            return Exchanged::Unspent(self, not_sent(reason));
        };
        let key = self.key.clone();
        let prover = match key.dpop_key(record.settings.jkt.as_deref()) {
            Ok(key) => key.map(|key| Prover { key, learnt, clock }),
            Err(error) => {
                self.record = Some(record);
                return Exchanged::Unspent(self, not_sent(error));
            }
        };
        let endpoints = match &record.settings.endpoints {
            Some(endpoints) => endpoints.clone(),
            None => match ask_again(http, &record.settings, UNDER_THE_LOCK).await {
                Ok(found) => {
                    let endpoints = found.endpoints.clone();
                    record.settings.describe(found, &clock.now());
                    endpoints
                }
                Err(error) => {
                    self.record = Some(record);
                    return Exchanged::Unspent(self, not_sent(error));
                }
            },
        };
        if prover.is_some() {
            learnt.recall(&endpoints.token_endpoint, &record);
        }
        let named = match record.settings.resource.as_slice() {
            // What names no API is for the one that the login was made for, as
            // its first token was: some servers make one for themselves of it.
            [only]
                if cache_key.resource.is_empty()
                    && cache_key.audience.is_none()
                    && !record.settings.audience_parameter =>
            {
                std::slice::from_ref(only)
            }
            _ => &cache_key.resource,
        };
        let resource: Vec<_> = named
            .iter()
            .filter_map(|text| url::Url::parse(text).ok())
            .collect();
        // One API can be named as the server wants it; of several, each by its
        // own name.
        let (resource, audience) = match resource.as_slice() {
            [api] if record.settings.audience_parameter && cache_key.audience.is_none() => {
                (&[][..], Some(api.as_str()))
            }
            all => (all, cache_key.audience.as_deref()),
        };
        let grant = Grant::RefreshToken {
            refresh_token: &record.refresh_token,
            scope: &cache_key.scope,
            resource,
            audience,
        };
        let client = record.client(Some(&key), clock);
        let mut answer = request_tokens(http, &endpoints, &client, grant, prover.as_ref()).await;
        let mut moved = None;
        if is_gone(&answer)
            && let Ok(found) = ask_again(http, &record.settings, UNDER_THE_LOCK).await
            && found.endpoints.token_endpoint != endpoints.token_endpoint
        {
            // No token endpoint has seen the token yet.
            answer = request_tokens(http, &found.endpoints, &client, grant, prover.as_ref()).await;
            moved = Some(found);
        }
        if let Some(found) = moved
            && !is_gone(&answer)
        {
            record.settings.describe(found, &clock.now());
        }
        match answer {
            Answer::Granted(response) => {
                let held = Held {
                    _lock: self.lock,
                    key: self.key,
                    before: record,
                };
                Exchanged::Granted(held, response)
            }
            Answer::Unusable {
                refresh_token,
                reason,
            } => {
                let held = Held {
                    _lock: self.lock,
                    key: self.key,
                    before: record,
                };
                Exchanged::RefreshTokenOnly(held, refresh_token, reason)
            }
            answer => {
                self.record = Some(record);
                Exchanged::Unspent(self, answer)
            }
        }
    }
}

/// There is no token endpoint at this address, or not any more.
fn is_gone(answer: &Answer) -> bool {
    matches!(
        answer,
        Answer::RefusedWithoutReason { status: 404 | 410 } | Answer::Unreached { .. }
    )
}

fn not_sent(reason: impl Into<Trouble>) -> Answer {
    Answer::Unavailable {
        status: None,
        retry_after: None,
        reason: reason.into(),
    }
}

/// The copy of a login's newest token for the store.
pub(crate) fn token_item(key: &KeyItem, record: &LoginRecord) -> TokenItem {
    TokenItem {
        login: key.login,
        generation: record.generation,
        refresh_token: record.refresh_token.duplicate(),
    }
}

fn stored_copy(
    key: &KeyItem,
    generation: crate::identity::Generation,
    token: &RefreshToken,
) -> StoredCopy {
    StoredCopy {
        generation,
        refresh: fingerprint(&key.key, token.expose()),
    }
}
