//! What the program says when something fails: the one file that turns an
//! error of the library into a message, a hint, a code for scripts and an exit
//! code.
//!
//! At most three lines: what failed and why, then what to do. The chain of
//! causes is told with `-v`. Codes and exit codes are fixed, scripts depend on
//! them.

use std::error::Error as _;

use serde::Serialize;
use vault_core::platform::store::{StoreError, StoreErrorKind, StoreKind};
use vault_core::{Error, ErrorKind};

use crate::args::Options;
pub(crate) use crate::exit::Exit;

/// A failure, ready to be told.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    /// For scripts.
    pub(crate) code: &'static str,
    /// What failed, and why.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: String,
    /// The causes that the message does not tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) causes: Vec<String>,
    #[serde(skip)]
    pub(crate) exit: Exit,
}

impl Failure {
    /// The command line, or what it names, can't be used.
    pub(crate) fn usage(
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::new(code, Exit::Usage, message, hint)
    }

    pub(crate) fn new(
        code: &'static str,
        exit: Exit,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            hint: hint.into(),
            causes: Vec::new(),
            exit,
        }
    }

    /// Explains an error of the library.
    pub(crate) fn explain(error: &Error, options: &Options) -> Self {
        let (code, exit) = classify(error.kind());
        let mut chain = Vec::new();
        let mut cause = error.source();
        while let Some(error) = cause {
            chain.push(error.to_string());
            cause = error.source();
        }
        // A store's own words say which and what; the library's only wrap them.
        let wraps = error
            .source()
            .is_some_and(|source| source.is::<StoreError>());
        let mut message = if wraps {
            chain.remove(0)
        } else {
            error.to_string()
        };
        if !chain.is_empty() {
            // Of a failing network the last cause says why; what lies between
            // are names of layers.
            let network = exit == Exit::Unavailable || error.kind() == ErrorKind::LoginExpired;
            let told = if network { chain.len() - 1 } else { 0 };
            let why = chain.remove(told);
            if !message.contains(&why) {
                message = format!("{message}: {why}");
            }
        }
        Self {
            code,
            message,
            hint: hint(error, options),
            causes: chain,
            exit,
        }
    }
}

/// What a command ends with if it can't do its work.
#[derive(Debug)]
pub(crate) enum Problem {
    Vault(Error),
    Own(Failure),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Vault(error)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Own(failure)
    }
}

impl Problem {
    pub(crate) fn explain(self, options: &Options) -> Failure {
        match self {
            Self::Vault(error) => Failure::explain(&error, options),
            Self::Own(failure) => failure,
        }
    }
}

/// The name for scripts and the exit code of each kind.
pub(crate) fn classify(kind: ErrorKind) -> (&'static str, Exit) {
    match kind {
        ErrorKind::NotLoggedIn => ("not_logged_in", Exit::LoginRequired),
        ErrorKind::LoggedOut => ("logged_out", Exit::LoginRequired),
        ErrorKind::LoginRequired => ("login_required", Exit::LoginRequired),
        ErrorKind::RotationUnconfirmed => ("rotation_unconfirmed", Exit::LoginRequired),
        ErrorKind::RefusedWithoutReason => ("refused_without_reason", Exit::LoginRequired),
        ErrorKind::RequestRefused => ("request_refused", Exit::Failed),
        ErrorKind::ClientRefused => ("client_refused", Exit::Failed),
        ErrorKind::ScopeInsufficient => ("scope_insufficient", Exit::Failed),
        ErrorKind::StepUpRequired => ("step_up_required", Exit::LoginRequired),
        ErrorKind::AccessRefused => ("access_refused", Exit::Failed),
        ErrorKind::StoreMissing => ("store_missing", Exit::Store),
        ErrorKind::StoreLocked => ("store_locked", Exit::Store),
        ErrorKind::StoreHung => ("store_hung", Exit::Store),
        ErrorKind::StoreRefused => ("store_refused", Exit::Store),
        ErrorKind::StoreKeyWrong => ("store_key_wrong", Exit::Store),
        ErrorKind::StoreFailed => ("store_failed", Exit::Store),
        ErrorKind::ItemMissing => ("item_missing", Exit::Store),
        ErrorKind::DpopKeyLost => ("dpop_key_lost", Exit::LoginRequired),
        ErrorKind::Corrupted => ("corrupted", Exit::Failed),
        ErrorKind::NewerVersion => ("newer_version", Exit::Failed),
        ErrorKind::KeptElsewhere => ("kept_elsewhere", Exit::Failed),
        ErrorKind::StateFolderUnsafe => ("state_folder_unsafe", Exit::Failed),
        ErrorKind::StateFolderUnwritable => ("state_folder_unwritable", Exit::Failed),
        ErrorKind::DiskFull => ("disk_full", Exit::Failed),
        ErrorKind::NetworkFileSystem => ("network_file_system", Exit::Failed),
        ErrorKind::LockUnsupported => ("lock_unsupported", Exit::Failed),
        ErrorKind::LockTimeout => ("lock_timeout", Exit::LockTimeout),
        ErrorKind::NetworkUnavailable => ("network_unavailable", Exit::Unavailable),
        ErrorKind::ServerUnavailable => ("server_unavailable", Exit::Unavailable),
        ErrorKind::ServerAnswerInvalid => ("server_answer_invalid", Exit::Failed),
        ErrorKind::IssuerUnknown => ("issuer_unknown", Exit::Failed),
        ErrorKind::IssuerMismatch => ("issuer_mismatch", Exit::Failed),
        ErrorKind::InsecureUrl => ("insecure_url", Exit::Failed),
        ErrorKind::StateMismatch => ("state_mismatch", Exit::Failed),
        ErrorKind::IdTokenRefused => ("id_token_refused", Exit::Failed),
        ErrorKind::AccessDenied => ("access_denied", Exit::Failed),
        ErrorKind::LoginExpired => ("login_expired", Exit::Failed),
        ErrorKind::NotOffered => ("not_offered", Exit::Failed),
        ErrorKind::TokenInUse => ("token_in_use", Exit::Failed),
        ErrorKind::HostNotBound => ("host_not_bound", Exit::Failed),
        ErrorKind::InvalidInput => ("invalid_input", Exit::Usage),
        ErrorKind::Closed => ("closed", Exit::Failed),
        _ => ("internal", Exit::Failed),
    }
}

fn hint(error: &Error, options: &Options) -> String {
    let run = |rest: &str| format!("`{}`", options.command_line(rest));
    let login = || run("login --issuer URL --client-id ID");
    if let Some(hint) = of_store(error).and_then(StoreError::hint) {
        return hint.to_owned();
    }
    match error.kind() {
        ErrorKind::NotLoggedIn | ErrorKind::LoggedOut => format!("log in with {}", login()),
        ErrorKind::LoginRequired | ErrorKind::RotationUnconfirmed => {
            format!("log in again with {}", login())
        }
        ErrorKind::RefusedWithoutReason => format!(
            "{} asks once more; if that fails too, log in again with {}",
            run("refresh --force"),
            login()
        ),
        ErrorKind::RequestRefused => {
            "check scopes and resource with the authorization server".to_owned()
        }
        ErrorKind::ClientRefused => format!(
            "check the client id, and what the client proves itself with, against its registration at \
             the authorization server; where somebody is logged in, {} asks again at once",
            run("refresh --force")
        ),
        ErrorKind::ScopeInsufficient => {
            format!("log in again with that scope: {}", run("login --scope SCOPE"))
        }
        ErrorKind::StepUpRequired => format!("log in again with {}", login()),
        ErrorKind::AccessRefused => "see what the API's answer says".to_owned(),
        ErrorKind::StoreMissing => missing_store(error, options),
        ErrorKind::StoreLocked => match of_store(error).map(|store| store.store) {
            Some(StoreKind::EncryptedFile) => {
                "name its key with `--key-file FILE` or `--passphrase-file FILE`, or run this on a \
                 terminal with `--store encrypted-file`, where the passphrase is asked for"
                    .to_owned()
            }
            _ => "unlock the store, or run this on a terminal, where it can be asked for".to_owned(),
        },
        ErrorKind::StoreHung => {
            "see whether the store waits for somebody at a prompt, then try again".to_owned()
        }
        ErrorKind::StoreRefused => match error.source() {
            Some(_) => "see to the permissions of what is named, then try again".to_owned(),
            None => format!(
                "leave out `--store` (VAULT_STORE) to use the profile's own store; {} moves it",
                run("migrate --to KIND")
            ),
        },
        ErrorKind::StoreKeyWrong => {
            "name the key or passphrase that the store was made with: `--key-file`, `--passphrase-file`"
                .to_owned()
        }
        ErrorKind::StoreFailed if of_store(error).map(|store| store.kind) == Some(StoreErrorKind::Corrupted) => format!(
            "bring back what the store held (a backup?), or log in again with {}, which replaces it",
            login()
        ),
        ErrorKind::StoreFailed => format!("{} tries the store", run("doctor")),
        ErrorKind::ItemMissing => format!(
            "bring the store's item back (another keyring? a backup?), or log in again with {}",
            login()
        ),
        ErrorKind::DpopKeyLost => format!(
            "bring the store's item back (another keyring? a backup?), or log in again with `{}`",
            options.command_line("login --dpop --issuer URL --client-id ID")
        ),
        ErrorKind::Corrupted => format!("log in again with {}; it replaces what is damaged", login()),
        ErrorKind::NewerVersion => {
            "use the newer version of this program that wrote it; nothing was changed".to_owned()
        }
        ErrorKind::KeptElsewhere => format!(
            "name the state folder that holds it, two levels above, with `--state-dir` (or \
             VAULT_STATE_DIR), or take the login over with {}",
            login()
        ),
        ErrorKind::StateFolderUnsafe if cfg!(windows) => format!(
            "make it yours alone ({} tells how), or name another one with `--state-dir`",
            run("doctor")
        ),
        ErrorKind::StateFolderUnsafe => {
            "make it yours alone (`chmod 700`, `chown`), or name another one with `--state-dir`".to_owned()
        }
        ErrorKind::StateFolderUnwritable => {
            "make the state folder writable, or name another one with `--state-dir`".to_owned()
        }
        ErrorKind::DiskFull => "free some space and try again; no token was spent".to_owned(),
        ErrorKind::NetworkFileSystem | ErrorKind::LockUnsupported => {
            "name a folder on a local disk with `--state-dir`".to_owned()
        }
        ErrorKind::LockTimeout => {
            format!("try again; {} tells whether the lock is still held", run("doctor"))
        }
        ErrorKind::NetworkUnavailable | ErrorKind::ServerUnavailable => match error.retry_after() {
            Some(pause) => format!("try again in {} s", pause.as_secs().max(1)),
            None => "check the network and the server's address, and try again later".to_owned(),
        },
        ErrorKind::ServerAnswerInvalid => {
            "check the address; a captive portal or proxy may have answered in its place".to_owned()
        }
        ErrorKind::IssuerUnknown => {
            "check the issuer's spelling; for a server without a description there is \
             `import --token-endpoint`"
                .to_owned()
        }
        ErrorKind::IssuerMismatch => {
            "give `--issuer` exactly as the server writes it, if that is the server you mean".to_owned()
        }
        ErrorKind::InsecureUrl => "use an https address".to_owned(),
        ErrorKind::IdTokenRefused => {
            "nothing was kept; try again, and if it happens again tell who runs the server"
                .to_owned()
        }
        ErrorKind::StateMismatch => {
            "log in again, and finish in the browser window that was opened last".to_owned()
        }
        ErrorKind::AccessDenied => {
            "try again, or use another profile for another account: `--profile NAME`".to_owned()
        }
        ErrorKind::LoginExpired => "log in again, and finish in time".to_owned(),
        ErrorKind::NotOffered => {
            "try another way: `--flow device`, `--no-browser`, `--scope offline_access`".to_owned()
        }
        ErrorKind::TokenInUse => {
            "use that profile, or log it out first: two that rotate one token log each other out"
                .to_owned()
        }
        ErrorKind::HostNotBound => format!("bind it, if you trust it: {}", run("bind HOST")),
        ErrorKind::InvalidInput => "correct it and try again; nothing was changed".to_owned(),
        ErrorKind::Closed => "try again".to_owned(),
        _ => "this is a defect; `-vv` shows more for a report".to_owned(),
    }
}

fn of_store(error: &Error) -> Option<&StoreError> {
    error
        .source()
        .and_then(|source| source.downcast_ref::<StoreError>())
}

fn missing_store(error: &Error, options: &Options) -> String {
    match of_store(error).map(|store| store.store) {
        Some(StoreKind::EncryptedFile) => {
            "give its key with `--key-file FILE` or `--passphrase-file FILE`".to_owned()
        }
        Some(StoreKind::SecretService) if options.store.is_none() => {
            "start a keyring (gnome-keyring, KeePassXC, KWallet), or choose \
             `--store encrypted-file --key-file FILE`"
                .to_owned()
        }
        _ => {
            let here: Vec<_> = StoreKind::compiled_in()
                .iter()
                .map(|kind| kind.as_str())
                .collect();
            format!(
                "choose one of the stores of this build with `--store`: {}",
                here.join(", ")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn explain(error: Error) -> Failure {
        let arguments =
            crate::args::Arguments::parse_from(["vault-cli", "--profile", "work", "status"]);
        Failure::explain(&error, &arguments.options)
    }

    #[test]
    fn the_message_tells_what_and_why_and_the_rest_are_causes() {
        let cause = StoreError::new(StoreErrorKind::Locked, StoreKind::SecretService, "get")
            .because("declined");
        let failure = explain(Error::from(cause));
        assert_eq!(
            failure.message,
            "the secret-service store is locked (get): declined"
        );
        assert_eq!((failure.code, failure.exit), ("store_locked", Exit::Store));
        assert!(failure.causes.is_empty());
    }

    #[test]
    fn of_a_failing_network_the_message_tells_the_last_cause() {
        let refused = || {
            let system = std::io::Error::other("Connection refused");
            Error::new(ErrorKind::NetworkUnavailable, "client error").because(system)
        };
        for kind in [ErrorKind::NetworkUnavailable, ErrorKind::LoginExpired] {
            let failure = explain(Error::new(kind, "no answer").because(refused()));
            assert_eq!(failure.message, "no answer: Connection refused");
            assert_eq!(failure.causes, ["client error"]);
        }
    }

    #[test]
    fn a_missing_store_names_the_choices() {
        let cause = StoreError::new(StoreErrorKind::Missing, StoreKind::SecretService, "unlock");
        assert!(
            explain(Error::from(cause))
                .hint
                .contains("--store encrypted-file")
        );
        let cause = StoreError::new(StoreErrorKind::Missing, StoreKind::Keyutils, "open");
        assert!(explain(Error::from(cause)).hint.contains("memory"));
    }

    #[test]
    fn a_login_hint_names_the_profile() {
        let failure = explain(Error::new(ErrorKind::LoginRequired, "refused"));
        assert!(
            failure.hint.contains("vault-cli --profile work login"),
            "{}",
            failure.hint
        );
        assert_eq!(failure.exit, Exit::LoginRequired);
    }
}
