//! Check 5: the login's server is there, is trusted, and calls itself what the
//! login says.

use std::time::Duration;

use super::login::Found;
use super::{Code, Report};
use crate::error::{Error, ErrorKind};
use crate::http::is_about_tls;
use crate::oauth::discovery::Description;
use crate::profile::Profile;
use crate::refresh::endpoints::ask_again;

/// How long it may take to describe itself.
const PATIENCE: Duration = Duration::from_secs(15);

/// Gives what the server says of itself.
pub(super) async fn examine(
    profile: &Profile,
    found: &Found,
    report: &mut Report,
) -> Option<Description> {
    let settings = &found.record.settings;
    let asked = match profile.http(&settings.ca_certificates) {
        Ok(http) => ask_again(&http, settings, PATIENCE).await,
        Err(error) => Err(error),
    };
    match asked {
        Ok(description) => {
            let message = format!("{} describes itself", settings.issuer);
            report.found(Code::Server, message);
            Some(description)
        }
        // As with a login that was imported with its token endpoint alone.
        Err(error) if error.kind() == ErrorKind::IssuerUnknown => {
            report.found(Code::Server, format!("it answers; {error}"));
            None
        }
        Err(error) => {
            report.failed(code(&error), &error);
            None
        }
    }
}

fn code(error: &Error) -> Code {
    match error.kind() {
        ErrorKind::NetworkUnavailable if is_about_tls(error) => Code::ServerUntrusted,
        ErrorKind::ServerUnavailable => Code::ServerFailing,
        ErrorKind::IssuerMismatch => Code::IssuerMismatch,
        ErrorKind::InsecureUrl => Code::ServerInsecure,
        ErrorKind::ServerAnswerInvalid | ErrorKind::InvalidInput => Code::ServerUnclear,
        _ => Code::ServerAway,
    }
}
