//! Reads the syntax of RFC 9110, section 11.6.1. A name that is followed by
//! `=` belongs to the challenge before it; one that is not begins the next.

use super::Challenge;

/// More than this of one response is not read.
const MOST_CHALLENGES: usize = 32;
const MOST_PARAMETERS: usize = 64;

/// Appends the challenges of one header's value.
pub(super) fn challenges(value: &[u8], found: &mut Vec<Challenge>) {
    let mut rest = Rest(value);
    // Parameters before any scheme belong to none.
    let mut inside = false;
    while found.len() < MOST_CHALLENGES {
        rest.skip(|byte| is_space(byte) || byte == b',');
        let Some(first) = rest.first() else {
            return;
        };
        let name = rest.take(is_token);
        if name.is_empty() {
            // A value without a name, or what can't be read.
            if first == b'"' {
                rest.quoted();
            } else {
                rest.take_one();
            }
            continue;
        }
        if rest.after_spaces() == Some(b'=') {
            let value = rest.value();
            if inside && let Some(challenge) = found.last_mut() {
                let parameters = &mut challenge.parameters;
                if parameters.len() < MOST_PARAMETERS {
                    parameters.push((lower(name), value));
                }
            }
            continue;
        }
        inside = true;
        found.push(Challenge {
            scheme: lower(name),
            parameters: Vec::new(),
        });
        rest.skip_token68();
    }
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn first(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn take_one(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !belongs(*byte));
        let (taken, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        taken
    }

    fn skip(&mut self, belongs: impl Fn(u8) -> bool) {
        self.take(belongs);
    }

    /// The next byte that is no space, which is not taken.
    fn after_spaces(&self) -> Option<u8> {
        self.0.iter().copied().find(|byte| !is_space(*byte))
    }

    /// What follows a name: `=` and a value, with or without quotes.
    fn value(&mut self) -> String {
        self.skip(is_space);
        self.take_one();
        self.skip(is_space);
        if self.first() == Some(b'"') {
            return self.quoted();
        }
        text(self.take(|byte| !is_space(byte) && byte != b','))
    }

    /// A quoted string; one that does not end goes to the end.
    fn quoted(&mut self) -> String {
        self.take_one();
        let mut value = Vec::new();
        while let Some(byte) = self.take_one() {
            match byte {
                b'"' => break,
                b'\\' => value.extend(self.take_one()),
                byte => value.push(byte),
            }
        }
        text(&value)
    }

    /// The other form of a challenge: one run of characters after the scheme,
    /// as `Negotiate` has it.
    fn skip_token68(&mut self) {
        let before = self.0;
        self.skip(is_space);
        self.skip(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        self.skip(|byte| byte == b'=');
        self.skip(is_space);
        if !matches!(self.first(), None | Some(b',')) {
            self.0 = before;
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn lower(name: &[u8]) -> String {
    text(name).to_ascii_lowercase()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
