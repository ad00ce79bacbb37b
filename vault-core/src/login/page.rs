//! The pages a browser sees at the loopback address: a sentence each, without
//! scripts, styles, or anything that would be loaded from elsewhere.

/// What a page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// The tokens are there.
    Done,
    /// The login failed, for this reason.
    Failed(String),
    /// The request is not the answer to this login.
    NotThisLogin,
    /// Nothing is at this path.
    NotFound,
    /// Only GET is answered.
    MethodNotAllowed,
    /// The request is longer than is read.
    TooLong,
    /// The request is not HTTP/1.
    Malformed,
}

impl Page {
    /// Writes the whole HTTP answer.
    pub(crate) fn response(&self) -> Vec<u8> {
        let (status, title, text) = match self {
            Self::Done => (
                "200 OK",
                "Login finished",
                "You can close this window and go back to the application.",
            ),
            Self::Failed(reason) => ("400 Bad Request", "Login failed", reason.as_str()),
            Self::NotThisLogin => (
                "400 Bad Request",
                "Not this login",
                "This page does not belong to the login that is waiting. Start again from the \
                 application.",
            ),
            Self::NotFound => ("404 Not Found", "Not found", "There is nothing here."),
            Self::MethodNotAllowed => (
                "405 Method Not Allowed\r\nAllow: GET",
                "Not allowed",
                "Only GET is answered here.",
            ),
            Self::TooLong => (
                "431 Request Header Fields Too Large",
                "Too long",
                "The request is too long.",
            ),
            Self::Malformed => (
                "400 Bad Request",
                "Malformed",
                "The request could not be read.",
            ),
        };
        let body = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n<h1>{title}</h1>\n<p>{}</p>\n</html>\n",
            escape(text)
        );
        format!(
            "HTTP/1.1 {status}\r\n\
             Content-Type: text/html; charset=utf-8\r\n\
             Content-Length: {}\r\n\
             Connection: close\r\n\
             Cache-Control: no-store\r\n\
             Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'\r\n\
             Referrer-Policy: no-referrer\r\n\
             X-Content-Type-Options: nosniff\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// Makes a text safe inside HTML and its quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_are_text_on_the_page_and_nothing_else() {
        let page = Page::Failed("<script>alert('x')</script>&\"".to_owned());
        let response = String::from_utf8(page.response()).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"));
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())));
        for header in [
            "Cache-Control: no-store",
            "Content-Security-Policy: default-src 'none'",
            "Referrer-Policy: no-referrer",
        ] {
            assert!(head.contains(header), "{header}");
        }
        assert!(!body.contains("<script"));
        assert!(body.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"));
        assert!(!body.contains("http"), "nothing is loaded from elsewhere");
    }
}
