//! What the programs have in common: how they are called.
//!
//! ```text
//! PROGRAM store PLACE TOKEN-ENDPOINT    keeps the refresh token that stands on standard input,
//!                                       with an access token that has expired
//! PROGRAM token PLACE TOKEN-ENDPOINT    prints an access token
//! ```
//!
//! Each is written as its library's documentation says, and does no more than that.

use std::path::PathBuf;

/// Whatever went wrong.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a program was asked for.
pub enum Wish {
    /// To keep this refresh token.
    Store(String),
    /// To print an access token.
    Token,
}

/// How a program was called.
pub struct Call {
    /// What for.
    pub wish: Wish,
    /// A folder of its own.
    pub place: PathBuf,
    /// Where refresh tokens are sent.
    pub token_endpoint: String,
}

impl Call {
    /// Reads it.
    pub fn read() -> Result<Self, Failure> {
        let mut arguments = std::env::args().skip(1);
        let mut next = || arguments.next().ok_or("store|token PLACE TOKEN-ENDPOINT");
        let wish = match next()?.as_str() {
            "store" => Wish::Store(std::io::read_to_string(std::io::stdin())?.trim().to_owned()),
            "token" => Wish::Token,
            other => return Err(format!("{other} is not known").into()),
        };
        Ok(Self {
            wish,
            place: next()?.into(),
            token_endpoint: next()?,
        })
    }
}

/// The client that is registered without a secret.
pub const PUBLIC_CLIENT: &str = "public";
/// The client for who can't do without a secret, and its secret.
pub const CLIENT_WITH_SECRET: (&str, &str) = ("with-secret", "not-secret");
