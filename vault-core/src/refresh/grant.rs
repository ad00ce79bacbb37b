//! What a revocation may end besides its own login.
//!
//! Some servers (Keycloak, Auth0, Google) attach all logins of a person with a
//! client to one grant, and end it with the first of them that is revoked. So
//! nothing is revoked for the sake of tidiness where another login could go
//! with it.

use vault_platform::folder::StateFolder;

use crate::display::{LoginState, ProfileSummary};
use crate::error::Result;
use crate::oauth::Endpoints;
use crate::profile::Profile;

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

/// The logins of an application, of all its profiles.
///
/// Read from the display copies, which asks no store. One that can't be read
/// tells of no login.
pub(crate) fn logins_of(application: &StateFolder) -> impl Iterator<Item = ProfileSummary> {
    let names = application.children().unwrap_or_default();
    names.into_iter().filter_map(|name| {
        let profile = application.open_child(&name).ok().flatten()?;
        ProfileSummary::read(&profile).ok().flatten()
    })
}

/// Whether the revocation of a login that was made just now, and is not to be,
/// could end another one that the application holds. `but_for` names a profile
/// whose login is known not to share its grant.
pub(crate) fn is_shared(
    profile: &Profile,
    endpoints: &Endpoints,
    client_id: &str,
    but_for: Option<&str>,
) -> bool {
    let is_another = |login: &ProfileSummary| {
        may_be_shared_by(login, endpoints, client_id) && but_for != Some(&*login.profile)
    };
    let look = || -> Result<bool> {
        Ok(match profile.application_folder()? {
            Some(application) => logins_of(&application).any(|login| is_another(&login)),
            // A vault in memory has folders that stand alone.
            None => profile
                .existing_folder()?
                .and_then(|own| ProfileSummary::read(&own).ok().flatten())
                .is_some_and(|login| is_another(&login)),
        })
    };
    look().unwrap_or_else(|error| {
        tracing::debug!(?error, "what other logins there are is not known");
        true
    })
}
