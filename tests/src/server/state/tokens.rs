//! Refresh and access tokens: how they are issued, and how one is spent.

use std::time::Duration;

use super::jwt::jwt_shaped;
use super::mint::{digest, mint};
use super::{Granted, Grants, Refusal, resources_within, scopes_within};
use crate::leaks::kept::{self, Kind};
use crate::server::config::{AccessTokenFormat, Rotation, ServerConfig};
use crate::server::counters::RefreshOutcome;

/// A refresh token that was issued.
#[derive(Debug)]
pub(super) struct RefreshEntry {
    pub(super) family: u64,
    pub(super) generation: u64,
    pub(super) consumed_at: Option<Duration>,
}

/// An access token that was issued.
#[derive(Debug)]
pub(super) struct AccessEntry {
    pub(super) family: u64,
    /// The resources that it is for; none means any.
    pub(super) resources: Vec<String>,
    pub(super) expires_at: Duration,
    pub(super) revoked: bool,
}

/// What a grant hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Issued {
    pub(in crate::server) access_token: String,
    pub(in crate::server) refresh_token: Option<String>,
    pub(in crate::server) scope: String,
    pub(in crate::server) subject: String,
    pub(in crate::server) client_id: String,
    pub(in crate::server) nonce: Option<String>,
    pub(in crate::server) jkt: Option<String>,
}

/// A refresh, as it came in.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct RefreshRequest<'a> {
    pub(in crate::server) refresh_token: &'a str,
    pub(in crate::server) client_id: &'a str,
    pub(in crate::server) scope: Option<&'a str>,
    pub(in crate::server) resources: &'a [String],
    /// The key that the request was proved with.
    pub(in crate::server) jkt: Option<&'a str>,
}

/// What became of a refresh.
#[derive(Debug)]
pub(in crate::server) struct Refreshed {
    pub(in crate::server) family: Option<u64>,
    pub(in crate::server) generation: Option<u64>,
    pub(in crate::server) outcome: RefreshOutcome,
    pub(in crate::server) result: Result<Issued, Refusal>,
}

impl Grants {
    /// Makes a login and its first pair of tokens.
    pub(in crate::server) fn log_in(
        &mut self,
        granted: Granted,
        config: &ServerConfig,
        now: Duration,
    ) -> Issued {
        let scopes = granted.scopes.clone();
        let resources = granted.resources.clone();
        let family = self.found_family(granted);
        let access_token = self.issue_access_token(family, &scopes, &resources, config, now);
        let refresh_token = self.issue_refresh_token(family, 0, config);
        self.issued(family, access_token, Some(refresh_token), &scopes)
    }

    /// Spends a refresh token (RFC 6749 section 6) under the configured rotation.
    ///
    /// A scope or resource that was not granted is refused *before* the token is consumed.
    pub(in crate::server) fn refresh(
        &mut self,
        request: RefreshRequest<'_>,
        config: &ServerConfig,
        now: Duration,
    ) -> Refreshed {
        let key = digest(request.refresh_token);
        let known = self.refresh_tokens.get(&key).filter(|entry| {
            self.families
                .get(&entry.family)
                .is_some_and(|family| family.granted.client_id == request.client_id)
        });
        let Some(&RefreshEntry {
            family,
            generation,
            consumed_at,
        }) = known
        else {
            return Refreshed {
                family: None,
                generation: None,
                outcome: RefreshOutcome::Unknown,
                result: Err(Refusal::invalid_grant("unknown refresh token")),
            };
        };
        let refused = |outcome, refusal| Refreshed {
            family: Some(family),
            generation: Some(generation),
            outcome,
            result: Err(refusal),
        };

        // Before the token is looked at: a thief without the key ends no login.
        let bound_to = self.families[&family].granted.jkt.as_deref();
        if bound_to.is_some_and(|bound_to| Some(bound_to) != request.jkt) {
            let refusal = Refusal::invalid_grant("the token is bound to another key");
            return refused(RefreshOutcome::Refused, refusal);
        }
        let replay = match (consumed_at, config.rotation) {
            (None, _) => false,
            (Some(consumed), Rotation::Grace(window)) if now <= consumed + window => true,
            (Some(_), _) => {
                self.revoke_family(family);
                let refusal = Refusal::invalid_grant("the refresh token was used before");
                return refused(RefreshOutcome::ReuseDetected, refusal);
            }
        };
        if !self.is_alive(family) {
            let refusal = Refusal::invalid_grant("the login was revoked");
            return refused(RefreshOutcome::FamilyRevoked, refusal);
        }
        let granted = &self.families[&family].granted;
        let narrowed = scopes_within(request.scope, &granted.scopes).and_then(|scopes| {
            let allowed = if granted.resources.is_empty() {
                &config.resources
            } else {
                &granted.resources
            };
            Ok((scopes, resources_within(request.resources, allowed)?))
        });
        let (scopes, resources) = match narrowed {
            Ok(narrowed) => narrowed,
            Err(refusal) => return refused(RefreshOutcome::Refused, refusal),
        };

        let access_token = self.issue_access_token(family, &scopes, &resources, config, now);
        let rotates = matches!(config.rotation, Rotation::Strict | Rotation::Grace(_));
        let refresh_token = if rotates {
            if let Some(entry) = self.refresh_tokens.get_mut(&key) {
                entry.consumed_at.get_or_insert(now);
            }
            Some(self.issue_refresh_token(family, generation + 1, config))
        } else {
            (config.rotation == Rotation::Same).then(|| request.refresh_token.to_owned())
        };
        let outcome = match (rotates, replay) {
            (true, true) => RefreshOutcome::Replayed,
            (true, false) => RefreshOutcome::Rotated,
            (false, _) => RefreshOutcome::NotRotated,
        };
        let issued = self.issued(family, access_token, refresh_token, &scopes);
        Refreshed {
            family: Some(family),
            generation: Some(generation),
            outcome,
            result: Ok(issued),
        }
    }

    fn issued(
        &self,
        family: u64,
        access_token: String,
        refresh_token: Option<String>,
        scopes: &[String],
    ) -> Issued {
        let granted = &self.families[&family].granted;
        Issued {
            access_token,
            refresh_token,
            scope: scopes.join(" "),
            subject: granted.subject.clone(),
            client_id: granted.client_id.clone(),
            nonce: None,
            jkt: granted.jkt.clone(),
        }
    }

    fn issue_refresh_token(
        &mut self,
        family: u64,
        generation: u64,
        config: &ServerConfig,
    ) -> String {
        let token = mint(&config.refresh_token_prefix, config.refresh_token_length);
        let entry = RefreshEntry {
            family,
            generation,
            consumed_at: None,
        };
        self.refresh_tokens.insert(digest(&token), entry);
        kept::secret(Kind::RefreshToken, &token);
        token
    }

    fn issue_access_token(
        &mut self,
        family: u64,
        scopes: &[String],
        resources: &[String],
        config: &ServerConfig,
        now: Duration,
    ) -> String {
        let token = match config.access_token_format {
            AccessTokenFormat::Opaque { length } => mint("at-", length),
            AccessTokenFormat::JwtShaped { bytes } => {
                let granted = &self.families[&family].granted;
                jwt_shaped(
                    granted,
                    scopes,
                    resources,
                    config.access_token_lifetime,
                    bytes,
                )
            }
        };
        kept::secret(Kind::AccessToken, &token);
        let expires_at = now + config.access_token_lifetime;
        self.access_tokens.insert(
            digest(&token),
            AccessEntry {
                family,
                resources: resources.to_vec(),
                expires_at,
                revoked: false,
            },
        );
        token
    }
}

#[cfg(test)]
mod tests {
    use super::super::{at, granted};
    use super::*;

    fn with(rotation: Rotation) -> ServerConfig {
        ServerConfig {
            rotation,
            ..ServerConfig::default()
        }
    }

    fn spend(grants: &mut Grants, token: &str, config: &ServerConfig, now: u64) -> Refreshed {
        let request = RefreshRequest {
            refresh_token: token,
            client_id: "app",
            scope: None,
            resources: &[],
            jkt: None,
        };
        grants.refresh(request, config, at(now))
    }

    fn first_token(grants: &mut Grants, config: &ServerConfig) -> String {
        grants
            .log_in(granted(), config, at(0))
            .refresh_token
            .expect("a login has one")
    }

    fn successor(refreshed: Refreshed) -> String {
        refreshed
            .result
            .expect("granted")
            .refresh_token
            .expect("rotated")
    }

    #[test]
    fn a_refresh_consumes_its_token_and_counts_a_generation() {
        let (config, mut grants) = (with(Rotation::Strict), Grants::default());
        let first = first_token(&mut grants, &config);
        let refreshed = spend(&mut grants, &first, &config, 1);
        assert_eq!(refreshed.outcome, RefreshOutcome::Rotated);
        assert_eq!(refreshed.generation, Some(0));
        let second = successor(refreshed);
        assert!(!grants.is_current(&first));
        assert!(grants.is_current(&second));
        assert_eq!(grants.generation(&second), Some(1));
    }

    #[test]
    fn reuse_kills_the_winners_tokens_too() {
        let (config, mut grants) = (with(Rotation::Strict), Grants::default());
        let first = first_token(&mut grants, &config);
        let winner = spend(&mut grants, &first, &config, 1)
            .result
            .expect("granted");
        let loser = spend(&mut grants, &first, &config, 1);
        assert_eq!(loser.outcome, RefreshOutcome::ReuseDetected);
        assert_eq!(loser.result.expect_err("refused").code, "invalid_grant");
        let second = winner.refresh_token.expect("rotated");
        assert!(!grants.is_family_alive(&second));
        assert!(grants.authenticate(&winner.access_token, at(1)).is_none());
        let after = spend(&mut grants, &second, &config, 2);
        assert_eq!(after.outcome, RefreshOutcome::FamilyRevoked);
        assert_eq!(grants.families_revoked(), 1);
    }

    #[test]
    fn another_login_survives_a_reuse() {
        let (config, mut grants) = (with(Rotation::Strict), Grants::default());
        let victim = first_token(&mut grants, &config);
        let other = first_token(&mut grants, &config);
        assert!(spend(&mut grants, &victim, &config, 1).result.is_ok());
        assert!(spend(&mut grants, &victim, &config, 1).result.is_err());
        assert!(grants.is_current(&other));
        assert_eq!(grants.living_families(), 1);
    }

    #[test]
    fn within_the_grace_a_replay_gets_a_fresh_pair_and_after_it_the_family_dies() {
        let (config, mut grants) = (
            with(Rotation::Grace(Duration::from_secs(10))),
            Grants::default(),
        );
        let first = first_token(&mut grants, &config);
        let second = successor(spend(&mut grants, &first, &config, 1));
        let replayed = spend(&mut grants, &first, &config, 11);
        assert_eq!(replayed.outcome, RefreshOutcome::Replayed);
        let other = successor(replayed);
        assert!(grants.is_current(&second) && grants.is_current(&other));
        let late = spend(&mut grants, &first, &config, 12);
        assert_eq!(late.outcome, RefreshOutcome::ReuseDetected);
        assert!(!grants.is_family_alive(&other));
    }

    #[test]
    fn without_rotation_the_token_stays() {
        let mut grants = Grants::default();
        let first = first_token(&mut grants, &with(Rotation::None));
        for _ in 0..2 {
            let refreshed = spend(&mut grants, &first, &with(Rotation::None), 1);
            assert_eq!(refreshed.outcome, RefreshOutcome::NotRotated);
            assert_eq!(refreshed.result.expect("granted").refresh_token, None);
        }
        let same = spend(&mut grants, &first, &with(Rotation::Same), 1);
        assert_eq!(successor(same), first);
        assert!(grants.is_current(&first));
    }

    #[test]
    fn a_refused_scope_or_resource_consumes_nothing() {
        let (config, mut grants) = (with(Rotation::Strict), Grants::default());
        let first = first_token(&mut grants, &config);
        let mut request = RefreshRequest {
            refresh_token: &first,
            client_id: "app",
            scope: Some("admin"),
            resources: &[],
            jkt: None,
        };
        let refused = grants.refresh(request, &config, at(1));
        assert_eq!(refused.result.expect_err("refused").code, "invalid_scope");
        let resources = ["not a uri".to_owned()];
        request = RefreshRequest {
            scope: Some("read"),
            resources: &resources,
            ..request
        };
        let refused = grants.refresh(request, &config, at(1));
        assert_eq!(refused.result.expect_err("refused").code, "invalid_target");
        request.resources = &[];
        let issued = grants
            .refresh(request, &config, at(1))
            .result
            .expect("granted");
        assert_eq!(issued.scope, "read");
        let next = issued.refresh_token.expect("rotated");
        let wide = spend(&mut grants, &next, &config, 2)
            .result
            .expect("granted");
        assert_eq!(
            wide.scope, "read write",
            "narrowing one access token narrows no login"
        );
    }

    #[test]
    fn another_clients_token_is_unknown_and_stays_alive() {
        let (config, mut grants) = (with(Rotation::Strict), Grants::default());
        let first = first_token(&mut grants, &config);
        let request = RefreshRequest {
            refresh_token: &first,
            client_id: "thief",
            scope: None,
            resources: &[],
            jkt: None,
        };
        assert_eq!(
            grants.refresh(request, &config, at(1)).outcome,
            RefreshOutcome::Unknown
        );
        assert!(grants.revoke(&first, "thief").is_err());
        assert!(grants.is_current(&first));
    }
}
