//! Absent, locked, hung, refused and too large are told apart.

use std::sync::mpsc;
use std::time::Duration;

use vault_platform::store::{Interaction, StoreErrorKind, StoreWorker};

use super::suite::cases;
use super::{Bench, Case, assert_stored, kind_of, open, set, stored, try_set};

pub(super) const CASES: &[Case] = cases![
    it_says_what_it_is,
    unlocking_asks_nobody_and_may_be_repeated,
    a_call_past_its_deadline_is_hung_and_the_next_one_works,
];

pub(super) const OF_A_LOCKED_STORE: &[Case] = cases![a_locked_store_is_locked_not_empty];

pub(super) const OF_A_REFUSED_STORE: &[Case] = cases![a_store_that_may_not_be_used_is_refused];

pub(super) const OF_OTHER_PROGRAMS: &[Case] = cases![
    what_another_program_wrote_is_no_panic,
    what_another_program_wrote_is_replaced_by_a_set,
    what_another_program_wrote_is_deleted,
];

const LONG: Duration = Duration::from_secs(60);

fn it_says_what_it_is(bench: &Bench) {
    assert_eq!(bench.one.kind(), bench.subject.kind);
    assert!(!bench.one.provider().is_empty());
    let limit = bench.one.capabilities().size_limit;
    assert!(limit.is_none_or(|limit| limit >= 1024), "{limit:?}");
}

fn unlocking_asks_nobody_and_may_be_repeated(bench: &Bench) {
    let worker = StoreWorker::new(bench.open());
    for _ in 0..2 {
        worker
            .call_within(LONG, "unlock", |store| store.unlock(Interaction::Forbidden))
            .expect("is ready");
    }
}

fn a_call_past_its_deadline_is_hung_and_the_next_one_works(bench: &Bench) {
    let worker = StoreWorker::new(bench.open());
    let item = bench.item("hung");
    set(&bench.one, &item, b"kept");
    let (go, gate) = mpsc::channel::<()>();
    let read = item.clone();
    let error = worker
        .call_within(Duration::from_millis(20), "get", move |store| {
            gate.recv().expect("let go");
            store.get(&read)
        })
        .expect_err("hung");
    assert_eq!(error.kind, StoreErrorKind::Hung);
    assert_eq!(error.store, bench.subject.kind);
    go.send(()).expect("the call waits");
    let found = worker
        .call_within(LONG, "get", move |store| store.get(&item))
        .expect("answers");
    assert_eq!(found[0].expose(), b"kept");
}

fn a_locked_store_is_locked_not_empty(bench: &Bench) {
    let lock = bench.subject.locked.expect("can be locked");
    let (there, absent) = (bench.item("there"), bench.item("locked-absent"));
    set(&bench.one, &there, b"kept");
    let locked = lock(&bench.place);
    for error in [
        locked.get(&there).expect_err("locked"),
        try_set(&locked, &there, b"x").expect_err("locked"),
        try_set(&locked, &absent, b"x").expect_err("locked"),
        locked.unlock(Interaction::Forbidden).expect_err("locked"),
    ] {
        assert_eq!(error.kind, StoreErrorKind::Locked, "{}", error.operation);
    }
    assert_stored(&bench.one, &there, b"kept");
    assert!(stored(&bench.one, &absent).is_empty());
}

fn a_store_that_may_not_be_used_is_refused(bench: &Bench) {
    let place = tempfile::tempdir().expect("a temporary folder");
    (bench.subject.prepare)(place.path());
    let refused = bench.subject.refused.expect("can be refused")(place.path());
    let item = bench.item("refused");
    let kinds = [
        kind_of(refused.get(&item).map(drop)),
        kind_of(try_set(&refused, &item, b"x")),
        kind_of(refused.delete(&item)),
        kind_of(refused.list(item.application()).map(drop)),
    ];
    assert_eq!(kinds, [Some(StoreErrorKind::Refused); 4]);
}

const FOREIGN: [&[u8]; 5] = [b"", b"x", b"{\"version\":1}", &[0; 4096], &[0xff; 37]];

/// Lets another program write over an item, and hands out the item.
fn spoiled(bench: &Bench, with: &[u8]) -> super::ItemName {
    let item = bench.item("foreign");
    set(&bench.one, &item, b"ours");
    bench.subject.spoil.expect("can be spoilt")(&bench.place, &item, with);
    item
}

fn what_another_program_wrote_is_no_panic(bench: &Bench) {
    for foreign in FOREIGN {
        let item = spoiled(bench, foreign);
        for store in [&bench.one, &open(bench.subject.kind, &bench.place)] {
            match store.get(&item) {
                Ok(found) => assert!(found.iter().all(|value| value.expose() == foreign)),
                Err(error) => assert_eq!(error.kind, StoreErrorKind::Corrupted),
            }
            assert!(store.list(item.application()).is_ok());
        }
    }
}

fn what_another_program_wrote_is_replaced_by_a_set(bench: &Bench) {
    for foreign in FOREIGN {
        let item = spoiled(bench, foreign);
        set(&bench.two, &item, b"new");
        assert_stored(&bench.one, &item, b"new");
    }
}

fn what_another_program_wrote_is_deleted(bench: &Bench) {
    for foreign in FOREIGN {
        let item = spoiled(bench, foreign);
        bench.two.delete(&item).expect("deletes");
        assert!(stored(&bench.one, &item).is_empty());
    }
}
