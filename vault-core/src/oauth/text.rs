//! Foreign text, made fit to be shown: in an error, a list, a terminal.
//!
//! A server's words could move the cursor, hide or reverse what follows, or
//! fill the screen. What is shown of them is one short line of visible
//! characters.

use url::Url;

/// The longest text of a server that is shown, in characters.
pub(crate) const SHOWN_LIMIT: usize = 200;

/// Leaves out control and format characters, makes white space plain, and cuts
/// at [`SHOWN_LIMIT`] characters.
pub(crate) fn clean(text: &str) -> String {
    let mut visible = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_format(*c));
    let mut cleaned: String = visible.by_ref().take(SHOWN_LIMIT).collect();
    if visible.next().is_some() {
        cleaned.pop();
        cleaned.push('…');
    }
    cleaned.truncate(cleaned.trim_end().len());
    cleaned
}

/// Names an address without its query, user and fragment, which may hold what
/// is not to be shown.
pub(crate) fn without_query(url: &Url) -> String {
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    clean(&format!("{}://{host}{port}{}", url.scheme(), url.path()))
}

/// Unicode's general category Cf (format), bidirectional controls included,
/// with the invisible variation selectors and fillers.
pub(crate) fn is_format(c: char) -> bool {
    matches!(
        u32::from(c),
        0xAD | 0x034F
            | 0x0600..=0x0605
            | 0x061C
            | 0x06DD
            | 0x070F
            | 0x0890..=0x0891
            | 0x08E2
            | 0x115F..=0x1160
            | 0x17B4..=0x17B5
            | 0x180B..=0x180F
            | 0x200B..=0x200F
            | 0x202A..=0x202E
            | 0x2060..=0x206F
            | 0x3164
            | 0xFE00..=0xFE0F
            | 0xFEFF
            | 0xFFA0
            | 0xFFF0..=0xFFFB
            | 0x110BD
            | 0x110CD
            | 0x13430..=0x1343F
            | 0x1BCA0..=0x1BCA3
            | 0x1D173..=0x1D17A
            | 0xE0000..=0xE0FFF
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_text_becomes_one_visible_line() {
        assert_eq!(
            clean("\u{1b}[2Jno\r\n\tway\u{7}\u{202e}drow\u{200b}!\u{2028}"),
            "[2Jno   waydrow!"
        );
        assert_eq!(clean("déjà vu 例"), "déjà vu 例");
        assert_eq!(clean("a\u{85}b\u{a0}c\u{feff}"), "a b c");
    }

    #[test]
    fn a_long_text_is_cut_by_characters_not_bytes() {
        let cut = clean(&"é".repeat(5000));
        assert_eq!(cut.chars().count(), SHOWN_LIMIT);
        assert!(cut.ends_with("é…"));
        let whole = "é".repeat(SHOWN_LIMIT);
        assert_eq!(clean(&whole), whole);
    }

    #[test]
    fn an_address_is_shown_without_what_it_carries() {
        let url = Url::parse("https://me:pw@host.example:8443/a/b?code=secret#frag").unwrap();
        assert_eq!(without_query(&url), "https://host.example:8443/a/b");
        let url = Url::parse("http://[::1]:80/").unwrap();
        assert_eq!(without_query(&url), "http://[::1]/");
    }
}
