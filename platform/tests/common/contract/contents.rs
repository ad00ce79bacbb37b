//! What a secret may be: its bytes, its size.

use vault_platform::store::StoreErrorKind;

use super::suite::cases;
use super::{Bench, Case, MEBIBYTE, assert_stored, kind_of, letters, set, sketch, stored, try_set};

pub(super) const CASES: &[Case] = cases![
    one_byte_survives,
    printable_characters_survive,
    every_byte_value_survives,
    zeros_survive,
    line_ends_survive,
    bytes_that_are_no_text_survive,
    text_beyond_ascii_survives,
    nothing_survives_or_is_refused,
    sizes_up_to_the_limit_survive,
    the_longest_survives,
    a_mebibyte_survives_or_is_too_large,
];

pub(super) const WITH_A_LIMIT: &[Case] = cases![
    a_byte_beyond_the_limit_is_too_large_and_changes_nothing,
    what_is_too_large_makes_no_item,
    too_large_is_said_by_the_error_without_the_secret,
];

/// Asks that the bytes survive, or are refused and change nothing where the
/// store may refuse them.
fn survives(bench: &Bench, value: &[u8], may_refuse: bool) {
    let item = bench.item("contents");
    set(&bench.one, &item, b"before");
    match kind_of(try_set(&bench.one, &item, value)) {
        None => assert_stored(&bench.two, &item, value),
        Some(kind) => {
            let shown = sketch(&[value.to_vec()]);
            assert!(may_refuse, "{shown:?}: {kind}");
            assert_eq!(kind, StoreErrorKind::Refused, "{shown:?}");
            assert_stored(&bench.two, &item, b"before");
        }
    }
}

fn any_bytes_survive(bench: &Bench, value: &[u8]) {
    survives(bench, value, !bench.subject.any_bytes);
}

fn one_byte_survives(bench: &Bench) {
    survives(bench, b"x", false);
}

fn printable_characters_survive(bench: &Bench) {
    let all: Vec<u8> = (b' '..=b'~').collect();
    survives(bench, &all, false);
    survives(bench, b" leading and trailing ", false);
    survives(bench, br#"{"json": "and \" quotes"}"#, false);
}

fn every_byte_value_survives(bench: &Bench) {
    let all: Vec<u8> = (0..=255).collect();
    any_bytes_survive(bench, &all);
    let backwards: Vec<u8> = all.iter().rev().copied().collect();
    any_bytes_survive(bench, &backwards);
    for byte in all {
        any_bytes_survive(bench, &[byte]);
    }
}

fn zeros_survive(bench: &Bench) {
    for value in [&b"\0"[..], &[0; 100], b"a\0b", b"\0a", b"a\0"] {
        any_bytes_survive(bench, value);
    }
}

fn line_ends_survive(bench: &Bench) {
    for value in [
        "\n",
        "\r\n",
        "two\nlines",
        "two\r\nlines\r\n",
        "end\n",
        "\r",
        "\t",
        "\u{1a}",
    ] {
        any_bytes_survive(bench, value.as_bytes());
    }
}

fn bytes_that_are_no_text_survive(bench: &Bench) {
    for value in [
        &[0xff, 0xfe][..],
        &[0xc3],
        &[0xc0, 0x80],
        &[0xed, 0xa0, 0x80],
        &[0xef, 0xbb, 0xbf, b'x'],
    ] {
        any_bytes_survive(bench, value);
    }
}

fn text_beyond_ascii_survives(bench: &Bench) {
    for value in [
        "\u{e4}\u{f6}\u{fc}",
        "\u{20ac}",
        "\u{1f511}",
        "a\u{308}",
        "\u{feff}x",
    ] {
        any_bytes_survive(bench, value.as_bytes());
    }
}

fn nothing_survives_or_is_refused(bench: &Bench) {
    survives(bench, b"", true);
}

/// A length's bytes differ from each other and from another length's.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| b'!' + u8::try_from((at / 90 + at + length) % 90).expect("below 90"))
        .collect()
}

fn sizes_up_to_the_limit_survive(bench: &Bench) {
    let item = bench.item("sizes");
    for power in 0..=20 {
        let size = 1_usize << power;
        for size in [size - 1, size, size + 1] {
            if (1..=bench.limit()).contains(&size) {
                set(&bench.one, &item, &pattern(size));
                assert_stored(&bench.two, &item, &pattern(size));
            }
        }
    }
}

fn the_longest_survives(bench: &Bench) {
    for size in [bench.limit() - 1, bench.limit()] {
        survives(bench, &pattern(size), false);
    }
}

fn a_mebibyte_survives_or_is_too_large(bench: &Bench) {
    let item = bench.item("mebibyte");
    set(&bench.one, &item, b"before");
    let limit = bench.one.capabilities().size_limit;
    match kind_of(try_set(&bench.one, &item, &pattern(MEBIBYTE))) {
        None => {
            assert_stored(&bench.two, &item, &pattern(MEBIBYTE));
            assert!(limit.is_none_or(|limit| limit >= MEBIBYTE));
        }
        Some(kind) => {
            let limit = limit.expect("a store without a limit takes a mebibyte");
            assert_eq!(kind, StoreErrorKind::TooLarge { limit });
            assert_stored(&bench.two, &item, b"before");
        }
    }
}

fn beyond(bench: &Bench) -> (usize, Vec<u8>) {
    let limit = bench.one.capabilities().size_limit.expect("has a limit");
    (limit, letters(b'x', limit + 1))
}

fn a_byte_beyond_the_limit_is_too_large_and_changes_nothing(bench: &Bench) {
    let (limit, long) = beyond(bench);
    let item = bench.item("beyond");
    set(&bench.one, &item, b"before");
    for value in [long.clone(), long.repeat(3)] {
        let kind = kind_of(try_set(&bench.one, &item, &value));
        assert_eq!(kind, Some(StoreErrorKind::TooLarge { limit }));
        assert_stored(&bench.two, &item, b"before");
    }
}

fn what_is_too_large_makes_no_item(bench: &Bench) {
    let (limit, long) = beyond(bench);
    let application = bench.application("too-large");
    let item = super::item(&application, "item");
    let kind = kind_of(try_set(&bench.one, &item, &long));
    assert_eq!(kind, Some(StoreErrorKind::TooLarge { limit }));
    assert!(stored(&bench.two, &item).is_empty());
    assert!(bench.two.list(&application).expect("answers").is_empty());
}

fn too_large_is_said_by_the_error_without_the_secret(bench: &Bench) {
    let (limit, _) = beyond(bench);
    let error =
        try_set(&bench.one, &bench.item("said"), &b"canary".repeat(limit)).expect_err("too large");
    assert_eq!(error.store, bench.subject.kind);
    assert_eq!(error.operation, "set");
    assert!(error.to_string().contains(&limit.to_string()), "{error}");
    assert!(!format!("{error:?} {error}").contains("canary"));
}
