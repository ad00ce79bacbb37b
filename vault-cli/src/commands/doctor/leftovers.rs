//! Secrets of other tools that anybody who reads the user's files can read:
//! told by path and kind, never by content.
//!
//! The files are those that the tools' own documentation names.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::Path;

use vault_core::diagnosis::Code;
use zeroize::Zeroizing;

use super::{Check, Outcome};

/// No such file is longer.
const LIMIT: u64 = 1 << 20;

/// A file below the home folder, and how a secret in it begins.
struct Place {
    file: &'static str,
    /// Whose it is, and what.
    what: &'static str,
    /// The names that secrets stand behind; none for addresses with a password.
    names: &'static [&'static str],
    /// How that tool does without.
    instead: &'static str,
}

const HELPER: &str = "have the tool use a credential helper, and take the secret out of the file";

const PLACES: [Place; 15] = [
    Place {
        file: ".config/gh/hosts.yml",
        what: "a token of the GitHub CLI",
        names: &["oauth_token"],
        instead: "`gh auth login` keeps it in the keyring where there is one",
    },
    Place {
        file: ".config/hub",
        what: "a token of hub",
        names: &["oauth_token"],
        instead: "revoke it at the server and delete the file",
    },
    Place {
        file: ".docker/config.json",
        what: "a registry's password",
        names: &["\"auth\"", "\"identitytoken\"", "\"password\""],
        instead: "name a `credsStore` there, and log in again with `docker login`",
    },
    Place {
        file: ".config/containers/auth.json",
        what: "a registry's password",
        names: &["\"auth\"", "\"identitytoken\""],
        instead: "name `credential-helpers` in registries.conf, and log in again with `podman login`",
    },
    Place {
        file: ".npmrc",
        what: "a registry's token",
        names: &["_authToken", "_auth", "_password"],
        instead: "write `${NPM_TOKEN}` in its place, and set that where it is needed",
    },
    Place {
        file: ".netrc",
        what: "a password",
        names: &["password"],
        instead: HELPER,
    },
    Place {
        file: "_netrc",
        what: "a password",
        names: &["password"],
        instead: HELPER,
    },
    Place {
        file: ".cargo/credentials.toml",
        what: "a registry's token",
        names: &["token", "secret-key"],
        instead: "name a `credential-provider` in cargo's config.toml, then `cargo logout`",
    },
    Place {
        file: ".cargo/credentials",
        what: "a registry's token",
        names: &["token", "secret-key"],
        instead: "name a `credential-provider` in cargo's config.toml, then `cargo logout`",
    },
    Place {
        file: ".kube/config",
        what: "a cluster's token, password or key",
        names: &["token", "password", "client-key-data"],
        instead: "let an `exec` plugin give it instead",
    },
    Place {
        file: ".pypirc",
        what: "a password or token",
        names: &["password"],
        instead: "let `keyring` keep it, and take it out of the file",
    },
    Place {
        file: ".git-credentials",
        what: "a password",
        names: &[],
        instead: "name another `credential.helper` than `store`, and delete the file",
    },
    Place {
        file: ".config/git/credentials",
        what: "a password",
        names: &[],
        instead: "name another `credential.helper` than `store`, and delete the file",
    },
    Place {
        file: ".aws/credentials",
        what: "a secret key",
        names: &["aws_secret_access_key", "aws_session_token"],
        instead: "use `aws sso login`, or a `credential_process`",
    },
    Place {
        file: ".terraform.d/credentials.tfrc.json",
        what: "a token",
        names: &["\"token\""],
        instead: HELPER,
    },
];

/// Looks in the user's home folder.
pub(super) fn look() -> Vec<Check> {
    match vault_core::platform::dirs::home() {
        Some(home) => look_in(&home),
        None => vec![Check {
            message: "there is no home folder to look in".to_owned(),
            ..Check::of(Code::OtherTools, Outcome::Skipped, None, None)
        }],
    }
}

fn look_in(home: &Path) -> Vec<Check> {
    let mut found = Vec::new();
    for place in &PLACES {
        let path = home.join(place.file);
        let holds = read(&path).is_some_and(|text| match place.names {
            [] => text.lines().any(has_password),
            names => names.iter().any(|name| holds_value(&text, name)),
        });
        if holds {
            let path = path.display().to_string();
            found.push(Check {
                message: format!("{path} holds {}", place.what),
                ..Check::of(
                    Code::PlaintextSecret,
                    Outcome::Warning,
                    Some(place.instead.to_owned()),
                    Some(path),
                )
            });
        }
    }
    if found.is_empty() {
        let message = format!("none of {} files that tools are known for", PLACES.len());
        found.push(Check {
            message,
            ..Check::of(Code::OtherTools, Outcome::Passed, None, None)
        });
    }
    found
}

/// What can't be read holds nothing that others could read by it.
fn read(path: &Path) -> Option<Zeroizing<String>> {
    // Before it is opened: that would wait for whoever writes to a pipe.
    let about = std::fs::metadata(path).ok().filter(Metadata::is_file)?;
    let length = usize::try_from(about.len().min(LIMIT)).ok()?;
    let file = File::open(path).ok()?;
    // Room from the start: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
    file.take(LIMIT).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8(std::mem::take(&mut *bytes)).ok()?;
    Some(Zeroizing::new(text))
}

/// Whether something that could be a secret stands behind this name.
fn holds_value(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let (before, rest) = (&text[..at], &text[at + name.len()..]);
        let begins = !before.ends_with(|c: char| c.is_alphanumeric() || "_-".contains(c));
        let line = before.rsplit('\n').next().unwrap_or_default();
        let is_comment = line.trim_start().starts_with(['#', ';']);
        let value = rest.trim_start_matches([' ', '\t', ':', '=', '"', '\'']);
        let separated = value.len() < rest.len();
        let is_secret = value
            .chars()
            .next()
            .is_some_and(|first| !"\r\n#$,{}[]<>".contains(first));
        begins && !is_comment && separated && is_secret && !is_empty_string(rest)
    })
}

/// `"": ` would else run on into what follows it.
fn is_empty_string(rest: &str) -> bool {
    let rest = rest.trim_start_matches([' ', '\t', ':', '=']);
    rest.starts_with("\"\"") || rest.starts_with("''")
}

/// Whether a line is an address with a password in it.
fn has_password(line: &str) -> bool {
    let parsed = url::Url::parse(line.trim());
    parsed.is_ok_and(|url| url.password().is_some_and(|password| !password.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_what_stands_behind_its_name() {
        for (text, name) in [
            ("github.com:\n    oauth_token: gho_x\n", "oauth_token"),
            (r#"{"auths":{"r":{"auth":"dTpw"}}}"#, "\"auth\""),
            ("//r.example/:_authToken=npm_x\n", "_authToken"),
            ("machine h login u password p\n", "password"),
            ("[registry]\ntoken = \"x\"\n", "token"),
            ("  user:\n    token: x\n", "token"),
        ] {
            assert!(holds_value(text, name), "{text}");
        }
        for (text, name) in [
            ("github.com:\n    user: u\n", "oauth_token"),
            (r#"{"auths":{"r":{}},"credsStore":"x"}"#, "\"auth\""),
            (r#"{"auths":{"r":{"auth":""}}}"#, "\"auth\""),
            ("//r.example/:_authToken=${NPM_TOKEN}\n", "_authToken"),
            ("# token = \"x\"\n", "token"),
            ("mytoken = \"x\"\n", "token"),
            ("token =\n", "token"),
            ("tokens\n", "token"),
        ] {
            assert!(!holds_value(text, name), "{text}");
        }
        assert!(has_password("https://u:p@git.example"));
        assert!(!has_password("https://u@git.example"));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
        let home = tempfile::tempdir().expect("a folder");
        let pipe = home.path().join(".netrc");
        let made = std::process::Command::new("mkfifo").arg(pipe).status();
        assert!(made.expect("mkfifo starts").success());
        let (tell, told) = std::sync::mpsc::channel();
        let path = home.path().to_owned();
        std::thread::spawn(move || tell.send(look_in(&path).len()));
        let checks = told.recv_timeout(std::time::Duration::from_secs(30));
        assert_eq!(checks, Ok(1));
    }

    #[test]
    fn places_are_told_without_their_content() {
        let home = tempfile::tempdir().expect("a folder");
        let checks = look_in(home.path());
        assert_eq!(checks.len(), 1);
        assert_eq!(checks[0].code, "VD009");
        std::fs::write(home.path().join(".git-credentials"), "https://u:canary@h\n")
            .expect("writes");
        let checks = look_in(home.path());
        assert_eq!((checks.len(), checks[0].code), (1, "VD901"));
        let text = checks[0].text();
        assert!(
            text.contains(".git-credentials") && !text.contains("canary"),
            "{text}"
        );
    }
}
