//! A screen: an X server that draws into memory, as large as the window.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(crate) struct Screen {
    server: Child,
    name: String,
}

impl Screen {
    pub(crate) fn new(width: u32, height: u32) -> Self {
        let size = format!("{width}x{height}x24");
        let mut server = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", &size, "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is installed");
        let mut number = String::new();
        let mut said = BufReader::new(server.stdout.take().unwrap());
        said.read_line(&mut number).unwrap();
        let name = format!(":{}", number.trim());
        Self { server, name }
    }

    /// What `DISPLAY` is to be.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Takes a picture of all that is seen.
    pub(crate) fn picture(&self, file: &Path) {
        let taken = Command::new("import")
            .args(["-display", &self.name, "-window", "root"])
            .arg(file)
            .status();
        assert!(taken.expect("ImageMagick is installed").success());
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
