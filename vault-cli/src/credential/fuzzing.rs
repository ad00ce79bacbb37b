//! The door for hostile input: bytes go to every protocol, and what was made of
//! them is checked. Built for `tests/fuzz`, which takes this folder in by its
//! path, and for the unit tests, which feed the corpus to the same door.

use serde_json::Value;

use super::{Asked, Given, bazel, cargo, docker, git, kubectl};

const GIVEN: Given<'static> = Given {
    token: "fake-access-token",
    ask_again_at_ms: Some(1_700_000_000_999),
};

/// Asks by every protocol.
///
/// # Panics
///
/// If a promise is broken: an answer that is not one of its protocol, a host
/// that nobody has asked about, words that are not fit to be shown.
pub(crate) fn feed(bytes: &[u8]) {
    if let Ok(question) = git::Question::read(bytes) {
        check(question.asked.as_ref(), bytes);
        check_lines(&question.answer(GIVEN));
        assert!(!question.says_refused(GIVEN.token) || contains(bytes, "refused-if-asked-again"));
        assert!(
            question
                .refused()
                .is_none_or(|refused| refused.len() <= bytes.len())
        );
    }
    if let Ok((server, asked)) = docker::read(bytes) {
        check(Some(&asked), bytes);
        let answer = document(&docker::answer(&server, GIVEN));
        assert_eq!(answer["ServerURL"], server.as_str());
        assert_eq!(answer["Secret"], GIVEN.token);
    }
    if let Ok(question) = kubectl::Question::read(bytes) {
        check(question.asked.as_ref(), bytes);
        let answer = document(&question.answer(GIVEN));
        assert_eq!(answer["kind"], "ExecCredential");
        assert_eq!(answer["status"]["token"], GIVEN.token);
    }
    if let Ok(cargo::Question::Get { asked, .. }) = cargo::Question::read(bytes) {
        check(Some(&asked), bytes);
        let answer = cargo::answer(GIVEN);
        assert!(!answer.contains('\n'), "one line");
        assert!(document(&answer)["Ok"]["token"].as_str().is_some());
    }
    if let Ok(asked) = bazel::read(bytes) {
        check(Some(&asked), bytes);
        assert!(document(&bazel::answer(GIVEN))["headers"].is_object());
    }
}

/// A host is written as it is read, and is one that the bytes hold; unless it
/// is of another script, or an address, which has many spellings.
fn check(asked: Option<&Asked>, bytes: &[u8]) {
    match asked {
        None => {}
        Some(Asked::Unboundable(why)) => {
            assert!(!why.chars().any(char::is_control), "{why:?}");
        }
        Some(Asked::Host(host)) => {
            assert_eq!(host.to_string().parse().ok(), Some(host.clone()));
            let name = host.host();
            let has_spellings = name.contains("xn--")
                || name.starts_with('[')
                || name.ends_with(|last: char| last.is_ascii_digit())
                || bytes
                    .iter()
                    .any(|byte| b"%\\\t".contains(byte) || !byte.is_ascii());
            assert!(has_spellings || contains(bytes, name), "{name}");
        }
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    let bytes = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    bytes.contains(text)
}

/// Each line has a name, and the token stands in one of them at most.
fn check_lines(answer: &str) {
    assert!(answer.ends_with('\n'));
    let mut secrets = 0;
    for line in answer.lines() {
        let (key, _) = line.split_once('=').expect("key=value");
        let known = [
            "username",
            "password",
            "authtype",
            "credential",
            "ephemeral",
        ];
        let more = ["continue", "password_expiry_utc", "capability[]", "state[]"];
        assert!(known.contains(&key) || more.contains(&key), "{key}");
        secrets += usize::from(matches!(key, "password" | "credential"));
    }
    assert_eq!(secrets, 1, "{answer}");
}

fn document(text: &str) -> Value {
    serde_json::from_str(text).expect("one JSON document")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_file_of_the_corpus_is_answered_as_its_protocol_wants() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let corpus = here.join("../tests/fuzz/corpus/credential_helpers");
        let mut read = 0;
        for file in fs::read_dir(corpus).unwrap() {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            for end in 0..bytes.len() {
                super::feed(&bytes[..end]);
            }
            super::feed(&[&bytes[..], b"\0"].concat());
            super::feed(&bytes);
            read += 1;
        }
        assert!(read >= 8, "{read} seeds");
    }
}
