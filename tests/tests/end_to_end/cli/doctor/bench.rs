//! A login that is well, until a row harms it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use vault_core::platform::store::{
    self, ItemName, KeySource, SecretStore, StoreKind, StoreOptions,
};
use vault_tests::server::{AuthorizationServer, Endpoint, Fault, Rotation, ServerConfig};

use crate::locks::fuse::Fuse;
use crate::skipped::lacking;
use crate::support::{Output, Sandbox};

/// A fault: makes it, has it found under its code, and does what the hint says.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) code: &'static str,
    pub(super) what: &'static str,
    pub(super) act: fn(&mut Bench),
}

pub(super) struct Bench {
    pub(super) server: AuthorizationServer,
    pub(super) sandbox: Sandbox,
    /// Options that the doctor is called with.
    pub(super) options: Vec<String>,
    /// Variables that are not set.
    pub(super) without: Vec<&'static str>,
    /// A program that starts the doctor, and its arguments.
    pub(super) through: Vec<String>,
    /// The program has a file system of the test on its standard input, which
    /// it may mount.
    pub(super) brings_fuse: bool,
}

impl Bench {
    pub(super) fn new() -> Self {
        let bench = Self {
            server: AuthorizationServer::start(ServerConfig {
                rotation: Rotation::Grace(std::time::Duration::from_secs(60)),
                ..ServerConfig::default()
            }),
            sandbox: Sandbox::new(),
            options: Vec::new(),
            without: Vec::new(),
            through: Vec::new(),
            brings_fuse: false,
        };
        bench.sandbox.log_in(&bench.server, "default");
        bench.is_healthy();
        bench
    }

    pub(super) fn log_in(&self) {
        self.sandbox.log_in(&self.server, "default");
    }

    /// A command of the program, as the doctor is called.
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        let plain = self.sandbox.command(&[]);
        let mut command = match self.through.as_slice() {
            [] => Command::new(plain.get_program()),
            [program, rest @ ..] => {
                let mut command = Command::new(program);
                command.args(rest).arg(plain.get_program());
                command
            }
        };
        command.env_clear().stdin(std::process::Stdio::null());
        for (name, value) in plain.get_envs() {
            let is_left_out = self.without.iter().any(|without| name == *without);
            if let (Some(value), false) = (value, is_left_out) {
                command.env(name, value);
            }
        }
        command.args(&self.options).args(arguments);
        if !self.brings_fuse {
            return command.output().unwrap().into();
        }
        let fuse = Fuse::open();
        command.stdin(fuse.descriptor());
        let _answering = fuse.answer();
        command.output().unwrap().into()
    }

    pub(super) fn doctor(&self) -> (Option<i32>, Value) {
        let output = self.run(&["doctor", "--json"]);
        (output.code(), output.json())
    }

    /// The doctor finds this, and gives the hint.
    #[track_caller]
    pub(super) fn finds(&self, code: &str) -> String {
        let (exit, report) = self.doctor();
        let checks = report["checks"].as_array().unwrap();
        let of_code = checks.iter().find(|check| check["code"] == code);
        let found = of_code.unwrap_or_else(|| panic!("no {code} in {report:#}"));
        let failed = found["result"] == "failed";
        assert!(failed || found["result"] == "warning", "{report:#}");
        let healthy = !checks.iter().any(|check| check["result"] == "failed");
        assert_eq!(report["healthy"], healthy);
        assert_eq!(exit, Some(i32::from(!healthy)));
        // The text says the same, on one line.
        let text = self.run(&["doctor"]).stdout;
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with(code)).collect();
        let hint = found["hint"].as_str().unwrap();
        assert!(lines.iter().any(|line| line.ends_with(hint)), "{text}");
        hint.to_owned()
    }

    /// Nothing is wrong.
    #[track_caller]
    pub(super) fn is_healthy(&self) {
        let (exit, report) = self.doctor();
        let checks = report["checks"].as_array().unwrap();
        let ill = |check: &&Value| check["result"] == "failed" || check["result"] == "warning";
        assert_eq!(checks.iter().find(ill), None, "{report:#}");
        assert_eq!((exit, &report["healthy"]), (Some(0), &Value::Bool(true)));
    }

    /// Finds a fault, and runs the first command that the hint names, as a
    /// person would.
    #[track_caller]
    pub(super) fn finds_and_follows(&self, code: &str) {
        let hint = self.finds(code);
        let line = hint.split('`').nth(1).expect("a command");
        let plain = self.sandbox.command(&[]);
        let folder = PathBuf::from(plain.get_program());
        let folder = folder.parent().unwrap().display();
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).env_clear();
        for (name, value) in plain.get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        shell.env("PATH", format!("{folder}:/usr/bin:/bin"));
        let done: Output = shell.output().unwrap().into();
        assert_eq!(done.code(), Some(0), "{line}: {done:?}");
    }

    /// Has the doctor started by these words of a shell, in which `$0` is this
    /// folder, in a place where it may mount; `false`, and said, where nobody
    /// may.
    pub(super) fn mounts(&mut self, words: &str, folder: &Path) -> bool {
        let tried = Command::new("unshare").args(["--mount", "true"]).status();
        if !tried.is_ok_and(|status| status.success()) {
            lacking("the right to mount");
            return false;
        }
        let words = format!("{words} && exec \"$@\"");
        let folder = folder.to_str().unwrap();
        let through = ["unshare", "--mount", "sh", "-c", &words, folder];
        self.through = through.map(str::to_owned).to_vec();
        true
    }

    /// Has the doctor find this folder on a small disk, with the file `ballast`
    /// of the home beside what is in it, or as much of it as there is room for.
    pub(super) fn mounts_small_disk(&mut self, size: &str, folder: &Path) -> bool {
        let words = format!(
            "copy=$(mktemp -d) && cp -a \"$0/.\" \"$copy\" && \
             mount -t tmpfs -o mode=700,size={size} tmpfs \"$0\" && \
             cp -a \"$copy/.\" \"$0\" && rm -r \"$copy\" && \
             {{ ! [ -e \"$HOME/ballast\" ] || cp \"$HOME/ballast\" \"$0\" 2>/dev/null || :; }}"
        );
        self.mounts(&words, folder)
    }

    /// The file of the profile with this name.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.sandbox.profile("default").join(name)
    }

    pub(super) fn refresh(&self) -> Output {
        self.run(&["refresh", "--force", "--json"])
    }

    /// A refresh that meets this.
    pub(super) fn refresh_with(&self, times: usize, fault: Fault) {
        self.server.fail_next(Endpoint::Token, times, fault);
        let failed = self.refresh();
        assert_ne!(failed.code(), Some(0), "{failed:?}");
    }

    /// The store by itself.
    pub(super) fn store(&self) -> std::sync::Arc<dyn SecretStore> {
        let options = StoreOptions {
            state_root: Some(self.sandbox.state()),
            key: Some(KeySource::KeyFile(self.sandbox.key_file())),
            ..StoreOptions::default()
        };
        store::open(StoreKind::EncryptedFile, &options).unwrap()
    }
}

pub(super) fn item(account: &str) -> ItemName {
    ItemName::new("vault-cli", account).unwrap()
}
