//! Panics on a terminal, which `script` (util-linux) makes for a process of its own.

use std::process::{Command, Stdio};

use super::*;

const DRAWING: &str = "drawn_badly";
const ELSEWHERE: &str = "worked_badly";

#[test]
#[ignore = "a child process of another test"]
fn drawn_badly() {
    let mut screen = Screen::enter().unwrap();
    screen.draw(|_| panic!("what it says")).ok();
}

#[test]
#[ignore = "a child process of another test"]
fn worked_badly() {
    let mut screen = Screen::enter().unwrap();
    screen.draw(|_| ()).unwrap();
    let other = thread::spawn(|| panic!("what it says"));
    assert!(other.join().is_err());
    assert!(screen.draw(|_| ()).is_err());
}

/// All that a child writes on its terminal, and then how the terminal is.
fn on_a_terminal(child: &str) -> String {
    let program = std::env::current_exe().unwrap();
    let name = format!("{}::{child}", module_path!());
    let name = name.split_once("::").unwrap().1;
    let commands = format!(
        "stty rows 24 cols 80; '{}' --ignored --exact {name} --nocapture; echo ended $?; stty -a",
        program.display()
    );
    let output = Command::new("script")
        .args(["-q", "-e", "-c", &commands, "/dev/null"])
        .env("TERM", "xterm-256color")
        .env("SHELL", "/bin/sh")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .output()
        .expect("`script` is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_read_on_the_shells_screen() {
    for child in [DRAWING, ELSEWHERE] {
        let said = on_a_terminal(child);
        let (drawn, left) = said.rsplit_once("\x1b[?1049l").expect("it was taken");
        assert!(drawn.contains("\x1b[?1049h"), "{said}");
        let first = said.find("\x1b[?1049l").unwrap();
        let panicked = said.find("what it says").expect("it is told");
        assert!(first < panicked, "{said}");
        assert!(!said[first..].contains("\x1b[?1049h"), "{said}");
        assert!(left.contains("\x1b[?25h"), "{said}");
        let expected = if child == DRAWING { 101 } else { 0 };
        assert!(left.contains(&format!("ended {expected}")), "{said}");
        let has = |mode: &str| left.split([' ', ';', '\n']).any(|word| word == mode);
        assert!(has("echo") && has("icanon") && has("isig"), "{said}");
    }
}
