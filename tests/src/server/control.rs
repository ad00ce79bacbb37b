//! What a test asks a running server, and what it changes.

use super::holds::Holds;
use super::state::Granted;
use super::{
    AuthorizationServer, Counts, Decision, Endpoint, Fault, Hold, Inner, RefreshRecord,
    ServerConfig, Stage,
};

/// The tokens of a login that was made without a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedLogin {
    /// The login's first refresh token.
    pub refresh_token: String,
    /// An access token.
    pub access_token: String,
}

impl AuthorizationServer {
    /// Changes the configuration; `port` and `issuer_path` stay as they were.
    pub fn configure(&self, change: impl FnOnce(&mut ServerConfig)) {
        change(&mut self.shared.inner().config);
    }

    /// Makes the next requests to an endpoint meet a fault, after those queued before.
    pub fn fail_next(&self, endpoint: Endpoint, times: usize, fault: Fault) {
        self.shared.inner().faults.push(endpoint, &fault, times);
    }

    /// Makes every request to an endpoint meet a fault, while no other is queued.
    pub fn fail_always(&self, endpoint: Endpoint, fault: Fault) {
        self.shared.inner().faults.set_always(endpoint, fault);
    }

    /// Makes the nonces that proofs have to carry other ones.
    pub fn renew_nonces(&self) {
        self.shared.inner().proofs.renew_nonces();
    }

    /// Takes back every fault of an endpoint.
    pub fn clear_faults(&self, endpoint: Endpoint) {
        self.shared.inner().faults.clear(endpoint);
    }

    /// How many queued faults of an endpoint no request has met yet.
    pub fn pending_faults(&self, endpoint: Endpoint) -> usize {
        self.shared.inner().faults.pending(endpoint)
    }

    /// Stops requests to an endpoint at a stage until the hold is dropped.
    #[must_use = "dropping the hold releases the requests"]
    pub fn hold(&self, endpoint: Endpoint, stage: Stage) -> Hold {
        Holds::open(&self.shared, endpoint, stage)
    }

    /// Everything counted so far.
    pub fn counts(&self) -> Counts {
        let inner = self.shared.inner();
        Counts {
            families_revoked: inner.grants.families_revoked(),
            ..inner.counts
        }
    }

    /// Every refresh request so far, in the order in which they were acted on.
    pub fn refresh_log(&self) -> Vec<RefreshRecord> {
        self.shared.inner().log.clone()
    }

    /// Makes a login of the first configured client without a flow, with every scope.
    ///
    /// # Panics
    ///
    /// If no client is configured.
    pub fn issue_login(&self) -> IssuedLogin {
        let client_id = self
            .shared
            .inner()
            .config
            .clients
            .first()
            .map(|client| client.id.clone());
        self.issue_login_for(&client_id.expect("a client is configured"))
    }

    /// Makes a login of a client without a flow, with every scope.
    pub fn issue_login_for(&self, client_id: &str) -> IssuedLogin {
        let mut inner = self.shared.inner();
        let Inner {
            config,
            grants,
            counts,
            ..
        } = &mut *inner;
        let granted = Granted {
            client_id: client_id.to_owned(),
            subject: config.subject.clone(),
            scopes: config.scopes.clone(),
            resources: Vec::new(),
            jkt: None,
        };
        counts.logins += 1;
        let issued = grants.log_in(granted, config, self.shared.now());
        IssuedLogin {
            refresh_token: issued.refresh_token.unwrap_or_default(),
            access_token: issued.access_token,
        }
    }

    /// Approves a device code, as the person in front of the device page would; whether there
    /// is such a code.
    pub fn approve_device(&self, user_code: &str) -> bool {
        let now = self.shared.now();
        self.shared
            .inner()
            .grants
            .decide_device(user_code, Decision::Approve, now)
    }

    /// Denies a device code; whether there is such a code.
    pub fn deny_device(&self, user_code: &str) -> bool {
        let now = self.shared.now();
        self.shared
            .inner()
            .grants
            .decide_device(user_code, Decision::Deny, now)
    }

    /// Makes every device code expire now.
    pub fn expire_device_codes(&self) {
        let now = self.shared.now();
        self.shared.inner().grants.expire_devices(now);
    }

    /// Makes every access token expire now, without telling anyone.
    pub fn expire_access_tokens(&self) {
        let now = self.shared.now();
        self.shared.inner().grants.expire_access_tokens(now);
    }

    /// Revokes the login that a refresh or access token belongs to, as an administrator would;
    /// whether there was a living one.
    pub fn revoke_family(&self, token: &str) -> bool {
        self.shared.inner().grants.revoke_family_of(token)
    }

    /// Whether the login that a refresh or access token belongs to is alive.
    pub fn family_alive(&self, token: &str) -> bool {
        self.shared.inner().grants.is_family_alive(token)
    }

    /// How many logins are alive.
    pub fn living_logins(&self) -> usize {
        self.shared.inner().grants.living_families()
    }

    /// Whether a refresh token is alive and was not used.
    pub fn is_current_refresh_token(&self, refresh_token: &str) -> bool {
        self.shared.inner().grants.is_current(refresh_token)
    }

    /// The resources (RFC 8707) that an access token is for, told by the
    /// [`fingerprint`](super::fingerprint) of the token; none for an unknown token.
    pub fn resources_of(&self, fingerprint: &str) -> Option<Vec<String>> {
        let inner = self.shared.inner();
        inner.grants.resources_of(fingerprint).map(<[_]>::to_vec)
    }

    /// Whether an access token is good at this moment.
    pub fn is_valid_access_token(&self, access_token: &str) -> bool {
        let now = self.shared.now();
        self.shared
            .inner()
            .grants
            .authenticate(access_token, now)
            .is_some()
    }

    /// How many rotations came before a refresh token in its login; none for an unknown token.
    pub fn generation(&self, refresh_token: &str) -> Option<u64> {
        self.shared.inner().grants.generation(refresh_token)
    }
}
