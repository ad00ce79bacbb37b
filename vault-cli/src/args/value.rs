//! Values as people write them.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::SignedDuration;
use vault_core::BoundHost;
use vault_core::platform::store::StoreKind;
use vault_core::refresh::policy::RotationPolicy;

pub(super) fn store_kinds() -> impl TypedValueParser<Value = StoreKind> {
    PossibleValuesParser::new(StoreKind::ALL.iter().map(|kind| kind.as_str()))
        .try_map(|name| name.parse::<StoreKind>())
}

pub(super) fn host(text: &str) -> Result<BoundHost, String> {
    text.parse()
        .map_err(|error: vault_core::Error| error.to_string())
}

/// A rotation policy: `strict`, or a window within which the same token may be
/// sent once more.
pub(super) fn rotation(text: &str) -> Result<RotationPolicy, String> {
    if text == "strict" {
        return Ok(RotationPolicy::strict());
    }
    let window =
        duration(text).map_err(|_| "write `strict`, or a time such as `30s`".to_owned())?;
    Ok(RotationPolicy::window(window, 1))
}

/// A parameter as people write it: `name=value`.
pub(super) fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write a parameter as `name=value`".to_owned()),
    }
}

/// The name of a variable, as every shell takes it.
pub(super) fn variable(text: &str) -> Result<String, String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if text.is_empty() || !text.chars().all(fits) || text.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err("a variable's name has letters, digits and `_`".to_owned());
    }
    Ok(text.to_owned())
}

/// A time as people write it: `60s`, `5 min`, `1h30m`, or a number of seconds.
pub(super) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let parsed = match text.parse::<u32>() {
        Ok(seconds) => Ok(SignedDuration::from_secs(seconds.into())),
        Err(_) => text.parse::<SignedDuration>(),
    };
    parsed
        .ok()
        .and_then(|duration| std::time::Duration::try_from(duration).ok())
        .ok_or_else(|| "write a time as `60s`, `5min` or `1h30m`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_write_them() {
        for (text, seconds) in [
            ("60s", 60),
            ("90", 90),
            ("5min", 300),
            ("1h30m", 5400),
            ("2 m", 120),
        ] {
            assert_eq!(
                duration(text).map(|time| time.as_secs()),
                Ok(seconds),
                "{text}"
            );
        }
        for text in ["", "soon", "-5s", "5 parsecs"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
