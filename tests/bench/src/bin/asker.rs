//! A program that has a session and is told when to ask it:
//!
//! ```text
//! asker STATE KEY STORE PROFILE         each line of its input is an instant of the monotonic
//!                                       clock in ns: it then has the token replaced that it has,
//!                                       and tells when it had the other, and whether it refreshed
//! asker STATE KEY STORE PROFILE keep    keeps the token fresh
//! ```

use std::error::Error;
use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use vault_core::Vault;
use vault_core::platform::store::{KeySource, StoreKind};
use vault_core::session::TokenOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [state, key, store, profile, more @ ..] = &arguments[..] else {
        return Err("STATE KEY STORE PROFILE".into());
    };
    let mut builder = Vault::builder("vault-cli").state_root(state);
    if store == StoreKind::EncryptedFile.to_string().as_str() {
        builder = builder.store(StoreKind::EncryptedFile);
        builder = builder.key_source(KeySource::KeyFile(Path::new(key).to_owned()));
    }
    let session = builder.open()?.session(profile)?;
    let options = TokenOptions::default();
    let mut token = session.blocking().access_token()?;
    let _kept = (!more.is_empty())
        .then(|| session.keep_fresh(&options))
        .transpose()?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let at: u64 = line?.parse()?;
        std::thread::sleep(Duration::from_nanos(at.saturating_sub(now())));
        let other = session.blocking().replace(&token, &options)?;
        println!("{} {}", now(), other.refreshed);
        token = other.access_token;
    }
    Ok(())
}

fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
