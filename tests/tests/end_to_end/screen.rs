//! A terminal that a test looks at and types into: `script` (util-linux) makes
//! it, and vt100 reads what a program draws there.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::{Sandbox, wait};

/// How long a screen may take to show something on a machine that has much to
/// do.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// A shell on a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    seen: Arc<Mutex<Seen>>,
    reader: Option<JoinHandle<()>>,
}

struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

impl Terminal {
    /// Runs a shell's commands, in which `$PROGRAM` is `vault-cli`, on a
    /// terminal of this many rows and columns.
    pub(crate) fn start(sandbox: &Sandbox, rows: u16, columns: u16, commands: &str) -> Self {
        let program = sandbox.command(&[]);
        let mut script = Command::new("script");
        let commands = format!("stty rows {rows} cols {columns}; {commands}");
        script
            .args(["-q", "-e", "-c", &commands, "/dev/null"])
            .env_clear();
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                script.env(name, value);
            }
        }
        let mut child = script
            .env("PATH", "/usr/bin:/bin")
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm-256color")
            .env("PROGRAM", program.get_program())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`script` is installed");
        let seen = Arc::new(Mutex::new(Seen {
            parser: vt100::Parser::new(size(rows), size(columns), 0),
            bytes: Vec::new(),
        }));
        let keys = child.stdin.take();
        let mut output = child.stdout.take().unwrap();
        let shown = seen.clone();
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                let mut seen = shown.lock().unwrap_or_else(PoisonError::into_inner);
                seen.parser.process(&bytes[..length]);
                seen.bytes.extend_from_slice(&bytes[..length]);
            }
        });
        Self {
            child,
            keys,
            seen,
            reader: Some(reader),
        }
    }

    /// Types.
    pub(crate) fn types(&mut self, keys: &str) {
        let to = self.keys.as_mut().unwrap();
        to.write_all(keys.as_bytes()).unwrap();
        to.flush().unwrap();
    }

    /// Gives the terminal, whose device this is, another size.
    pub(crate) fn resize(&self, device: &str, rows: u16, columns: u16) {
        let (rows, columns) = (size(rows), size(columns));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.parser.screen_mut().set_size(rows, columns);
        let arguments = [
            "-F",
            device,
            "rows",
            &rows.to_string(),
            "cols",
            &columns.to_string(),
        ];
        let done = Command::new("stty").args(arguments).status().unwrap();
        assert!(done.success());
    }

    /// The text on the screen.
    pub(crate) fn text(&self) -> String {
        self.look(|screen| screen.contents())
    }

    /// Looks at the screen.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        look(seen.parser.screen())
    }

    /// Waits until this stands on the screen.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        self.wait_until(text, |shown| shown.contains(text));
    }

    /// Waits until the screen's text is so.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let mut waited = Duration::ZERO;
        while !is_so(&self.text()) {
            assert!(
                waited < PATIENCE,
                "no {what} on the screen:\n{}",
                self.text()
            );
            wait(GLANCE);
            waited += GLANCE;
        }
    }

    /// Types no more and waits for the end. Gives all that was ever written.
    pub(crate) fn finish(mut self) -> String {
        drop(self.keys.take());
        self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&seen.bytes).into_owned()
    }
}

fn size(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).expect("a screen has cells")
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Ended already, where the test went well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
