//! A login at a strict server, and other processes that share it: this test's
//! own program again, told over standard input what to do, one line at a time.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use vault_core::enrolment::Import;
use vault_core::platform::clock::{Clock, SystemClock};
use vault_core::platform::folder::{FolderOptions, StateFolder};
use vault_core::platform::lock::LockFile;
use vault_core::platform::secret::SecretString;
use vault_core::platform::store::{Interaction, KeySource, StoreKind, create_key_file};
use vault_core::refresh::policy::RotationPolicy;
use vault_core::session::TokenOptions;
use vault_core::{Error, RefreshToken, Session, Vault, VaultBuilder, fault};
use vault_tests::fleet::{Assignment, Call, Fleet};
use vault_tests::leaks::kept;
use vault_tests::server::{AuthorizationServer, DEFAULT_CLIENT_ID, ServerConfig, fingerprint};
use vault_tests::stand_in;

/// Longer than anything here may take.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// How long access tokens live, where a test does not say.
pub(crate) const LIFETIME: Duration = Duration::from_secs(1);

const APPLICATION: &str = "com.example.scene";
const PROFILE: &str = "default";

/// A server, a login there, and the folder that it is kept in.
pub(crate) struct Scene {
    pub(crate) server: AuthorizationServer,
    folder: tempfile::TempDir,
}

impl Scene {
    /// A login of a refresh token only: the first call refreshes.
    pub(crate) fn logged_in(config: ServerConfig, policy: RotationPolicy) -> Self {
        let scene = Self {
            server: AuthorizationServer::start(config),
            folder: tempfile::tempdir().unwrap(),
        };
        create_key_file(&scene.key_file()).unwrap();
        scene.log_in(&scene.vault(policy).session(PROFILE).unwrap());
        scene
    }

    /// The same with a strict server and the policy for it.
    pub(crate) fn strict() -> Self {
        let config = ServerConfig {
            access_token_lifetime: LIFETIME,
            ..ServerConfig::default()
        };
        Self::logged_in(config, RotationPolicy::strict())
    }

    pub(crate) fn log_in(&self, session: &Session) {
        let token = self.server.issue_login().refresh_token;
        let import = Import::from_issuer(self.server.issuer(), DEFAULT_CLIENT_ID);
        session
            .blocking()
            .import(import, RefreshToken::new(SecretString::from(token)))
            .unwrap();
    }

    /// Another vault of this process, as if it were another program's.
    pub(crate) fn vault(&self, policy: RotationPolicy) -> Vault {
        self.builder(policy).open().unwrap()
    }

    pub(crate) fn builder(&self, policy: RotationPolicy) -> VaultBuilder {
        Vault::builder(APPLICATION)
            .state_root(self.state_root())
            .store(StoreKind::EncryptedFile)
            .key_source(KeySource::KeyFile(self.key_file()))
            .interaction(Interaction::Forbidden)
            .rotation_policy(policy)
    }

    pub(crate) fn session(&self) -> Session {
        let vault = self.vault(RotationPolicy::strict());
        vault.session(PROFILE).unwrap()
    }

    pub(crate) fn place(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn state_root(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The profile's own folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.state_root().join(APPLICATION).join(PROFILE)
    }

    /// Removes it once no refresh goes on: who has its token need not have its copy in the store
    /// yet. Somebody may just be making a file there.
    pub(crate) fn remove_state(&self) {
        let folder = StateFolder::open(&self.state(), FolderOptions::default());
        let lock = LockFile::new(&folder.unwrap().unwrap(), "lock");
        wait_until("no refresh goes on", || lock.try_lock().unwrap().is_some());
        wait_until("the folder is gone", || {
            std::fs::remove_dir_all(self.state()).is_ok()
        });
    }

    /// Where the encrypted-file store keeps its items.
    pub(crate) fn items(state_root: &Path) -> PathBuf {
        state_root.join(APPLICATION).join("items")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    pub(crate) fn assignment(&self, tasks: usize) -> Assignment {
        Assignment {
            application: APPLICATION.to_owned(),
            profile: PROFILE.to_owned(),
            state_root: self.state_root(),
            store: Some(StoreKind::EncryptedFile),
            key_file: Some(self.key_file()),
            tasks,
            lock_timeout_ms: 30_000,
            resources: Vec::new(),
            refused: false,
            faults: Vec::new(),
        }
    }

    pub(crate) fn fleet(&self, processes: usize, tasks: usize) -> Fleet {
        Self::fleet_of(processes, &self.assignment(tasks))
    }

    pub(crate) fn fleet_of(processes: usize, assignment: &Assignment) -> Fleet {
        let contender = || Command::new(env!("CARGO_BIN_EXE_contender"));
        Fleet::start(processes, assignment, contender).unwrap()
    }

    pub(crate) fn other(&self) -> Other {
        Other::start(&mut Other::program(), &self.assignment(1))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        kept::files(&self.state_root());
    }
}

/// Another process.
pub(crate) struct Other {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Other {
    /// The command that becomes another process.
    pub(crate) fn program() -> Command {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.args(Self::arguments());
        program
    }

    pub(crate) fn arguments() -> [&'static str; 4] {
        [
            "--exact",
            "scene::another_process",
            "--ignored",
            "--nocapture",
        ]
    }

    pub(crate) fn start(program: &mut Command, assignment: &Assignment) -> Self {
        let mut process = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut other = Self {
            orders: process.stdin.take(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        };
        other.order(&serde_json::to_string(assignment).unwrap());
        other
    }

    /// Has it do something, and does not wait: `token`, `refresh`, `logout`,
    /// `import TOKEN ISSUER`, `migrate STORE`, `kill POINT [PASSING]`, `stop POINT`.
    pub(crate) fn order(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("it was not told to end");
        writeln!(orders, "{order}").unwrap();
    }

    /// What came of an order: `token FINGERPRINT`, `done`, `error KIND: …`.
    pub(crate) fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            let length = self.answers.read_line(&mut line).unwrap();
            assert!(length > 0, "the other process has ended");
            // The lines of the test's own harness are not for us.
            if let Some((_, answer)) = line.split_once("answer: ") {
                return answer.trim_end().to_owned();
            }
        }
    }

    pub(crate) fn ask(&mut self, order: &str) -> String {
        self.order(order);
        self.answer()
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Lets it end by itself.
    pub(crate) fn end(mut self) {
        self.orders = None;
        self.wait();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) {
        self.process.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.orders = None;
        // Whatever it is in the middle of: the test is over.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
#[ignore = "a process of other tests"]
fn another_process() {
    let mut lines = std::io::stdin().lines().map(Result::unwrap);
    let assignment: Assignment = serde_json::from_str(&lines.next().unwrap()).unwrap();
    kept::log();
    stand_in::register();
    let session = assignment.open().unwrap();
    for order in lines {
        let answer = match carry_out(&session, &order) {
            Ok(answer) => answer,
            Err(error) => format!("error {:?}: {error}", error.kind()),
        };
        writeln!(std::io::stdout(), "answer: {answer}").unwrap();
    }
}

fn carry_out(session: &Session, order: &str) -> Result<String, Error> {
    let words: Vec<&str> = order.split(' ').collect();
    let blocking = session.blocking();
    let all = TokenOptions::default();
    match words[..] {
        ["token"] => blocking.token(&all).map(|token| {
            let token = fingerprint(token.access_token.expose());
            format!("token {token}")
        }),
        ["refresh"] => blocking.refresh_now(&all).map(|_| "done".to_owned()),
        ["logout"] => blocking.logout(true).map(|_| "done".to_owned()),
        ["import", token, issuer] => {
            let token = RefreshToken::new(SecretString::from(token.to_owned()));
            let import = Import::from_issuer(issuer, DEFAULT_CLIENT_ID);
            blocking.import(import, token).map(|_| "done".to_owned())
        }
        ["kill", point] => {
            fault::arm(point, 1, fault::Action::Kill);
            Ok("done".to_owned())
        }
        ["kill", point, nth] => {
            fault::arm(point, nth.parse().unwrap(), fault::Action::Kill);
            Ok("done".to_owned())
        }
        ["migrate", to] => blocking.migrate(to.parse().unwrap()).map(|report| {
            let copied = if report.copied { "copied" } else { "sealed" };
            format!("from {} to {}, {copied}", report.from, report.to)
        }),
        ["stop", point] => {
            fault::arm(point, 1, fault::Action::Stop);
            Ok("done".to_owned())
        }
        _ => panic!("{order}"),
    }
}

/// The calls without a token.
pub(crate) fn errors(calls: &[Call]) -> Vec<&str> {
    calls
        .iter()
        .filter_map(|call| call.error.as_deref())
        .collect()
}

/// Lets a token grow old.
#[expect(
    clippy::disallowed_methods,
    reason = "other processes live by the real clock"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// For what is measured, not asserted.
pub(crate) fn now() -> Duration {
    SystemClock.since_boot()
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, so: impl Fn() -> bool) {
    let began = now();
    while !so() {
        assert!(now() - began < LONG, "never: {what}");
        pause(Duration::from_millis(2));
    }
}

/// Tells a figure to whoever reads along (`--nocapture`).
pub(crate) fn tell(figure: &str) {
    drop(writeln!(std::io::stderr(), "{figure}"));
}
