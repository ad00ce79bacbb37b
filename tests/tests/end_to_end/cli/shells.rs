//! Completions and manual pages, held against the programs that read them.
//!
//! Where such a program is not installed nothing can be held against it; the
//! lane `cli` of tests/run installs them.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::skipped::lacking;
use crate::support::{Sandbox, vault_cli};

/// Feeds a program; `None`, and said, where it is not installed.
fn fed(program: &str, arguments: &[&str], input: &str) -> Option<std::process::Output> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            lacking(program);
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    Some(child.wait_with_output().unwrap())
}

#[track_caller]
fn takes(program: &str, arguments: &[&str], input: &str) -> String {
    let Some(output) = fed(program, arguments, input) else {
        return String::new();
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program}: {said}");
    assert_eq!(said, "", "{program}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn completions(shell: &str) -> String {
    let script = vault_cli(&Sandbox::new(), &["completions", shell]);
    assert_eq!((script.code(), script.stderr.as_str()), (Some(0), ""));
    script.stdout
}

#[test]
fn bash_completes_a_command_and_its_options() {
    let ask = "\nCOMP_WORDS=(vault-cli toke); COMP_CWORD=1; _vault__cli vault-cli toke vault-cli\n\
               echo \"${COMPREPLY[@]}\"\n\
               COMP_WORDS=(vault-cli token --min); COMP_CWORD=2\n\
               _vault__cli vault-cli --min token; echo \"${COMPREPLY[@]}\"\n";
    let said = takes("bash", &["--norc", "-s"], &(completions("bash") + ask));
    assert_eq!(said, "token\n--min-valid\n");
}

#[test]
fn zsh_and_fish_take_their_scripts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("_vault-cli");
    std::fs::write(&file, completions("zsh")).unwrap();
    takes("zsh", &["-f", "-n", file.to_str().unwrap()], "");
    let file = folder.path().join("vault-cli.fish");
    std::fs::write(&file, completions("fish")).unwrap();
    let file = file.to_str().unwrap();
    takes("fish", &["--no-execute", file], "");
    let ask = format!("source {file}; complete -C 'vault-cli toke'");
    let said = takes("fish", &["--no-config", "-c", &ask], "");
    assert!(said.is_empty() || said.starts_with("token\t"), "{said}");
}

/// There is no PowerShell in Debian: at least what opens is closed.
#[test]
fn what_powershell_would_be_given_is_balanced() {
    let script = completions("powershell");
    assert!(script.contains("Register-ArgumentCompleter -Native -CommandName 'vault-cli'"));
    for (open, close) in [('{', '}'), ('(', ')')] {
        let count = |wanted: char| {
            // Texts stand in single quotes; a quote in one is doubled.
            let outside = script.split('\'').step_by(2);
            outside
                .flat_map(str::chars)
                .filter(|c| *c == wanted)
                .count()
        };
        assert_eq!(count(open), count(close), "{open}");
    }
}

#[test]
fn every_manual_page_is_one_that_man_reads() {
    let sandbox = Sandbox::new();
    let help = vault_cli(&sandbox, &["--help"]).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = commands
        .take_while(|line| line.starts_with("  "))
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    let mut pages = vec![vault_cli(&sandbox, &["man"])];
    pages.extend(names.map(|name| vault_cli(&sandbox, &["man", name])));
    assert!(pages.len() > 10);
    for page in pages {
        assert_eq!((page.code(), page.stderr.as_str()), (Some(0), ""));
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
            assert!(page.stdout.contains(section), "{section}: {page:?}");
        }
        // Errors and what is not supported; not matters of style.
        if let Some(said) = fed("mandoc", &["-T", "lint", "-W", "error"], &page.stdout) {
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            assert_eq!(said, "", "{page:?}");
        }
        let read = takes("man", &["-l", "-E", "utf8", "-"], &page.stdout);
        assert!(read.is_empty() || read.contains("vault-cli"), "{read}");
    }
}
