//! Reads one entry with the crate `keyring`, as programs do that keep a token there; with an
//! argument, writes it first.

fn main() -> keyring::Result<()> {
    let entry = keyring::Entry::new("vault-bench", "cold")?;
    if let Some(secret) = std::env::args().nth(1) {
        entry.set_password(&secret)?;
    }
    println!("{}", entry.get_password()?);
    Ok(())
}
