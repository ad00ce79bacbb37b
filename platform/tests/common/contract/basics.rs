//! Absent, set, delete.

use super::suite::cases;
use super::{Bench, Case, assert_stored, letters, set, stored};

pub(super) const CASES: &[Case] = cases![
    absent_is_an_empty_answer,
    deleting_what_is_absent_is_no_error,
    what_one_instance_stores_another_reads,
    an_instance_opened_later_reads_what_was_stored,
    a_set_replaces_with_something_longer,
    a_set_replaces_with_something_shorter,
    a_set_of_the_same_again_leaves_it,
    a_set_leaves_exactly_one_item,
    accounts_stay_apart,
    a_delete_is_final_for_every_instance,
    a_delete_may_be_repeated,
    a_delete_takes_nothing_else_along,
    what_was_deleted_can_be_stored_again,
];

fn absent_is_an_empty_answer(bench: &Bench) {
    assert!(stored(&bench.one, &bench.item("absent")).is_empty());
    let nobody = super::item(&bench.application("nobody"), "absent");
    assert!(stored(&bench.one, &nobody).is_empty());
}

fn deleting_what_is_absent_is_no_error(bench: &Bench) {
    bench.one.delete(&bench.item("never")).expect("no error");
    let nobody = super::item(&bench.application("nobody"), "never");
    bench.one.delete(&nobody).expect("no error");
}

fn what_one_instance_stores_another_reads(bench: &Bench) {
    let item = bench.item("shared");
    set(&bench.one, &item, b"first");
    assert_stored(&bench.two, &item, b"first");
    set(&bench.two, &item, b"second");
    assert_stored(&bench.one, &item, b"second");
}

fn an_instance_opened_later_reads_what_was_stored(bench: &Bench) {
    let item = bench.item("later");
    set(&bench.one, &item, b"kept");
    assert_stored(&bench.open(), &item, b"kept");
}

fn a_set_replaces_with_something_longer(bench: &Bench) {
    let item = bench.item("longer");
    set(&bench.one, &item, b"short");
    set(&bench.two, &item, &letters(b'l', bench.usual()));
    assert_stored(&bench.one, &item, &letters(b'l', bench.usual()));
}

fn a_set_replaces_with_something_shorter(bench: &Bench) {
    let item = bench.item("shorter");
    set(&bench.one, &item, &letters(b'l', bench.usual()));
    set(&bench.two, &item, b"s");
    assert_stored(&bench.one, &item, b"s");
}

fn a_set_of_the_same_again_leaves_it(bench: &Bench) {
    let item = bench.item("same");
    for store in [&bench.one, &bench.one, &bench.two] {
        set(store, &item, b"same");
        assert_stored(&bench.one, &item, b"same");
    }
}

fn a_set_leaves_exactly_one_item(bench: &Bench) {
    let application = bench.application("one");
    let item = super::item(&application, "item");
    for round in 0..5 {
        set(&bench.one, &item, &[b'a' + round]);
        set(&bench.two, &item, &[b'A' + round]);
    }
    assert_stored(&bench.one, &item, b"E");
    assert_eq!(bench.one.list(&application).expect("answers"), [item]);
}

fn accounts_stay_apart(bench: &Bench) {
    let (work, key) = (bench.item("apart"), bench.item("apart#key"));
    set(&bench.one, &work, b"work");
    assert!(stored(&bench.two, &key).is_empty());
    set(&bench.two, &key, b"key");
    assert_stored(&bench.one, &work, b"work");
    assert_stored(&bench.one, &key, b"key");
}

fn a_delete_is_final_for_every_instance(bench: &Bench) {
    let item = bench.item("deleted");
    set(&bench.one, &item, b"x");
    assert_stored(&bench.two, &item, b"x");
    bench.one.delete(&item).expect("deletes");
    for store in [&bench.one, &bench.two, &bench.open()] {
        assert!(stored(store, &item).is_empty());
    }
}

fn a_delete_may_be_repeated(bench: &Bench) {
    let item = bench.item("repeated");
    set(&bench.one, &item, b"x");
    for store in [&bench.one, &bench.one, &bench.two] {
        store.delete(&item).expect("deletes");
    }
    assert!(stored(&bench.one, &item).is_empty());
}

fn a_delete_takes_nothing_else_along(bench: &Bench) {
    let (gone, stays) = (bench.item("goes"), bench.item("goes#not"));
    set(&bench.one, &gone, b"x");
    set(&bench.one, &stays, b"y");
    bench.one.delete(&gone).expect("deletes");
    assert_stored(&bench.one, &stays, b"y");
    let elsewhere = super::item(&bench.application("elsewhere"), "goes");
    set(&bench.one, &elsewhere, b"z");
    bench.two.delete(&gone).expect("deletes");
    assert_stored(&bench.one, &elsewhere, b"z");
}

fn what_was_deleted_can_be_stored_again(bench: &Bench) {
    let item = bench.item("again");
    set(&bench.one, &item, b"first");
    bench.one.delete(&item).expect("deletes");
    set(&bench.two, &item, b"second");
    assert_stored(&bench.one, &item, b"second");
}
