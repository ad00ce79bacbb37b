//! How a request to an API shows its token: `Authorization: Bearer` for a
//! bearer token (RFC 6750, section 2.1), `Authorization: DPoP` and a proof for
//! one that is bound to the login's key (RFC 9449, section 7.1).
//!
//! A proof is for one request and for its moment: make it just before, and
//! another one for each further try. An API that answers 401 with the error
//! `use_dpop_nonce` gives a nonce in its header `DPoP-Nonce`: hand that to
//! [`Session::learn_nonce`], then ask for the headers again.

use std::fmt;

use url::Url;
use vault_platform::secret::SecretString;

use crate::error::{Error, ErrorKind, Result};
use crate::http::is_secure;
use crate::oauth::dpop::Prover;
use crate::oauth::text::without_query;
use crate::profile::{Look, Profile, Waiting};
use crate::record::KeyItem;
use crate::refresh::description::describe;
use crate::refresh::protocol::Failure;
use crate::session::{Blocking, Session, Token};

/// The headers that show a token to an API.
pub struct Authorization {
    authorization: SecretString,
    dpop: Option<SecretString>,
}

impl Authorization {
    /// The value of the header `Authorization`.
    ///
    /// # Security
    ///
    /// It holds the token. What is copied out of the loan is not wiped.
    #[must_use]
    pub fn authorization(&self) -> &str {
        self.authorization.expose()
    }

    /// The value of the header `DPoP`; `None` for a bearer token, which has no
    /// such header.
    #[must_use]
    pub fn dpop(&self) -> Option<&str> {
        self.dpop.as_ref().map(SecretString::expose)
    }

    fn bearer(token: &Token) -> Self {
        Self {
            authorization: header("Bearer ", token),
            dpop: None,
        }
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.dpop.is_some() {
            "DPoP"
        } else {
            "Bearer"
        };
        write!(formatter, "Authorization({scheme})")
    }
}

impl Session {
    /// The headers for one request with this token: to this address, by this
    /// method (`GET`, in capitals as it is sent).
    ///
    /// # Errors
    ///
    /// For a bound token only: [`ErrorKind::DpopKeyLost`] if the store no
    /// longer holds its key, [`ErrorKind::InvalidInput`] for a token of another
    /// login or a method that is none, [`ErrorKind::InsecureUrl`] for an
    /// address that it must not travel to, and the failures of the store.
    pub async fn authorization(
        &self,
        token: &Token,
        method: &str,
        url: &Url,
    ) -> Result<Authorization> {
        let Some(jkt) = &token.jkt else {
            return Ok(Authorization::bearer(token));
        };
        let profile = &self.profile;
        if let Some(key) = profile.known_key()
            && let Some(proved) = prove(profile, &key, token, jkt, method, url)?
        {
            return Ok(proved);
        }
        let looking = profile.clone();
        let look = self
            .run(async move { looking.look(Waiting::Task).await })
            .await?;
        prove_after_look(profile, look, token, jkt, method, url)
    }

    /// Takes the nonce that an API gave in its header `DPoP-Nonce`, for the
    /// next proof to any address of that origin. What can't be a nonce is left
    /// out. It is kept in this process.
    pub fn learn_nonce(&self, url: &Url, nonce: &str) {
        self.profile.learnt.learn_nonce(url, nonce);
    }
}

impl Blocking<'_> {
    /// See [`Session::authorization`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn authorization(&self, token: &Token, method: &str, url: &Url) -> Result<Authorization> {
        let Some(jkt) = &token.jkt else {
            return Ok(Authorization::bearer(token));
        };
        let profile = &self.0.profile;
        if let Some(key) = profile.known_key()
            && let Some(proved) = prove(profile, &key, token, jkt, method, url)?
        {
            return Ok(proved);
        }
        prove_after_look(profile, self.look()?, token, jkt, method, url)
    }
}

fn prove_after_look(
    profile: &Profile,
    look: Look,
    token: &Token,
    jkt: &str,
    method: &str,
    url: &Url,
) -> Result<Authorization> {
    let failure = match look {
        Look::Login(login) => {
            return prove(profile, &login.key, token, jkt, method, url)?.ok_or_else(|| {
                let message = "the token is bound to the key of an earlier login";
                Error::new(ErrorKind::InvalidInput, message)
            });
        }
        Look::NotLoggedIn => Failure::NotLoggedIn,
        Look::LoggedOut | Look::Ended(_) => Failure::LoggedOut,
        Look::Damaged => Failure::Corrupted,
    };
    Err(describe(failure, &profile.names, None))
}

/// RFC 6750, section 5.3.
pub(crate) fn check_secure(url: &Url) -> Result<()> {
    if is_secure(url) {
        return Ok(());
    }
    let url = without_query(url);
    let message = format!("{url} is not https: a token does not travel there");
    Err(Error::new(ErrorKind::InsecureUrl, message))
}

/// `None` if the key is not the one that the token is bound to.
fn prove(
    profile: &Profile,
    key: &KeyItem,
    token: &Token,
    jkt: &str,
    method: &str,
    url: &Url,
) -> Result<Option<Authorization>> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if method.is_empty() || !method.bytes().all(is_token) {
        let message = "this can't be the method of a request";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    check_secure(url)?;
    let Some(key) = key.dpop_key(None)?.filter(|key| key.thumbprint() == jkt) else {
        return Ok(None);
    };
    let prover = Prover {
        key,
        learnt: &profile.learnt,
        clock: profile.settings.clock.as_ref(),
    };
    let proof = prover.prove(method, url, Some(&token.access_token));
    Ok(Some(Authorization {
        authorization: header("DPoP ", token),
        dpop: Some(SecretString::from(proof)),
    }))
}

fn header(scheme: &str, token: &Token) -> SecretString {
    let token = token.access_token.expose();
    // Room from the start: growing would leave a copy behind.
    let mut text = String::with_capacity(scheme.len() + token.len());
    text.push_str(scheme);
    text.push_str(token);
    SecretString::from(text)
}
