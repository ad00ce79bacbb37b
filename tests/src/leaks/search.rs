//! Looks for secrets in what was kept: as they are, and in each form in which programs write bytes.
//!
//! A part of a secret is as bad as the whole: what is looked for are pieces of 16 bytes, from the
//! beginning, the end and in between, so that of a usual token no 31 characters in a row escape.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use data_encoding::{HEXLOWER, HEXUPPER};

use super::kept::{Canary, Kind, Place, SECRETS};

/// The bytes of a piece.
const PIECE: usize = 16;

/// A secret that is shorter proves nothing where it is found.
const SHORTEST: usize = 8;

/// The most pieces of one secret.
const MOST_PIECES: usize = 12;

/// So many secrets are looked for at once: more would want too much memory.
const AT_ONCE: usize = 1500;

/// What was found in a place.
#[derive(Debug)]
pub struct Row {
    /// Where.
    pub place: Place,
    /// How many outputs or files of it there are.
    pub sources: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What was found.
    pub hits: BTreeSet<Hit>,
}

/// A secret that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// What kind of secret it is.
    pub kind: Kind,
    /// The form it has there.
    pub form: &'static str,
    /// The file of the run's folder that it is in.
    pub source: PathBuf,
    /// At which byte.
    pub at: usize,
}

/// All secrets of a run.
///
/// # Errors
///
/// If they can't be read.
pub fn secrets(folder: &Path) -> io::Result<BTreeSet<Canary>> {
    let lines = match std::fs::read_to_string(folder.join(SECRETS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        lines => lines?,
    };
    lines
        .lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

/// Searches every place of a run's folder.
///
/// # Errors
///
/// If something can't be read.
pub fn search(folder: &Path) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for place in Place::ALL {
        let mut row = Row {
            place,
            sources: 0,
            bytes: 0,
            hits: BTreeSet::new(),
        };
        for source in super::kept::below(&place.folder(folder)) {
            row.sources += 1;
            row.bytes += source.metadata()?.len();
        }
        rows.push(row);
    }
    let secrets: Vec<Canary> = secrets(folder)?.into_iter().collect();
    for some in secrets.chunks(AT_ONCE) {
        let searcher = Searcher::of(some)?;
        for row in &mut rows {
            for source in super::kept::below(&row.place.folder(folder)) {
                searcher.look(row.place, &source, &mut row.hits)?;
            }
        }
    }
    Ok(rows)
}

/// What of these secrets is in the bytes, and in which form.
///
/// # Errors
///
/// If the secrets are not in base64.
pub fn found_in(secrets: &[Canary], bytes: &[u8]) -> io::Result<BTreeSet<(Kind, &'static str)>> {
    let searcher = Searcher::of(secrets)?;
    let found = searcher.automaton.find_iter(bytes);
    Ok(found
        .map(|found| searcher.meanings[found.pattern()])
        .collect())
}

struct Searcher {
    automaton: AhoCorasick,
    meanings: Vec<(Kind, &'static str)>,
}

impl Searcher {
    fn of(secrets: &[Canary]) -> io::Result<Self> {
        let mut patterns: BTreeMap<Vec<u8>, (Kind, &'static str)> = BTreeMap::new();
        for secret in secrets {
            let value = STANDARD.decode(&secret.value).map_err(io::Error::other)?;
            for piece in pieces(telling(secret.kind, &value)) {
                for (form, pattern) in forms(piece) {
                    patterns.entry(pattern).or_insert((secret.kind, form));
                }
            }
        }
        let (patterns, meanings): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        let automaton = AhoCorasick::new(patterns).map_err(io::Error::other)?;
        Ok(Self {
            automaton,
            meanings,
        })
    }

    fn look(&self, place: Place, source: &Path, hits: &mut BTreeSet<Hit>) -> io::Result<()> {
        for found in self.automaton.find_iter(&std::fs::read(source)?) {
            let (kind, form) = self.meanings[found.pattern()];
            if !place.purpose().contains(&kind) {
                hits.insert(Hit {
                    kind,
                    form,
                    source: source.to_owned(),
                    at: found.start(),
                });
            }
        }
        Ok(())
    }
}

/// The part of a secret that is like no other: of what is signed its signature, since header and
/// claims repeat what is no secret.
fn telling(kind: Kind, value: &[u8]) -> &[u8] {
    let dots = value.iter().filter(|byte| **byte == b'.').count();
    let signed = matches!(
        kind,
        Kind::IdToken | Kind::ClientAssertion | Kind::DpopProof | Kind::AccessToken
    );
    match value.iter().rposition(|byte| *byte == b'.') {
        Some(dot) if signed && dots == 2 => &value[dot + 1..],
        _ => value,
    }
}

fn pieces(value: &[u8]) -> Vec<&[u8]> {
    if value.len() < SHORTEST {
        return Vec::new();
    }
    if value.len() <= PIECE {
        return vec![value];
    }
    let mut pieces: Vec<&[u8]> = value.chunks_exact(PIECE).take(MOST_PIECES).collect();
    pieces.push(&value[value.len() - PIECE..]);
    pieces
}

/// The forms of a piece.
fn forms(piece: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let each = |write: fn(u8) -> String| piece.iter().map(|byte| write(*byte)).collect::<String>();
    let decimal = |separator| {
        let numbers: Vec<String> = piece.iter().map(u8::to_string).collect();
        numbers.join(separator).into_bytes()
    };
    let mut forms = vec![
        ("as it is", piece.to_vec()),
        ("escaped", piece.escape_ascii().to_string().into_bytes()),
        ("hex", HEXLOWER.encode(piece).into_bytes()),
        ("hex", HEXUPPER.encode(piece).into_bytes()),
        ("percent", each(|byte| format!("%{byte:02X}")).into_bytes()),
        ("percent", each(|byte| format!("%{byte:02x}")).into_bytes()),
        ("form", form(piece).into_bytes()),
        ("list of numbers", decimal(", ")),
        ("list of numbers", decimal(",")),
        ("UTF-16", piece.iter().flat_map(|byte| [*byte, 0]).collect()),
    ];
    for before in 0..3 {
        for encoder in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            forms.push(("base64", base64_within(piece, before, encoder)));
        }
    }
    forms
}

/// What is sent in a form's field.
fn form(piece: &[u8]) -> String {
    url::form_urlencoded::byte_serialize(piece).collect()
}

/// The characters of base64 that depend on the piece alone, where so many bytes stand before it.
fn base64_within(
    piece: &[u8],
    before: usize,
    encoder: &base64::engine::general_purpose::GeneralPurpose,
) -> Vec<u8> {
    let whole = [&[0].repeat(before), piece].concat();
    let text = encoder.encode(&whole).into_bytes();
    let first = (before * 8).div_ceil(6);
    let end = whole.len() * 8 / 6;
    text[first..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"rt-a-fake-refresh-token_of-48-characters-0123456";

    fn canary() -> Canary {
        Canary {
            kind: Kind::RefreshToken,
            value: STANDARD.encode(SECRET),
        }
    }

    fn found(text: &[u8]) -> Vec<&'static str> {
        let searcher = Searcher::of(&[canary()]).unwrap();
        let found = searcher.automaton.find_iter(text);
        found
            .map(|found| searcher.meanings[found.pattern()].1)
            .collect()
    }

    #[test]
    fn each_form_is_found_in_the_middle_of_other_text() {
        let debug = format!("{SECRET:?}");
        let utf_16: Vec<u8> = SECRET.iter().flat_map(|byte| [*byte, 0]).collect();
        for (form, text) in [
            ("as it is", SECRET.to_vec()),
            ("hex", HEXLOWER.encode(SECRET).into_bytes()),
            ("hex", HEXUPPER.encode(SECRET).into_bytes()),
            ("list of numbers", debug.into_bytes()),
            ("UTF-16", utf_16),
        ] {
            let text = [b"before ", text.as_slice(), b" after"].concat();
            assert_eq!(found(&text).first(), Some(&form));
        }
        for before in ["", "u", "us", "user:"] {
            let basic = STANDARD.encode([before.as_bytes(), SECRET].concat());
            assert_eq!(found(basic.as_bytes()).first(), Some(&"base64"), "{before}");
        }
        assert!(found(b"nothing of the kind, whatever else there is").is_empty());
    }

    #[test]
    fn a_part_of_a_secret_is_found() {
        for start in 0..SECRET.len() - 31 {
            let part = &SECRET[start..start + 31];
            assert!(!found(part).is_empty(), "from {start}");
        }
    }

    #[test]
    fn of_what_is_signed_the_signature_tells() {
        let signed = b"eyJhbGciOiJub25lIn0.eyJpc3MiOiJhIn0.the-signature-of-it";
        assert_eq!(telling(Kind::IdToken, signed), b"the-signature-of-it");
        assert_eq!(telling(Kind::RefreshToken, signed), signed);
    }
}
