//! The way of a request through the server.
//!
//! Read to its end, counted, met by a fault, delayed, held, acted on, held again, answered.
//! From "read to its end" on this runs in a task of its own: a client that is killed while it
//! waits does not undo what it asked for, as with any real server.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, Response, header};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::counters::{RefreshOutcome, RefreshRecord};
use super::endpoints::{self, Call};
use super::faults::{Fault, Outgoing};
use super::form::Parameters;
use super::holds::Stage;
use super::listener::Switch;
use super::reply::Reply;
use super::{Shared, fingerprint};
use crate::leaks::kept::{self, Kind};

/// The largest request body in bytes.
const BODY_LIMIT: usize = 256 * 1024;

/// A request, read to its end.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Incoming {
    async fn read(request: Request) -> Option<Self> {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, BODY_LIMIT).await.ok()?;
        Some(Self {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body: body.to_vec(),
        })
    }

    /// A header's value, if it is there once and is text.
    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().filter(|_| values.next().is_none())?;
        value.to_str().ok()
    }

    /// Tells whoever looks for leaks what was sent that is secret.
    fn tell_secrets(&self) {
        if kept::folder().is_none() {
            return;
        }
        for (name, value) in url::form_urlencoded::parse(&self.body) {
            let kind = match name.as_ref() {
                "refresh_token" => Kind::RefreshToken,
                "code" => Kind::AuthorizationCode,
                "code_verifier" => Kind::CodeVerifier,
                "device_code" => Kind::DeviceCode,
                "client_secret" => Kind::ClientSecret,
                "client_assertion" => Kind::ClientAssertion,
                _ => continue,
            };
            kept::secret(kind, value.as_bytes());
        }
        if let Some(proof) = self.headers.get("dpop") {
            kept::secret(Kind::DpopProof, proof);
        }
        let authorization = self.header(header::AUTHORIZATION).unwrap_or_default();
        match authorization.split_once(' ') {
            Some(("Basic", credentials)) => {
                let pair = STANDARD.decode(credentials).unwrap_or_default();
                let secret = pair.splitn(2, |byte| *byte == b':').nth(1);
                kept::secret(Kind::ClientSecret, secret.unwrap_or_default());
            }
            Some((_, token)) => kept::secret(Kind::AccessToken, token),
            None => {}
        }
    }

    /// The refresh token and client id, if this looks like a refresh request.
    fn refresh(&self) -> Option<(String, String)> {
        let parameters = Parameters::parse(&self.body).ok()?;
        let text = |name| parameters.value(name).unwrap_or_default().to_owned();
        (parameters.value("grant_type")? == "refresh_token")
            .then(|| (text("refresh_token"), text("client_id")))
    }
}

/// Serves one request of one connection.
pub(super) async fn serve(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<Switch>,
    request: Request,
) -> Response<Body> {
    let Some(incoming) = Incoming::read(request).await else {
        return Reply::empty(413).into_response();
    };
    match tokio::spawn(act(shared, incoming)).await {
        Ok(Outgoing::Send(reply)) => reply.into_response(),
        Ok(Outgoing::Cut(reply)) => {
            connection.cut_body_after(reply.body.len() / 2);
            reply.into_response()
        }
        Ok(Outgoing::Close) | Err(_) => {
            connection.close();
            Reply::empty(500).into_response()
        }
    }
}

async fn act(shared: Arc<Shared>, incoming: Incoming) -> Outgoing {
    incoming.tell_secrets();
    let endpoint = shared.endpoint(&incoming.path);
    let refresh = if endpoint == super::Endpoint::Token {
        incoming.refresh()
    } else {
        None
    };
    // Before it takes a fault: whoever sees that none is left sees who met it.
    let in_flight = refresh.is_some().then(|| InFlight::enter(&shared));
    let (fault, latency) = {
        let mut inner = shared.inner();
        inner.counts.requests.count(endpoint);
        let fault = inner.faults.take(endpoint);
        inner.counts.faults_served += u64::from(fault.is_some());
        (fault, inner.config.latency)
    };
    wait(latency).await;
    shared.holds.pass(endpoint, Stage::Arrived).await;

    let reply = if fault.as_ref().is_none_or(Fault::is_acted_on) {
        let mut inner = shared.inner();
        let call = Call {
            issuer: &shared.issuer,
            now: shared.now(),
            signer: &shared.signer,
            keeps_refresh_token: fault == Some(Fault::SameRefreshToken),
        };
        endpoints::answer(endpoint, &mut inner, &incoming, call)
    } else {
        if let Some((refresh_token, client_id)) = refresh {
            let mut inner = shared.inner();
            let record = RefreshRecord {
                at: shared.now(),
                fingerprint: fingerprint(&refresh_token),
                family: inner.grants.family(&refresh_token),
                generation: inner.grants.generation(&refresh_token),
                client_id,
                outcome: RefreshOutcome::NotProcessed,
            };
            inner.log.push(record);
        }
        Reply::empty(500)
    };

    shared.holds.pass(endpoint, Stage::Answered).await;
    if let Some(Fault::DelayAnswer(delay)) = fault {
        wait(delay).await;
    }
    drop(in_flight);
    fault.map_or(Outgoing::Send(reply.clone()), |fault| fault.apply(reply))
}

async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// Counts a refresh request that is being worked on.
#[derive(Debug)]
struct InFlight<'a>(&'a Shared);

impl<'a> InFlight<'a> {
    fn enter(shared: &'a Shared) -> Self {
        let counts = &mut shared.inner().counts;
        counts.refresh_requests += 1;
        counts.refreshes_in_flight += 1;
        counts.peak_concurrent_refreshes = counts
            .peak_concurrent_refreshes
            .max(counts.refreshes_in_flight);
        Self(shared)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.inner().counts.refreshes_in_flight -= 1;
    }
}
