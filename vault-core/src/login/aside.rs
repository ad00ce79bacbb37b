//! Calls the application back on a plain thread: what it does there may block,
//! and may wait for a runtime of its own, which on a thread that drives one
//! would panic.

use std::thread;

use url::Url;

use super::{DeviceAuthorization, LoginInteraction};
use crate::error::{Error, ErrorKind};

/// An interaction, each call of which has a thread of its own and is waited for.
pub(crate) struct Aside<'a>(pub(crate) &'a dyn LoginInteraction);

fn aside<T: Send>(call: impl FnOnce() -> T + Send) -> thread::Result<T> {
    thread::scope(|scope| scope.spawn(call).join())
}

impl LoginInteraction for Aside<'_> {
    fn open_url(&self, url: &Url) -> Result<(), Error> {
        aside(|| self.0.open_url(url)).unwrap_or_else(|_| {
            let message = "the application failed to show where to log in";
            Err(Error::new(ErrorKind::Internal, message))
        })
    }

    fn show_device_code(&self, code: &DeviceAuthorization) {
        if let Err(panic) = aside(|| self.0.show_device_code(code)) {
            std::panic::resume_unwind(panic);
        }
    }

    fn waiting(&self, what: &str) {
        // What is only told may fail.
        aside(|| self.0.waiting(what)).ok();
    }

    fn confirm_other_account(&self, stored: &str, new: &str) -> bool {
        aside(|| self.0.confirm_other_account(stored, new)).unwrap_or(false)
    }

    fn finished(&self) {
        aside(|| self.0.finished()).ok();
    }
}
