//! Addresses where no authorization server is.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection};

use super::Stop;

/// A server whose certificate nobody has signed. It reads what comes once the
/// handshake is done, which must be nothing.
#[derive(Debug)]
pub(super) struct SelfSigned {
    pub(super) address: SocketAddr,
    reached: Arc<AtomicBool>,
}

impl SelfSigned {
    pub(super) fn start() -> Result<Self, Stop> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())?;
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let reached = Arc::new(AtomicBool::new(false));
        let seen = reached.clone();
        // Ends with the process: nobody else knows the port.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if answer(config.clone(), stream).is_ok() {
                    seen.store(true, Ordering::SeqCst);
                }
            }
        });
        Ok(Self { address, reached })
    }

    /// Whether anything was ever sent over a finished handshake.
    pub(super) fn was_reached(&self) -> bool {
        self.reached.load(Ordering::SeqCst)
    }
}

/// Fails unless the client goes on after it has seen the certificate.
fn answer(config: Arc<ServerConfig>, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    loop {
        let state = connection
            .process_new_packets()
            .map_err(std::io::Error::other)?;
        if state.plaintext_bytes_to_read() > 0 {
            return Ok(());
        }
        connection.complete_io(&mut stream)?;
    }
}

/// A port that lets connections wait for ever: its queue is full.
#[derive(Debug)]
pub(super) struct BlackHole {
    listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    #[cfg(target_os = "linux")]
    pub(super) fn start() -> Result<Self, Stop> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        rustix::net::listen(&listener, 0)?;
        let address = listener.local_addr()?;
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queue.push(stream);
            if queue.len() > 64 {
                return Err(Stop::Skip("this system's queue never fills up".into()));
            }
        }
        Ok(Self {
            listener,
            _queue: queue,
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn start() -> Result<Self, Stop> {
        Err(Stop::Skip("a full queue is made on Linux only".into()))
    }

    pub(super) fn address(&self) -> Result<SocketAddr, Stop> {
        Ok(self.listener.local_addr()?)
    }
}
