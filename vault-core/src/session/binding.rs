//! What a login's token may be given to tools for: the hosts that it is bound
//! to, and no others.

use super::{Session, Token, TokenOptions};
use crate::bound_host::{BoundHost, MOST_HOSTS};
use crate::error::{Error, ErrorKind, Result};
use crate::profile::{Look, Waiting};
use crate::record::{CachedToken, LoginRecord};
use crate::refresh::alteration::alter;
use crate::refresh::refresher::panicked;
use crate::token::AccessToken;

impl Session {
    /// Binds the login to a host: its tools may then be given an access token
    /// by [`Session::token_for_host`]. Returns whether it was not bound to it
    /// before. The login of another account is bound to nothing; the next one
    /// of the same account is bound as this one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`] or [`ErrorKind::LoggedOut`] without a login,
    /// [`ErrorKind::InvalidInput`] for more than 100 hosts,
    /// [`ErrorKind::LockTimeout`], and the failures of store and folder.
    pub async fn bind(&self, host: &BoundHost) -> Result<bool> {
        let (profile, host) = (self.profile.clone(), host.to_string());
        self.run(async move {
            let bind = |record: &mut LoginRecord| {
                let hosts = &mut record.settings.bound_hosts;
                if hosts.contains(&host) {
                    return Ok(false);
                }
                if hosts.len() >= MOST_HOSTS {
                    let message = format!("a login can be bound to {MOST_HOSTS} hosts at most");
                    return Err(Error::new(ErrorKind::InvalidInput, message));
                }
                hosts.push(host);
                hosts.sort();
                Ok(true)
            };
            alter(&profile, bind).await
        })
        .await
    }

    /// Takes a binding back. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// As [`Session::bind`].
    pub async fn unbind(&self, host: &BoundHost) -> Result<bool> {
        let (profile, host) = (self.profile.clone(), host.to_string());
        self.run(async move {
            let unbind = |record: &mut LoginRecord| {
                let hosts = &mut record.settings.bound_hosts;
                let before = hosts.len();
                hosts.retain(|bound| *bound != host);
                Ok(hosts.len() < before)
            };
            alter(&profile, unbind).await
        })
        .await
    }

    /// A valid access token for the tools of a host that the login is bound
    /// to, and for no other.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::HostNotBound`] for another host, else as
    /// [`Session::access_token`].
    pub async fn token_for_host(&self, host: &BoundHost, options: &TokenOptions) -> Result<Token> {
        let profile = self.profile.clone();
        let look = self
            .run(async move { profile.look(Waiting::Task).await })
            .await?;
        let login = match look {
            Look::Login(login) => login,
            // It is not known what it is bound to.
            other => return Err(self.inspection(other).err().unwrap_or_else(panicked)),
        };
        let record = login.record;
        if !record.settings.bound_hosts.contains(&host.to_string()) {
            return Err(Error::new(
                ErrorKind::HostNotBound,
                format!("the profile `{}` is not bound to {host}", self.name()),
            ));
        }
        match record.access(&options.cache_key()) {
            Some(cached) if cached.refused => {
                let refused = cached.token.clone();
                self.replace(&refused, options).await
            }
            _ => self.token(options).await,
        }
    }

    /// Notes that a host's server refused this access token, so that the next
    /// [`Session::token_for_host`] gives another one, by one refresh whoever
    /// asks. Returns whether the token is one that is stored, and was not
    /// noted before. Asks no server.
    ///
    /// # Errors
    ///
    /// As [`Session::bind`].
    pub async fn note_refused(&self, token: &AccessToken) -> Result<bool> {
        let (profile, token) = (self.profile.clone(), token.clone());
        self.run(async move {
            let is_it =
                |cached: &CachedToken| !cached.refused && cached.token.expose() == token.expose();
            // Whoever names another token must not keep others from the lock.
            match profile.look(Waiting::Task).await? {
                Look::Login(login) if login.record.access_tokens.iter().any(is_it) => {}
                _ => return Ok(false),
            }
            let note = |record: &mut LoginRecord| {
                let found = record.access_tokens.iter_mut().find(|cached| is_it(cached));
                Ok(found.map(|cached| cached.refused = true).is_some())
            };
            alter(&profile, note).await
        })
        .await
    }
}
