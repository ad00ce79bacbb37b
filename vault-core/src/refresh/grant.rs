//! What a revocation may end besides its own login.
//!
//! Some servers (Keycloak, Auth0, Google) attach all logins of a person with a
//! client to one grant, and end it with the first of them that is revoked. So
//! nothing is revoked for the sake of tidiness where another login could go
//! with it.

use crate::display::{LoginState, ProfileSummary};
use crate::error::Result;
use crate::oauth::Endpoints;
use crate::profile::Profile;
use crate::storage;

/// Whether this is a living login of the client at the server, which may
/// attach it to the same grant as another one of its.
pub(crate) fn may_be_shared_by(
    login: &ProfileSummary,
    endpoints: &Endpoints,
    client_id: &str,
) -> bool {
    let has_ended = matches!(
        login.state,
        LoginState::LoginRequired | LoginState::LoggedOut
    );
    // Of a token that was imported for its endpoint, only that one's origin is
    // known.
    let origin = endpoints.token_endpoint.origin().ascii_serialization();
    !has_ended
        && login.client_id == client_id
        && (login.issuer == endpoints.issuer || login.issuer == origin)
}

/// Whether the revocation of a login that was made just now, and is not to be,
/// could end another one that the application holds. `but_for` names a profile
/// whose login is known not to share its grant. Asks no store.
pub(crate) fn is_shared(
    profile: &Profile,
    endpoints: &Endpoints,
    client_id: &str,
    but_for: Option<&str>,
) -> bool {
    let look = || -> Result<bool> {
        for folder in profile.folders_of_all()? {
            let shares = match ProfileSummary::read(&folder)? {
                Some(login) if but_for == Some(&*login.profile) => false,
                Some(login) => may_be_shared_by(&login, endpoints, client_id),
                // The display copy may be lost, and its login is not.
                None => storage::has_sealed(&folder)?,
            };
            if shares {
                return Ok(true);
            }
        }
        Ok(false)
    };
    look().unwrap_or_else(|error| {
        tracing::debug!(?error, "what other logins there are is not known");
        true
    })
}
