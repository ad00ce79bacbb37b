//! The door for hostile input: what lies in the folder of the items, where a
//! disk, a backup or another program of the user may have written over it.
//!
//! Not part of the library: built for `tests/fuzz` (`cfg(fuzzing)`, which
//! cargo-fuzz sets) and for the unit tests, which feed every file of
//! `tests/fuzz/corpus/encrypted_file` to it. It panics if a promise is broken.

use serde::Deserialize;

use super::parameters::Parameters;
use super::{file_name, item_of, opened};
use crate::folder::StateFolder;
use crate::sealed_file::{self, SealingKey};
use crate::secret::SecretString;
use crate::store::{ItemName, KeySource, StoreErrorKind};

const PASSPHRASE: &str = "a fake passphrase of the corpus";
const APPLICATION: &str = "com.example.app";
const ACCOUNT: &str = "default#key";
const SECRET: &[u8] = b"fake-secret-of-an-item";

/// The items' key of the corpus.
const KEY: [u8; 32] = [7; 32];

/// KiB of memory: what asks for more is not derived here, for it takes time.
const MOST_MEMORY: u32 = 64;

/// Takes what may lie there. The first line says what the rest is: the file
/// `params`, the `header` of an item that is sealed with the right key, the
/// `name` of a file, or else a whole item.
///
/// # Panics
///
/// If a promise is broken.
pub fn feed(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == b'\n');
    let mode = parts.next().unwrap_or_default();
    let rest = parts.next().unwrap_or_default();
    match mode {
        b"params" => params(rest),
        b"header" => header(rest),
        b"name" => name(&String::from_utf8_lossy(rest)),
        // Nobody without the key makes a file that opens.
        _ => assert_corrupted(&sealed(rest)),
    }
}

fn item() -> ItemName {
    ItemName::new(APPLICATION, ACCOUNT).expect("a name")
}

fn sealed(file: &[u8]) -> Result<Vec<u8>, StoreErrorKind> {
    match opened(&item(), &SealingKey::from_bytes(KEY), file) {
        Ok(secret) => Ok(secret.expose().to_vec()),
        Err(error) => Err(error.kind),
    }
}

/// Whose item a header says it is, whatever else it says.
#[derive(Deserialize)]
struct Names {
    application: String,
    account: String,
}

fn assert_corrupted(read: &Result<Vec<u8>, StoreErrorKind>) {
    assert_eq!(*read, Err(StoreErrorKind::Corrupted));
}

/// A file that was made for another item is not this one's, whatever else its
/// header says.
fn header(header: &[u8]) {
    let read = sealed(&sealed_file::seal(
        &SealingKey::from_bytes(KEY),
        header,
        SECRET,
    ));
    let names: Option<Names> = serde_json::from_slice(header).ok();
    let is_named =
        names.is_some_and(|names| names.application == APPLICATION && names.account == ACCOUNT);
    match read {
        Ok(secret) => assert!(is_named && secret == SECRET),
        // A member that stands there twice is refused, too.
        read => assert_corrupted(&read),
    }
}

/// What is listed can be asked for again.
fn name(file: &str) {
    if let Some(listed) = item_of(APPLICATION, file) {
        let file = file_name(&listed, "list").expect("no longer than it was");
        assert_eq!(item_of(APPLICATION, &file), Some(listed));
    }
}

/// Parameters that were changed give an error, or the key they were made for.
fn params(file: &[u8]) {
    let items = StateFolder::in_memory();
    items.replace("params", file).expect("memory");
    let parameters = match Parameters::read(&items, "get") {
        Ok(parameters) => parameters.expect("the file is there"),
        Err(error) => return assert_eq!(error.kind, StoreErrorKind::Corrupted),
    };
    parameters.replace(&items, "set").expect("can be written");
    let again = Parameters::read(&items, "get").expect("what was written can be read");
    let again = again.expect("it is there");
    assert_eq!(again.id(), parameters.id());
    assert_eq!(again.cost(), parameters.cost());
    let too_much = parameters.cost().is_some_and(|cost| {
        cost.memory_kib > MOST_MEMORY && cost.memory_kib <= 1 << 20 || cost.passes > 4
    });
    if too_much {
        return;
    }
    let source = KeySource::Passphrase(SecretString::from(PASSPHRASE.to_owned()));
    match parameters.open(&source, "get") {
        Ok(key) => assert!(parameters.are_of(&key) && again.are_of(&key)),
        Err(error) => assert!(matches!(
            error.kind,
            StoreErrorKind::Corrupted | StoreErrorKind::WrongKey
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn corpus() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/encrypted_file")
    }

    #[test]
    fn every_file_of_the_corpus_is_an_error_or_what_it_was_made_for() {
        let mut read = 0;
        for file in fs::read_dir(corpus()).expect("lists") {
            let bytes = fs::read(file.expect("lists").path()).expect("reads");
            // Whole, cut off, and with a byte too many.
            for end in (0..bytes.len()).step_by(bytes.len() / 64 + 1) {
                feed(&bytes[..end]);
            }
            feed(&[&bytes[..], b"\0"].concat());
            feed(&bytes);
            read += 1;
        }
        assert!(read >= 8, "{read} seeds");
    }

    #[test]
    fn the_parameters_of_the_corpus_open_what_they_were_made_for() {
        for (file, is_ours) in [("params-passphrase", true), ("params-first-form", false)] {
            let bytes = fs::read(corpus().join(file)).expect("reads");
            let items = StateFolder::in_memory();
            let (_, text) = bytes.split_at(b"params\n".len());
            items.replace("params", text).expect("memory");
            let parameters = Parameters::read(&items, "get").expect("reads");
            let source = KeySource::Passphrase(SecretString::from(PASSPHRASE.to_owned()));
            let key = parameters.expect("there").open(&source, "get");
            assert_eq!(*key.expect("opens").expose() == KEY, is_ours, "{file}");
        }
    }
}
