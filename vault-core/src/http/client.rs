//! The reqwest clients: one for each [`Route`], and those for APIs.
//!
//! TLS is configured here and handed over ready-made: reqwest would otherwise
//! take the process's default cryptography provider, which belongs to the
//! program and not to a library, and panic where there is none.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::{HttpOptions, Route, SendFailure};

/// The client for an authorization server.
pub(super) fn build(
    route: Route,
    options: &HttpOptions,
    roots: &[CertificateDer<'static>],
) -> Result<reqwest::Client, SendFailure> {
    let builder = to(route, options, roots)?
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        // No idle connections: each request has its own.
        .pool_max_idle_per_host(0)
        .timeout(options.total_timeout);
    builder
        .build()
        .map_err(|error| SendFailure::new(error, None))
}

/// A client for an API: redirects are the caller's choice, connections are used
/// again, and an answer may be as long as it takes.
#[cfg(feature = "client")]
pub(super) fn build_for_api(
    route: Route,
    options: &HttpOptions,
    roots: &[CertificateDer<'static>],
    redirects: reqwest::redirect::Policy,
) -> Result<reqwest::Client, SendFailure> {
    let builder = to(route, options, roots)?.redirect(redirects);
    builder
        .build()
        .map_err(|error| SendFailure::new(error, None))
}

fn to(
    route: Route,
    options: &HttpOptions,
    roots: &[CertificateDer<'static>],
) -> Result<reqwest::ClientBuilder, SendFailure> {
    let tls = tls(route, roots).map_err(SendFailure::no_certificates)?;
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(&options.user_agent)
        .http1_only()
        .referer(false)
        .connect_timeout(
            options
                .connect_timeout
                .min(options.total_timeout.mul_f64(0.8)),
        );
    Ok(match route {
        Route::Remote => builder.https_only(true),
        Route::LoopbackTls | Route::LoopbackPlain => builder
            .no_proxy()
            // Whatever the name service says. Port 0 stands for the URL's.
            .resolve_to_addrs(
                "localhost",
                &[
                    (Ipv4Addr::LOCALHOST, 0).into(),
                    (Ipv6Addr::LOCALHOST, 0).into(),
                ],
            ),
    })
}

fn tls(route: Route, roots: &[CertificateDer<'static>]) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    // Plain http must work where the system has no certificates at all.
    let builder = if route == Route::LoopbackPlain {
        builder.with_root_certificates(RootCertStore::empty())
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier(roots, provider)?))
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Trusts what the system trusts, and the caller's certificates.
#[cfg(not(target_os = "android"))]
fn verifier(
    roots: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Verifier, rustls::Error> {
    Verifier::new_with_extra_roots(roots.iter().cloned(), provider)
}

/// Trusts what the system trusts; Android's verifier takes no others.
#[cfg(target_os = "android")]
fn verifier(
    roots: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Verifier, rustls::Error> {
    if !roots.is_empty() {
        return Err(rustls::Error::General(
            "own certificates can't be added on this system".to_owned(),
        ));
    }
    Verifier::new(provider)
}
