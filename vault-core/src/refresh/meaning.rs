//! What a server's answer without tokens means: for the protocol, and for a
//! person.

use std::time::Duration;

use super::protocol::{Answer, Failure};
use crate::error::{Error, ErrorKind};
use crate::oauth::token_endpoint::Answer as ServerAnswer;

const UNUSABLE: &str = "the authorization server can't be used now";

/// An answer, understood.
#[derive(Debug)]
pub(crate) struct Understood {
    pub(crate) meaning: Answer,
    pub(crate) error: Error,
    /// How long the server asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// The OAuth error code of a refusal.
    pub(crate) refusal: Option<String>,
}

/// Step 10 of the protocol. Only a refusal of the login's own request says
/// something about the login: `invalid_grant` for a narrower one may be about
/// what it asked for. A code that is not known is no word about the login.
pub(crate) fn understand(answer: ServerAnswer, is_the_logins_own: bool) -> Understood {
    let told = |meaning, error| Understood {
        meaning,
        error,
        retry_after: None,
        refusal: None,
    };
    let understood = |meaning, kind, message: String| told(meaning, Error::new(kind, message));
    match answer {
        ServerAnswer::Refused {
            error, description, ..
        } => {
            let more = description
                .map(|text| format!(": {text}"))
                .unwrap_or_default();
            let (kind, meaning) = match error.as_str() {
                // GitHub has names of its own for both.
                "invalid_grant" | "bad_refresh_token" if is_the_logins_own => {
                    (ErrorKind::LoginRequired, Answer::InvalidGrant)
                }
                // The client is looked at before the token: nothing was spent.
                "invalid_client" | "unauthorized_client" | "incorrect_client_credentials" => (
                    ErrorKind::ClientRefused,
                    Answer::NotActed(Failure::ClientRefused),
                ),
                code => (kind_of_refusal(code), Answer::RequestRefused),
            };
            let message = format!("the authorization server refused the refresh ({error}{more})");
            Understood {
                refusal: Some(error),
                ..understood(meaning, kind, message)
            }
        }
        // Something in front of the server, most likely: no server says so of a
        // token.
        ServerAnswer::RefusedWithoutReason {
            status: status @ (300..400 | 404 | 405 | 410),
        } => understood(
            Answer::NotActed(Failure::ServerUnavailable),
            ErrorKind::ServerUnavailable,
            format!("{UNUSABLE}: there is no token endpoint at its address (status {status})"),
        ),
        ServerAnswer::RefusedWithoutReason { status } => understood(
            Answer::RefusedWithoutReason,
            ErrorKind::RefusedWithoutReason,
            format!(
                "the authorization server refused the refresh without a reason (status {status})"
            ),
        ),
        ServerAnswer::Unavailable {
            status,
            retry_after,
            reason,
        } => {
            let (kind, failure) = match status {
                Some(_) => (ErrorKind::ServerUnavailable, Failure::ServerUnavailable),
                None => (ErrorKind::NetworkUnavailable, Failure::NetworkUnavailable),
            };
            Understood {
                retry_after,
                ..told(Answer::NotActed(failure), reason.into_error(kind, UNUSABLE))
            }
        }
        ServerAnswer::Unreached { reason } => told(
            Answer::NotActed(Failure::NetworkUnavailable),
            reason.into_error(ErrorKind::NetworkUnavailable, UNUSABLE),
        ),
        ServerAnswer::Unknown { reason, .. } => {
            let lost = "the authorization server's answer was lost";
            let error = reason.into_error(ErrorKind::ServerUnavailable, lost);
            told(Answer::Unknown, error)
        }
        // Both carry a token, which the claim has taken out before.
        ServerAnswer::Granted(_) | ServerAnswer::Unusable { .. } => understood(
            Answer::Unknown,
            ErrorKind::Internal,
            "an answer with tokens was taken for one without".to_owned(),
        ),
    }
}

/// What is to be done about a refusal that is no word about the login. The
/// codes of OpenID Connect Core, section 3.1.2.6, are Entra ID's for *a person
/// has to come*, with a second factor or a consent.
pub(crate) fn kind_of_refusal(code: &str) -> ErrorKind {
    match code {
        "interaction_required" | "login_required" | "consent_required" => ErrorKind::StepUpRequired,
        _ => ErrorKind::RequestRefused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::trouble::Trouble;

    fn refusal(code: &str, is_the_logins_own: bool) -> (Answer, ErrorKind) {
        let answer = ServerAnswer::Refused {
            error: code.to_owned(),
            description: None,
        };
        let understood = understand(answer, is_the_logins_own);
        (understood.meaning, understood.error.kind())
    }

    #[test]
    fn only_the_logins_own_request_can_end_the_login() {
        let ended = (Answer::InvalidGrant, ErrorKind::LoginRequired);
        let narrow = (Answer::RequestRefused, ErrorKind::RequestRefused);
        for code in ["invalid_grant", "bad_refresh_token"] {
            assert_eq!(refusal(code, true), ended, "{code}");
            assert_eq!(refusal(code, false), narrow, "{code}");
        }
        for code in ["invalid_target", "invalid_scope", "invalid_request", "new"] {
            assert_eq!(refusal(code, true), narrow, "{code}");
            assert_eq!(refusal(code, false), narrow, "{code}");
        }
    }

    #[test]
    fn a_person_is_asked_for_and_the_login_stays() {
        for code in ["interaction_required", "login_required", "consent_required"] {
            let person = (Answer::RequestRefused, ErrorKind::StepUpRequired);
            assert_eq!(refusal(code, true), person, "{code}");
            assert_eq!(refusal(code, false), person, "{code}");
        }
    }

    #[test]
    fn where_no_token_endpoint_answers_the_server_is_away() {
        for (status, meaning) in [
            (302, Answer::NotActed(Failure::ServerUnavailable)),
            (404, Answer::NotActed(Failure::ServerUnavailable)),
            (405, Answer::NotActed(Failure::ServerUnavailable)),
            (410, Answer::NotActed(Failure::ServerUnavailable)),
            (400, Answer::RefusedWithoutReason),
            (401, Answer::RefusedWithoutReason),
            (403, Answer::RefusedWithoutReason),
        ] {
            let answer = ServerAnswer::RefusedWithoutReason { status };
            assert_eq!(understand(answer, true).meaning, meaning, "{status}");
        }
    }

    #[test]
    fn what_lies_under_a_lost_request_stays_in_the_chain() {
        let trouble = || {
            let cause = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
            let error = Error::new(ErrorKind::Internal, "no connection").because(cause);
            Trouble::from(error)
        };
        for (answer, kind) in [
            (
                ServerAnswer::Unreached { reason: trouble() },
                ErrorKind::NetworkUnavailable,
            ),
            (
                ServerAnswer::Unavailable {
                    status: None,
                    retry_after: None,
                    reason: trouble(),
                },
                ErrorKind::NetworkUnavailable,
            ),
            (
                ServerAnswer::Unknown {
                    reason: trouble(),
                    status: None,
                },
                ErrorKind::ServerUnavailable,
            ),
        ] {
            let error = understand(answer, true).error;
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().ends_with(": no connection"), "{error}");
            let cause = std::error::Error::source(&error).unwrap();
            assert!(cause.is::<std::io::Error>(), "{error:?}");
        }
    }

    #[test]
    fn a_refused_client_says_nothing_about_the_login() {
        let refused = (
            Answer::NotActed(Failure::ClientRefused),
            ErrorKind::ClientRefused,
        );
        for code in [
            "invalid_client",
            "unauthorized_client",
            "incorrect_client_credentials",
        ] {
            assert_eq!(refusal(code, true), refused, "{code}");
            assert_eq!(refusal(code, false), refused, "{code}");
        }
    }
}
