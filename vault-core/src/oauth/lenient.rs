//! Fields of a server's JSON that may be of a wrong type without harm.
//!
//! A token answer has spent the old token. That `expires_in` is a string or out
//! of range, `scope` a list or in Latin-1, must not cost the new one: each
//! field is read for itself, and one that can't be understood counts as absent.
//! Of a member that comes twice the last counts, as in most readers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use vault_platform::secret::SecretString;

use crate::secret_text::SecretText;

/// Ten years: longer lifetimes are cut to this, so that adding one to a time
/// never overflows.
const LONGEST: f64 = 10.0 * 365.25 * 86_400.0;

/// The last second of the year 9999.
const LAST_TIME: f64 = 253_402_300_799.0;

/// Reads a JSON object, and nothing but one: derived code would take a list of
/// the fields' values too. A byte order mark before it is overlooked.
pub(crate) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let Ok(text) = str::from_utf8(bytes) else {
        return members(in_ascii(bytes).expose());
    };
    members(text)
}

/// Reads each member by itself, out of the text where it stands.
fn members<T: DeserializeOwned>(text: &str) -> Option<T> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    T::deserialize(MapDeserializer::new(members.into_iter())).ok()
}

/// The text without what is not ASCII: whatever it is, it is not UTF-8.
fn in_ascii(bytes: &[u8]) -> SecretString {
    let mut text = String::with_capacity(bytes.len());
    let ascii = bytes.iter().map(|byte| match byte.is_ascii() {
        true => char::from(*byte),
        false => '?',
    });
    text.extend(ascii);
    text.into()
}

/// Any value at all; one that can't be read is none of use.
fn any<'de, D: Deserializer<'de>>(deserializer: D) -> Value {
    deserializer.deserialize_any(Any).unwrap_or(Value::Other)
}

/// A secret string, without line ends and tabs around it, which no secret has;
/// anything else is absent.
pub(crate) fn secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecretString>, D::Error> {
    Ok(match any(deserializer) {
        Value::Text(text) => {
            let inner = text.0.expose().trim_matches(['\r', '\n', '\t']);
            let is_bare = inner.len() == text.0.len();
            let inner = (!is_bare).then(|| SecretString::from(inner.to_owned()));
            Some(inner.unwrap_or(text.0))
        }
        _ => None,
    })
}

/// A plain string without the white space around it; anything else is absent.
pub(crate) fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(string(deserializer)?.map(|text| text.trim().to_owned()))
}

/// A plain string; anything else is absent.
pub(crate) fn string<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    Ok(match any(deserializer) {
        Value::Text(text) => Some(text.0.expose().to_owned()),
        _ => None,
    })
}

/// Seconds as a number or as digits in a string. Less than nothing is zero.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    number(deserializer, LONGEST)
}

/// A time as seconds since the UNIX epoch, at most the year 9999's end.
pub(crate) fn seconds_since_epoch<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    number(deserializer, LAST_TIME)
}

fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
    most: f64,
) -> Result<Option<Duration>, D::Error> {
    let number = match any(deserializer) {
        Value::Number(number) => Some(number),
        Value::Text(text) => text.0.expose().trim().parse().ok(),
        _ => None,
    };
    Ok(number
        .filter(|number: &f64| !number.is_nan())
        .map(|number| Duration::from_secs_f64(number.clamp(0.0, most))))
}

/// Words: a string with spaces between them, or a list of strings.
pub(crate) fn words<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    let mut words = Vec::new();
    match any(deserializer) {
        Value::Text(text) => words.extend(text.0.expose().split(' ').map(str::to_owned)),
        Value::List(list) => words.extend(list.iter().map(|text| text.0.expose().to_owned())),
        _ => {}
    }
    // The characters that RFC 6749, section 3.3, gives a scope.
    words.retain(|word| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    });
    Ok(Some(words).filter(|words| !words.is_empty()))
}

enum Value {
    Text(SecretText),
    Number(f64),
    List(Vec<SecretText>),
    Other,
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(SecretText(text.into())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    #[expect(clippy::cast_precision_loss, reason = "cut at ten years anyway")]
    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "cut at zero anyway")]
    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(element) = list.next_element::<Element>()? {
            if let Value::Text(text) = element.0 {
                texts.push(text);
            }
        }
        Ok(Value::List(texts))
    }
}

struct Element(Value);

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Sample {
        #[serde(default, deserialize_with = "secret")]
        secret: Option<SecretString>,
        #[serde(default, deserialize_with = "seconds")]
        seconds: Option<Duration>,
        #[serde(default, deserialize_with = "words")]
        words: Option<Vec<String>>,
        #[serde(default, deserialize_with = "string")]
        string: Option<String>,
    }

    fn read(json: &str) -> Sample {
        object(json.as_bytes()).unwrap_or_else(|| panic!("{json}"))
    }

    #[test]
    fn a_member_that_can_not_be_read_at_all_harms_no_other() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for odd in ["1e400", r#""\ud800""#, &deep, r#"{"a":1,"a":2}"#] {
            let sample = read(&format!(
                r#"{{"string":{odd},"words":{odd},"seconds":{odd},"secret":"s"}}"#
            ));
            assert_eq!(sample.secret.unwrap().expose(), "s", "{odd}");
            assert_eq!(sample.string, None, "{odd}");
        }
    }

    #[test]
    fn of_a_member_that_comes_twice_the_last_counts() {
        let sample = read(r#"{"secret":"a","string":"x","secret":"b","string":"y"}"#);
        assert_eq!(sample.secret.unwrap().expose(), "b");
        assert_eq!(sample.string.as_deref(), Some("y"));
    }

    #[test]
    fn text_in_latin_1_harms_no_other_member() {
        let sample: Sample = object(b"{\"string\":\"caf\xe9\",\"secret\":\"s\"}").unwrap();
        assert_eq!(sample.secret.unwrap().expose(), "s");
        assert_eq!(sample.string.as_deref(), Some("caf?"));
    }

    #[test]
    fn a_field_of_a_wrong_type_is_absent_and_harms_no_other() {
        for odd in [
            "null",
            "true",
            "17",
            "-1.5e300",
            "{\"a\":[1,{}]}",
            "[[\"x\"],2]",
            "[]",
        ] {
            let sample = read(&format!(
                "{{\"secret\":\"s\",\"string\":{odd},\"words\":{odd},\"seconds\":5}}"
            ));
            assert_eq!(sample.secret.unwrap().expose(), "s");
            assert_eq!(sample.string, None);
            assert_eq!(sample.words, None);
            assert_eq!(sample.seconds, Some(Duration::from_secs(5)));
        }
    }

    #[test]
    fn seconds_are_numbers_or_digits_and_never_absurd() {
        let seconds = |json: &str| read(&format!("{{\"seconds\":{json}}}")).seconds;
        assert_eq!(seconds("3600"), Some(Duration::from_secs(3600)));
        assert_eq!(seconds("\"3600\""), Some(Duration::from_secs(3600)));
        assert_eq!(seconds("59.5"), Some(Duration::from_millis(59_500)));
        assert_eq!(seconds("-7"), Some(Duration::ZERO));
        assert_eq!(seconds("0"), Some(Duration::ZERO));
        let longest = Some(Duration::from_secs_f64(LONGEST));
        assert_eq!(seconds("18446744073709551615"), longest);
        assert_eq!(seconds("1e300"), longest);
        assert_eq!(seconds("\"inf\""), longest);
        assert_eq!(seconds("\"NaN\""), None);
        assert_eq!(seconds("\"soon\""), None);
        assert_eq!(seconds("null"), None);
    }

    #[test]
    fn words_may_be_a_list_and_lose_what_no_scope_may_hold() {
        let words = |json: &str| read(&format!("{{\"words\":{json}}}")).words;
        let expected = Some(vec!["a".to_owned(), "b:c".to_owned()]);
        assert_eq!(words("\"a  b:c \""), expected);
        assert_eq!(words("[\"a\",\"b:c\",7,\"d\\u001be\"]"), expected);
        assert_eq!(words("\"\""), None);
    }
}
