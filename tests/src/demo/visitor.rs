//! The person who logs in: a stand-in that opens the address and follows it
//! back to the application, as a browser would.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use url::Url;
use vault_core::login::{DeviceAuthorization, LoginInteraction};
use vault_core::{Error, ErrorKind};

use crate::server::browser::{self, Page};

/// Logs in where it is sent to.
#[derive(Debug, Default)]
pub(super) struct Visitor {
    visit: Mutex<Option<JoinHandle<io::Result<Page>>>>,
}

impl Visitor {
    /// Reads the page that the browser showed last, which the login may have
    /// ended without.
    pub(super) fn leave(&self) -> Result<(), super::Failure> {
        let visit = self
            .visit
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(visit) = visit else { return Ok(()) };
        let page = visit.join().map_err(|_| "the browser crashed")??;
        match page.status {
            200 => Ok(()),
            status => Err(format!("the browser ended at a page with status {status}").into()),
        }
    }
}

impl LoginInteraction for Visitor {
    fn open_url(&self, url: &Url) -> Result<(), Error> {
        // The thread that calls this serves the redirect: it can't wait.
        let visit = browser::follow_in_background(url.as_str());
        *self.visit.lock().unwrap_or_else(PoisonError::into_inner) = Some(visit);
        match url.scheme() {
            "http" => Ok(()),
            _ => Err(Error::new(
                ErrorKind::NotOffered,
                "this browser reads plain http only",
            )),
        }
    }

    fn show_device_code(&self, _code: &DeviceAuthorization) {}
}
