//! Names kept apart where capitals and small letters are the same.
//!
//! A capital is written as `^` and the small letter, so that `Work` and `work`
//! differ by more than case, and what would be read as something else, `/` and
//! `^`, after a `^`, too. This is about ASCII: names of applications and
//! profiles have nothing else.

/// Whether this system's file systems usually take no notice of case.
pub(crate) const FILE_SYSTEMS: bool = cfg!(any(windows, target_vendor = "apple"));

/// Writes a name without capitals.
pub(crate) fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for character in name.chars() {
        if matches!(character, '^' | '/') || character.is_ascii_uppercase() {
            text.push('^');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

/// Reads a name that was written so; `None` for a text that never was.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut characters = text.chars();
    let mut name = String::with_capacity(text.len());
    while let Some(character) = characters.next() {
        name.push(match character {
            '^' => characters.next()?.to_ascii_uppercase(),
            other => other,
        });
    }
    (encode(&name) == text).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_case_where_there_is_none() {
        let names = [
            "work",
            "Work",
            "WORK",
            "wORK",
            "^w^",
            "w^W",
            "^^",
            "a/B",
            "me@Example.com#key",
        ];
        let mut texts: Vec<String> = names.iter().map(|name| encode(name)).collect();
        for (text, name) in texts.iter().zip(names) {
            assert_eq!(*text, text.to_ascii_lowercase());
            assert_eq!(decode(text).as_deref(), Some(name));
        }
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), names.len());
        assert_eq!(encode("vault-cli"), "vault-cli");
        assert_eq!(encode("Work"), "^work");
    }

    #[test]
    fn what_was_never_written_so_is_no_name() {
        for text in ["Work", "^Work", "work^", "^1", "^.", "a/b"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
