//! How a login reaches the person at a terminal: the browser opens, and the
//! address stands there for the case that it does not.

use url::Url;
use vault_core::Error;
use vault_core::login::{DeviceAuthorization, LoginInteraction, SystemBrowser};

/// The person at the terminal. Standard output is left to the API's answer.
#[derive(Debug)]
pub(crate) struct Terminal {
    browser: SystemBrowser,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        Self {
            browser: SystemBrowser::new(),
        }
    }
}

impl LoginInteraction for Terminal {
    fn open_url(&self, url: &Url) -> Result<(), Error> {
        eprintln!("Log in with your browser. If none opens, use this address:\n\n{url}\n");
        if let Err(error) = self.browser.open_url(url) {
            // The person has the address.
            eprintln!("{error}");
        }
        Ok(())
    }

    fn show_device_code(&self, code: &DeviceAuthorization) {
        let (address, code) = (&code.verification_uri, &code.user_code);
        eprintln!("Open {address} and type in {code}");
    }

    fn waiting(&self, what: &str) {
        eprintln!("waiting: {what}");
    }

    fn finished(&self) {
        self.browser.finished();
    }
}
