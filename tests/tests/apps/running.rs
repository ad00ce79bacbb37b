//! An app that runs, and what it says.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::process::{Pid, Signal, kill_process};

use crate::machine::{LONG, eventually};

pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        listen(child.stdout.take().unwrap(), sender.clone());
        listen(child.stderr.take().unwrap(), sender);
        Self {
            child,
            lines,
            heard: Vec::new(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line, of either stream, that has these words.
    #[track_caller]
    pub(crate) fn says(&mut self, words: &str) -> String {
        loop {
            match self.lines.recv_timeout(LONG) {
                Ok(line) => {
                    self.heard.push(line.clone());
                    if line.contains(words) {
                        return line;
                    }
                }
                Err(error) => panic!("nothing with `{words}` ({error}): {:#?}", self.heard),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).unwrap();
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end: the exit code, and all that was said.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let status = eventually("the app ends", || self.child.try_wait().unwrap());
        self.heard.extend(self.lines.iter());
        (status.code(), self.heard.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless a test failed or is done with it.
        if self.child.kill().is_ok() {
            self.child.wait().ok();
        }
    }
}

fn listen(stream: impl Read + Send + 'static, lines: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // Nobody listens to an app that a test is done with.
            lines.send(line).ok();
        }
    });
}
