//! This vault beside other libraries, on the same machine, against the same strict server.
//!
//! ```text
//! compare FOLDER
//! ```
//!
//! FOLDER holds the programs of `tests/compare`; `vault-cli` lies beside this program. Prints a
//! table: what each does when eight processes find an expired token at once, when an answer is
//! lost behind the rotation, when it is killed while the answer is on its way, and when the server
//! is overloaded for a moment. It judges nobody; exits 1 only if this vault loses a login that
//! the server would have kept.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Output, Stdio};
use std::time::Duration;

use comfy_table::{Table, presets::ASCII_MARKDOWN};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use vault_core::platform::store::create_key_file;
use vault_tests::server::{
    AuthorizationServer, Client, ClientAuthentication, Endpoint, Fault, Rotation, ServerConfig,
    Stage,
};

type Failure = Box<dyn Error + Send + Sync>;

/// How many processes find the expired token at once, and how often that is tried.
const PROCESSES: usize = 8;
const ROUNDS: usize = 5;
/// A process that needs longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// A server that forgives does so for this long.
const GRACE: Duration = Duration::from_secs(60);
/// The clients that `tests/compare` knows.
const PUBLIC: &str = "public";
const WITH_SECRET: (&str, &str) = ("with-secret", "not-secret");
/// oidc-agent's client: it sends a secret in a header.
const WITH_HEADER: (&str, &str) = ("with-header", "not-secret");

/// Who is measured.
struct Subject {
    name: &'static str,
    program: Program,
    client: &'static str,
}

enum Program {
    /// One of `tests/compare`.
    Theirs(&'static str),
    /// Debian's oidc-agent, with its commands.
    Agent,
    /// `vault-cli`, with more for its `import`.
    Ours(&'static [&'static str]),
}

const SUBJECTS: [Subject; 6] = [
    Subject {
        name: "yup-oauth2 12.1.2, tokens on disk",
        program: Program::Theirs("yup"),
        client: WITH_SECRET.0,
    },
    Subject {
        name: "oauth2 5.0.0 and keyring-core 1.0.1",
        program: Program::Theirs("by_hand"),
        client: PUBLIC,
    },
    Subject {
        name: "dbx-tools-auth 0.6.182, file store",
        program: Program::Theirs("dbx"),
        client: PUBLIC,
    },
    Subject {
        name: "oidc-agent 4.2.6",
        program: Program::Agent,
        client: WITH_HEADER.0,
    },
    Subject {
        name: "this vault",
        program: Program::Ours(&[]),
        client: PUBLIC,
    },
    Subject {
        name: "this vault, --rotation strict",
        program: Program::Ours(&["--rotation", "strict"]),
        client: PUBLIC,
    },
];

/// A server, and a login of a subject at it whose access token has expired.
struct Scene<'a> {
    subject: &'a Subject,
    theirs: &'a Path,
    server: AuthorizationServer,
    place: tempfile::TempDir,
    /// Of who has one; it ends with the scene.
    agent: Option<Child>,
}

impl<'a> Scene<'a> {
    async fn set(
        subject: &'a Subject,
        theirs: &'a Path,
        rotation: Rotation,
    ) -> Result<Self, Failure> {
        let short = Duration::from_secs(1);
        let server = AuthorizationServer::start(ServerConfig {
            clients: vec![
                Client::public(PUBLIC),
                Client::confidential(
                    WITH_SECRET.0,
                    ClientAuthentication::SecretPost(WITH_SECRET.1.to_owned()),
                ),
                Client::confidential(
                    WITH_HEADER.0,
                    ClientAuthentication::SecretBasic(WITH_HEADER.1.to_owned()),
                ),
            ],
            rotation,
            access_token_lifetime: short,
            ..ServerConfig::default()
        });
        let place = tempfile::tempdir()?;
        create_key_file(&place.path().join("key"))?;
        let mut scene = Self {
            subject,
            theirs,
            server,
            place,
            agent: None,
        };
        if let Program::Agent = subject.program {
            scene.agent = Some(scene.start_agent().await?);
        }
        let login = scene.server.issue_login_for(subject.client);
        let mut storing = scene.command("store")?;
        // It knows no standard input for this.
        storing.env("OIDC_REFRESH_TOKEN", &login.refresh_token);
        let mut storing = storing.stdin(Stdio::piped()).spawn()?;
        let mut input = storing.stdin.take().ok_or("no standard input")?;
        input.write_all(login.refresh_token.as_bytes()).await?;
        drop(input);
        let stored = within(storing).await?.ok_or("storing hangs")?;
        if !stored.status.success() {
            return Err(format!("{} stores nothing: {}", subject.name, said(&stored)).into());
        }
        // Ours has made its first refresh; the others keep one that expired long ago.
        tokio::time::sleep(short + short / 2).await;
        let long = Duration::from_secs(3600);
        scene
            .server
            .configure(|config| config.access_token_lifetime = long);
        Ok(scene)
    }

    /// `store` or `token`.
    fn command(&self, wish: &str) -> Result<Command, Failure> {
        let place = self.place.path();
        let mut command = match self.subject.program {
            Program::Theirs(name) => {
                let mut command = Command::new(self.theirs.join(name));
                command.arg(wish).arg(place).arg(self.server.url("/token"));
                command
            }
            Program::Agent => {
                let name = if wish == "store" {
                    "oidc-gen"
                } else {
                    "oidc-token"
                };
                let mut command = Command::new(name);
                command
                    .env("HOME", place)
                    .env("OIDC_SOCK", place.join("socket"));
                if wish == "store" {
                    command
                        .args(["--manual", "--rt-env", "--confirm-default", "--prompt=none"])
                        .args(["--pw-cmd", "echo not-secret", "--scope", "openid"])
                        .args(["--redirect-uri", "http://localhost:4242"])
                        .args(["--client-id", WITH_HEADER.0])
                        .args(["--client-secret", WITH_HEADER.1])
                        .args(["--issuer", self.server.issuer()]);
                }
                command.arg("login");
                command
            }
            Program::Ours(more) => {
                let beside = std::env::current_exe()?.with_file_name("vault-cli");
                let mut command = Command::new(beside);
                command
                    .args(["--store", "encrypted-file"])
                    .env("VAULT_STATE_DIR", place.join("state"))
                    .env("VAULT_KEY_FILE", place.join("key"));
                if wish == "store" {
                    command.args(["import", "--client-id", self.subject.client, "--issuer"]);
                    command.arg(self.server.issuer()).args(more);
                } else {
                    command.arg(wish);
                }
                command
            }
        };
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }

    /// Starts it in the foreground, and waits until it listens.
    async fn start_agent(&self) -> Result<Child, Failure> {
        let place = self.place.path();
        std::fs::create_dir(place.join(".oidc-agent"))?;
        let socket = place.join("socket");
        let agent = Command::new("oidc-agent")
            .args(["--console", "--no-autoload"])
            .arg(format!("--socket-path={}", socket.display()))
            .env("HOME", place)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        for _ in 0..500 {
            if socket.exists() {
                return Ok(agent);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err("oidc-agent does not listen".into())
    }

    fn ask(&self) -> Result<Child, Failure> {
        Ok(self.command("token")?.spawn()?)
    }

    /// Asks once, and says in a word what came of it.
    async fn try_once(&self) -> Result<Outcome, Failure> {
        let ended = within(self.ask()?).await?;
        Ok(ended.map_or(Outcome::Hangs, |output| self.judge(&output)))
    }

    fn judge(&self, output: &Output) -> Outcome {
        let printed = String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            if self.server.is_valid_access_token(printed.trim()) {
                return Outcome::Token;
            }
            return Outcome::DeadToken;
        }
        // vault-cli says it with its exit code, the others in words.
        let said = said(output).to_lowercase();
        if output.status.code() == Some(3) || said.contains("login") {
            return Outcome::LogIn;
        }
        Outcome::Error
    }

    fn alive(&self) -> bool {
        self.server.living_logins() == 1
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Token,
    DeadToken,
    LogIn,
    Error,
    Hangs,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::DeadToken => "dead token",
            Self::LogIn => "asks for a login",
            Self::Error => "error",
            Self::Hangs => "hangs",
        }
    }
}

/// `None` if it has not ended in time; then it is killed.
async fn within(child: Child) -> Result<Option<Output>, Failure> {
    match tokio::time::timeout(PATIENCE, child.wait_with_output()).await {
        Ok(ended) => Ok(Some(ended?)),
        Err(_) => Ok(None),
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// Eight processes at once: refreshes, uses of a dead token, tokens that are good afterwards, and
/// logins lost, over all rounds.
async fn stampede(subject: &Subject, theirs: &Path) -> Result<[usize; 4], Failure> {
    let mut sums = [0; 4];
    for _ in 0..ROUNDS {
        let scene = Scene::set(subject, theirs, Rotation::Strict).await?;
        let before = scene.server.counts();
        let held = scene.server.hold(Endpoint::Token, Stage::Arrived);
        let asking: Vec<Child> = (0..PROCESSES)
            .map(|_| scene.ask())
            .collect::<Result<_, _>>()?;
        // Those that come, come; a lock lets only one through.
        held.wait_for(PROCESSES, Duration::from_secs(3));
        drop(held);
        let mut outputs = Vec::new();
        for child in asking {
            outputs.extend(within(child).await?);
        }
        let good = |output: &&Output| scene.judge(output) == Outcome::Token;
        let after = scene.server.counts();
        sums[0] += usize::try_from(after.refreshes_ok - before.refreshes_ok)?;
        sums[1] += usize::try_from(after.reuse_detected - before.reuse_detected)?;
        sums[2] += outputs.iter().filter(good).count();
        sums[3] += usize::from(!scene.alive());
    }
    Ok(sums)
}

/// What the first call and the one after it came to, and whether the login lives.
struct After {
    first: Option<Outcome>,
    second: Outcome,
    alive: bool,
}

impl After {
    fn text(&self) -> String {
        let first = self.first.map_or("killed", Outcome::word);
        let login = if self.alive { "lives" } else { "is lost" };
        format!("{first}, then {}; login {login}", self.second.word())
    }
}

/// The answer is lost on the way, after the server has rotated.
async fn lost_answer(
    subject: &Subject,
    theirs: &Path,
    rotation: Rotation,
) -> Result<After, Failure> {
    let scene = Scene::set(subject, theirs, rotation).await?;
    scene
        .server
        .fail_next(Endpoint::Token, 1, Fault::LoseAnswer);
    let first = Some(scene.try_once().await?);
    Ok(After {
        first,
        second: scene.try_once().await?,
        alive: scene.alive(),
    })
}

/// `kill -9` after the server has rotated, and before its answer arrives.
async fn killed(subject: &Subject, theirs: &Path, rotation: Rotation) -> Result<After, Failure> {
    let scene = Scene::set(subject, theirs, rotation).await?;
    let held = scene.server.hold(Endpoint::Token, Stage::Answered);
    let mut child = scene.ask()?;
    if !held.wait_for(1, PATIENCE) {
        return Err(format!("{} sends nothing", subject.name).into());
    }
    child.kill().await?;
    drop(held);
    Ok(After {
        first: None,
        second: scene.try_once().await?,
        alive: scene.alive(),
    })
}

/// The server is overloaded for one request, and has not acted.
async fn overloaded(subject: &Subject, theirs: &Path) -> Result<After, Failure> {
    let scene = Scene::set(subject, theirs, Rotation::Strict).await?;
    scene
        .server
        .fail_next(Endpoint::Token, 1, Fault::unavailable(1));
    let first = Some(scene.try_once().await?);
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(After {
        first,
        second: scene.try_once().await?,
        alive: scene.alive(),
    })
}

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(theirs), None) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        writeln!(io::stderr(), "usage: compare FOLDER")?;
        return Ok(ExitCode::from(2));
    };
    let all = PROCESSES * ROUNDS;
    let mut rows = [
        "stampede: refreshes that were granted".to_owned(),
        "stampede: dead tokens that were sent".to_owned(),
        format!("stampede: processes with a good token, of {all}"),
        format!("stampede: logins lost, of {ROUNDS}"),
        "answer lost, server forgives".to_owned(),
        "answer lost, strict server".to_owned(),
        "killed before the answer, server forgives".to_owned(),
        "killed before the answer, strict server".to_owned(),
        "503 once".to_owned(),
    ]
    .map(|name| vec![name]);
    let mut lost = false;
    for subject in &SUBJECTS {
        let forgiving = Rotation::Grace(GRACE);
        let sums = stampede(subject, &theirs).await?;
        let after = [
            lost_answer(subject, &theirs, forgiving).await?,
            lost_answer(subject, &theirs, Rotation::Strict).await?,
            killed(subject, &theirs, forgiving).await?,
            killed(subject, &theirs, Rotation::Strict).await?,
            overloaded(subject, &theirs).await?,
        ];
        if matches!(subject.program, Program::Ours(_)) {
            let kept = [&after[0], &after[2], &after[4]];
            lost |= sums[3] > 0 || kept.iter().any(|after| !after.alive);
        }
        let cells = sums.iter().map(ToString::to_string);
        let cells = cells.chain(after.iter().map(After::text));
        for (row, cell) in rows.iter_mut().zip(cells) {
            row.push(cell);
        }
        writeln!(io::stderr(), "{}: done", subject.name)?;
    }
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    let names = SUBJECTS.iter().map(|subject| subject.name);
    table.set_header(std::iter::once("").chain(names));
    table.add_rows(rows);
    writeln!(io::stdout(), "{table}")?;
    Ok(if lost {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
