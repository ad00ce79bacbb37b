//! Sealing and opening.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use vault_platform::sealed_file::{SealedFileError, SealingKey, header, open, seal};

use super::suite::{Case, cases};
use super::{Bench, KEY};

pub(super) const CASES: &[Case<Bench>] = cases![
    payloads_of_all_lengths_come_back,
    payloads_of_all_bytes_come_back,
    headers_of_all_lengths_and_bytes_come_back,
    nothing_of_the_payload_is_in_the_clear,
    sealing_twice_never_gives_the_same_nonce,
    a_file_of_version_1_opens,
    what_is_in_the_clear_is_the_associated_data_byte_for_byte,
    every_flipped_bit_is_an_error,
    every_replaced_byte_is_an_error,
    a_flipped_bit_anywhere_in_a_mebibyte_is_an_error,
    every_cut_is_an_error,
    every_addition_is_an_error,
    another_key_opens_nothing,
    a_header_of_another_file_is_a_forgery,
    contents_of_another_file_are_a_forgery,
    a_length_that_lies_is_an_error,
    every_newer_version_is_told_from_damage,
    what_was_never_sealed_is_told_from_damage,
];

const MEBIBYTE: usize = 1 << 20;

/// Magic, version and the header's length, before the header.
const PREFIX: usize = 14;
const NONCE: usize = 24;
const TAG: usize = 16;

/// Bytes without a pattern that a cipher could keep.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn assert_comes_back(bench: &Bench, clear: &[u8], payload: &[u8]) {
    let sealed = seal(&bench.key, clear, payload);
    assert_eq!(
        sealed.len(),
        PREFIX + clear.len() + NONCE + payload.len() + TAG
    );
    assert!(header(&sealed).expect("sealed") == clear);
    let opened = open(&bench.key, &sealed).expect("opens");
    assert!(opened.expose() == payload, "{} bytes", payload.len());
}

fn error_of(bench: &Bench, sealed: &[u8]) -> Option<SealedFileError> {
    open(&bench.key, sealed).err()
}

fn payloads_of_all_lengths_come_back(bench: &Bench) {
    let borders = [1023, 1024, 4095, 4096, 4097, 65_535, 65_536, 65_537];
    for length in (0..300).chain(borders).chain([MEBIBYTE - 1, MEBIBYTE]) {
        assert_comes_back(bench, b"header", &noise(length));
    }
}

fn payloads_of_all_bytes_come_back(bench: &Bench) {
    for byte in 0..=u8::MAX {
        assert_comes_back(bench, b"header", &[byte]);
        assert_comes_back(bench, b"header", &[byte; 100]);
    }
    let all: Vec<u8> = (0..=u8::MAX).collect();
    assert_comes_back(bench, b"header", &all);
}

fn headers_of_all_lengths_and_bytes_come_back(bench: &Bench) {
    for length in (0..100).chain([255, 256, 65_535, 65_536, MEBIBYTE]) {
        assert_comes_back(bench, &noise(length), b"secret");
    }
    let all: Vec<u8> = (0..=u8::MAX).collect();
    assert_comes_back(bench, &all, b"secret");
}

fn nothing_of_the_payload_is_in_the_clear(bench: &Bench) {
    let sealed = seal(&bench.key, b"header", b"canary canary canary");
    assert!(!sealed.windows(4).any(|window| window == b"cana"));
    assert!(sealed.windows(6).any(|window| window == b"header"));
    let printed = format!("{:?} {:?}", bench.key, open(&bench.key, &sealed));
    let told = printed.contains("canary") || printed.contains("7, 7");
    assert!(!told, "{printed}");
}

fn sealing_twice_never_gives_the_same_nonce(bench: &Bench) {
    let mut nonces: Vec<Vec<u8>> = (0..1000)
        .map(|_| seal(&bench.key, b"", b"secret")[PREFIX..][..NONCE].to_vec())
        .collect();
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), 1000);
}

/// A file as this program's first version wrote it.
fn a_file_of_version_1_opens(bench: &Bench) {
    const KEPT: &[u8] = b"897661756c740d0a01000600000068656164657226c5502756a05ac1d90d8dc80d8e\
        e53d846c6662c5b8c7784be3b0222d2e2e9c24d9d3a7b986286bed610b101136";
    let kept = data_encoding::HEXLOWER.decode(KEPT).expect("hexadecimal");
    assert_eq!(header(&kept), Ok(&b"header"[..]));
    assert_eq!(open(&bench.key, &kept).expect("opens").expose(), b"secret");
}

/// The same with the cipher alone, in both directions.
fn what_is_in_the_clear_is_the_associated_data_byte_for_byte(bench: &Bench) {
    let cipher = XChaCha20Poly1305::new(&KEY.into());
    let sealed = seal(&bench.key, b"header", b"secret");
    let (associated, rest) = sealed.split_at(PREFIX + 6);
    assert_eq!(associated, b"\x89vault\r\n\x01\x00\x06\x00\x00\x00header");
    let (nonce, contents) = rest.split_first_chunk::<NONCE>().expect("a nonce");
    let payload = |msg, aad| Payload { msg, aad };
    let nonce = XNonce::from(*nonce);
    let opened = cipher.decrypt(&nonce, payload(contents, associated));
    assert_eq!(opened.expect("opens"), b"secret");

    let contents = cipher
        .encrypt(&nonce, payload(b"other", associated))
        .expect("seals");
    let made = [associated, &nonce, &contents].concat();
    assert_eq!(open(&bench.key, &made).expect("opens").expose(), b"other");
    let contents = cipher
        .encrypt(&nonce, payload(b"other", b"header"))
        .expect("seals");
    let made = [associated, &nonce, &contents].concat();
    assert_eq!(error_of(bench, &made), Some(SealedFileError::Forged));
}

fn every_flipped_bit_is_an_error(bench: &Bench) {
    let sealed = seal(&bench.key, b"header", b"secret");
    for index in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[index] ^= 1 << bit;
            let error = error_of(bench, &changed).unwrap_or_else(|| panic!("{index}, {bit}"));
            if index >= PREFIX {
                assert_eq!(error, SealedFileError::Forged, "byte {index}, bit {bit}");
            }
        }
    }
}

fn every_replaced_byte_is_an_error(bench: &Bench) {
    let mut sealed = seal(&bench.key, b"h", b"s");
    for index in 0..sealed.len() {
        let right = sealed[index];
        for wrong in (0..=u8::MAX).filter(|wrong| *wrong != right) {
            sealed[index] = wrong;
            assert!(error_of(bench, &sealed).is_some(), "byte {index}: {wrong}");
        }
        sealed[index] = right;
    }
}

fn a_flipped_bit_anywhere_in_a_mebibyte_is_an_error(bench: &Bench) {
    let mut sealed = seal(&bench.key, b"header", &noise(MEBIBYTE));
    let last = sealed.len() - 1;
    let places = (PREFIX..last).step_by(last / 6).chain([last - TAG, last]);
    for index in places {
        sealed[index] ^= 0x80;
        assert_eq!(
            error_of(bench, &sealed),
            Some(SealedFileError::Forged),
            "byte {index}"
        );
        sealed[index] ^= 0x80;
    }
    assert_eq!(error_of(bench, &sealed), None);
}

fn every_cut_is_an_error(bench: &Bench) {
    let sealed = seal(&bench.key, b"header", &noise(100));
    let without_contents = sealed.len() - 100;
    for length in 0..sealed.len() {
        let expected = match length {
            0 => SealedFileError::NotSealed,
            _ if length < without_contents => SealedFileError::Truncated,
            _ => SealedFileError::Forged,
        };
        let error = error_of(bench, &sealed[..length]);
        assert_eq!(error, Some(expected), "{length} bytes");
    }
    // The end without the beginning is no sealed file at all.
    for start in 1..sealed.len() {
        assert!(error_of(bench, &sealed[start..]).is_some(), "from {start}");
    }
}

fn every_addition_is_an_error(bench: &Bench) {
    let sealed = seal(&bench.key, b"header", b"secret");
    for index in 0..=sealed.len() {
        let mut longer = sealed.clone();
        longer.insert(index, b'x');
        assert!(error_of(bench, &longer).is_some(), "before byte {index}");
    }
    let twice = [&sealed[..], &sealed].concat();
    assert_eq!(error_of(bench, &twice), Some(SealedFileError::Forged));
}

fn another_key_opens_nothing(bench: &Bench) {
    let sealed = seal(&bench.key, b"header", b"secret");
    let mut others: Vec<[u8; 32]> = vec![[0; 32], [0xFF; 32]];
    for bit in 0..256 {
        let mut key = KEY;
        key[bit / 8] ^= 1 << (bit % 8);
        others.push(key);
    }
    for other in others.into_iter().map(SealingKey::from_bytes) {
        let error = open(&other, &sealed).err();
        assert_eq!(error, Some(SealedFileError::Forged));
    }
    let copy = bench.key.duplicate();
    assert_eq!(open(&copy, &sealed).expect("opens").expose(), b"secret");
}

fn a_header_of_another_file_is_a_forgery(bench: &Bench) {
    let [one, other] = [b"work", b"home"].map(|clear| seal(&bench.key, clear, b"secret"));
    let border = PREFIX + 4;
    let swapped = [&other[..border], &one[border..]].concat();
    assert_eq!(header(&swapped), Ok(&b"home"[..]));
    assert_eq!(error_of(bench, &swapped), Some(SealedFileError::Forged));
}

fn contents_of_another_file_are_a_forgery(bench: &Bench) {
    let [one, other] = [b"first!", b"second"].map(|payload| seal(&bench.key, b"same", payload));
    let border = PREFIX + 4 + NONCE;
    let swapped = [&one[..border], &other[border..]].concat();
    assert_eq!(error_of(bench, &swapped), Some(SealedFileError::Forged));
}

fn a_length_that_lies_is_an_error(bench: &Bench) {
    let sealed = seal(&bench.key, b"header", &noise(100));
    for length in (0..200).chain([u32::from(u16::MAX), u32::MAX - 1, u32::MAX]) {
        let mut changed = sealed.clone();
        changed[10..PREFIX].copy_from_slice(&length.to_le_bytes());
        if length != 6 {
            let error = error_of(bench, &changed).unwrap_or_else(|| panic!("{length}"));
            let cut = length > 106;
            assert_eq!(error == SealedFileError::Truncated, cut, "{length}");
        }
    }
}

fn every_newer_version_is_told_from_damage(bench: &Bench) {
    let mut sealed = seal(&bench.key, b"header", b"secret");
    for version in 2..=u16::MAX {
        sealed[8..10].copy_from_slice(&version.to_le_bytes());
        let newer = SealedFileError::TooNew { version };
        assert_eq!(error_of(bench, &sealed), Some(newer));
        assert_eq!(header(&sealed), Err(newer));
    }
    // There was none before the first.
    sealed[8..10].copy_from_slice(&[0, 0]);
    assert_eq!(error_of(bench, &sealed), Some(SealedFileError::NotSealed));
}

fn what_was_never_sealed_is_told_from_damage(bench: &Bench) {
    let noise = noise(1000);
    for other in [b"".as_slice(), b"{}", b"\n", b"\x88vault\r\n", &noise] {
        assert_eq!(error_of(bench, other), Some(SealedFileError::NotSealed));
        assert_eq!(header(other), Err(SealedFileError::NotSealed));
    }
}
