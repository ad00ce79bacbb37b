//! The errors that a person reads where only the kind of a failure is known:
//! it happened in another process, or a while ago.

use std::time::Duration;

use super::protocol::Failure;
use crate::error::{Error, ErrorKind};
use crate::storage::Names;

/// The error for a failure of which only the kind is known.
pub(crate) fn describe(failure: Failure, names: &Names, after: Option<Duration>) -> Error {
    let name = &names.profile;
    let soon = after
        .map(|pause| format!("; next try in {:.1} s", pause.as_secs_f64()))
        .unwrap_or_default();
    let (kind, message) = match failure {
        Failure::NotLoggedIn => (
            ErrorKind::NotLoggedIn,
            format!("nobody is logged in to the profile `{name}`"),
        ),
        Failure::LoggedOut => (
            ErrorKind::LoggedOut,
            format!("the profile `{name}` is logged out"),
        ),
        Failure::LoginRequired => (
            ErrorKind::LoginRequired,
            "the authorization server has refused the refresh token".to_owned(),
        ),
        Failure::RotationUnconfirmed => (
            ErrorKind::RotationUnconfirmed,
            "the answer to the last refresh was lost, and this server forbids to ask again"
                .to_owned(),
        ),
        Failure::RefusedWithoutReason => (
            ErrorKind::RefusedWithoutReason,
            format!("the authorization server refused the refresh without a reason{soon}"),
        ),
        Failure::RequestRefused => (
            ErrorKind::RequestRefused,
            format!("the authorization server refused the request{soon}"),
        ),
        Failure::NetworkUnavailable => (
            ErrorKind::NetworkUnavailable,
            format!("the authorization server could not be reached{soon}"),
        ),
        Failure::ServerUnavailable => (
            ErrorKind::ServerUnavailable,
            format!("the authorization server is not available{soon}"),
        ),
        Failure::AnswerUnusable => (
            ErrorKind::ServerAnswerInvalid,
            format!("the authorization server's answer holds no usable access token{soon}"),
        ),
        Failure::Corrupted => (
            ErrorKind::Corrupted,
            format!("nothing readable is left of the login in the profile `{name}`"),
        ),
        Failure::NewerVersion => (
            ErrorKind::NewerVersion,
            format!("the profile `{name}` was written by a newer version"),
        ),
        Failure::Local => (
            ErrorKind::StateFolderUnwritable,
            "the store or the state folder failed in the process that refreshed".to_owned(),
        ),
        Failure::ClientRefused => (
            ErrorKind::ClientRefused,
            format!("the authorization server refuses this client{soon}"),
        ),
        Failure::LockTimeout => (
            ErrorKind::LockTimeout,
            format!("another process held the refresh lock of `{name}` for too long"),
        ),
    };
    Error::new(kind, message).after(after)
}
