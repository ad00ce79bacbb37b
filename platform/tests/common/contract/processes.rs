//! What several processes see of each other's items.

use super::other::{self, Other};
use super::suite::cases;
use super::{Bench, Case, assert_stored, item, letters, open, set, sketch, stored};

pub(super) const CASES: &[Case] = cases![
    another_process_reads_what_this_one_stored,
    this_process_reads_what_another_stored,
    another_process_replaces,
    another_process_deletes,
    another_process_lists,
    what_a_killed_process_stored_stays,
    a_reader_never_sees_a_mix_while_another_process_writes,
    processes_that_write_at_once_leave_one_value,
    processes_whose_first_uses_meet_agree,
];

/// Starts a process with the store open.
fn start(bench: &Bench, application: &str) -> Other {
    let test = format!("{}::child_store", own_path());
    let place = bench.place.to_str().expect("utf-8");
    let mut other = Other::start(&test, &[bench.subject.kind.as_str(), place, application]);
    assert_eq!(other.answer(), "ready");
    other
}

/// The path of this module within the test binary, as the harness names it.
fn own_path() -> &'static str {
    module_path!().split_once("::").expect("in a crate").1
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[test]
#[ignore = "a child process of the contract"]
fn child_store() {
    let mut orders = other::orders();
    let mut first = || orders.next().expect("an order");
    let (kind, place, application) = (first(), first(), first());
    let store = open(kind.parse().expect("a kind"), place.as_ref());
    other::answer("ready");
    for order in orders {
        let words: Vec<&str> = order.split('\t').collect();
        let value = |at: usize| {
            let hex = words.get(at).expect("a value");
            data_encoding::HEXLOWER
                .decode(hex.as_bytes())
                .expect("hexadecimal")
        };
        match words[..] {
            ["get", account] => {
                let found = stored(&store, &item(&application, account));
                let found: Vec<String> = found.iter().map(|value| hex(value)).collect();
                other::answer(&format!("{} {}", found.len(), found.join(" ")));
            }
            ["set", account, _] => {
                set(&store, &item(&application, account), &value(2));
                other::answer("done");
            }
            ["replace", account, times, _, _] => {
                other::answer("begins");
                for _ in 0..times.parse().expect("a number") {
                    set(&store, &item(&application, account), &value(3));
                    set(&store, &item(&application, account), &value(4));
                }
                other::answer("done");
            }
            ["delete", account] => {
                store.delete(&item(&application, account)).expect("deletes");
                other::answer("done");
            }
            ["list"] => {
                let found = store.list(&application).expect("answers");
                let found: Vec<&str> = found.iter().map(super::ItemName::account).collect();
                other::answer(&found.join(" "));
            }
            _ => panic!("{order}"),
        }
    }
}

fn another_process_reads_what_this_one_stored(bench: &Bench) {
    let mut other = start(bench, &bench.application);
    assert_eq!(other.ask("get\tread"), "0");
    set(&bench.one, &bench.item("read"), b"first");
    assert_eq!(other.ask("get\tread"), format!("1 {}", hex(b"first")));
    set(&bench.two, &bench.item("read"), b"second");
    assert_eq!(other.ask("get\tread"), format!("1 {}", hex(b"second")));
    bench.one.delete(&bench.item("read")).expect("deletes");
    assert_eq!(other.ask("get\tread"), "0");
}

fn this_process_reads_what_another_stored(bench: &Bench) {
    let mut other = start(bench, &bench.application);
    let long = letters(b'l', bench.limit());
    for value in [b"x", &long[..]] {
        other.ask(&format!("set\twritten\t{}", hex(value)));
        assert_stored(&bench.one, &bench.item("written"), value);
    }
}

fn another_process_replaces(bench: &Bench) {
    let mut other = start(bench, &bench.application);
    set(&bench.one, &bench.item("turns"), b"here");
    other.ask(&format!("set\tturns\t{}", hex(b"there")));
    assert_stored(&bench.one, &bench.item("turns"), b"there");
    set(&bench.one, &bench.item("turns"), b"here again");
    assert_eq!(other.ask("get\tturns"), format!("1 {}", hex(b"here again")));
}

fn another_process_deletes(bench: &Bench) {
    let mut other = start(bench, &bench.application);
    set(&bench.one, &bench.item("goes"), b"x");
    other.ask("delete\tgoes");
    assert!(stored(&bench.one, &bench.item("goes")).is_empty());
    other.ask("delete\tgoes");
    bench.one.delete(&bench.item("goes")).expect("deletes");
}

fn another_process_lists(bench: &Bench) {
    let application = bench.application("elsewhere-listed");
    let mut other = start(bench, &application);
    assert_eq!(other.ask("list"), "");
    set(&bench.one, &item(&application, "b"), b"x");
    other.ask(&format!("set\ta\t{}", hex(b"y")));
    assert_eq!(other.ask("list"), "a b");
    let expected = ["a", "b"].map(|account| item(&application, account));
    assert_eq!(bench.two.list(&application).expect("answers"), expected);
}

fn what_a_killed_process_stored_stays(bench: &Bench) {
    let mut other = start(bench, &bench.application);
    other.ask(&format!("set\tkilled\t{}", hex(b"kept")));
    other.kill();
    assert_stored(&bench.one, &bench.item("killed"), b"kept");
    assert_stored(&bench.open(), &bench.item("killed"), b"kept");
}

fn a_reader_never_sees_a_mix_while_another_process_writes(bench: &Bench) {
    let item = bench.item("processes-mixed");
    let values = [letters(b'a', bench.usual()), letters(b'b', 10)];
    set(&bench.one, &item, &values[0]);
    let mut other = start(bench, &bench.application);
    let [one, two] = [hex(&values[0]), hex(&values[1])];
    let begins = other.ask(&format!("replace\tprocesses-mixed\t50\t{two}\t{one}"));
    assert_eq!(begins, "begins");
    let ended = std::thread::scope(|scope| {
        let end = scope.spawn(move || other.answer());
        loop {
            let found = stored(&bench.two, &item);
            assert!(
                found.len() == 1 && values.contains(&found[0]),
                "{:?}",
                sketch(&found)
            );
            if end.is_finished() {
                break end.join().expect("ended well");
            }
        }
    });
    assert_eq!(ended, "done");
}

/// Starts processes and gives them one order each at the same moment.
fn all_at_once(bench: &Bench, application: &str, order: impl Fn(u8) -> String) {
    let mut others: Vec<Other> = (0..4).map(|_| start(bench, application)).collect();
    for (index, other) in (0..).zip(&mut others) {
        other.order(&order(index));
    }
    for other in &mut others {
        while other.answer() != "done" {}
    }
}

fn processes_that_write_at_once_leave_one_value(bench: &Bench) {
    let item = bench.item("processes");
    all_at_once(bench, &bench.application, |index| {
        let value = hex(&letters(b'a' + index, 100));
        format!("replace\tprocesses\t10\t{value}\t{value}")
    });
    let found = stored(&bench.one, &item);
    let is_one = |value: &Vec<u8>| (b'a'..=b'd').any(|of| *value == letters(of, 100));
    assert!(
        found.len() == 1 && found.iter().all(is_one),
        "{:?}",
        sketch(&found)
    );
}

fn processes_whose_first_uses_meet_agree(bench: &Bench) {
    let application = bench.application("first-processes");
    all_at_once(bench, &application, |index| {
        format!("set\t{index}\t{}", hex(&[b'a' + index]))
    });
    for index in 0..4 {
        let item = item(&application, &index.to_string());
        assert_stored(&bench.one, &item, &[b'a' + index]);
    }
}
