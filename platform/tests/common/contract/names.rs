//! Lists, and names that are alike.

use vault_platform::store::{ItemName, StoreErrorKind};

use super::suite::cases;
use super::{Bench, Case, assert_stored, item, kind_of, set, stored, try_set};

pub(super) const CASES: &[Case] = cases![
    a_list_of_nothing_is_empty,
    a_list_has_each_item_once_and_sorted,
    a_list_forgets_what_was_deleted,
    applications_that_begin_or_end_alike_stay_apart,
    applications_that_differ_in_case_stay_apart,
    a_dot_or_slash_at_the_border_of_the_names_moves_no_item,
    accounts_that_differ_in_case_stay_apart,
    accounts_of_all_kinds_of_characters_are_kept,
    a_long_account_is_kept_or_refused,
];

fn accounts(bench: &Bench, application: &str) -> Vec<String> {
    let found = bench.one.list(application).expect("answers");
    assert!(found.iter().all(|item| item.application() == application));
    found.iter().map(|item| item.account().to_owned()).collect()
}

fn a_list_of_nothing_is_empty(bench: &Bench) {
    assert!(accounts(bench, &bench.application("nothing")).is_empty());
}

fn a_list_has_each_item_once_and_sorted(bench: &Bench) {
    let application = bench.application("sorted");
    for account in ["b", "a", "c#key", "c", "b"] {
        set(&bench.one, &item(&application, account), account.as_bytes());
    }
    for store in [&bench.one, &bench.two] {
        let expected = ["a", "b", "c", "c#key"].map(|account| item(&application, account));
        assert_eq!(store.list(&application).expect("answers"), expected);
    }
}

fn a_list_forgets_what_was_deleted(bench: &Bench) {
    let application = bench.application("forgets");
    for account in ["a", "b"] {
        set(&bench.one, &item(&application, account), b"x");
    }
    bench.two.delete(&item(&application, "a")).expect("deletes");
    assert_eq!(accounts(bench, &application), ["b"]);
    bench.two.delete(&item(&application, "b")).expect("deletes");
    assert!(accounts(bench, &application).is_empty());
}

/// Stores in each application, under one account, and asks that each sees its
/// own item only and loses only its own.
fn stay_apart(bench: &Bench, applications: &[String]) {
    let named = |application: &String| item(application, "work");
    for application in applications {
        bench.used.borrow_mut().push(application.clone());
        set(&bench.one, &named(application), application.as_bytes());
    }
    for application in applications {
        assert_stored(&bench.two, &named(application), application.as_bytes());
        assert_eq!(accounts(bench, application), ["work"], "{application}");
    }
    let (first, others) = applications.split_first().expect("some");
    bench.one.delete(&named(first)).expect("deletes");
    assert!(accounts(bench, first).is_empty());
    for application in others {
        assert_stored(&bench.two, &named(application), application.as_bytes());
    }
}

fn applications_that_begin_or_end_alike_stay_apart(bench: &Bench) {
    let base = bench.application("alike");
    let longer = [format!("{base}.x"), format!("{base}x"), format!("x{base}")];
    stay_apart(bench, &[&[base], &longer[..]].concat());
}

fn applications_that_differ_in_case_stay_apart(bench: &Bench) {
    let base = bench.application("case");
    let mut first = base.clone();
    first.replace_range(..1, "V");
    stay_apart(bench, &[base.to_uppercase(), base, first]);
}

fn a_dot_or_slash_at_the_border_of_the_names_moves_no_item(bench: &Bench) {
    let base = bench.application("border");
    for separator in ['.', '/', ':', '#', '@', '%'] {
        let long = format!("{base}{separator}b");
        bench.used.borrow_mut().push(long.clone());
        let (one, other) = (item(&long, "c"), item(&base, &format!("b{separator}c")));
        set(&bench.one, &other, b"other");
        // Not every store takes every application.
        match kind_of(try_set(&bench.one, &one, b"one")) {
            None => assert_stored(&bench.two, &one, b"one"),
            refused => assert_eq!(refused, Some(StoreErrorKind::Refused), "{long}"),
        }
        assert_stored(&bench.two, &other, b"other");
        bench.one.delete(&other).expect("deletes");
        assert!(accounts(bench, &base).is_empty(), "{separator}");
    }
}

fn accounts_that_differ_in_case_stay_apart(bench: &Bench) {
    let application = bench.application("accounts");
    for account in ["work", "Work", "WORK"] {
        set(&bench.one, &item(&application, account), account.as_bytes());
    }
    for account in ["work", "Work", "WORK"] {
        assert_stored(&bench.two, &item(&application, account), account.as_bytes());
    }
    assert_eq!(accounts(bench, &application), ["WORK", "Work", "work"]);
}

fn accounts_of_all_kinds_of_characters_are_kept(bench: &Bench) {
    let application = bench.application("characters");
    let mut names = [
        "a b",
        "a/b",
        "a\\b",
        "a:b;c",
        "..",
        ".",
        "-",
        "*",
        "?",
        "%2f",
        "%",
        "'\"<>|&",
        "con",
        "ends.",
        "ends ",
        " ",
        "\u{e4}\u{20ac}\u{1f600}",
        "a\u{308}",
        "work#key",
        "$HOME",
        "~",
    ];
    names.sort_unstable();
    for name in names {
        let value = name.escape_default().to_string();
        set(&bench.one, &item(&application, name), value.as_bytes());
    }
    for name in names {
        let found = stored(&bench.two, &item(&application, name));
        let value = name.escape_default().to_string();
        assert_eq!(found, [value.as_bytes()], "{name:?}");
    }
    assert_eq!(accounts(bench, &application), names);
}

fn a_long_account_is_kept_or_refused(bench: &Bench) {
    let application = bench.application("long");
    let named = |length| -> ItemName { item(&application, &"n".repeat(length)) };
    set(&bench.one, &named(100), b"x");
    assert_stored(&bench.two, &named(100), b"x");
    for length in [200, 300, 1000, 10_000] {
        match kind_of(try_set(&bench.one, &named(length), b"long")) {
            None => {
                assert_stored(&bench.two, &named(length), b"long");
                bench.one.delete(&named(length)).expect("deletes");
            }
            refused => assert_eq!(refused, Some(StoreErrorKind::Refused), "{length}"),
        }
        assert_eq!(accounts(bench, &application), ["n".repeat(100)], "{length}");
    }
}
