//! Secret text in JSON: from the parse buffer into a zeroizing string of
//! exactly its size, and from there into a zeroizing buffer.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vault_platform::secret::{SecretBuffer, SecretBytes, SecretString};

/// A secret string field of a stored record or a server's answer. Crate
/// private: no public type of this crate can be serialized with its secret.
pub(crate) struct SecretText(pub(crate) SecretString);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = SecretText;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<SecretText, E> {
                Ok(SecretText(SecretString::from(text.to_owned())))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<SecretText, E> {
                Ok(SecretText(SecretString::from(text)))
            }
        }
        deserializer.deserialize_string(Text)
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

/// Writes one line of ASCII JSON into memory that is wiped: some stores
/// mangle a secret that holds a line break or anything but ASCII.
pub(crate) fn to_ascii_line(record: &impl Serialize) -> SecretBytes {
    let mut buffer = SecretBuffer::new(usize::MAX);
    let mut serializer =
        serde_json::Serializer::with_formatter(Writer(&mut buffer), AsciiFormatter);
    record
        .serialize(&mut serializer)
        .expect("our records have string keys and the buffer has no limit");
    buffer.finish()
}

struct Writer<'a>(&'a mut SecretBuffer);

impl std::io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .push(bytes)
            .map_err(|_| std::io::ErrorKind::FileTooLarge)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct AsciiFormatter;

impl serde_json::ser::Formatter for AsciiFormatter {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> std::io::Result<()>
    where
        W: ?Sized + std::io::Write,
    {
        // DEL is ASCII, and JSON has no need to escape it: a store has.
        let is_plain = |character: char| character.is_ascii() && character != '\u{7f}';
        if fragment.chars().all(is_plain) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if is_plain(character) {
                writer.write_all(&[character as u8])?;
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}
