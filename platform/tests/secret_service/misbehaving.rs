//! Prompts that are answered, declined or left alone, and services that don't
//! answer or go away: against the fake.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vault_platform::secret::SecretBytes;
use vault_platform::store::{
    self, Interaction, ItemName, SecretStore, StoreError, StoreErrorKind, StoreKind, StoreOptions,
    StoreWorker,
};

use crate::APPLICATION;
use crate::contract::item;
use crate::fake::{self, Fake, Person};
use crate::session::{Service, say};

/// What ends much sooner on any machine.
const LONG: Duration = Duration::from_secs(60);
/// What a test waits for in full.
const SHORT: Duration = Duration::from_millis(300);

/// The bus has one service at a time.
fn turn() -> Option<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::new(());
    if Service::of_this_session() != Some(Service::Nobody) {
        say("skipped: it is for `tests/run keyring`");
        return None;
    }
    Some(TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

fn open(call_deadline: Duration, prompt_deadline: Duration) -> Arc<dyn SecretStore> {
    let options = StoreOptions {
        call_deadline,
        prompt_deadline,
        ..StoreOptions::default()
    };
    store::open(StoreKind::SecretService, &options).expect("opens")
}

fn cause(error: &dyn Error) -> String {
    error.source().expect("a cause").to_string()
}

#[test]
fn a_prompt_that_is_answered_unlocks() {
    let Some(_turn) = turn() else { return };
    let fake = fake::start(Person::Unlocks);
    let store = open(LONG, LONG);
    store.unlock(Interaction::Allowed).expect("unlocked");
    assert_eq!(fake.state.shown.load(Ordering::SeqCst), 1);
    let found = store.get(&item(APPLICATION, "a")).expect("answers");
    assert!(found.is_empty());
}

#[test]
fn a_prompt_that_is_declined_leaves_it_locked_and_says_so() {
    let Some(_turn) = turn() else { return };
    let fake = fake::start(Person::Declines);
    let error = open(LONG, LONG)
        .unlock(Interaction::Allowed)
        .expect_err("declined");
    assert_eq!(error.kind, StoreErrorKind::Locked);
    assert_eq!(cause(&error), "the prompt was closed without unlocking");
    assert_eq!(fake.state.shown.load(Ordering::SeqCst), 1);
}

#[test]
fn where_nobody_may_be_asked_no_prompt_is_shown_and_nothing_searched() {
    let Some(_turn) = turn() else { return };
    let fake = fake::start(Person::IsAway);
    let store = open(LONG, LONG);
    let name = item(APPLICATION, "a");
    for error in [
        store.unlock(Interaction::Forbidden).expect_err("locked"),
        store.get(&name).expect_err("locked"),
        store.set(&name, &b"x".to_vec().into()).expect_err("locked"),
        store.delete(&name).expect_err("locked"),
        store.list(APPLICATION).expect_err("locked"),
        first_read(&*open(LONG, LONG), &name, Interaction::Forbidden).expect_err("locked"),
    ] {
        assert_eq!(error.kind, StoreErrorKind::Locked, "{}", error.operation);
    }
    assert_eq!(fake.state.shown.load(Ordering::SeqCst), 0);
    // KeePassXC would ask for its password.
    assert_eq!(fake.state.searches.load(Ordering::SeqCst), 0);
}

/// As a process begins that wants its key.
fn first_read(
    store: &dyn SecretStore,
    name: &ItemName,
    interaction: Interaction,
) -> Result<Vec<SecretBytes>, StoreError> {
    let mut done = 0;
    let read = store.unlock_and_get(name, interaction, &mut || done += 1);
    assert_eq!(done, 1, "what the caller does meanwhile is done once");
    read
}

#[test]
fn a_first_read_asks_a_person_once_and_then_searches() {
    let Some(_turn) = turn() else { return };
    let fake = fake::start(Person::Unlocks);
    let name = item(APPLICATION, "a");
    let asked = || {
        let (searches, shown) = (&fake.state.searches, &fake.state.shown);
        (
            searches.load(Ordering::SeqCst),
            shown.load(Ordering::SeqCst),
        )
    };
    let found = first_read(&*open(LONG, LONG), &name, Interaction::Allowed);
    assert!(found.expect("unlocked").is_empty());
    assert_eq!(asked(), (1, 1));
    // Open from the beginning.
    let found = first_read(&*open(LONG, LONG), &name, Interaction::Forbidden);
    assert!(found.expect("open").is_empty());
    assert_eq!(asked(), (2, 1));
}

#[test]
fn a_prompt_that_nobody_answers_ends_with_the_deadline_and_is_taken_back() {
    let Some(_turn) = turn() else { return };
    let fake = fake::start(Person::IsAway);
    let worker = StoreWorker::new(open(LONG, SHORT));
    let unlock = |store: &dyn SecretStore| store.unlock(Interaction::Allowed);
    let error = worker
        .call_within(LONG, "unlock", unlock)
        .expect_err("nobody answers");
    assert_eq!(error.kind, StoreErrorKind::Hung);
    assert_eq!(cause(&error), "nobody answered its prompt within 300ms");
    assert_eq!(fake.state.taken_back.load(Ordering::SeqCst), 1);
    // The store goes on: the next one who asks is answered.
    *fake.state.person.lock().expect("not poisoned") = Person::Unlocks;
    worker
        .call_within(LONG, "unlock", unlock)
        .expect("unlocked");
}

#[test]
fn a_service_that_goes_away_at_its_prompt_does_not_hold_the_caller() {
    let Some(_turn) = turn() else { return };
    let fake = fake::start(Person::IsAway);
    let state = fake.state.clone();
    let worker = StoreWorker::new(open(LONG, LONG));
    let asked = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            worker.call_within(2 * LONG, "unlock", |store| {
                store.unlock(Interaction::Allowed)
            })
        });
        while state.shown.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        fake.connection.close().expect("goes away");
        asked.join().expect("ends")
    });
    // It was tried again, and then nobody was there.
    assert_eq!(asked.expect_err("gone").kind, StoreErrorKind::Missing);
}

/// A service that asks before it stores something new.
fn that_asks_before_it_stores(person: Person) -> Fake {
    let fake = fake::start(person);
    fake.state.locked.store(false, Ordering::SeqCst);
    fake
}

fn set(store: &dyn SecretStore) -> Result<(), StoreError> {
    store.set(&item(APPLICATION, "a"), &b"x".to_vec().into())
}

#[test]
fn a_prompt_of_a_write_that_is_answered_stores_and_one_that_is_declined_does_not() {
    let Some(_turn) = turn() else { return };
    let fake = that_asks_before_it_stores(Person::Unlocks);
    let worker = StoreWorker::new(open(LONG, LONG));
    worker.call_within(LONG, "set", set).expect("stored");
    *fake.state.person.lock().expect("not poisoned") = Person::Declines;
    let error = worker.call_within(LONG, "set", set).expect_err("declined");
    assert_eq!(error.kind, StoreErrorKind::Locked);
    assert_eq!(fake.state.shown.load(Ordering::SeqCst), 2);
}

#[test]
fn a_prompt_of_a_write_that_nobody_answers_ends_with_the_deadline() {
    let Some(_turn) = turn() else { return };
    let fake = that_asks_before_it_stores(Person::IsAway);
    let worker = StoreWorker::new(open(LONG, SHORT));
    let error = worker.call_within(LONG, "set", set).expect_err("away");
    assert_eq!(error.kind, StoreErrorKind::Hung);
    assert_eq!(cause(&error), "nobody answered its prompt within 300ms");
    // The store goes on, on a new connection.
    *fake.state.person.lock().expect("not poisoned") = Person::Unlocks;
    worker.call_within(LONG, "set", set).expect("stored");
}

#[test]
fn a_service_that_goes_away_at_the_prompt_of_a_write_does_not_hold_it() {
    let Some(_turn) = turn() else { return };
    let fake = that_asks_before_it_stores(Person::IsAway);
    let state = fake.state.clone();
    let worker = StoreWorker::new(open(LONG, 10 * LONG));
    let asked = std::thread::scope(|scope| {
        let asked = scope.spawn(|| worker.call_within(LONG, "set", set));
        while state.shown.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        fake.connection.close().expect("goes away");
        asked.join().expect("ends")
    });
    // It was tried again, and then nobody was there.
    assert_eq!(asked.expect_err("gone").kind, StoreErrorKind::Missing);
}

/// gnome-keyring 42.1 ends at such a question, and says of an alias that there
/// is no such collection.
#[test]
fn a_service_that_does_not_know_its_client_yet_is_asked_nothing_but_an_alias() {
    let Some(_turn) = turn() else { return };
    let fake = fake::start(Person::IsAway);
    fake.state.locked.store(false, Ordering::SeqCst);
    fake.state.knows.store(false, Ordering::SeqCst);
    let found = open(LONG, LONG).get(&item(APPLICATION, "a"));
    assert!(found.expect("not locked").is_empty());
    assert_eq!(fake.state.too_early.load(Ordering::SeqCst), 0);
    assert_eq!(fake.state.searches.load(Ordering::SeqCst), 1);
}

#[test]
fn a_service_that_never_answers_is_hung() {
    let Some(_turn) = turn() else { return };
    let _mute = fake::mute();
    let store = open(SHORT, LONG);
    let name = item(APPLICATION, "a");
    for error in [
        store.unlock(Interaction::Allowed).expect_err("mute"),
        store.get(&name).expect_err("mute"),
        store.set(&name, &b"x".to_vec().into()).expect_err("mute"),
        store.delete(&name).expect_err("mute"),
        store.list(APPLICATION).expect_err("mute"),
    ] {
        assert_eq!(error.kind, StoreErrorKind::Hung, "{}", error.operation);
    }
}

#[test]
fn a_bus_without_a_secret_service_is_missing_and_says_so() {
    let Some(_turn) = turn() else { return };
    let error = open(LONG, LONG)
        .unlock(Interaction::Allowed)
        .expect_err("nobody");
    assert_eq!(error.kind, StoreErrorKind::Missing);
    assert_eq!(
        cause(&error),
        "no program on the session bus is a secret service"
    );
}
