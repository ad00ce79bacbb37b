//! git's credential helpers: lines of `key=value`
//! (<https://git-scm.com/docs/git-credential#IOFMT>).
//!
//! A git that says that it can (2.46) is given the whole header, and may ask
//! again when its server refuses that: what it was given last comes back as the
//! helper's own `state`. An older one is given a user's name and a password.

use data_encoding::BASE64;
use vault_core::identity::Fingerprint;
use vault_core::platform::secret::SecretString;
use zeroize::Zeroizing;

use super::{Asked, Garbage, Given};

/// Whom servers that want a name with an access token take it from: none looks
/// at it, but GitLab at this one.
const USER: &str = "oauth2";

/// How our state begins, among those of other helpers.
const STATE: &str = "vault-cli:refused-if-asked-again:";

/// What a git that asks what a helper can do is told.
pub(crate) const CAPABILITIES: &str = "version 0\ncapability authtype\ncapability state\n";

/// A description of a credential, as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Question {
    pub(crate) asked: Option<Asked>,
    username: Option<String>,
    /// What was tried: a password, or the credential of a header.
    tried: Option<SecretString>,
    is_header: bool,
    takes_header: bool,
    keeps_state: bool,
    challenges: Vec<String>,
    /// The fingerprint of what we gave last, which was refused.
    given: Option<String>,
}

impl Question {
    /// Reads what git says.
    ///
    /// # Errors
    ///
    /// What is no description of a credential.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Garbage> {
        if bytes.contains(&b'\0') || bytes.contains(&b'\r') {
            return Err(Garbage("says what no line of git's can hold"));
        }
        let mut read = Self::default();
        let (mut protocol, mut host) = (None, None);
        for line in bytes.split(|byte| *byte == b'\n') {
            if line.is_empty() {
                // The end; nothing may follow.
                break;
            }
            let at = line
                .iter()
                .position(|byte| *byte == b'=')
                .filter(|at| *at > 0)
                .ok_or(Garbage("says a line that is no `key=value`"))?;
            let (key, value) = (&line[..at], &line[at + 1..]);
            // What a server says, and a path, may be of any encoding.
            let text = || std::str::from_utf8(value).map_err(|_| Garbage("says what is no text"));
            match key {
                b"protocol" => protocol = Some(text()?),
                b"host" => host = Some(text()?),
                b"username" if !value.is_empty() => read.username = Some(text()?.to_owned()),
                b"password" | b"credential" => {
                    read.tried = Some(SecretString::from(text()?.to_owned()));
                    read.is_header = key == b"credential";
                }
                b"capability[]" if value == b"authtype" => read.takes_header = true,
                b"capability[]" if value == b"state" => read.keeps_state = true,
                b"wwwauth[]" => {
                    let challenge = String::from_utf8_lossy(value).into_owned();
                    read.challenges.push(challenge);
                }
                b"state[]" => {
                    // Another helper's may be anything.
                    let ours = text().ok().and_then(|state| state.strip_prefix(STATE));
                    if let Some(given) = ours {
                        read.given = Some(given.to_owned());
                    }
                }
                // As git wants it: what is not known is no error.
                _ => {}
            }
        }
        read.asked = Some(match (protocol, host) {
            (Some("https"), Some(host)) => Asked::by_address(&format!("https://{host}/"))?,
            (Some(_), Some(_)) => Asked::Unboundable("what is not asked by https".to_owned()),
            _ => return Err(Garbage("says no `protocol` and `host`")),
        });
        // Nothing but a host and a port: `host=a@b` would be another one.
        match host {
            Some(host) if !host.contains(['/', '@', '?', '#', '\\', '%', ' ', '\t']) => Ok(read),
            _ => Err(Garbage("says a `host` that is none")),
        }
    }

    /// The access token that was refused, if the description names one.
    pub(crate) fn refused(&self) -> Option<SecretString> {
        let tried = self.tried.as_ref()?;
        if !self.is_header {
            return Some(tried.duplicate());
        }
        // `user:token` in base64, or the token itself.
        let basic = BASE64
            .decode(tried.expose().as_bytes())
            .ok()
            .map(Zeroizing::new);
        let pair = basic
            .as_ref()
            .and_then(|bytes| std::str::from_utf8(bytes).ok());
        let token = pair
            .and_then(|pair| pair.split_once(':'))
            .map(|(_, token)| token);
        Some(match token {
            Some(token) => SecretString::from(token.to_owned()),
            None => tried.duplicate(),
        })
    }

    /// Whether this token was given before, and its server refused it: git
    /// asks once more then, with the state that it was given.
    pub(crate) fn says_refused(&self, token: &str) -> bool {
        self.given.as_deref() == Some(&Fingerprint::of(token).to_string())
    }

    /// The answer to `get`.
    pub(crate) fn answer(&self, given: Given<'_>) -> Zeroizing<String> {
        let user = self.username.as_deref().unwrap_or(USER);
        let mut answer = Zeroizing::new(String::with_capacity(4 * given.token.len() + 1024));
        let mut line = |parts: &[&str]| {
            for part in parts {
                answer.push_str(part);
            }
            answer.push('\n');
        };
        if self.takes_header {
            line(&["capability[]=authtype"]);
            if self.wants_bearer() {
                line(&["authtype=Bearer"]);
                line(&["credential=", given.token]);
            } else {
                let pair = Zeroizing::new([user, ":", given.token].concat());
                let pair = Zeroizing::new(BASE64.encode(pair.as_bytes()));
                line(&["authtype=Basic"]);
                line(&["credential=", &pair]);
            }
            // No other helper is to keep it.
            line(&["ephemeral=1"]);
            if self.keeps_state && self.given.is_none() {
                let fingerprint = Fingerprint::of(given.token).to_string();
                line(&["capability[]=state"]);
                line(&["state[]=", STATE, &fingerprint]);
                line(&["continue=1"]);
            }
        } else {
            line(&["username=", user]);
            line(&["password=", given.token]);
        }
        if let Some(at_ms) = given.ask_again_at_ms {
            line(&["password_expiry_utc=", &(at_ms / 1000).to_string()]);
        }
        answer
    }

    /// Most servers take an access token in the place of a password; one that
    /// asks for nothing but `Bearer` does not.
    fn wants_bearer(&self) -> bool {
        let is = |scheme: &str| {
            self.challenges.iter().any(|challenge| {
                let first = challenge.split([' ', ',']).next().unwrap_or_default();
                first.eq_ignore_ascii_case(scheme)
            })
        };
        is("Bearer") && !is("Basic")
    }
}

/// The answer where a host is bound and there is no token for it: git is not to
/// ask other helpers, nor a person for a password that nobody has.
pub(crate) const QUIT: &str = "quit=1\n";

#[cfg(test)]
mod tests {
    use super::super::tests::GARBAGE;
    use super::*;

    const GIVEN: Given<'static> = Given {
        token: "fake-token",
        ask_again_at_ms: Some(1_700_000_000_999),
    };

    fn read(text: &str) -> Question {
        Question::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_older_git_is_given_a_name_and_a_password() {
        let question = read("protocol=https\nhost=git.example:8443\npath=a.git\n\n");
        let host = "git.example:8443".parse().unwrap();
        assert_eq!(question.asked, Some(Asked::Host(host)));
        assert_eq!(
            *question.answer(GIVEN),
            "username=oauth2\npassword=fake-token\npassword_expiry_utc=1700000000\n"
        );
        let named = read("protocol=https\nhost=git.example\nusername=alice\n");
        assert!(named.answer(GIVEN).starts_with("username=alice\n"));
    }

    #[test]
    fn a_newer_git_is_given_the_header_and_may_ask_once_more() {
        let start = "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=git.example\n";
        let answer = read(start).answer(GIVEN).to_string();
        assert!(answer.contains("authtype=Basic\ncredential=b2F1dGgyOmZha2UtdG9rZW4=\n"));
        assert!(
            answer.contains("ephemeral=1\n") && answer.contains("continue=1\n"),
            "{answer}"
        );
        assert!(!answer.contains("fake-token"), "{answer}");
        let state = answer
            .lines()
            .find(|line| line.starts_with("state[]="))
            .unwrap();

        let again = read(&format!("{start}{state}\nwwwauth[]=Bearer realm=\"x\"\n"));
        assert!(again.says_refused("fake-token") && !again.says_refused("another"));
        let answer = again.answer(GIVEN).to_string();
        assert!(
            answer.contains("authtype=Bearer\ncredential=fake-token\n"),
            "{answer}"
        );
        // A second time is not asked.
        assert!(!answer.contains("continue"), "{answer}");
    }

    #[test]
    fn a_refused_token_is_found_in_a_password_and_in_a_header() {
        for tried in [
            "password=fake-token",
            "authtype=Basic\ncredential=b2F1dGgyOmZha2UtdG9rZW4=",
            "authtype=Bearer\ncredential=fake-token",
        ] {
            let question = read(&format!("protocol=https\nhost=git.example\n{tried}\n"));
            assert_eq!(question.refused().unwrap().expose(), "fake-token");
        }
        assert!(
            read("protocol=https\nhost=git.example\n")
                .refused()
                .is_none()
        );
    }

    #[test]
    fn nothing_but_https_is_a_host_to_be_bound() {
        for protocol in ["http", "ssh", "cert", ""] {
            let question = read(&format!("protocol={protocol}\nhost=git.example\n"));
            assert!(matches!(question.asked, Some(Asked::Unboundable(_))));
        }
    }

    #[test]
    fn only_what_is_used_has_to_be_text() {
        let mut question = b"capability[]=authtype\nprotocol=https\nhost=git.example\n".to_vec();
        for line in [
            &b"path=d\xe9p.git\n"[..],
            b"wwwauth[]=Bearer realm=\"D\xe9p\xf4t\"\n",
            b"state[]=other:\xff\n",
            b"\xe9=\xe9\n",
        ] {
            question.extend(line);
        }
        let answer = Question::read(&question).unwrap().answer(GIVEN);
        assert!(
            answer.contains("authtype=Bearer\ncredential=fake-token\n"),
            "{}",
            *answer
        );
    }

    #[test]
    fn what_is_no_description_is_refused() {
        let own: [&[u8]; 12] = [
            b"protocol=https\nhost=git.ex\xe9mple\n",
            b"protocol=\xff\nhost=git.example\n",
            b"protocol=https\nhost=git.example\nusername=ren\xe9\n",
            b"protocol=https\nhost=git.example\npassword=\xe9\n",
            b"protocol=https\n",
            b"host=git.example\n",
            b"protocol=https\nhost=evil.example/@git.example\n",
            b"protocol=https\nhost=evil@git.example\n",
            b"protocol=https\nhost=\n",
            b"protocol=https\nhost=git.example\0\n",
            b"protocol=https\r\nhost=git.example\r\n",
            b"protocol\nhost=git.example\n",
        ];
        for bytes in own.into_iter().chain(GARBAGE) {
            assert!(Question::read(bytes).is_err(), "{bytes:?}");
        }
    }
}
