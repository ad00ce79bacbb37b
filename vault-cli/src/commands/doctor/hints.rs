//! What to do about each finding, as commands where there is one.

use std::path::Path;

use vault_core::diagnosis::Code;

use crate::args::Options;

/// Said of a code that this program does not know.
const UNKNOWN: &str = "`-vv` shows more for a report";

pub(super) fn hint(code: Code, path: Option<&str>, options: &Options) -> String {
    let run = |rest: &str| format!("`{}`", options.command_line(rest));
    let login = || {
        format!(
            "log in again with {}",
            run("login --issuer URL --client-id ID")
        )
    };
    // Above those of the application and of the profile.
    let root = path.and_then(|path| Path::new(path).ancestors().nth(2));
    let root = root.map(|root| root.display().to_string());
    let path = quoted(path.unwrap_or("PATH"));
    let elsewhere = "name a folder on a local disk with `--state-dir`";
    match code {
        Code::FolderNotPrivate if cfg!(windows) => format!(
            "make it yours alone: `icacls {path} /reset`, then `icacls {path} /inheritance:r \
             /grant:r \"%USERNAME%:(OI)(CI)F\"`; or {elsewhere}"
        ),
        Code::FolderNotPrivate => format!("make it yours alone: `chmod go-rwx {path}`"),
        Code::FolderNotOwned if cfg!(windows) => {
            format!("take it over: `takeown /f {path}`; or {elsewhere}")
        }
        Code::FolderNotOwned => format!("take it over: `chown \"$(id -u)\" {path}`"),
        Code::FolderReplaced => format!(
            "put what belongs there back in the place of {path}, or name where it lies with \
             `--state-dir`"
        ),
        Code::FolderRemote | Code::LockUseless => elsewhere.to_owned(),
        Code::FolderUnwritable => {
            format!("see to it that you can write there: `chmod u+rwX {path}`; or {elsewhere}")
        }
        Code::DiskFull => "free some space; no token was spent".to_owned(),
        Code::LockHeld => {
            format!("wait until it is done; `fuser -v {path}` tells which process it is")
        }
        Code::StoreMissing => "start a keyring (gnome-keyring, KeePassXC, KWallet), or choose \
                               `--store encrypted-file --key-file FILE`"
            .to_owned(),
        Code::StoreLocked => "unlock it, or run this on a terminal, where it can be asked for; of \
                              the encrypted-file store name the key: `--key-file FILE` or \
                              `--passphrase-file FILE`"
            .to_owned(),
        Code::StoreHung => {
            "see whether the store waits for somebody at a prompt, then try again".to_owned()
        }
        Code::StoreElsewhere => format!(
            "leave out `--store` (VAULT_STORE) to use the login's own store; {} moves it",
            run("migrate --to KIND")
        ),
        Code::StoreKeyWrong => "name the key or passphrase that the store was made with: \
                                `--key-file FILE`, `--passphrase-file FILE`"
            .to_owned(),
        Code::StoreDamaged => format!("bring back what it held (a backup?), or {}", login()),
        Code::StoreRefused => "see to the permissions of what is named, then try again".to_owned(),
        Code::StoreFailed => "see what the store itself says, then try again".to_owned(),
        Code::StoreForgets | Code::TokenTooLarge => {
            format!("{} takes the login to another store", run("migrate --to KIND"))
        }
        Code::ItemMissing => format!(
            "bring the store's item back (another keyring? a backup?), or {}",
            login()
        ),
        Code::SealedDamaged | Code::SealedMissing => {
            format!("{} makes it again from the store's copy", run("refresh"))
        }
        Code::FormatTooNew => {
            "use the newer version of this program that wrote it; nothing was changed".to_owned()
        }
        Code::KeptElsewhere => format!(
            "name the folder with `--state-dir {}` (VAULT_STATE_DIR), or {}",
            quoted(root.as_deref().unwrap_or("FOLDER")),
            login()
        ),
        Code::SealedForeign => format!(
            "bring back the store or the state folder as they were together, or {}",
            login()
        ),
        Code::CopyStale => format!("{} writes it again", run("refresh --force")),
        Code::DpopKeyLost => format!(
            "bring the store's item back (another keyring? a backup?), or log in again with {}",
            run("login --dpop --issuer URL --client-id ID")
        ),
        Code::LogoutUnfinished => format!("{} deletes it", run("logout")),
        Code::DamagedKept => format!("nothing needs it any more: `rm {path}`"),
        Code::ServerAway => "check the network and the server's address, and try again".to_owned(),
        Code::ServerUntrusted => {
            "log in again with `--ca-cert FILE` if the authority is yours; else somebody may be \
             listening"
                .to_owned()
        }
        Code::IssuerMismatch => {
            "see to the server, or log in again with `--issuer` exactly as it writes it, if that is \
             the server you mean"
                .to_owned()
        }
        Code::ServerUnclear => {
            "a captive portal or a proxy may answer in its place: log in there, or go around it"
                .to_owned()
        }
        Code::ServerFailing => "try again later".to_owned(),
        Code::ServerInsecure => "log in again with an https address".to_owned(),
        Code::ClockOff => "set this machine's clock, best by NTP".to_owned(),
        Code::RevocationWaits => {
            format!("run {} again when they can", run("doctor"))
        }
        Code::RefreshRefused | Code::RefreshEnded | Code::AnswerLost => login(),
        Code::AnswerPending => format!("{} asks at once", run("refresh --force")),
        Code::BackingOff => format!("wait, or {} asks at once", run("refresh --force")),
        Code::ClientRefused => format!(
            "have the client's registration checked at the server, then {}",
            run("refresh --force")
        ),
        Code::AccessRefused => format!("{} gets another one", run("refresh --force")),
        Code::HistoryBroken | Code::HistoryUnreadable => format!(
            "the login is not harmed; `rm {path}` lets the next refresh begin a new one"
        ),
        _ => UNKNOWN.to_owned(),
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    if path.chars().all(is_plain) {
        path.to_owned()
    } else if cfg!(windows) {
        // No name has this mark in it.
        format!("\"{path}\"")
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use vault_core::diagnosis::Verdict;

    use super::*;

    #[test]
    fn every_fault_has_something_to_do_about_it() {
        let options = crate::args::Arguments::parse_from(["vault-cli", "doctor"]).options;
        for code in Code::ALL {
            let fault = matches!(code.verdict(), Verdict::Failed | Verdict::Warning);
            // The leftovers of other tools know their own.
            if fault && *code != Code::PlaintextSecret {
                let hint = hint(*code, Some("/a b/c"), &options);
                assert!(hint != UNKNOWN && !hint.ends_with('.'), "{code}: {hint}");
            }
        }
    }

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(quoted("/home/u/.x-1"), "/home/u/.x-1");
        let words = match cfg!(windows) {
            true => r#""/a b/it's""#,
            false => r"'/a b/it'\''s'",
        };
        assert_eq!(quoted("/a b/it's"), words);
    }
}
