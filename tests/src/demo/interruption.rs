//! Ctrl-C and its kin: the demo tidies up before it ends; asked twice, it ends
//! at once.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// A person wants the demo to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Hears the signals that end a program.
#[derive(Debug)]
pub(super) struct Interruption {
    heard: Receiver<()>,
}

impl Interruption {
    /// From now on signals don't end this process by themselves.
    pub(super) fn watch() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (sender, heard) = channel();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    ending_signal().await;
                    // The demo may be past listening: it is tidying up.
                    sender.send(()).ok();
                    ending_signal().await;
                });
                // A person asked twice.
                std::process::exit(130);
            })?;
        Ok(Self { heard })
    }

    /// Waits, unless a person wants the demo to end.
    pub(super) fn wait(&self, duration: Duration) -> Result<(), Interrupted> {
        match self.heard.recv_timeout(duration) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Interrupted),
        }
    }
}

#[cfg(unix)]
async fn ending_signal() {
    use tokio::signal::unix::{SignalKind, signal};

    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ];
    let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else {
        // Then they do what they always do.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

#[cfg(not(unix))]
async fn ending_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
