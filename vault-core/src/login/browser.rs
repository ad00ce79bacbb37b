//! Opening the system's browser, without showing the address to other users.
//!
//! A command line can be read by everyone on the machine. So the browser is
//! not started with the address to open, but with the name of a file that only
//! its owner can read and that redirects there. The file goes with the login.
//!
//! Browsers in a sandbox may not be able to read a file of the temporary
//! folder ([`SystemBrowser::with_folder`] chooses another). A program should
//! therefore also show the address to the person.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use url::Url;

use super::page::escape;
use super::{DeviceAuthorization, LoginInteraction};
use crate::error::{Error, ErrorKind};

/// How long a browser may take to fail. Longer, and it is taken for a text
/// browser, which runs until its user leaves it.
const START_TIME: Duration = Duration::from_secs(2);

/// How long a browser may take to read the page of an address that nothing
/// comes back from.
const READ_TIME: Duration = Duration::from_secs(5);

/// The browser that the system opens web pages with.
#[derive(Default)]
pub struct SystemBrowser {
    folder: Option<PathBuf>,
    opened: Mutex<Option<TempDir>>,
}

impl SystemBrowser {
    /// Makes one that keeps its file in the system's temporary folder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes one that keeps its file in a private folder that it makes inside
    /// the given one.
    #[must_use]
    pub fn with_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: Some(folder.into()),
            opened: Mutex::default(),
        }
    }

    /// Opens an address that nothing comes back from. Waits a few seconds for
    /// the browser to read the file, which is removed then.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotOffered`] if no browser could be opened,
    /// [`ErrorKind::ServerAnswerInvalid`] if that is no web page's address.
    pub fn show(&self, url: &Url) -> Result<(), Error> {
        let opened = self.open_url(url);
        if opened.is_ok() {
            let (_keeps_it_open, nothing) = channel::<()>();
            // Nothing is sent: this is a pause.
            nothing.recv_timeout(READ_TIME).ok();
        }
        self.finished();
        opened
    }

    fn write_page(&self, url: &Url) -> std::io::Result<(TempDir, PathBuf)> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("login-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o700));
        }
        let folder = match &self.folder {
            Some(folder) => builder.tempdir_in(folder)?,
            None => builder.tempdir()?,
        };
        // A file made so is its owner's alone (0600).
        let mut file = tempfile::Builder::new()
            .prefix("login-")
            .suffix(".html")
            .tempfile_in(folder.path())?;
        file.write_all(redirecting_page(url).as_bytes())?;
        file.flush()?;
        // The folder's end is the file's.
        let (_, path) = file.keep()?;
        Ok((folder, path))
    }

    fn open(&self, url: &Url, start: fn(&str) -> std::io::Result<()>) -> Result<(), Error> {
        let failed = |cause: std::io::Error| {
            Error::new(ErrorKind::NotOffered, "no browser could be opened").because(cause)
        };
        if !matches!(url.scheme(), "https" | "http") {
            return Err(Error::new(
                ErrorKind::ServerAnswerInvalid,
                "the address to open is not a web page's",
            ));
        }
        let (folder, path) = self.write_page(url).map_err(failed)?;
        let file = Url::from_file_path(&path)
            .map_err(|()| failed(std::io::ErrorKind::InvalidFilename.into()))?;
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder);

        let (sender, receiver) = channel();
        std::thread::Builder::new()
            .name("open-browser".to_owned())
            .spawn(move || {
                // Nobody listens any more if it took long.
                let _heard = sender.send(start(file.as_str()));
            })
            .map_err(failed)?;
        match receiver.recv_timeout(START_TIME) {
            Ok(outcome) => outcome.map_err(failed),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(failed(std::io::ErrorKind::Other.into())),
        }
    }
}

impl LoginInteraction for SystemBrowser {
    fn open_url(&self, url: &Url) -> Result<(), Error> {
        self.open(url, webbrowser::open)
    }

    /// Opens the page that has the code filled in already. A server that has
    /// no such page needs an interaction that shows the code.
    fn show_device_code(&self, code: &DeviceAuthorization) {
        let url = code.verification_uri_complete.as_ref();
        let opened = self.open_url(url.unwrap_or(&code.verification_uri));
        if let Err(error) = opened {
            tracing::warn!(%error, "the page for the device code was not opened");
        }
    }

    fn finished(&self) {
        // Removes the folder, and the page in it.
        drop(
            self.opened
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }
}

impl fmt::Debug for SystemBrowser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SystemBrowser")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

fn redirecting_page(url: &Url) -> String {
    let host = escape(url.host_str().unwrap_or_default());
    let url = escape(url.as_str());
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta http-equiv=\"refresh\" content=\"0; url={url}\">\n\
         <title>{host}</title>\n<p><a href=\"{url}\">Continue to {host}</a></p>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Url {
        Url::parse("https://login.example/authorize?state=canary&scope=a\"'><b").unwrap()
    }

    #[test]
    fn the_browser_is_started_with_a_private_file_and_not_with_the_address() {
        let place = tempfile::tempdir().unwrap();
        let browser = SystemBrowser::with_folder(place.path());
        browser
            .open(&address(), |argument| {
                assert!(!argument.contains("canary"), "{argument}");
                let path = Url::parse(argument).unwrap().to_file_path().unwrap();
                let page = std::fs::read_to_string(&path).unwrap();
                assert!(page.contains("url=https://login.example/authorize?state=canary&amp;"));
                assert!(!page.contains("<b"));
                #[cfg(unix)]
                {
                    use std::os::unix::fs::PermissionsExt;
                    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode();
                    assert_eq!(mode(path.as_path()) & 0o777, 0o600);
                    assert_eq!(mode(path.parent().unwrap()) & 0o777, 0o700);
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
        browser.finished();
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_machine_without_a_browser_is_told_so() {
        let browser = SystemBrowser::new();
        let failed = browser.open(&address(), |_| Err(std::io::ErrorKind::NotFound.into()));
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::NotOffered);
    }

    #[test]
    fn only_web_pages_are_opened() {
        let browser = SystemBrowser::new();
        for address in ["file:///etc/passwd", "javascript:alert(1)", "ms-settings:x"] {
            let url = Url::parse(address).unwrap();
            let failed = browser.open(&url, |_| panic!("opened"));
            assert_eq!(failed.unwrap_err().kind(), ErrorKind::ServerAnswerInvalid);
        }
    }
}
