#![no_main]
// The program's own: its other parts are not built here.
#![expect(dead_code, reason = "the program uses more of it")]

#[path = "../../../vault-cli/src/credential/mod.rs"]
mod credential;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| credential::fuzzing::feed(bytes));
