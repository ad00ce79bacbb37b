#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    vault_platform::store::encrypted_file::fuzzing::feed(bytes);
});
