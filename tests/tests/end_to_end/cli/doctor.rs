//! Each fault that `doctor` knows, made for real: it is found under its code,
//! what the hint says is done, and all is well again.

mod bench;
mod folder;
mod login;
mod server;
mod store;
mod tokens;

use std::collections::BTreeSet;

use bench::{Bench, Row};
use vault_core::diagnosis::{Code, Verdict};

/// What can be made wrong on any machine.
fn rows() -> Vec<Row> {
    let groups = [
        folder::ROWS,
        store::ROWS,
        login::ROWS,
        server::ROWS,
        tokens::ROWS,
    ];
    groups.concat()
}

#[track_caller]
fn try_all(rows: &[Row]) {
    for row in rows {
        let mut bench = Bench::new();
        eprintln_row(row);
        (row.act)(&mut bench);
        bench.is_healthy();
    }
}

/// Which row it is that a failure is about.
#[expect(clippy::print_stderr, reason = "shown only with a failure")]
fn eprintln_row(row: &Row) {
    eprintln!("{}: {}", row.code, row.what);
}

#[test]
fn every_code_of_a_fault_has_a_row_of_its_own() {
    let rows = rows();
    let tried: BTreeSet<_> = rows.iter().map(|row| row.code).collect();
    assert_eq!(tried.len(), rows.len(), "{tried:?}");
    let is_fault = |code: &&Code| matches!(code.verdict(), Verdict::Failed | Verdict::Warning);
    let codes = Code::ALL.iter().filter(is_fault).map(|code| code.as_str());
    assert_eq!(tried, codes.collect());
}

#[test]
fn faults_of_the_folder_are_found_and_mended() {
    try_all(folder::ROWS);
}

#[test]
fn faults_of_the_store_are_found_and_mended() {
    try_all(store::ROWS);
}

#[test]
fn faults_of_what_is_stored_are_found_and_mended() {
    try_all(login::ROWS);
}

#[test]
fn faults_of_the_server_are_found_and_mended() {
    try_all(server::ROWS);
}

#[test]
fn faults_of_the_tokens_are_found_and_mended() {
    try_all(tokens::ROWS);
}
