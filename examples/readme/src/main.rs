//! The README's lines, whose token this prints: `readme ISSUER`.

use std::error::Error;
use std::io::Write;

mod lines {
    include!(concat!(env!("OUT_DIR"), "/readme.rs"));

    pub(super) async fn run() -> vault_core::Result<vault_core::AccessToken> {
        token().await
    }
}

/// What stands in the place of the README's server.
fn issuer() -> String {
    std::env::args().nth(1).unwrap_or_default()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let token = lines::run().await?;
    writeln!(std::io::stdout(), "{}", token.expose())?;
    Ok(())
}
