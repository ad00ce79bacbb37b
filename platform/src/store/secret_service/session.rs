//! A session: secrets cross the bus encrypted.
//!
//! The algorithm is the specification's `dh-ietf1024-sha256-aes128-cbc-pkcs7`:
//! Diffie-Hellman in the second Oakley group (RFC 2409), HKDF (RFC 5869) and
//! AES. It keeps a secret out of the bus daemon's memory and of what listens on
//! the bus; whom it was agreed with, the bus alone vouches for.
//!
//! Every process that reads an item pays for the two powers. The group's own
//! strength is 80 bits, for which private numbers of 160 would do (NIST SP
//! 800-56A, revision 2, set FA); those of 192 bits take a fifth of what numbers
//! of the group's size would.
//!
//! Programs differ on numbers whose first byte is special, and would go on with
//! another key than ours: one of 256 sessions with KWallet (5.103) failed, and a
//! few left something else than what was written. So such numbers are not used:
//!
//! - a public number of ours that begins with 0xff: KWallet's arithmetic takes it
//!   for a negative one, which may be written shorter;
//! - an agreed secret that begins with a zero: RFC 2631 keeps it, KWallet leaves
//!   it out.

use std::cell::OnceCell;
use std::fmt;

use aes::Aes128;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use crypto_bigint::modular::ConstMontyForm;
use crypto_bigint::{U192, U1024, const_monty_params};
use hkdf::Hkdf;
use sha2::Sha256;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zeroize::{Zeroize, Zeroizing};

use super::error::BusError;
use crate::random;
use crate::secret::SecretBytes;
use crate::store::StoreErrorKind;

/// The name of the algorithm.
pub(super) const ALGORITHM: &str = "dh-ietf1024-sha256-aes128-cbc-pkcs7";

/// Bytes of the group's numbers.
const SIZE: usize = 128;

/// Bytes of a block, a key and an initialization vector.
const BLOCK: usize = 16;

const_monty_params!(
    Oakley,
    U1024,
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd1\
     29024e088a67cc74020bbea63b139b22514a08798e3404dd\
     ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245\
     e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed\
     ee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381\
     ffffffffffffffff",
    "The prime of the second Oakley group."
);

type Number = ConstMontyForm<Oakley, { U1024::LIMBS }>;

/// A secret as it crosses the bus: session, initialization vector, contents,
/// content type.
pub(super) type Sealed = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

/// Our half of an agreement.
#[derive(Clone)]
pub(super) struct KeyPair {
    private: Zeroizing<U192>,
    public: U1024,
}

/// What was agreed on. The cipher and its key are made when they are needed, or
/// before, where there is time.
pub(super) struct Session {
    path: OwnedObjectPath,
    ours: KeyPair,
    theirs: U1024,
    /// Nothing, where the agreed secret can't be used.
    cipher: OnceCell<Option<Aes128>>,
}

impl KeyPair {
    pub(super) fn generate() -> Self {
        loop {
            let random = Zeroizing::new(random::bytes::<24>());
            let private = Zeroizing::new(U192::from_be_slice(&*random));
            let public = power(&U1024::from_u8(2), &private);
            if !may_look_negative(&public) {
                return Self { private, public };
            }
        }
    }

    /// What the service is told.
    pub(super) fn public(&self) -> Value<'static> {
        Value::from(self.public.to_be_bytes().as_ref().to_vec())
    }

    /// Ends the agreement with what the service said.
    pub(super) fn agree(
        &self,
        (public, path): (OwnedValue, OwnedObjectPath),
    ) -> Result<Session, BusError> {
        let public = Vec::<u8>::try_from(public).map_err(zbus::Error::from)?;
        let theirs = number(&public).ok_or_else(|| failed("the service's key is no key"))?;
        Ok(Session {
            path,
            ours: self.clone(),
            theirs,
            cipher: OnceCell::new(),
        })
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyPair")
    }
}

impl Session {
    pub(super) fn path(&self) -> &OwnedObjectPath {
        &self.path
    }

    /// Derives the key, if that was not done yet.
    pub(super) fn derive(&self) {
        // What fails is told when the key is used.
        self.cipher().ok();
    }

    /// An error is over with another session.
    fn cipher(&self) -> Result<&Aes128, BusError> {
        let cipher = self.cipher.get_or_init(|| {
            let mut shared = power(&self.theirs, &self.ours.private);
            let mut bytes = Zeroizing::new([0; SIZE]);
            bytes.copy_from_slice(shared.to_be_bytes().as_ref());
            shared.zeroize();
            if bytes[0] == 0 {
                return None;
            }
            let mut key = Zeroizing::new([0; BLOCK]);
            Hkdf::<Sha256>::new(None, &*bytes)
                .expand(&[], &mut *key)
                .expect("HKDF gives far more than one key");
            Some(Aes128::new((&*key).into()))
        });
        cipher
            .as_ref()
            .ok_or_else(|| failed("the session's secret begins with a zero"))
    }

    pub(super) fn seal(
        &self,
        secret: &SecretBytes,
        content_type: &str,
    ) -> Result<Sealed, BusError> {
        let vector = random::bytes::<BLOCK>();
        // Room for the padding.
        let mut contents = Zeroizing::new(vec![0; secret.len() + BLOCK]);
        contents[..secret.len()].copy_from_slice(secret.expose());
        let cipher = cbc::Encryptor::inner_iv_init(self.cipher()?.clone(), (&vector).into());
        let sealed = cipher
            .encrypt_padded::<Pkcs7>(&mut contents, secret.len())
            .map_err(|_| failed("the secret can't be encrypted"))?
            .to_vec();
        Ok((
            self.path.clone(),
            vector.to_vec(),
            sealed,
            content_type.to_owned(),
        ))
    }

    pub(super) fn open(&self, sealed: Sealed) -> Result<SecretBytes, BusError> {
        let (_, vector, contents, _) = sealed;
        let mut contents = Zeroizing::new(contents);
        let wrong = || failed("the service sent a secret that this session can't decrypt");
        let vector: [u8; BLOCK] = vector.try_into().map_err(|_| wrong())?;
        let cipher = cbc::Decryptor::inner_iv_init(self.cipher()?.clone(), (&vector).into());
        let secret = cipher
            .decrypt_padded::<Pkcs7>(&mut contents)
            .map_err(|_| wrong())?;
        Ok(secret.to_vec().into())
    }
}

fn power(base: &U1024, exponent: &U192) -> U1024 {
    Number::new(base).pow(exponent).retrieve()
}

/// Whether a program may drop its first byte.
fn may_look_negative(public: &U1024) -> bool {
    public.to_be_bytes().as_ref()[0] == 0xff
}

/// Reads a public number: not one of those whose powers anybody knows. KWallet
/// writes a zero before one that would look negative.
fn number(bytes: &[u8]) -> Option<U1024> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeros..];
    let mut padded = [0; SIZE];
    let start = SIZE.checked_sub(bytes.len())?;
    padded[start..].copy_from_slice(bytes);
    let number = U1024::from_be_slice(&padded);
    let last = Number::new(&U1024::ZERO) - Number::new(&U1024::ONE);
    (number > U1024::ONE && number < last.retrieve()).then_some(number)
}

fn failed(why: &'static str) -> BusError {
    BusError::new(StoreErrorKind::Failed, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> OwnedObjectPath {
        OwnedObjectPath::try_from("/session").expect("a path")
    }

    fn told(pair: &KeyPair) -> (OwnedValue, OwnedObjectPath) {
        let public = OwnedValue::try_from(pair.public()).expect("a value");
        (public, path())
    }

    #[test]
    fn both_sides_agree_on_a_key_and_read_what_the_other_sealed() {
        let (ours, theirs) = (KeyPair::generate(), KeyPair::generate());
        let here = ours.agree(told(&theirs)).expect("agrees");
        let there = theirs.agree(told(&ours)).expect("agrees");
        for secret in [&b""[..], b"token", &[b'x'; 16], &[b'y'; 4000]] {
            let secret = SecretBytes::from(secret.to_vec());
            let sealed = here.seal(&secret, "text/plain").expect("seals");
            assert!(sealed.2.len() > secret.len(), "padded");
            let opened = there.open(sealed).expect("opens");
            assert!(opened.same_as(&secret));
        }
    }

    #[test]
    fn powers_are_those_of_the_group() {
        let prime = <Oakley as crypto_bigint::modular::ConstMontyParams<{ U1024::LIMBS }>>::PARAMS
            .modulus()
            .get();
        // Fermat: the powers of two repeat after p - 1.
        let two = U1024::from_u8(2);
        let whole = Number::new(&two).pow(&prime.wrapping_sub(&U1024::ONE));
        assert_eq!(whole.retrieve(), U1024::ONE);
        let exponent = U192::from_u8(10);
        assert_eq!(power(&two, &exponent), U1024::from_u16(1024));
        assert_eq!(prime.to_be_bytes().as_ref()[..8], [0xff; 8]);
    }

    #[test]
    fn a_key_whose_powers_anybody_knows_is_refused() {
        let prime = <Oakley as crypto_bigint::modular::ConstMontyParams<{ U1024::LIMBS }>>::PARAMS
            .modulus()
            .get();
        let last = prime.wrapping_sub(&U1024::ONE);
        let bytes = |number: &U1024| number.to_be_bytes().as_ref().to_vec();
        for known in [
            vec![],
            vec![0],
            vec![1],
            bytes(&last),
            bytes(&prime),
            vec![2; 129],
        ] {
            assert!(number(&known).is_none(), "{known:?}");
        }
        assert!(number(&[2]).is_some());
        assert!(number(&bytes(&last.wrapping_sub(&U1024::ONE))).is_some());
    }

    #[test]
    fn a_key_may_be_written_with_zeros_before_it() {
        let written = [&[0_u8][..], &[0x80; SIZE]].concat();
        assert_eq!(number(&written), number(&written[1..]));
        assert!(number(&written).is_some(), "as KWallet writes every second");
        assert_eq!(number(&[0, 0, 2]), Some(U1024::from_u8(2)));
    }

    #[test]
    fn numbers_that_programs_read_in_two_ways_are_not_used() {
        let public = |first: u8| U1024::from_be_slice(&[&[first][..], &[0x80; SIZE - 1]].concat());
        assert!(may_look_negative(&public(0xff)));
        assert!(
            ![0, 0x7f, 0x80, 0xfe]
                .map(public)
                .iter()
                .any(may_look_negative)
        );
        // 2 to the power of 10 is a short number.
        let pair = |exponent: u8| {
            let private = U192::from_u8(exponent);
            KeyPair {
                public: power(&U1024::from_u8(2), &private),
                private: Zeroizing::new(private),
            }
        };
        let session = pair(10).agree(told(&pair(1))).expect("agrees");
        let secret = SecretBytes::from(b"token".to_vec());
        let error = session.seal(&secret, "").expect_err("not used");
        assert_eq!(error.kind, StoreErrorKind::Failed, "so another one is made");
    }

    #[test]
    fn what_was_changed_or_is_no_secret_is_an_error() {
        let pair = KeyPair::generate();
        let session = pair.agree(told(&KeyPair::generate())).expect("agrees");
        let secret = SecretBytes::from(b"token".to_vec());
        let (path, vector, contents, kind) = session.seal(&secret, "").expect("seals");
        let short = (path.clone(), vec![], contents.clone(), kind.clone());
        assert!(session.open(short).is_err());
        let cut = (path, vector, contents[1..].to_vec(), kind);
        assert!(session.open(cut).is_err());
    }
}
