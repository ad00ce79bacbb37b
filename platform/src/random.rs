//! Random bytes from the operating system.
//!
//! For keys, nonces, ids and jitter. There is no fallback: a machine without
//! randomness can't keep a secret, so the calls panic rather than go on.

/// Fills the slice with random bytes.
///
/// # Panics
///
/// When the operating system has no randomness to give.
pub fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

/// Gives `N` random bytes.
///
/// # Panics
///
/// When the operating system has no randomness to give.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_draws_differ() {
        assert_ne!(super::bytes::<16>(), super::bytes::<16>());
    }
}
