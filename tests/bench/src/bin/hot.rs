//! The hot paths, each so many times, for a program that counts instructions:
//!
//! ```text
//! hot cached|refresh|look|open TIMES STATE KEY PROFILE
//! ```

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;

use vault_core::platform::sealed_file::{self, SealingKey};
use vault_core::platform::store::{KeySource, StoreKind};
use vault_core::session::TokenOptions;
use vault_core::{Session, Vault};

/// What a sealed file holds of a usual login.
const SEALED: usize = 2048;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, times, state, key, profile] = &arguments[..] else {
        return Err("cached|refresh|look|open TIMES STATE KEY PROFILE".into());
    };
    let times: usize = times.parse()?;
    let open = || -> Result<Session, vault_core::Error> {
        Vault::builder("vault-cli")
            .state_root(state)
            .store(StoreKind::EncryptedFile)
            .key_source(KeySource::KeyFile(PathBuf::from(key)))
            .open()?
            .session(profile)
    };
    let session = open()?;
    session.blocking().access_token()?;
    match what.as_str() {
        // A token from memory.
        "cached" => {
            for _ in 0..times {
                drop(black_box(session.blocking().access_token()?));
            }
        }
        // A vault that was just opened: the store's key, the sealed file.
        "look" => {
            for _ in 0..times {
                drop(black_box(open()?.blocking().access_token()?));
            }
        }
        // A rotation.
        "refresh" => {
            for _ in 0..times {
                drop(black_box(
                    session.blocking().refresh_now(&TokenOptions::default())?,
                ));
            }
        }
        // The bytes of a sealed file.
        "open" => {
            let key = SealingKey::from_bytes([7; 32]);
            let sealed = sealed_file::seal(&key, b"{\"v\":1}", &[b'x'; SEALED]);
            for _ in 0..times {
                drop(black_box(sealed_file::open(&key, black_box(&sealed))?));
            }
        }
        _ => return Err("cached, refresh, look or open".into()),
    }
    Ok(())
}
