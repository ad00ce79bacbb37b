//! What the tests of the program share: the program itself, built once, and a
//! sandbox that holds all it can see of a user's machine.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;
use vault_tests::leaks::kept::{self, Place};
use vault_tests::server::{AuthorizationServer, browser};

/// The program beside this test, built by the cargo that built the test.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        // <target>/<profile>/deps/<test>
        let profile = test.ancestors().nth(2).unwrap();
        let program = profile.join(format!("vault-cli{}", std::env::consts::EXE_SUFFIX));
        if cfg!(windows) {
            // Where Wine runs what was built elsewhere there is no cargo.
            assert!(program.is_file(), "{} is not there", program.display());
            return program;
        }
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["build", "--quiet", "--package", "vault-cli"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .arg("--target-dir")
            .arg(profile.parent().unwrap());
        // What cargo tells a test of its package would make ring's build script
        // run again, and all that needs ring compile again, each time.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(name);
            }
        }
        if profile.file_name() == Some(OsStr::new("release")) {
            cargo.arg("--release");
        }
        assert!(
            cargo.status().unwrap().success(),
            "vault-cli does not build"
        );
        assert!(program.is_file(), "{} is not there", program.display());
        program
    })
}

/// A user's machine: a home, a state folder, and the key of an encrypted-file
/// store. The program sees nothing else of the environment.
#[derive(Debug)]
pub(crate) struct Sandbox {
    folder: TempDir,
}

/// Files whose bytes may change without anything that is stored changing: the
/// counters, and the locks, which are empty.
const UNSTORED: [&str; 4] = ["shared", "lock", "login.lock", "ask.lock"];

impl Sandbox {
    pub(crate) fn new() -> Self {
        let sandbox = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(sandbox.home()).unwrap();
        let key = sandbox.folder.path().join("key");
        vault_core::platform::store::create_key_file(&key).unwrap();
        sandbox
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Where all applications' state lies.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// The state folder of a profile.
    pub(crate) fn profile(&self, profile: &str) -> PathBuf {
        self.state().join("vault-cli").join(profile)
    }

    /// The sealed file of a profile that is logged in.
    pub(crate) fn sealed_file(&self, profile: &str) -> PathBuf {
        let mut files = std::fs::read_dir(self.profile(profile))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let is_sealed = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("sealed.") && name.len() == 39
        };
        files.find(is_sealed).expect("a sealed file")
    }

    /// The program with these arguments, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        forget_environment(&mut command);
        command
            .args(arguments)
            .env("HOME", self.home())
            .env("VAULT_STATE_DIR", self.state())
            .env("VAULT_STORE", "encrypted-file")
            .env("VAULT_KEY_FILE", self.key_file())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Everything that is stored: each file's bytes and mode, by its path.
    pub(crate) fn stored(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        let mut stored = BTreeMap::new();
        let mut folders = vec![self.state()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                if path.is_dir() {
                    folders.push(path);
                } else if !UNSTORED.contains(&name) {
                    stored.insert(path.clone(), (mode(&path), std::fs::read(&path).unwrap()));
                }
            }
        }
        stored
    }

    /// Logs in by the flow that prints the address to open, and opens it.
    pub(crate) fn log_in(&self, server: &AuthorizationServer, profile: &str) -> Output {
        let output = self.log_in_with(server, &["--profile", profile]);
        assert!(output.status.success(), "{output:?}");
        output
    }

    /// The same with these arguments, however it ends.
    pub(crate) fn log_in_with(&self, server: &AuthorizationServer, arguments: &[&str]) -> Output {
        let mut all = login(server);
        all.push("--no-browser");
        all.extend(arguments);
        let mut running = Running::start(self.command(&all));
        if let Some(url) = running.line_that_starts_with("http") {
            // Whatever page it ends at: the program's answer is what counts.
            drop(browser::follow(&url));
        }
        running.finish()
    }

    /// Logs in with a refresh token that the server issued elsewhere.
    pub(crate) fn import(
        &self,
        server: &AuthorizationServer,
        profile: &str,
        token: &str,
    ) -> Output {
        let arguments = [
            "--profile",
            profile,
            "import",
            "--issuer",
            server.issuer(),
            "--client-id",
            "vault-cli",
        ];
        self.run_with_input(&arguments, token)
    }

    /// Runs the program with this standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        // A program that refuses earlier does not read it.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        child.wait_with_output().unwrap().into()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        kept::files(&self.state());
    }
}

/// Leaves the program nothing of this process's environment.
#[cfg(unix)]
fn forget_environment(command: &mut Command) {
    command.env_clear();
}

/// Windows starts no program without some of it; what is ours goes.
#[cfg(not(unix))]
fn forget_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("VAULT_") {
            command.env_remove(name);
        }
    }
}

/// The arguments of a login with a browser or a code.
pub(crate) fn login(server: &AuthorizationServer) -> Vec<&str> {
    vec![
        "login",
        "--issuer",
        server.issuer(),
        "--client-id",
        "vault-cli",
        "--scope",
        "openid",
        "--scope",
        "offline_access",
    ]
}

/// Runs the program to its end.
pub(crate) fn vault_cli(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    sandbox.command(arguments).output().unwrap().into()
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The exit code.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Standard output as the one JSON document that it is.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("not one JSON document ({error}): {self:?}"),
        }
    }
}

impl From<std::process::Output> for Output {
    fn from(output: std::process::Output) -> Self {
        kept::output(Place::AnyStdout, &output.stdout);
        kept::output(Place::Stderr, &output.stderr);
        Self {
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A program that is running, whose standard error is read line by line.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    said: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            stderr,
            said: String::new(),
        }
    }

    /// The process's id.
    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard error, without its end; `None` at the end.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.stderr.read_line(&mut line).unwrap();
        self.said.push_str(&line);
        (length > 0).then(|| line.trim_end().to_owned())
    }

    pub(crate) fn line_that_starts_with(&mut self, start: &str) -> Option<String> {
        loop {
            match self.line() {
                Some(line) if line.starts_with(start) => return Some(line),
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Output {
        self.stderr.read_to_string(&mut self.said).unwrap();
        kept::output(Place::Stderr, &self.said);
        let output = self.child.wait_with_output().unwrap();
        Output {
            stderr: self.said,
            ..output.into()
        }
    }
}

/// Lets a token grow old.
#[expect(
    clippy::disallowed_methods,
    reason = "the program's tokens expire by the real clock"
)]
pub(crate) fn wait(time: std::time::Duration) {
    std::thread::sleep(time);
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode()
}

#[cfg(not(unix))]
fn mode(_path: &Path) -> u32 {
    0
}
