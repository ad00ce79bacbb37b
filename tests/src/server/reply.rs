//! An HTTP answer as the server's endpoints make it.
//!
//! Endpoints are plain functions from a request to a [`Reply`], so that they can be tested
//! without a socket, and so that a fault can replace, change or lose what one of them made.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

/// A status, headers and a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Header names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// An answer with this status and an empty body.
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A JSON answer that must not be cached (RFC 6749 section 5.1).
    pub fn json(status: u16, value: &Value) -> Self {
        Self::empty(status)
            .header("Content-Type", "application/json")
            .header("Cache-Control", "no-store")
            .header("Pragma", "no-cache")
            .body(value.to_string())
    }

    /// An OAuth error (RFC 6749 section 5.2).
    pub fn oauth_error(status: u16, code: &str) -> Self {
        Self::json(status, &json!({ "error": code }))
    }

    /// An OAuth error that says more.
    pub fn oauth_error_with(status: u16, code: &str, description: &str) -> Self {
        Self::json(
            status,
            &json!({ "error": code, "error_description": description }),
        )
    }

    /// A page of HTML, as a captive portal or a gateway answers.
    pub fn html(status: u16, text: &str) -> Self {
        Self::empty(status)
            .header("Content-Type", "text/html; charset=utf-8")
            .header("Cache-Control", "no-store")
            .body(format!(
                "<!doctype html><title>{text}</title><p>{text}</p>\n"
            ))
    }

    /// A redirect (302) to a URL.
    pub fn redirect(location: &str) -> Self {
        Self::empty(302)
            .header("Location", location)
            .header("Cache-Control", "no-store")
    }

    /// The same answer with one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same answer with `Retry-After` in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header("Retry-After", &seconds.to_string())
    }

    /// The same answer with this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The value of a header.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as a JSON value.
    pub fn json_body(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in self.headers {
            if let (Ok(name), Ok(value)) = (
                HeaderName::try_from(name.as_str()),
                HeaderValue::try_from(value.as_str()),
            ) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
