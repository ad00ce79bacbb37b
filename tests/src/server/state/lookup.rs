//! Tokens that were issued: what one is good for, and how one is revoked.

use std::time::Duration;

use super::mint::digest;
use super::{Granted, Grants, Refusal};

/// What a revocation request killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Revoked {
    /// The whole login.
    Family,
    /// One access token.
    AccessToken,
    /// Nothing: an unknown token, or a dead one.
    Nothing,
}

impl Grants {
    /// Revokes a token for its client (RFC 7009): any refresh token takes its family along.
    pub(in crate::server) fn revoke(
        &mut self,
        token: &str,
        client_id: &str,
    ) -> Result<Revoked, Refusal> {
        let Some(family) = self.family(token) else {
            return Ok(Revoked::Nothing);
        };
        if self.families[&family].granted.client_id != client_id {
            return Err(Refusal::invalid_grant("issued to another client"));
        }
        if let Some(entry) = self.access_tokens.get_mut(&digest(token)) {
            let was_revoked = std::mem::replace(&mut entry.revoked, true);
            return Ok(if was_revoked {
                Revoked::Nothing
            } else {
                Revoked::AccessToken
            });
        }
        Ok(if self.revoke_family(family) {
            Revoked::Family
        } else {
            Revoked::Nothing
        })
    }

    /// Kills the family that a token belongs to; whether there was a living one.
    pub(in crate::server) fn revoke_family_of(&mut self, token: &str) -> bool {
        self.family(token)
            .is_some_and(|family| self.revoke_family(family))
    }

    /// Kills all logins of a token's client and person.
    pub(in crate::server) fn revoke_grant_of(&mut self, token: &str) {
        let Some(granted) = self
            .family(token)
            .map(|family| &self.families[&family].granted)
        else {
            return;
        };
        let families = self.families.iter().filter(|(_, family)| {
            family.granted.client_id == granted.client_id
                && family.granted.subject == granted.subject
        });
        let families: Vec<u64> = families.map(|(family, _)| *family).collect();
        for family in families {
            self.revoke_family(family);
        }
    }

    /// The living login that an access token is good for.
    pub(in crate::server) fn authenticate(
        &self,
        access_token: &str,
        now: Duration,
    ) -> Option<&Granted> {
        let entry = self.access_tokens.get(&digest(access_token))?;
        let good = !entry.revoked && now < entry.expires_at && self.is_alive(entry.family);
        good.then(|| &self.families[&entry.family].granted)
    }

    /// The resources that an access token is for, told by its fingerprint; none for an unknown
    /// token.
    pub(in crate::server) fn resources_of(&self, fingerprint: &str) -> Option<&[String]> {
        let named = |digest: &[u8]| data_encoding::HEXLOWER.encode(&digest[..8]) == fingerprint;
        let mut entries = self.access_tokens.iter();
        let (_, entry) = entries.find(|(digest, _)| named(digest.as_slice()))?;
        Some(&entry.resources)
    }

    /// Makes every access token expire now.
    pub(in crate::server) fn expire_access_tokens(&mut self, now: Duration) {
        for entry in self.access_tokens.values_mut() {
            entry.expires_at = entry.expires_at.min(now);
        }
    }

    /// Whether the family that a token belongs to is alive; `false` for an unknown token.
    pub(in crate::server) fn is_family_alive(&self, token: &str) -> bool {
        self.family(token)
            .is_some_and(|family| self.is_alive(family))
    }

    /// Whether a refresh with this token would succeed without any grace.
    pub(in crate::server) fn is_current(&self, refresh_token: &str) -> bool {
        self.refresh_tokens
            .get(&digest(refresh_token))
            .is_some_and(|entry| entry.consumed_at.is_none() && self.is_alive(entry.family))
    }

    /// How many rotations came before this refresh token in its login.
    pub(in crate::server) fn generation(&self, refresh_token: &str) -> Option<u64> {
        self.refresh_tokens
            .get(&digest(refresh_token))
            .map(|entry| entry.generation)
    }

    /// How many logins are alive.
    pub(in crate::server) fn living_families(&self) -> usize {
        self.families.values().filter(|family| family.alive).count()
    }

    /// The login that a token belongs to.
    pub(in crate::server) fn family(&self, token: &str) -> Option<u64> {
        let key = digest(token);
        let refresh = self.refresh_tokens.get(&key).map(|entry| entry.family);
        refresh.or_else(|| self.access_tokens.get(&key).map(|entry| entry.family))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RefreshRequest, at, granted};
    use super::*;
    use crate::server::config::ServerConfig;

    #[test]
    fn an_access_token_ends_at_its_time_and_by_revocation() {
        let config = ServerConfig::default();
        let mut grants = Grants::default();
        let login = grants.log_in(granted(), &config, at(0));
        assert!(grants.authenticate(&login.access_token, at(299)).is_some());
        assert!(grants.authenticate(&login.access_token, at(300)).is_none());
        assert_eq!(
            grants.revoke(&login.access_token, "app"),
            Ok(Revoked::AccessToken)
        );
        assert!(grants.authenticate(&login.access_token, at(1)).is_none());
        assert!(grants.is_family_alive(&login.access_token));
    }

    #[test]
    fn revoking_a_grant_ends_the_logins_of_its_client_and_person_alone() {
        let (config, mut grants) = (ServerConfig::default(), Grants::default());
        let mut log_in = |client_id: &str, subject: &str| {
            let granted = Granted {
                client_id: client_id.to_owned(),
                subject: subject.to_owned(),
                ..granted()
            };
            grants.log_in(granted, &config, at(0)).access_token
        };
        let first = log_in("app", "alice");
        let second = log_in("app", "alice");
        let others = [log_in("other", "alice"), log_in("app", "bob")];
        grants.revoke_grant_of(&first);
        assert!(!grants.is_family_alive(&first));
        assert!(!grants.is_family_alive(&second));
        assert!(others.iter().all(|token| grants.is_family_alive(token)));
        grants.revoke_grant_of("never issued");
        assert_eq!(grants.living_families(), 2);
    }

    #[test]
    fn revoking_a_refresh_token_ends_the_login_even_if_it_was_consumed() {
        let (config, mut grants) = (ServerConfig::default(), Grants::default());
        let first = grants
            .log_in(granted(), &config, at(0))
            .refresh_token
            .expect("a token");
        let request = RefreshRequest {
            refresh_token: &first,
            client_id: "app",
            scope: None,
            resources: &[],
            jkt: None,
        };
        let refreshed = grants
            .refresh(request, &config, at(1))
            .result
            .expect("granted");
        let second = refreshed.refresh_token.expect("rotated");
        assert_eq!(grants.revoke(&first, "app"), Ok(Revoked::Family));
        assert!(!grants.is_current(&second));
        assert_eq!(grants.revoke(&second, "app"), Ok(Revoked::Nothing));
        assert_eq!(grants.revoke("never issued", "app"), Ok(Revoked::Nothing));
    }
}
