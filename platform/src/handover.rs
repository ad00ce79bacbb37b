//! One process asks what is slow to ask, and hands the answer to the others
//! that want it at the same moment.
//!
//! Eight programs that start at once would each open an encrypted session with
//! the Secret Service, which works for them one after the other. Here the first
//! of them takes a lock in the state folder and asks; each of the others puts a
//! socket beside it, to which it is sent what that one was told. [`take_turn`]
//! says which of them this one is.
//!
//! It promises:
//!
//! - *Who can't be given anything asks for itself*, as if nobody else were
//!   there: when the one that asks was told nothing, or goes on asking for longer
//!   than the others have patience, stopped or before a person at a prompt; when
//!   the folder can't be written; on a system without. When the one that asked
//!   has died, another one asks.
//! - *Who is alone hardly pays for it*: a lock, and a look into the folder.
//! - *Nothing is left behind.* What is handed over is in the memory of the two
//!   processes and on its way between them, only while somebody asks.
//! - *Only who may open the state folder is given anything*: the sockets lie in
//!   it, and the folder is its user's own. A sandbox without the folder has no
//!   way to be given it, as it would have to an abstract socket.
//!
//! Whether what is given is of any use is the callers' to find out: it may be
//! older than what they know.
//!
//! Linux only, where a socket is reached by its folder's descriptor: the name
//! of a state folder is often longer than a socket's may be.

use crate::secret::SecretBytes;

#[cfg(target_os = "linux")]
pub use linux::{Asker, take_turn};
#[cfg(not(target_os = "linux"))]
pub use other::{Asker, take_turn};

/// What falls to this process. Complete: one of three.
#[derive(Debug)]
pub enum Turn {
    /// To ask, and to hand over what it is told.
    Ask(Asker),
    /// What another process was told just now.
    Given(SecretBytes),
    /// To ask for itself.
    Alone,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::unix::net::UnixDatagram;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
    use zeroize::Zeroizing;

    use super::Turn;
    use crate::clock::{Clock, SystemClock};
    use crate::fault;
    use crate::folder::{Backing, DiskFolder, StateFolder, TEMPORARY, random_name};
    use crate::lock::{LockFile, LockGuard};
    use crate::secret::SecretBytes;

    /// Held by the process that asks. Never deleted, as no lock is.
    const LOCK: &str = "ask.lock";

    /// The longest answer; a longer one is not handed over.
    const LIMIT: usize = 16 << 10;

    /// Between two looks whether somebody asks at all: one that is killed can't
    /// say so.
    const LOOK: Duration = Duration::from_millis(5);

    /// The right to ask, and the duty to hand over the answer. Dropped without
    /// one, the others ask for themselves.
    #[derive(Debug)]
    pub struct Asker {
        folder: Arc<DiskFolder>,
        has_answered: bool,
        _lock: LockGuard,
    }

    /// Finds out what falls to this process. Blocks while another one asks, for
    /// about as long as told at the most.
    #[must_use]
    pub fn take_turn(folder: &StateFolder, patience: Duration) -> Turn {
        let Backing::Disk(disk) = folder.backing() else {
            return Turn::Alone;
        };
        if fault::is_injected(fault::SKIP_HANDOVER) {
            return Turn::Alone;
        }
        let lock = LockFile::new(folder, LOCK);
        match wait(disk, &lock, patience) {
            Ok(turn) => turn,
            Err(error) => {
                tracing::debug!(%error, "asking without regard to other processes");
                Turn::Alone
            }
        }
    }

    type Whatever = Box<dyn std::error::Error + Send + Sync>;

    fn wait(disk: &Arc<DiskFolder>, lock: &LockFile, patience: Duration) -> Result<Turn, Whatever> {
        let ask = |guard| {
            Turn::Ask(Asker {
                folder: disk.clone(),
                has_answered: false,
                _lock: guard,
            })
        };
        if let Some(guard) = lock.try_lock()? {
            return Ok(ask(guard));
        }
        let letterbox = Letterbox::new(disk)?;
        fault::point("ask:waiting");
        let end = SystemClock.since_boot() + patience;
        while SystemClock.since_boot() < end {
            // Looked at after the letterbox is there: who asks from now on finds
            // it, and who has ceased to ask has left the lock.
            let freed = lock.try_lock()?;
            if let Some(answer) = letterbox.letter(freed.is_none())? {
                let is_nothing = answer.is_empty();
                return Ok(if is_nothing {
                    Turn::Alone
                } else {
                    Turn::Given(answer)
                });
            }
            if let Some(guard) = freed {
                return Ok(ask(guard));
            }
        }
        Ok(Turn::Alone)
    }

    /// Where one that waits is sent the answer. Its name counts as a temporary
    /// file's: what a process that was killed has left is swept up with those.
    struct Letterbox {
        socket: UnixDatagram,
        path: PathBuf,
    }

    /// Begins the names of letterboxes.
    fn prefix() -> String {
        format!("{TEMPORARY}ask-")
    }

    impl Letterbox {
        fn new(disk: &DiskFolder) -> io::Result<Self> {
            let path = disk.by_descriptor(&(prefix() + &random_name()));
            let socket = UnixDatagram::bind(&path)?;
            let letterbox = Self { socket, path };
            letterbox.socket.set_read_timeout(Some(LOOK))?;
            Ok(letterbox)
        }

        /// The answer that has come, or comes before the next look: empty from
        /// one that was told nothing.
        fn letter(&self, wait: bool) -> io::Result<Option<SecretBytes>> {
            self.socket.set_nonblocking(!wait)?;
            // One byte more tells what is too long, and worth nothing.
            let mut letter = Zeroizing::new(vec![0; LIMIT + 1]);
            match self.socket.recv(&mut letter) {
                Ok(length) if length > LIMIT => Ok(Some(Vec::new().into())),
                Ok(length) => Ok(Some(letter[..length].to_vec().into())),
                Err(error) if is_not_yet(&error) => Ok(None),
                Err(error) => Err(error),
            }
        }
    }

    fn is_not_yet(error: &io::Error) -> bool {
        use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};

        matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
    }

    impl Drop for Letterbox {
        fn drop(&mut self) {
            std::fs::remove_file(&self.path).ok();
        }
    }

    impl Asker {
        /// Hands an answer to all who wait for it. Waits for nobody.
        pub fn hand_over(mut self, answer: &SecretBytes) {
            if answer.len() <= LIMIT {
                self.send(answer.expose());
            }
        }

        fn send(&mut self, answer: &[u8]) {
            self.has_answered = true;
            let prefix = prefix();
            let entries = self.folder.entries().unwrap_or_default();
            let names = entries.into_iter().map(|(name, _)| name);
            let mut waiting = names.filter(|name| name.starts_with(&prefix)).peekable();
            if waiting.peek().is_none() {
                return;
            }
            let (family, kind) = (AddressFamily::UNIX, SocketType::DGRAM);
            let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None);
            let Ok(socket) = socket else {
                return;
            };
            for name in waiting {
                let path = self.folder.by_descriptor(&name);
                let Ok(address) = SocketAddrUnix::new(&path) else {
                    continue;
                };
                let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                let sent = rustix::net::sendto(&socket, answer, flags, &address);
                if sent == Err(rustix::io::Errno::CONNREFUSED) {
                    // A process that was killed has left it.
                    std::fs::remove_file(&path).ok();
                }
            }
        }
    }

    impl Drop for Asker {
        /// Before the lock is free: who finds that free has been sent what there
        /// was to send.
        fn drop(&mut self) {
            if !self.has_answered {
                self.send(&[]);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::time::Duration;

    use super::Turn;
    use crate::folder::StateFolder;
    use crate::secret::SecretBytes;

    /// There is none on this system.
    #[derive(Debug)]
    pub enum Asker {}

    /// Everybody asks for itself.
    #[must_use]
    pub fn take_turn(_folder: &StateFolder, _patience: Duration) -> Turn {
        Turn::Alone
    }

    impl Asker {
        /// Hands an answer over.
        pub fn hand_over(self, _answer: &SecretBytes) {
            match self {}
        }
    }
}
