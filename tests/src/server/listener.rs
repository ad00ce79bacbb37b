//! Connections that can be cut.
//!
//! A handler in an HTTP framework can only answer. To lose an answer on purpose, each
//! connection has a switch that its handlers can reach: once thrown, writing fails, and the
//! HTTP layer above closes the socket.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A TCP listener whose connections have a [`Switch`].
#[derive(Debug)]
pub(super) struct Listener(pub(super) TcpListener);

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            match self.0.accept().await {
                Ok((stream, address)) => {
                    let switch = Switch::default();
                    return (Connection { stream, switch }, address);
                }
                // Out of descriptors, or the peer is gone again: neither is the end.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// What a connection still lets out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Gate {
    /// Everything.
    #[default]
    Open,
    /// A head and this many bytes of its body.
    HeadAnd(usize),
    /// This many bytes.
    Bytes(usize),
    /// Nothing.
    Closed,
}

/// Cuts one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Switch(Arc<Mutex<Gate>>);

impl Switch {
    /// Lets nothing more out.
    pub(super) fn close(&self) {
        *self.gate() = Gate::Closed;
    }

    /// Lets out the head of the next answer and so many bytes of its body.
    pub(super) fn cut_body_after(&self, bytes: usize) {
        *self.gate() = Gate::HeadAnd(bytes);
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connected<IncomingStream<'_, Listener>> for Switch {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        stream.io().switch.clone()
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    switch: Switch,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let gate = *self.switch.gate();
        let allowed = match gate {
            Gate::Open => return Pin::new(&mut self.stream).poll_write(context, buffer),
            Gate::Closed => 0,
            Gate::Bytes(bytes) => bytes,
            // The head comes in one piece, because this type takes no vectored writes.
            Gate::HeadAnd(bytes) => {
                let head = buffer.windows(4).position(|window| window == b"\r\n\r\n");
                head.map_or(0, |head| head + 4 + bytes)
            }
        };
        if allowed == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let piece = &buffer[..allowed.min(buffer.len())];
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, piece))?;
        *self.switch.gate() = match allowed - written {
            0 => Gate::Closed,
            left => Gate::Bytes(left),
        };
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
