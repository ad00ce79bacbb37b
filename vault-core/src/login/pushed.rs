//! Pushed authorization requests (RFC 9126): the server is told what is asked
//! for before the browser comes, over a connection that nobody else sees, and
//! from a client that has proved who it is.

use serde::Deserialize;
use url::Url;
use vault_platform::secret::SecretString;

use super::{Context, Parameters};
use crate::error::{Error, ErrorKind};
use crate::http::Response;
use crate::oauth::answer::{OAuthError, not_json};
use crate::oauth::lenient;
use crate::oauth::text::without_query;

#[derive(Deserialize)]
struct Fields {
    #[serde(default, deserialize_with = "lenient::secret")]
    request_uri: Option<SecretString>,
}

/// Pushes a request and gives the name that it has there. `None` where the
/// endpoint is not there and the server does not insist.
///
/// # Errors
///
/// - [`ErrorKind::ClientRefused`], [`ErrorKind::RequestRefused`]: the server does not take the request.
/// - [`ErrorKind::ServerAnswerInvalid`], [`ErrorKind::ServerUnavailable`], and
///   the kinds of a request that could not be sent.
pub(super) async fn push(
    flow: &Context<'_>,
    url: &Url,
    parameters: &Parameters,
) -> Result<Option<SecretString>, Error> {
    let (mut form, headers) = flow.client.begin(flow.endpoints)?;
    if !headers.is_empty() {
        // Said in the header; here it belongs to the request (section 2.1).
        form = form.field("client_id", flow.client.id);
    }
    for (name, value) in parameters {
        form = form.field(name, value.expose());
    }
    let response = flow
        .http
        .post_form(url, headers, form.finish())
        .await
        .map_err(|failure| failure.into_error(url))?;
    let sent: Vec<&str> = flow.client.sent().into_iter().collect();
    let insists = flow.endpoints.requires_pushed_authorization_requests;
    read(&response, url, insists, &sent)
}

/// What an answer means. `sent` are the secrets of the request: a refusal that
/// repeats one is not shown.
pub(crate) fn read(
    response: &Response,
    url: &Url,
    insists: bool,
    sent: &[&str],
) -> Result<Option<SecretString>, Error> {
    let at = without_query(url);
    let status = response.status;
    match status {
        200..300 => {}
        404 | 405 | 501 if !insists => {
            tracing::debug!(status, "requests can't be pushed after all");
            return Ok(None);
        }
        408 | 425 | 429 | 500.. => {
            let message = format!("{at} did not take the request: status {status}");
            return Err(
                Error::new(ErrorKind::ServerUnavailable, message).after(response.retry_after)
            );
        }
        _ => {
            let (kind, reason) = match OAuthError::in_body(response, sent) {
                Some(error) => (super::refusal(&error.code), error.describe()),
                None => (ErrorKind::RequestRefused, format!("status {status}")),
            };
            return Err(Error::new(
                kind,
                format!("{at} refused the login: {reason}"),
            ));
        }
    }
    let invalid = |what: &str| Error::new(ErrorKind::ServerAnswerInvalid, format!("{at}: {what}"));
    let fields: Fields =
        lenient::object(response.body.expose()).ok_or_else(|| invalid(&not_json(response)))?;
    fields
        .request_uri
        .filter(|name| !name.is_empty())
        .map(Some)
        .ok_or_else(|| invalid("the answer has no request_uri"))
}
