//! A connection to the session bus that lives on the thread that calls.
//!
//! zbus writes the messages, reads them and checks what comes; its own
//! connection is not used. That one has an executor and threads, which a
//! process that reads one item pays for at each message (and which stay behind
//! at `fork`), and waits without end for a bus that does not speak. Here a call
//! is a write and a read, the kernel keeps the deadline, and several questions
//! go out in one piece.
//!
//! Only Unix sockets: what session buses listen on.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use zbus::address::Transport;
use zbus::address::transport::UnixSocket;
use zbus::connection::socket::ReadHalf;
use zbus::export::async_trait::async_trait;
use zbus::message::{Message, Type};
use zbus::{Address, Error, Result};

use crate::clock::{Clock, SystemClock};

/// The longest line of a handshake.
const LINE: u64 = 1024;

/// How many messages are kept that nobody has asked for yet.
const EARLY: usize = 1024;

/// A connection to the session bus.
pub(super) struct Wire {
    incoming: Incoming,
    outgoing: Vec<u8>,
    /// What came while something else was waited for.
    early: VecDeque<Message>,
    /// Who the bus has to be, until it has taken this user: nobody in
    /// particular, or what the address names.
    expected: Option<Option<String>>,
    deadline: Duration,
    /// A message broke off, or its answer did not come.
    broken: bool,
}

#[derive(Debug)]
struct Incoming(BufReader<UnixStream>);

#[async_trait]
impl ReadHalf for Incoming {
    /// Blocks. Descriptors are not taken: none were agreed on.
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let patience = self.0.get_ref().read_timeout()?;
        Ok((interruptible(patience, || self.0.read(buffer))?, Vec::new()))
    }
}

impl Wire {
    /// Connects to the session bus that the environment names. The bus has the
    /// deadline for each of its answers.
    pub(super) fn connect(deadline: Duration) -> Result<Self> {
        let address = Address::session()?;
        let stream = connected(&address, deadline)?;
        // FreeBSD's daemon wants the credentials with the first byte.
        #[cfg(target_os = "freebsd")]
        super::sys::send_credentials(&stream)?;
        Ok(Self {
            incoming: Incoming(BufReader::new(stream)),
            outgoing: handshake().into_bytes(),
            early: VecDeque::new(),
            expected: Some(address.guid().map(ToString::to_string)),
            deadline,
            broken: false,
        })
    }

    /// Reads whether the bus took this user: once, before all that it says.
    fn authenticated(&mut self) -> Result<()> {
        let Some(expected) = self.expected.take() else {
            return Ok(());
        };
        let mut line = String::new();
        let reader = self.incoming.0.by_ref();
        reader.take(LINE).read_line(&mut line).map_err(in_time)?;
        let why = match line.trim_end().split_once(' ') {
            Some(("OK", its)) if expected.is_none_or(|expected| expected == its) => return Ok(()),
            Some(("OK", _)) => "another bus listens there than the address names",
            _ => "the session bus does not take this user",
        };
        Err(Error::Handshake(why.to_owned()))
    }

    /// Takes a call that is sent with the next [`Wire::flush`]; gives the number
    /// that its answer names.
    pub(super) fn send(&mut self, message: &Message) -> NonZeroU32 {
        self.outgoing.extend_from_slice(message.data());
        message.primary_header().serial_num()
    }

    /// Waits for the answer to a call; the other side's refusal is an error.
    pub(super) fn answer(&mut self, call: NonZeroU32) -> Result<Message> {
        self.flush()?;
        self.authenticated().inspect_err(|_| self.broken = true)?;
        let answers = |message: &Message| message.header().reply_serial() == Some(call);
        loop {
            if let Some(place) = self.early.iter().position(answers)
                && let Some(message) = self.early.remove(place)
            {
                return match message.message_type() {
                    Type::Error => Err(message.into()),
                    _ => Ok(message),
                };
            }
            if !self.receive(self.deadline)? {
                self.broken = true;
                return Err(in_time(io::ErrorKind::TimedOut.into()).into());
            }
        }
    }

    /// Waits for a signal, for as long as told; `None` if there was none.
    pub(super) fn signal(&mut self, patience: Duration) -> Result<Option<Message>> {
        self.flush()?;
        let is_signal = |message: &Message| message.message_type() == Type::Signal;
        loop {
            if let Some(place) = self.early.iter().position(is_signal) {
                return Ok(self.early.remove(place));
            }
            if !self.receive(patience)? {
                return Ok(None);
            }
        }
    }

    /// Sends what there is to send.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.broken {
            return Err(io::Error::from(io::ErrorKind::NotConnected).into());
        }
        let sent = self.incoming.0.get_ref().write_all(&self.outgoing);
        self.broken = sent.is_err();
        self.outgoing.clear();
        Ok(sent.map_err(in_time)?)
    }

    /// Takes one message in; false if none began in time.
    fn receive(&mut self, patience: Duration) -> Result<bool> {
        if self.incoming.0.buffer().is_empty() {
            let stream = self.incoming.0.get_ref();
            // Zero would mean without end.
            stream.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
            match interruptible(Some(patience), || self.incoming.0.fill_buf().map(drop)) {
                Err(error) if is_late(&error) => return Ok(false),
                begun => begun.inspect_err(|_| self.broken = true)?,
            }
            let stream = self.incoming.0.get_ref();
            stream.set_read_timeout(Some(self.deadline))?;
        }
        let (mut before, mut descriptors) = (Vec::new(), Vec::new());
        let message = self
            .incoming
            .receive_message(0, &mut before, &mut descriptors);
        // It never waits but in a system call.
        let message = pollster::block_on(message).inspect_err(|_| self.broken = true)?;
        if self.early.len() == EARLY {
            self.early.pop_front();
        }
        self.early.push_back(message);
        Ok(true)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Wire")
    }
}

/// What comes before the first message, which need not wait for the answer. The
/// mechanism EXTERNAL: the kernel tells the bus whose socket this is.
fn handshake() -> String {
    let user = rustix::process::geteuid().as_raw().to_string();
    let user = data_encoding::HEXLOWER.encode(user.as_bytes());
    let first = if cfg!(target_os = "freebsd") {
        ""
    } else {
        "\0"
    };
    format!("{first}AUTH EXTERNAL {user}\r\nBEGIN\r\n")
}

fn connected(address: &Address, deadline: Duration) -> Result<UnixStream> {
    let Transport::Unix(place) = address.transport() else {
        return Err(not_spoken(address));
    };
    let place = match place.path() {
        UnixSocket::File(path) => SocketAddrUnix::new(path.as_path()),
        #[cfg(target_os = "linux")]
        UnixSocket::Abstract(name) => {
            SocketAddrUnix::new_abstract_name(std::os::unix::ffi::OsStrExt::as_bytes(&**name))
        }
        _ => return Err(not_spoken(address)),
    };
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)
        .map_err(io::Error::from)?;
    for direction in [sockopt::Timeout::Send, sockopt::Timeout::Recv] {
        sockopt::set_socket_timeout(&socket, direction, Some(deadline)).map_err(io::Error::from)?;
    }
    let place = place.map_err(io::Error::from)?;
    let connected = interruptible(Some(deadline), || {
        Ok(rustix::net::connect(&socket, &place)?)
    });
    connected.map_err(in_time)?;
    Ok(socket.into())
}

fn not_spoken(address: &Address) -> Error {
    Error::Address(format!("{address} is no Unix socket"))
}

/// A call that the kernel ends after its patience, which begins anew when a signal
/// comes: here it does not.
fn interruptible<T>(
    patience: Option<Duration>,
    mut call: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let began = SystemClock.since_boot();
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                if patience.is_some_and(|patience| {
                    SystemClock.since_boot().saturating_sub(began) >= patience
                }) {
                    return Err(in_time(io::ErrorKind::WouldBlock.into()));
                }
            }
            result => return result.map_err(in_time),
        }
    }
}

/// The kernel says of a deadline that passed that the call would block.
fn in_time(error: io::Error) -> io::Error {
    match is_late(&error) {
        true => io::Error::new(io::ErrorKind::TimedOut, "no answer came in time"),
        false => error,
    }
}

fn is_late(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
