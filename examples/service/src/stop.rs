//! Being told to stop: by SIGTERM from the service manager, by SIGINT from a
//! terminal; elsewhere by Ctrl-C.

/// Listens from the first moment, so that nothing is torn apart.
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: std::io::Result<tokio::signal::unix::Signal>,
}

impl Signals {
    pub(crate) fn listen() -> Self {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Self {
            #[cfg(unix)]
            terminate: signal(SignalKind::terminate()),
        }
    }

    /// Ends when the service is to stop.
    pub(crate) async fn told(&mut self) {
        #[cfg(unix)]
        if let Ok(terminate) = &mut self.terminate {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
        tokio::signal::ctrl_c().await.ok();
    }
}
