//! Login by a code that is typed in on any device (RFC 8628).
//!
//! The server says how often to ask; asking more often, or on through its
//! `slow_down`, gets a client refused. Failures of the network do not end the
//! login while the code is good.

use std::future::Future;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep_until};
use url::Url;
use vault_platform::secret::SecretString;

use super::{Caller, Context, LoggedIn, LoginRequest, single_resource};
use crate::error::{Error, ErrorKind};
use crate::http::{Http, Response, is_secure};
use crate::oauth::Endpoints;
use crate::oauth::answer::{OAuthError, not_json};
use crate::oauth::client::Client;
use crate::oauth::lenient;
use crate::oauth::text::{clean, without_query};
use crate::oauth::token_endpoint::{Answer, Grant, request_tokens};
use crate::oauth::trouble::Trouble;

/// The interval when the server gives none (section 3.2), and what
/// `slow_down` adds to it (section 3.5).
const FIVE_SECONDS: Duration = Duration::from_secs(5);

/// Bounds on the interval that a server may ask for.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(250);
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

/// How long a code is good for if the server does not say.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// What the person needs to log in: where to go, and what to type there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceAuthorization {
    /// Where to type the code in.
    pub verification_uri: Url,
    /// The same with the code filled in, if the server has that.
    pub verification_uri_complete: Option<Url>,
    /// The code; visible characters only.
    pub user_code: String,
    /// How long the code is good for.
    pub expires_in: Duration,
}

/// The whole answer of the device authorization endpoint.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) shown: DeviceAuthorization,
    pub(crate) device_code: SecretString,
    pub(crate) interval: Duration,
}

pub(super) async fn login(flow: &Context<'_>) -> Result<LoggedIn, Error> {
    let Context {
        http,
        endpoints,
        request,
        client,
        interaction,
        prover,
        caller,
        ..
    } = *flow;
    let asked = authorize(http, endpoints, request, client);
    let granted = caller.unless_gone(asked).await?;
    interaction.show_device_code(&granted.shown);
    interaction.waiting("the device code to be confirmed");

    let lifetime = granted.shown.expires_in;
    let limit = request.timeout.map_or(lifetime, |time| time.min(lifetime));
    // Of the last poll, in the end: the ones before gave no tokens.
    let mut sent = client.clock.now();
    let answer = poll(caller, limit, granted.interval, || {
        sent = client.clock.now();
        let grant = Grant::DeviceCode {
            device_code: &granted.device_code,
            resource: single_resource(request),
        };
        request_tokens(http, endpoints, client, grant, prover)
    })
    .await?;
    // A device code has no nonce.
    flow.conclude(answer, sent, None).await
}

/// Gets a code (section 3.1).
async fn authorize(
    http: &Http,
    endpoints: &Endpoints,
    request: &LoginRequest,
    client: &Client<'_>,
) -> Result<Granted, Error> {
    let issuer = clean(&endpoints.issuer);
    let not_offered = || {
        let message = format!("{issuer} does not offer login with a device code");
        Error::new(ErrorKind::NotOffered, message)
    };
    let url = endpoints
        .device_authorization_endpoint
        .as_ref()
        .ok_or_else(not_offered)?;
    if request.prompt.is_some() || request.login_hint.is_some() || request.max_age.is_some() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "prompt, login_hint and max_age are for a login with a browser",
        ));
    }
    let (form, headers) = client.begin(endpoints)?;
    let mut form = form
        .words("scope", &request.scopes)
        .addresses("resource", request.resources())
        .addresses("audience", request.audiences());
    for (name, value) in request.own_parameters()? {
        form = form.field(name, value);
    }
    let response = http
        .post_form(url, headers, form.finish())
        .await
        .map_err(|failure| failure.into_error(url))?;
    let sent: Vec<&str> = client.sent().into_iter().collect();
    read(&response, url, &sent)
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default, deserialize_with = "lenient::secret")]
    device_code: Option<SecretString>,
    #[serde(default, deserialize_with = "lenient::string")]
    user_code: Option<String>,
    #[serde(default, deserialize_with = "lenient::string")]
    verification_uri: Option<String>,
    #[serde(default, deserialize_with = "lenient::string")]
    verification_uri_complete: Option<String>,
    // Google's older spelling. Some servers send both.
    #[serde(default, deserialize_with = "lenient::string")]
    verification_url: Option<String>,
    #[serde(default, deserialize_with = "lenient::string")]
    verification_url_complete: Option<String>,
    #[serde(default, deserialize_with = "lenient::seconds")]
    expires_in: Option<Duration>,
    #[serde(default, deserialize_with = "lenient::seconds")]
    interval: Option<Duration>,
}

/// What an answer means. `sent` are the secrets of the request: a refusal that
/// repeats one is not shown.
pub(crate) fn read(response: &Response, url: &Url, sent: &[&str]) -> Result<Granted, Error> {
    let at = without_query(url);
    let failed = |kind, what: String| Err(Error::new(kind, format!("{at} {what}")));
    match response.status {
        200..300 => {}
        status @ (408 | 425 | 429 | 500..) => {
            return failed(
                ErrorKind::ServerUnavailable,
                format!("gave no device code: status {status}"),
            )
            .map_err(|error| error.after(response.retry_after));
        }
        status => {
            return match OAuthError::in_body(response, sent) {
                Some(error) => failed(
                    super::refusal(&error.code),
                    format!("refused the login: {}", error.describe()),
                ),
                None if matches!(status, 404 | 405 | 501) => failed(
                    ErrorKind::NotOffered,
                    format!("does not offer a device code: status {status}"),
                ),
                None => failed(
                    ErrorKind::RequestRefused,
                    format!("refused the login with status {status} and without a reason"),
                ),
            };
        }
    }
    let invalid = |what: &str| Error::new(ErrorKind::ServerAnswerInvalid, format!("{at}: {what}"));
    let fields: Fields =
        lenient::object(response.body.expose()).ok_or_else(|| invalid(&not_json(response)))?;
    let device_code = fields
        .device_code
        .filter(|code| !code.is_empty())
        .ok_or_else(|| invalid("the answer has no device_code"))?;
    // The person has to read it and type it: nothing hidden may be in it.
    let user_code = fields
        .user_code
        .filter(|code| !code.trim().is_empty() && clean(code) == *code)
        .ok_or_else(|| invalid("the answer has no user_code that can be shown"))?;
    let page = |text: Option<String>| -> Result<Option<Url>, Error> {
        let Some(text) = text else { return Ok(None) };
        let page = Url::parse(&text)
            .map_err(|cause| invalid("the verification_uri is not a URL").because(cause))?;
        if is_secure(&page) {
            return Ok(Some(page));
        }
        let message = format!("{at} sends to {}, which is not https", without_query(&page));
        Err(Error::new(ErrorKind::InsecureUrl, message))
    };
    Ok(Granted {
        shown: DeviceAuthorization {
            verification_uri: page(fields.verification_uri.or(fields.verification_url))?
                .ok_or_else(|| invalid("the answer has no verification_uri"))?,
            verification_uri_complete: page(
                fields
                    .verification_uri_complete
                    .or(fields.verification_url_complete),
            )?,
            user_code,
            expires_in: fields.expires_in.unwrap_or(LIFETIME),
        },
        device_code,
        interval: fields
            .interval
            .unwrap_or(FIVE_SECONDS)
            .clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL),
    })
}

/// Asks until the answer is final, the limit has passed, or nobody waits.
async fn poll<F: Future<Output = Answer>>(
    caller: &Caller,
    limit: Duration,
    mut interval: Duration,
    mut ask: impl FnMut() -> F,
) -> Result<Answer, Error> {
    let end = Instant::now() + limit;
    // Of this turn only: a failing network is asked less often, then as before.
    let mut pause = interval;
    let mut trouble: Option<Trouble> = None;
    loop {
        let next = Instant::now() + pause;
        let pausing = async {
            sleep_until(next.min(end)).await;
            Ok(())
        };
        caller.unless_gone(pausing).await?;
        if next >= end {
            let seconds = limit.as_secs();
            let message = format!("the device code was not confirmed within {seconds} s");
            return Err(match trouble {
                Some(reason) => {
                    let message = format!("{message}; the last try");
                    reason.into_error(ErrorKind::LoginExpired, &message)
                }
                None => Error::new(ErrorKind::LoginExpired, message),
            });
        }
        match ask().await {
            Answer::Refused { ref error, .. } if error == "authorization_pending" => {
                (pause, trouble) = (interval, None);
            }
            Answer::Refused { ref error, .. } if error == "slow_down" => {
                interval += FIVE_SECONDS;
                (pause, trouble) = (interval, None);
            }
            // Section 3.5: ask less and less often. A code whose answer was
            // lost is refused next time, which ends it.
            Answer::Unavailable {
                retry_after,
                reason,
                ..
            } => {
                pause = (pause * 2)
                    .min(LONGEST_INTERVAL)
                    .max(retry_after.unwrap_or_default());
                trouble = Some(reason);
            }
            Answer::Unknown { reason, .. } | Answer::Unreached { reason } => {
                pause = (pause * 2).min(LONGEST_INTERVAL);
                trouble = Some(reason);
            }
            last => return Ok(last),
        }
    }
}

#[cfg(test)]
mod tests;
