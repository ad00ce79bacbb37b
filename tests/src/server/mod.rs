//! A strict OAuth authorization server for tests and the demo, in this process, on loopback.
//!
//! **What it is.** Discovery (RFC 8414, OpenID Connect), authorization code with PKCE S256
//! required (RFC 6749, 7636, 8252, 9207), device code (RFC 8628), refresh with rotation and
//! reuse detection that revokes the whole login (RFC 9700 section 4.14.2), revocation (RFC 7009), introspection (RFC 7662),
//! proofs of possession with nonces (RFC 9449), and a userinfo endpoint that checks access tokens.
//!
//! **Why.** What a client must not do shows at the server only: each request is counted once it
//! was read, each refresh is logged with the token that it spent, and errors, delays and lost
//! answers happen when a test says so.
//!
//! **What it promises.** It runs on a thread of its own, so that it can be used from blocking
//! and from async code. A request that was read to its end is acted on even if its client is
//! gone. Tokens are kept as digests: the server's memory is no place to find one.
//!
//! **What it leaves to others.** TLS, user interfaces, and everything a production
//! server needs.
//!
//! ```
//! use vault_tests::server::{AuthorizationServer, ServerConfig};
//!
//! let server = AuthorizationServer::start(ServerConfig::default());
//! let login = server.issue_login();
//! assert!(server.issuer().starts_with("http://127.0.0.1:"));
//! assert!(server.is_current_refresh_token(&login.refresh_token));
//! assert_eq!(server.counts().refreshes_ok, 0);
//! ```

pub mod browser;
mod config;
mod control;
mod counters;
mod dispatch;
mod dpop;
mod endpoints;
mod faults;
mod form;
mod holds;
mod listener;
pub mod plain_http;
mod reply;
mod signer;
mod state;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use tokio::sync::oneshot;

pub use config::{
    AccessTokenFormat, Client, ClientAuthentication, DEFAULT_CLIENT_ID, Decision, DeviceApproval,
    Dpop, ExpiresIn, IdTokens, PushedRequests, ResponseParameter, Rotation, ServerConfig,
};
pub use control::IssuedLogin;
pub use counters::{Counts, RefreshOutcome, RefreshRecord, Requests};
pub use faults::{Alteration, Fault};
pub use holds::{Hold, Stage};
pub use reply::Reply;

use dpop::Proofs;
use faults::FaultQueues;
use holds::Holds;
use signer::Signer;
use state::Grants;

/// An endpoint of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `/.well-known/oauth-authorization-server` (RFC 8414).
    OAuthMetadata,
    /// `/.well-known/openid-configuration`.
    OpenIdMetadata,
    /// `/authorize`.
    Authorize,
    /// `/device_authorization`.
    DeviceAuthorization,
    /// `/device`, the page a person would open.
    DevicePage,
    /// `/token`, every grant.
    Token,
    /// `/revoke`.
    Revoke,
    /// `/introspect`.
    Introspect,
    /// `/userinfo`.
    UserInfo,
    /// `/par`, where authorization requests are pushed (RFC 9126).
    Pushed,
    /// `/jwks`, the keys that ID tokens are signed with.
    Keys,
    /// Everything else: 404.
    Other,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 12] = [
        Self::OAuthMetadata,
        Self::OpenIdMetadata,
        Self::Authorize,
        Self::DeviceAuthorization,
        Self::DevicePage,
        Self::Token,
        Self::Revoke,
        Self::Introspect,
        Self::UserInfo,
        Self::Pushed,
        Self::Keys,
        Self::Other,
    ];
}

/// The first 16 hexadecimal digits of a token's SHA-256: how the log names tokens.
pub fn fingerprint(token: &str) -> String {
    state::fingerprint(token)
}

/// What handlers share.
#[derive(Debug)]
struct Shared {
    issuer: String,
    issuer_path: String,
    started: tokio::time::Instant,
    signer: Signer,
    inner: Mutex<Inner>,
    holds: Holds,
}

/// What changes.
#[derive(Debug)]
struct Inner {
    config: ServerConfig,
    grants: Grants,
    counts: Counts,
    log: Vec<RefreshRecord>,
    faults: FaultQueues,
    proofs: Proofs,
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time since the start; from tokio, whose clock tests may stop, not the system's.
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn endpoint(&self, path: &str) -> Endpoint {
        endpoints::at(path, &self.issuer_path)
    }
}

/// A running server; it stops when it is dropped.
#[derive(Debug)]
pub struct AuthorizationServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl AuthorizationServer {
    /// Starts a server on 127.0.0.1; it listens when this returns.
    ///
    /// # Panics
    ///
    /// If the configured port is taken, or no thread can be made.
    pub fn start(config: ServerConfig) -> Self {
        crate::leaks::kept::log();
        let listener = bind(config.port).expect("the port on 127.0.0.1 is free");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let issuer_path = config.issuer_path.trim_end_matches('/').to_owned();
        let shared = Arc::new(Shared {
            issuer: format!("http://{address}{issuer_path}"),
            issuer_path,
            started: tokio::time::Instant::now(),
            signer: Signer::new(),
            inner: Mutex::new(Inner {
                config,
                grants: Grants::default(),
                counts: Counts::default(),
                log: Vec::new(),
                faults: FaultQueues::default(),
                proofs: Proofs::default(),
            }),
            holds: Holds::default(),
        });
        let running = Some(Running::start(listener, &shared));
        Self {
            shared,
            address,
            running,
        }
    }

    /// The issuer identifier, such as `http://127.0.0.1:40123`.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// The URL of a path under the issuer, such as `/token`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.shared.issuer)
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and every connection; what was issued stays known.
    ///
    /// A client that connects from now on is refused at once.
    pub fn stop_listening(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }

    /// Listens again on the same port.
    ///
    /// # Panics
    ///
    /// If another program has taken the port meanwhile.
    pub fn listen_again(&mut self) {
        if self.running.is_none() {
            let listener = bind(self.address.port()).expect("the port is still free");
            self.running = Some(Running::start(listener, &self.shared));
        }
    }
}

impl Drop for AuthorizationServer {
    fn drop(&mut self) {
        self.stop_listening();
    }
}

fn bind(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Running {
    fn start(listener: TcpListener, shared: &Arc<Shared>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new()
            .name("authorization-server".to_owned())
            .spawn(move || run(listener, shared, stopped))
            .expect("the system has a thread left");
        Self { stop, thread }
    }

    fn stop(self) {
        // An error means that the thread has ended already.
        let _: Result<(), ()> = self.stop.send(());
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Serves until it is told to stop; then every connection is closed with the runtime.
fn run(listener: TcpListener, shared: Arc<Shared>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .expect("the system has an event queue left");
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("the socket is good");
        let service = Router::new()
            .fallback(dispatch::serve)
            .with_state(shared)
            .into_make_service_with_connect_info::<listener::Switch>();
        let serving = axum::serve(listener::Listener(listener), service);
        tokio::select! {
            result = serving => result.expect("accepting goes on after errors"),
            // An error means that the handle is gone: that too is a stop.
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}
