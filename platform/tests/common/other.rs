//! Another process of the test binary that is running.
//!
//! It runs one ignored test, which takes its orders from standard input and
//! answers on standard output.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The other process; killed when dropped.
pub(crate) struct Other {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Other {
    /// Starts the test of this name and gives the first orders.
    pub(crate) fn start(test: &str, first: &[&str]) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", test, "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let orders = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        let mut other = Self {
            process,
            orders,
            answers,
        };
        first.iter().for_each(|order| other.order(order));
        other
    }

    pub(crate) fn order(&mut self, line: &str) {
        writeln!(self.orders, "{line}").expect("the child reads");
    }

    /// Gives the next answer; the test harness's own lines are skipped.
    pub(crate) fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            let length = self.answers.read_line(&mut line).expect("the child writes");
            assert!(length > 0, "the child ended");
            if let Some(at) = line.find("answer: ") {
                return line[at + 8..].trim_end().to_owned();
            }
        }
    }

    pub(crate) fn ask(&mut self, order: &str) -> String {
        self.order(order);
        self.answer()
    }

    /// Kills it and waits for its end.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// In the other process: what it is told.
pub(crate) fn orders() -> impl Iterator<Item = String> {
    std::io::stdin().lines().map(|line| line.expect("orders"))
}

/// In the other process: answers, past the test harness.
pub(crate) fn answer(text: &str) {
    let mut output = std::io::stdout();
    writeln!(output, "answer: {text}").expect("the parent reads");
    output.flush().expect("the parent reads");
}
