//! For how long an answer may be used again (RFC 9111, section 4.2), by a cache
//! of one user.

use std::time::Duration;

use reqwest::header::{AGE, CACHE_CONTROL, EXPIRES, HeaderMap};

use super::{since_epoch, text};

/// What is left of an answer's life as it arrives; `None` where the server
/// does not say. An answer that is not to be stored, or only after asking
/// again, has none left.
pub(crate) fn lifetime(headers: &HeaderMap, date: Option<Duration>) -> Option<Duration> {
    let mut max_age = None;
    let lines = headers.get_all(CACHE_CONTROL).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    for directive in lines.flat_map(|line| line.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => return Some(Duration::ZERO),
            // What can't be read counts as stale, as the RFC recommends.
            "max-age" => max_age = max_age.or(Some(seconds(value).unwrap_or_default())),
            _ => {}
        }
    }
    let life = max_age.or_else(|| {
        let expires = text(headers, EXPIRES)?;
        // Many write `0` or `-1` for "stale already".
        let left = since_epoch(expires.trim()).zip(date);
        Some(left.map_or(Duration::ZERO, |(expires, date)| {
            expires.saturating_sub(date)
        }))
    })?;
    let age = text(headers, AGE).and_then(seconds).unwrap_or_default();
    Some(life.saturating_sub(age))
}

fn seconds(value: &str) -> Option<Duration> {
    let seconds = value.trim().trim_matches('"').parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Fri, 15 Jan 2027 08:00:00 GMT";

    fn left(lines: &[(&'static str, &str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        lifetime(&headers, since_epoch(DATE)).map(|left| left.as_secs())
    }

    #[test]
    fn the_life_of_an_answer_is_what_its_headers_say() {
        let later = "Fri, 15 Jan 2027 08:10:00 GMT";
        assert_eq!(left(&[]), None);
        assert_eq!(left(&[("cache-control", "public")]), None);
        assert_eq!(left(&[("cache-control", "public, Max-Age=600")]), Some(600));
        assert_eq!(left(&[("cache-control", "max-age=\"60\"")]), Some(60));
        assert_eq!(left(&[("expires", later)]), Some(600));
        let both = [("expires", later), ("cache-control", "max-age=60")];
        assert_eq!(left(&both), Some(60));
        let on_the_way = [("cache-control", "max-age=600"), ("age", "100")];
        assert_eq!(left(&on_the_way), Some(500));
        let lines = [("cache-control", "private"), ("cache-control", "max-age=5")];
        assert_eq!(left(&lines), Some(5));
    }

    #[test]
    fn what_must_not_be_used_again_or_can_not_be_read_has_no_life() {
        for line in [
            "no-store",
            "max-age=600, no-cache",
            "max-age=soon",
            "max-age=-1",
        ] {
            assert_eq!(left(&[("cache-control", line)]), Some(0), "{line}");
        }
        for line in ["0", "-1", DATE, "Thu, 14 Jan 2027 08:00:00 GMT"] {
            assert_eq!(left(&[("expires", line)]), Some(0), "{line}");
        }
    }
}
