//! Makes tokens and codes, and reduces them to digests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a token or code.
pub(in crate::server) type Digest = [u8; 32];

pub(in crate::server) fn digest(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}

/// The first 16 hexadecimal digits of a token's SHA-256.
pub(in crate::server) fn fingerprint(token: &str) -> String {
    data_encoding::HEXLOWER.encode(&digest(token)[..8])
}

/// `prefix` and then random base64url characters, `length` in all but never fewer than 22
/// random ones (132 bits).
pub(super) fn mint(prefix: &str, length: usize) -> String {
    let random = length.saturating_sub(prefix.len()).max(22);
    let mut token = String::with_capacity(prefix.len() + random);
    token.push_str(prefix);
    token.push_str(&random_text(random));
    token
}

/// Random base64url characters.
pub(in crate::server) fn random_text(length: usize) -> String {
    let mut bytes = vec![0; length.div_ceil(4) * 3];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes");
    let mut text = URL_SAFE_NO_PAD.encode(&bytes);
    text.truncate(length);
    text
}

/// A user code of two groups of four letters that nobody confuses (RFC 8628 section 6.1).
pub(super) fn user_code() -> String {
    const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes");
    let mut code: String = bytes
        .iter()
        .map(|&byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]))
        .collect();
    code.insert(4, '-');
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_prefix_and_its_length() {
        let token = mint("canary-", 6000);
        assert!(token.starts_with("canary-"));
        assert_eq!(token.len(), 6000);
        assert_ne!(mint("", 64), mint("", 64));
        assert_eq!(mint("a-long-prefix", 4).len(), "a-long-prefix".len() + 22);
    }

    #[test]
    fn a_user_code_can_be_read_aloud() {
        let code = user_code();
        assert_eq!(code.len(), 9);
        assert!(
            code.bytes()
                .all(|byte| byte == b'-' || b"BCDFGHJKLMNPQRSTVWXZ".contains(&byte))
        );
    }
}
