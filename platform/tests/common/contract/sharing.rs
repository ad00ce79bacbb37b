//! Threads with instances of their own, at the same moment.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use super::suite::cases;
use super::{Bench, Case, item, letters, set, sketch, stored};

pub(super) const CASES: &[Case] = cases![
    a_reader_never_sees_absent_or_a_mix,
    a_list_never_misses_an_item_that_is_being_replaced,
    writers_at_once_leave_one_of_their_values,
    writers_of_different_items_leave_all_of_them,
    sets_and_deletes_at_once_leave_one_value_or_none,
    many_first_uses_at_once_agree,
];

const THREADS: u8 = 4;
const TIMES: u32 = 50;

/// Runs `work` in threads with their own instances, which begin together.
fn at_once(bench: &Bench, work: impl Fn(u8, &std::sync::Arc<dyn super::SecretStore>) + Sync) {
    let barrier = Barrier::new(THREADS.into());
    let stores: Vec<_> = (0..THREADS).map(|_| bench.open()).collect();
    std::thread::scope(|scope| {
        for (thread, store) in (0..).zip(&stores) {
            let (barrier, work) = (&barrier, &work);
            scope.spawn(move || {
                barrier.wait();
                work(thread, store);
            });
        }
    });
}

/// Replaces the item over and over in a thread, and lets `look` look meanwhile.
fn while_it_is_replaced(bench: &Bench, item: &super::ItemName, look: impl Fn(&[Vec<u8>; 2])) {
    let values = [
        letters(b'a', bench.usual()),
        letters(b'b', bench.usual() / 2),
    ];
    set(&bench.one, item, &values[0]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (store, values, done) = (&bench.one, &values, &done);
        scope.spawn(move || {
            let _finally = Finally(done);
            for _ in 0..TIMES {
                set(store, item, &values[1]);
                set(store, item, &values[0]);
            }
        });
        while !done.load(Ordering::Acquire) {
            look(values);
        }
    });
}

/// Says that the writer is done, also when it panicked.
struct Finally<'a>(&'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn a_reader_never_sees_absent_or_a_mix(bench: &Bench) {
    let item = bench.item("mixed");
    while_it_is_replaced(bench, &item, |values| {
        let found = stored(&bench.two, &item);
        assert!(
            found.len() == 1 && values.contains(&found[0]),
            "{:?}",
            sketch(&found)
        );
    });
}

fn a_list_never_misses_an_item_that_is_being_replaced(bench: &Bench) {
    let application = bench.application("listed");
    let item = item(&application, "item");
    while_it_is_replaced(bench, &item, |_| {
        let found = bench.two.list(&application).expect("answers");
        assert_eq!(found, std::slice::from_ref(&item));
    });
}

fn writers_at_once_leave_one_of_their_values(bench: &Bench) {
    let application = bench.application("writers");
    let item = item(&application, "item");
    at_once(bench, |thread, store| {
        for _ in 0..TIMES / 5 {
            set(store, &item, &letters(b'a' + thread, 100));
        }
    });
    let found = stored(&bench.one, &item);
    let is_one = |value: &Vec<u8>| (b'a'..b'a' + THREADS).any(|of| *value == letters(of, 100));
    assert!(
        found.len() == 1 && found.iter().all(is_one),
        "{:?}",
        sketch(&found)
    );
    assert_eq!(bench.two.list(&application).expect("answers"), [item]);
}

fn writers_of_different_items_leave_all_of_them(bench: &Bench) {
    let application = bench.application("different");
    let named = |thread: u8, at| item(&application, &format!("{thread}-{at}"));
    at_once(bench, |thread, store| {
        for at in 0..5 {
            set(store, &named(thread, at), &[b'a' + thread, b'0' + at]);
        }
    });
    for thread in 0..THREADS {
        for at in 0..5 {
            super::assert_stored(&bench.one, &named(thread, at), &[b'a' + thread, b'0' + at]);
        }
    }
    let found = bench.two.list(&application).expect("answers");
    assert_eq!(found.len(), usize::from(THREADS) * 5);
}

fn sets_and_deletes_at_once_leave_one_value_or_none(bench: &Bench) {
    let item = bench.item("contended");
    at_once(bench, |thread, store| {
        for _ in 0..TIMES / 5 {
            if thread % 2 == 0 {
                set(store, &item, &letters(b'a' + thread, 100));
            } else {
                store.delete(&item).expect("deletes");
            }
        }
    });
    let found = stored(&bench.one, &item);
    let is_one = |value: &Vec<u8>| [b'a', b'c'].iter().any(|of| *value == letters(*of, 100));
    assert!(
        found.len() <= 1 && found.iter().all(is_one),
        "{:?}",
        sketch(&found)
    );
    bench.two.delete(&item).expect("deletes");
    assert!(stored(&bench.one, &item).is_empty());
}

fn many_first_uses_at_once_agree(bench: &Bench) {
    let application = bench.application("first");
    let named = |thread: u8| item(&application, &format!("{thread}"));
    at_once(bench, |thread, store| {
        set(store, &named(thread), &[b'a' + thread]);
    });
    for thread in 0..THREADS {
        super::assert_stored(&bench.open(), &named(thread), &[b'a' + thread]);
    }
}
