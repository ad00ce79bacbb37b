//! What every store promises, as cases that are counted.
//!
//! A store joins with one line:
//!
//! ```text
//! contract::is_kept(Subject::new(StoreKind::Memory));
//! ```
//!
//! The cases work under application names of their own, on two instances of
//! the store and, where items outlive a process, in further processes.

mod basics;
mod contents;
mod errors;
mod names;
#[path = "../other.rs"]
mod other;
mod processes;
mod sharing;
#[path = "../suite.rs"]
mod suite;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vault_platform::secret::SecretBytes;
use vault_platform::store::{
    self, Interaction, ItemName, KeySource, PassphraseCost, Persistence, SecretStore, StoreError,
    StoreErrorKind, StoreKind, StoreOptions,
};

/// Opens a store in a place.
pub(crate) type Open = fn(&Path) -> Arc<dyn SecretStore>;

/// A store, and what has to be known to ask it everything.
pub(crate) struct Subject {
    /// What the line about it says.
    pub(crate) name: &'static str,
    pub(crate) kind: StoreKind,
    /// Whether it takes any bytes; else it may refuse what is not a line of
    /// printable characters.
    pub(crate) any_bytes: bool,
    /// Puts into the empty folder what the store needs: a file `key` or
    /// `passphrase`.
    pub(crate) prepare: fn(&Path),
    /// Opens it so that it is locked.
    pub(crate) locked: Option<Open>,
    /// Opens it so that it is refused.
    pub(crate) refused: Option<Open>,
    /// Whether a machine may do without it; then this is said, not failed.
    pub(crate) may_be_missing: bool,
    /// Cases that it is known not to pass, and why they don't matter to us is
    /// said where they are named.
    pub(crate) except: &'static [&'static str],
    /// Does to a stored item what another program could do that writes its own
    /// bytes under the item's name.
    pub(crate) spoil: Option<fn(&Path, &ItemName, &[u8])>,
}

impl Subject {
    pub(crate) fn new(kind: StoreKind) -> Self {
        Self {
            name: kind.as_str(),
            kind,
            any_bytes: true,
            prepare: |_| (),
            locked: None,
            refused: None,
            may_be_missing: false,
            except: &[],
            spoil: None,
        }
    }
}

/// Opens the store in a place, as this process or another one.
pub(crate) fn open(kind: StoreKind, place: &Path) -> Arc<dyn SecretStore> {
    let (key, passphrase) = (place.join("key"), place.join("passphrase"));
    let key = if key.exists() {
        Some(KeySource::KeyFile(key))
    } else {
        passphrase
            .exists()
            .then_some(KeySource::PassphraseFile(passphrase))
    };
    let options = StoreOptions {
        state_root: Some(place.join("state")),
        key,
        // Hundreds of instances are opened; each derives the key.
        passphrase_cost: PassphraseCost {
            memory_kib: 64,
            passes: 1,
            lanes: 1,
        },
        ..StoreOptions::default()
    };
    store::open(kind, &options).expect("opens")
}

/// Says, past the test harness, what this machine lacks, so that a test shows
/// nothing here; fails where `CI=true`, for a machine of CI has to have it.
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn lacking(what: &str) {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "this machine lacks {what}, and CI=true");
    suite::say(&format!("lacking: {what}"));
}

/// Asks a store for everything that it promises.
pub(crate) fn is_kept(subject: Subject) {
    let place = tempfile::tempdir().expect("a temporary folder");
    (subject.prepare)(place.path());
    let (one, two) = (
        open(subject.kind, place.path()),
        open(subject.kind, place.path()),
    );
    if subject.may_be_missing
        && let Err(missing) = one.unlock(Interaction::Forbidden)
        && missing.kind == StoreErrorKind::Missing
    {
        let why = std::error::Error::source(&missing).expect("a reason");
        lacking(&format!("the store {}: {why}", subject.name));
        return;
    }
    for store in [&one, &two] {
        store.unlock(Interaction::Forbidden).expect("ready");
    }
    let bench = Bench {
        application: format!("vault.test.{}.{}", subject.kind, std::process::id()),
        subject,
        place: place.path().to_owned(),
        used: RefCell::default(),
        one,
        two,
    };
    let mut cases = [
        basics::CASES,
        names::CASES,
        contents::CASES,
        sharing::CASES,
        errors::CASES,
    ]
    .concat();
    let capabilities = bench.one.capabilities();
    if capabilities.size_limit.is_some() {
        cases.extend(contents::WITH_A_LIMIT);
    }
    if capabilities.persistence != Persistence::Process {
        cases.extend(processes::CASES);
    }
    if bench.subject.locked.is_some() {
        cases.extend(errors::OF_A_LOCKED_STORE);
    }
    if bench.subject.refused.is_some() {
        cases.extend(errors::OF_A_REFUSED_STORE);
    }
    if bench.subject.spoil.is_some() {
        cases.extend(errors::OF_OTHER_PROGRAMS);
    }
    for name in bench.subject.except {
        let all = cases.len();
        cases.retain(|(case, _)| case != name);
        assert_eq!(cases.len(), all - 1, "no case {name}");
    }
    suite::run(bench.subject.name, &cases, &bench, Bench::clear);
}

type Case = suite::Case<Bench>;

/// What the cases work on.
struct Bench {
    subject: Subject,
    /// The application of the cases that need none of their own.
    application: String,
    place: PathBuf,
    /// The further applications, to be cleared after the case.
    used: RefCell<Vec<String>>,
    one: Arc<dyn SecretStore>,
    two: Arc<dyn SecretStore>,
}

impl Bench {
    /// Names an item of the common application.
    fn item(&self, account: &str) -> ItemName {
        item(&self.application, account)
    }

    /// Gives an application that no other case uses.
    fn application(&self, name: &str) -> String {
        let name = format!("{}.{name}", self.application);
        self.used.borrow_mut().push(name.clone());
        name
    }

    fn open(&self) -> Arc<dyn SecretStore> {
        open(self.subject.kind, &self.place)
    }

    /// Deletes what a case left: a real store must not keep the tests' items,
    /// and some have a quota. A failure here would hide the case's.
    fn clear(&self) {
        let applications = self.used.take();
        for application in applications.iter().chain([&self.application]) {
            for item in self.one.list(application).unwrap_or_default() {
                self.one.delete(&item).ok();
            }
        }
    }

    /// The longest secret that the cases try.
    fn limit(&self) -> usize {
        let limit = self.one.capabilities().size_limit;
        limit.unwrap_or(MEBIBYTE).min(MEBIBYTE)
    }

    /// A length that is common for tokens.
    fn usual(&self) -> usize {
        self.limit().min(2500)
    }
}

const MEBIBYTE: usize = 1 << 20;

pub(crate) fn item(application: &str, account: &str) -> ItemName {
    ItemName::new(application, account).expect("a valid name")
}

/// Gives so many times the same letter, so that a mix would be noticed.
fn letters(letter: u8, length: usize) -> Vec<u8> {
    vec![letter; length]
}

fn set(store: &Arc<dyn SecretStore>, item: &ItemName, value: &[u8]) {
    try_set(store, item, value).expect("stores");
}

fn try_set(store: &Arc<dyn SecretStore>, item: &ItemName, value: &[u8]) -> Result<(), StoreError> {
    store.set(item, &SecretBytes::from(value.to_vec()))
}

fn stored(store: &Arc<dyn SecretStore>, item: &ItemName) -> Vec<Vec<u8>> {
    let found = store.get(item).expect("answers");
    found
        .iter()
        .map(|secret| secret.expose().to_vec())
        .collect()
}

/// Shortens what a failing case would print.
fn sketch(found: &[Vec<u8>]) -> Vec<String> {
    let sketch = |value: &Vec<u8>| {
        let start = &value[..value.len().min(8)];
        format!("{} bytes {start:?}", value.len())
    };
    found.iter().map(sketch).collect()
}

/// Asks for exactly this one value.
fn assert_stored(store: &Arc<dyn SecretStore>, item: &ItemName, value: &[u8]) {
    let found = stored(store, item);
    assert!(
        found == [value],
        "{item:?} is {:?} instead of {:?}",
        sketch(&found),
        sketch(&[value.to_vec()])
    );
}

fn kind_of(result: Result<(), StoreError>) -> Option<StoreErrorKind> {
    result.err().map(|error| error.kind)
}
