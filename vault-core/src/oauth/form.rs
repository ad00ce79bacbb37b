//! `application/x-www-form-urlencoded` bodies in memory that is wiped.

use url::form_urlencoded::byte_serialize;
use vault_platform::secret::{SecretBuffer, SecretBytes};

/// A form that is being filled in.
pub(crate) struct Form(SecretBuffer);

impl Form {
    pub(crate) fn new() -> Self {
        // Room for a usual form, so that the buffer rarely moves. There is no
        // limit: what is sent comes from the caller.
        Self(SecretBuffer::with_capacity(usize::MAX, 4096))
    }

    /// Appends a field. Empty values are sent too.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        if !self.0.as_slice().is_empty() {
            self.push("&");
        }
        for piece in byte_serialize(name.as_bytes()) {
            self.push(piece);
        }
        self.push("=");
        for piece in byte_serialize(value.as_bytes()) {
            self.push(piece);
        }
        self
    }

    /// Appends a field if there is something to say: `scope` is left out
    /// rather than sent empty.
    pub(crate) fn words(self, name: &str, words: &[String]) -> Self {
        if words.is_empty() {
            self
        } else {
            self.field(name, &words.join(" "))
        }
    }

    /// Appends one field for each address (RFC 8707: `resource` may repeat).
    pub(crate) fn addresses(mut self, name: &str, addresses: &[url::Url]) -> Self {
        for address in addresses {
            self = self.field(name, address.as_str());
        }
        self
    }

    pub(crate) fn finish(self) -> SecretBytes {
        self.0.finish()
    }

    fn push(&mut self, piece: &str) {
        self.0
            .push(piece.as_bytes())
            .expect("the buffer has no limit");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out_at_the_other_end() {
        let scopes = ["openid".to_owned(), "read:all".to_owned()];
        let resource = [url::Url::parse("https://api.example/a?b=c&d").unwrap()];
        let form = Form::new()
            .field("grant_type", "refresh_token")
            .field("refresh_token", "a+b/c=&d %é\n")
            .words("scope", &scopes)
            .words("nothing", &[])
            .addresses("resource", &resource)
            .finish();
        let text = std::str::from_utf8(form.expose()).unwrap();
        assert_eq!(
            text,
            "grant_type=refresh_token&refresh_token=a%2Bb%2Fc%3D%26d+%25%C3%A9%0A\
             &scope=openid+read%3Aall&resource=https%3A%2F%2Fapi.example%2Fa%3Fb%3Dc%26d"
        );
        let read: Vec<_> = url::form_urlencoded::parse(form.expose()).collect();
        assert_eq!(read[1].1, "a+b/c=&d %é\n");
    }

    #[test]
    fn a_long_token_fits() {
        let token = "%".repeat(100_000);
        let form = Form::new().field("t", &token).finish();
        assert_eq!(form.len(), 2 + 3 * 100_000);
    }
}
