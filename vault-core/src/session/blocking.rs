//! The session for callers without an asynchronous runtime.

use std::sync::Arc;

use vault_platform::secret::wipe_stack;
use vault_platform::store::StoreKind;

use super::{Inspection, Session, Supplied, Token, TokenOptions};
use crate::bound_host::BoundHost;
use crate::enrolment::{Import, LoginReport};
use crate::error::Result;
use crate::login::{LoginInteraction, LoginRequest};
use crate::oauth::challenge::Verdict;
use crate::profile::{Look, Profile, Waiting, is_fresh, serving};
use crate::proof::StoreProof;
use crate::record::{Asked, CachedToken};
use crate::refresh::ending::LogoutReport;
use crate::refresh::migration::MigrationReport;
use crate::refresh::revocations::RevocationsReport;
use crate::token::{AccessToken, RefreshToken};

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
        match self.0.remembered(&Asked::default(), CachedToken::token) {
            Some(token) => Ok(token),
            None => Ok(self.token(&TokenOptions::default())?.access_token),
        }
    }

    /// See [`Session::token`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn token(&self, options: &TokenOptions) -> Result<Token> {
        let asked = options.asked();
        let profile = &self.0.profile;
        if let Some(cached) = self.0.remembered(&asked, CachedToken::clone) {
            return Ok(self.0.present(Supplied::new(cached, false)));
        }
        let look = self.look()?;
        // A person may have been asked: what is left now counts.
        let now = profile.now();
        if let Look::Login(login) = look
            && let Some(cached) = serving(login.record.tokens(), &asked, &now)
            && is_fresh(cached, asked.min_valid, &now)
        {
            profile.has_read(cached);
            return Ok(self.0.present(Supplied::new(cached.clone(), false)));
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

    /// See [`Session::bind`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn bind(&self, host: &BoundHost) -> Result<bool> {
        pollster::block_on(self.0.bind(host))
    }

    /// See [`Session::unbind`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn unbind(&self, host: &BoundHost) -> Result<bool> {
        pollster::block_on(self.0.unbind(host))
    }

    /// See [`Session::token_for_host`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn token_for_host(&self, host: &BoundHost, options: &TokenOptions) -> Result<Token> {
        pollster::block_on(self.0.token_for_host(host, options))
    }

    /// See [`Session::note_refused`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn note_refused(&self, token: &AccessToken) -> Result<bool> {
        pollster::block_on(self.0.note_refused(token))
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

    /// See [`Session::retry_revocations`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn retry_revocations(&self) -> Result<RevocationsReport> {
        pollster::block_on(self.0.retry_revocations())
    }

    pub(crate) fn look(&self) -> Result<Look> {
        #[inline(never)]
        fn look(profile: &Profile) -> Result<Look> {
            pollster::block_on(profile.look(Waiting::Thread))
        }
        let look = look(&self.0.profile);
        wipe_stack();
        look
    }
}
