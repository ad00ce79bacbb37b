//! Reading what a command takes from standard input and from files.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use vault_core::platform::secret::{SecretBuffer, SecretString};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};

/// No token is longer.
const TOKEN_LIMIT: usize = 256 * 1024;

/// Reads a refresh token from standard input to its end.
pub(crate) fn token_from_standard_input() -> Result<SecretString, Failure> {
    let failed = |error: io::Error| {
        Failure::new(
            "input_unreadable",
            Exit::Failed,
            format!("standard input can't be read: {error}"),
            "pipe the refresh token in: `vault-cli import … < FILE`",
        )
    };
    let input = standard_input().map_err(failed)?;
    match read_secret(input).map_err(failed)? {
        Read::Text(token) => Ok(token),
        Read::Unusable(why) => Err(Failure::usage(
            "invalid_input",
            format!("what standard input holds can't be a refresh token: {why}"),
            "give the refresh token alone, on one line",
        )),
    }
}

/// Reads a secret from a file, or from standard input for `-`.
pub(crate) fn secret_from(path: &Path, option: &str) -> Result<SecretString, Failure> {
    let refused = |why: String| {
        let message = format!("{} can't be used: {why}", path.display());
        Failure::usage(
            "invalid_input",
            message,
            format!("`{option}` names a file with the secret alone"),
        )
    };
    let opened = match path.to_str() {
        Some("-") => standard_input(),
        _ => File::open(path),
    };
    match opened
        .and_then(read_secret)
        .map_err(|error| refused(error.to_string()))?
    {
        Read::Text(secret) => Ok(secret),
        Read::Unusable(why) => Err(refused(why.to_owned())),
    }
}

enum Read {
    Text(SecretString),
    Unusable(&'static str),
}

fn read_secret(mut input: File) -> io::Result<Read> {
    let mut buffer = SecretBuffer::with_capacity(TOKEN_LIMIT, 8 * 1024);
    let mut chunk = Zeroizing::new([0_u8; 4096]);
    loop {
        let length = match input.read(&mut chunk[..]) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.push(&chunk[..length]).is_err() {
            return Ok(Read::Unusable("it is longer than any token"));
        }
    }
    Ok(match SecretString::try_from(buffer.finish()) {
        Ok(text) => Read::Text(text),
        Err(_) => Read::Unusable("it is not text"),
    })
}

/// The file beneath standard input: the standard library's own reader keeps a
/// copy of what it has read.
#[cfg(unix)]
pub(crate) fn standard_input() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

#[cfg(windows)]
pub(crate) fn standard_input() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(File::from(io::stdin().as_handle().try_clone_to_owned()?))
}

/// Reads a list of known servers.
pub(crate) fn known_servers(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(
            "invalid_input",
            format!("the list {} can't be read: {error}", path.display()),
            "`--issuers-file` (or VAULT_ISSUERS_FILE) names a file such as `vault-cli issuers \
             --json` prints",
        )
    })
}

/// Reads a certificate's file, which this option names.
pub(crate) fn certificate(path: &Path, option: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(
            "invalid_input",
            format!("the certificate {} can't be read: {error}", path.display()),
            format!("`{option}` names a PEM file"),
        )
    })
}
