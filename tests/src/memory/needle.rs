//! What is looked for: pieces of a secret, in every form that it may have been written in.
//!
//! A block that was freed keeps most of its contents, but not their beginning, where the allocator
//! keeps its lists. So each form is cut into pieces, and a piece that is found tells where its copy
//! begins: what has the same beginning is one copy.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Bytes of a piece: of random text, enough not to be found by chance.
pub(super) const PIECE: usize = 16;

/// Something that must not be found.
#[derive(Clone, Debug)]
pub(super) struct Canary {
    /// What kind of secret it is; several may have the same name.
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
}

impl Canary {
    pub(super) fn new(name: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name,
            bytes: bytes.into(),
        }
    }

    /// Each form, by its name. Base64 depends on where in a longer text the secret begins.
    pub(super) fn forms(&self) -> Vec<(&'static str, Vec<u8>)> {
        let bytes = &self.bytes;
        let mut forms = vec![
            ("plain", bytes.clone()),
            ("hex", data_encoding::HEXLOWER.encode(bytes).into_bytes()),
            ("hex", data_encoding::HEXUPPER.encode(bytes).into_bytes()),
        ];
        for skipped in 0..3 {
            // The last character may be shared with what follows.
            let whole = bytes.len().saturating_sub(skipped) / 3 * 3;
            let part = &bytes[skipped..skipped + whole];
            forms.push(("base64", STANDARD_NO_PAD.encode(part).into_bytes()));
            forms.push(("base64", URL_SAFE_NO_PAD.encode(part).into_bytes()));
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => URL_SAFE_NO_PAD.encode(bytes),
        };
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        forms.push(("utf-16", units.collect()));
        forms
    }
}

/// A piece of a form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    pub(super) bytes: [u8; PIECE],
    /// Which canary's.
    pub(super) canary: usize,
    pub(super) form: &'static str,
    /// Where in the form it is.
    pub(super) offset: usize,
}

/// The pieces of some canaries, ready to be looked for.
#[derive(Debug)]
pub(super) struct Needles {
    pieces: Vec<Piece>,
    search: AhoCorasick,
}

impl Needles {
    pub(super) fn of(canaries: &[Canary]) -> Self {
        let mut pieces = BTreeSet::new();
        for (canary, of) in canaries.iter().enumerate() {
            for (form, text) in of.forms() {
                for (index, bytes) in text.as_chunks::<PIECE>().0.iter().enumerate() {
                    pieces.insert(Piece {
                        bytes: *bytes,
                        canary,
                        form,
                        offset: index * PIECE,
                    });
                }
            }
        }
        let pieces: Vec<_> = pieces.into_iter().collect();
        let search = AhoCorasick::new(pieces.iter().map(|piece| piece.bytes));
        Self {
            search: search.expect("not so many"),
            pieces,
        }
    }

    /// Calls `found` with each piece that is in the bytes, and where.
    pub(super) fn search(&self, bytes: &[u8], mut found: impl FnMut(&Piece, usize)) {
        for hit in self.search.find_overlapping_iter(bytes) {
            found(&self.pieces[hit.pattern().as_usize()], hit.start());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "rt-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    fn found(haystack: &[u8]) -> BTreeSet<(&'static str, usize)> {
        let needles = Needles::of(&[Canary::new("token", SECRET)]);
        let mut all = BTreeSet::new();
        needles.search(haystack, |piece, place| {
            all.insert((piece.form, place.wrapping_sub(piece.offset)));
        });
        all
    }

    #[test]
    fn each_form_is_found_once_wherever_it_begins() {
        for (form, text) in Canary::new("token", SECRET).forms() {
            let haystack = [b"......".as_slice(), &text, b"....."].concat();
            let hits = found(&haystack);
            assert!(hits.contains(&(form, 6)), "{form}: {hits:?}");
            assert_eq!(hits.len(), 1, "{form}: {hits:?}");
        }
    }

    #[test]
    fn a_secret_within_base64_is_found_at_every_alignment() {
        for before in ["", "a", "ab", "client:", "{\"refresh_token\":\""] {
            let text = STANDARD_NO_PAD.encode(format!("{before}{SECRET}\"}}"));
            let hits = found(text.as_bytes());
            assert_eq!(hits.len(), 1, "{before}: {hits:?}");
        }
    }

    #[test]
    fn a_copy_without_its_beginning_is_found() {
        let freed = [[0_u8; 16].as_slice(), &SECRET.as_bytes()[16..]].concat();
        assert_eq!(found(&freed), BTreeSet::from([("plain", 0)]));
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        assert!(found(&[b'r'; 10_000]).is_empty());
        assert!(found(&SECRET.as_bytes()[..15]).is_empty());
    }
}
