//! What a `.vault.toml` says: which application and which profile are meant in
//! its folder, and nothing else. Whoever writes into a folder must not be able
//! to change where tokens come from or go to, so every other key is an error.
//!
//! Pure: text in, choice out. What is said of a file that can't be read shows
//! nothing of it, for it may be a link to something secret.

use toml_edit::{Document, Item};

/// What the file chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VaultToml {
    pub(crate) app: Option<String>,
    pub(crate) profile: Option<String>,
}

impl VaultToml {
    /// Reads the file's text.
    ///
    /// # Errors
    ///
    /// Says what is wrong, in words that follow the file's name.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let document = Document::parse(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            format!("is no TOML, from line {line} on")
        })?;
        let mut chosen = Self::default();
        for (key, value) in document.as_table() {
            let place = match key {
                "app" => &mut chosen.app,
                "profile" => &mut chosen.profile,
                other => {
                    let other = other.escape_default();
                    return Err(format!(
                        "has a key `{other}`; there are only `app` and `profile`"
                    ));
                }
            };
            match value {
                Item::Value(value) if value.is_str() => {
                    *place = value.as_str().map(str::to_owned);
                }
                _ => return Err(format!("gives `{key}` a value that is no text")),
            }
        }
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_chooses_application_and_profile() {
        let text = "# this project\nprofile = \"work\"\napp = 'com.example'\n";
        let read = VaultToml::read(text).unwrap();
        assert_eq!(read.profile.as_deref(), Some("work"));
        assert_eq!(read.app.as_deref(), Some("com.example"));
        assert_eq!(VaultToml::read(""), Ok(VaultToml::default()));
    }

    #[test]
    fn it_can_say_nothing_else() {
        for text in [
            "state_dir = \"/tmp/x\"",
            "store = \"memory\"",
            "bind = [\"evil.example\"]",
            "[profile]\nname = \"x\"",
            "profile = 3",
            "profile = [\"a\"]",
        ] {
            let error = VaultToml::read(text).unwrap_err();
            assert!(
                error.starts_with("has a key") || error.starts_with("gives"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_toml_is_not_shown() {
        let text = "profile = \"a\"\n-----BEGIN FAKE PRIVATE KEY-----\nfake\n";
        assert_eq!(
            VaultToml::read(text).unwrap_err(),
            "is no TOML, from line 2 on"
        );
    }
}
