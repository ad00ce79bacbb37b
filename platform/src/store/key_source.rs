//! Where the encrypted-file store's key comes from.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::{StoreError, StoreErrorKind, StoreKind};
use crate::random;
use crate::sealed_file::SealingKey;
use crate::secret::{SecretBuffer, SecretBytes, SecretString};

/// Longest key or passphrase file in bytes.
const LIMIT: usize = 4096;

/// The source of a key.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeySource {
    /// A file of 32 raw bytes, or of a line of 64 hexadecimal digits or of
    /// base64; see [`create_key_file`].
    KeyFile(PathBuf),
    /// A file whose first line is a passphrase.
    PassphraseFile(PathBuf),
    /// A passphrase that a person typed.
    Passphrase(SecretString),
}

impl KeySource {
    /// Makes a second copy.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        match self {
            Self::KeyFile(path) => Self::KeyFile(path.clone()),
            Self::PassphraseFile(path) => Self::PassphraseFile(path.clone()),
            Self::Passphrase(text) => Self::Passphrase(text.duplicate()),
        }
    }
}

/// What a source yields.
pub(super) enum KeyMaterial {
    Key(SealingKey),
    Passphrase(SecretBytes),
}

/// Reads the source.
pub(super) fn read(source: &KeySource, operation: &'static str) -> Result<KeyMaterial, StoreError> {
    match source {
        KeySource::KeyFile(path) => {
            let contents = read_file(path, "key file", operation)?;
            parse_key(contents.expose())
                .map(KeyMaterial::Key)
                .ok_or_else(|| {
                    error(StoreErrorKind::WrongKey, operation).because(format!(
                        "the key file {} is neither 32 bytes nor a line of 64 hexadecimal digits or base64",
                        path.display()
                    ))
                })
        }
        KeySource::PassphraseFile(path) => {
            let contents = read_file(path, "passphrase file", operation)?;
            let line = contents
                .expose()
                .split(|byte| *byte == b'\n')
                .next()
                .unwrap_or_default();
            passphrase(line.strip_suffix(b"\r").unwrap_or(line), operation)
        }
        KeySource::Passphrase(text) => passphrase(text.expose().as_bytes(), operation),
    }
}

fn passphrase(line: &[u8], operation: &'static str) -> Result<KeyMaterial, StoreError> {
    if line.is_empty() {
        return Err(error(StoreErrorKind::WrongKey, operation).because("the passphrase is empty"));
    }
    Ok(KeyMaterial::Passphrase(line.to_vec().into()))
}

/// Writes a new random key to a file that must not be there, mode 0600.
///
/// # Errors
///
/// What the system refused; the file is not left behind half written.
pub fn create_key_file(path: &Path) -> std::io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let key = zeroize::Zeroizing::new(random::bytes::<32>());
    let line = zeroize::Zeroizing::new(data_encoding::HEXLOWER.encode(&*key) + "\n");
    let written = file
        .write_all(line.as_bytes())
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // The write's error is the one to tell.
        std::fs::remove_file(path).ok();
    }
    written
}

fn read_file(path: &Path, what: &str, operation: &'static str) -> Result<SecretBytes, StoreError> {
    let failed = |source: std::io::Error| {
        if source.kind() == std::io::ErrorKind::NotFound {
            error(StoreErrorKind::Missing, operation).because(format!(
                "there is no {what} {0}; `openssl rand -hex 32` or `head -c 32 /dev/urandom` make a \
                 key, a passphrase goes on one line; then `chmod 600 {0}`",
                path.display()
            ))
        } else {
            error(StoreErrorKind::Refused, operation)
                .because(format!("the {what} {}: {source}", path.display()))
        }
    };
    let mut file = File::open(path).map_err(failed)?;
    if let Some(why) = exposed(&file).map_err(failed)? {
        return Err(error(StoreErrorKind::Refused, operation)
            .because(format!("the {what} {} {why}", path.display())));
    }
    let mut buffer = SecretBuffer::with_capacity(LIMIT, LIMIT);
    let mut chunk = zeroize::Zeroizing::new([0_u8; 512]);
    loop {
        let length = file.read(&mut chunk[..]).map_err(failed)?;
        if length == 0 {
            return Ok(buffer.finish());
        }
        buffer.push(&chunk[..length]).map_err(|too_long| {
            error(StoreErrorKind::WrongKey, operation)
                .because(format!("the {what} {} is {too_long}", path.display()))
        })?;
    }
}

/// Tells why others could know or change what the file holds.
#[cfg(unix)]
fn exposed(file: &File) -> std::io::Result<Option<&'static str>> {
    use std::os::unix::fs::MetadataExt;

    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Some("is not a regular file"));
    }
    let me = rustix::process::geteuid().as_raw();
    let (owner, group) = (metadata.uid(), metadata.gid());
    if owner != me && owner != 0 {
        return Ok(Some("belongs to another user"));
    }
    // A credential of systemd is root's, mode 0440 with group root, and opened
    // to the service by an access list. A secret of Kubernetes is root's, too,
    // and opened to the pod by its group.
    let for_its_group = owner == 0 && (group == 0 || is_in_group(group)?);
    let group = if for_its_group { 0o020 } else { 0o070 };
    let others = metadata.mode() & (0o007 | group) != 0;
    Ok(others.then_some(if owner == 0 {
        "is open to other users; `chmod 600` it, or for a secret of Kubernetes set \
         `defaultMode: 0440` and the pod's `fsGroup`"
    } else {
        "is open to other users; `chmod 600` it"
    }))
}

/// Tells whether this process is in a group.
#[cfg(unix)]
fn is_in_group(group: u32) -> std::io::Result<bool> {
    if rustix::process::getegid().as_raw() == group {
        return Ok(true);
    }
    let further = rustix::process::getgroups()?;
    Ok(further.iter().any(|further| further.as_raw() == group))
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as on unix")]
fn exposed(_file: &File) -> std::io::Result<Option<&'static str>> {
    Ok(None)
}

fn parse_key(contents: &[u8]) -> Option<SealingKey> {
    if let Some(key) = SealingKey::from_slice(contents) {
        return Some(key);
    }
    let line = contents.trim_ascii();
    let decoded = match line.len() {
        64 => data_encoding::HEXLOWER_PERMISSIVE.decode(line).ok()?,
        44 => data_encoding::BASE64
            .decode(line)
            .or_else(|_| data_encoding::BASE64URL.decode(line))
            .ok()?,
        43 => data_encoding::BASE64_NOPAD
            .decode(line)
            .or_else(|_| data_encoding::BASE64URL_NOPAD.decode(line))
            .ok()?,
        _ => return None,
    };
    SealingKey::from_slice(&zeroize::Zeroizing::new(decoded))
}

fn error(kind: StoreErrorKind, operation: &'static str) -> StoreError {
    StoreError::new(kind, StoreKind::EncryptedFile, operation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_from(contents: &[u8]) -> Option<[u8; 32]> {
        parse_key(contents).map(|key| *key.expose())
    }

    #[test]
    fn a_key_is_raw_bytes_hexadecimal_or_base64() {
        let key: [u8; 32] = std::array::from_fn(|i| 250_u8.wrapping_add(i as u8));
        assert_eq!(key_from(&key), Some(key));
        for encoding in [
            data_encoding::HEXLOWER,
            data_encoding::HEXUPPER,
            data_encoding::BASE64,
            data_encoding::BASE64_NOPAD,
            data_encoding::BASE64URL,
            data_encoding::BASE64URL_NOPAD,
        ] {
            let line = encoding.encode(&key) + "\r\n";
            assert_eq!(key_from(line.as_bytes()), Some(key), "{line}");
        }
        for wrong in [&b""[..], b"short", &[b'z'; 64], &[7; 33]] {
            assert_eq!(key_from(wrong), None);
        }
    }

    #[test]
    fn a_created_key_file_is_private_new_and_readable() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("key");
        create_key_file(&path).expect("creates");
        let source = KeySource::KeyFile(path.clone());
        assert!(matches!(read(&source, "get"), Ok(KeyMaterial::Key(_))));
        let again = create_key_file(&path).expect_err("it is there");
        assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_missing_key_file_tells_how_to_make_one() {
        let source = KeySource::KeyFile("/nonexistent/key".into());
        let error = read(&source, "get").err().expect("missing");
        assert_eq!(error.kind, StoreErrorKind::Missing);
        let cause = std::error::Error::source(&error).expect("a cause");
        assert!(cause.to_string().contains("openssl rand -hex 32"));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("key");
        create_key_file(&path).expect("creates");
        for mode in [0o644, 0o604, 0o620, 0o602] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("chmod");
            let error = read(&KeySource::KeyFile(path.clone()), "get")
                .err()
                .expect("refused");
            assert_eq!(error.kind, StoreErrorKind::Refused, "{mode:o}");
        }
    }

    #[test]
    fn a_passphrase_is_the_first_line_of_its_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("passphrase");
        create_key_file(&path).expect("a private file");
        std::fs::write(&path, "correct horse \r\nnotes\n").expect("writes");
        match read(&KeySource::PassphraseFile(path.clone()), "get") {
            Ok(KeyMaterial::Passphrase(line)) => assert_eq!(line.expose(), b"correct horse "),
            _ => panic!("a passphrase"),
        }
        std::fs::write(&path, "\n").expect("writes");
        let error = read(&KeySource::PassphraseFile(path), "get").err();
        assert_eq!(error.map(|e| e.kind), Some(StoreErrorKind::WrongKey));
    }
}
