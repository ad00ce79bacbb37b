//! Many processes of many tasks that all need a token at the same moment.
//!
//! The parent starts the same program again and again as a worker, tells each
//! over its standard input which vault to open, and calls rounds: in a round
//! every task of every worker asks for a token at the same instant. What each
//! got comes back as a line of JSON. Tokens travel as fingerprints only.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use vault_core::oauth::challenge::Verdict;
use vault_core::platform::store::{Interaction, KeySource, StoreKind};
use vault_core::session::{Token, TokenOptions};
use vault_core::{AccessToken, Error, ErrorKind, Session, Vault};

use crate::leaks::kept;
use crate::stand_in;

/// Which vault a worker opens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// The application's name.
    pub application: String,
    /// The profile's name.
    pub profile: String,
    /// Where the state folders lie.
    pub state_root: PathBuf,
    /// The kind of store; `None` is where the profile is pinned, with the stand-ins.
    pub store: Option<StoreKind>,
    /// The key of the encrypted-file store.
    pub key_file: Option<PathBuf>,
    /// How many tasks ask at once.
    pub tasks: usize,
    /// How long a task waits for another process, in milliseconds.
    pub lock_timeout_ms: u64,
    /// The resources (RFC 8707) that tasks ask a token for, one each, from the
    /// first again where there are more tasks. Without any, the login's own.
    #[serde(default)]
    pub resources: Vec<String>,
    /// From the second round on, a task has had its last token refused by an
    /// API.
    #[serde(default)]
    pub refused: bool,
    /// Faults to put into the workers, of [`vault_core::fault`].
    pub faults: Vec<String>,
}

impl Assignment {
    /// The vault that is meant.
    ///
    /// # Errors
    ///
    /// As [`vault_core::VaultBuilder::open`].
    pub fn open(&self) -> Result<Session, Error> {
        let mut builder = Vault::builder(&self.application)
            .state_root(&self.state_root)
            .interaction(Interaction::Forbidden)
            .lock_timeout(Duration::from_millis(self.lock_timeout_ms));
        match self.store {
            Some(store) => builder = builder.store(store),
            None => stand_in::register(),
        }
        if let Some(key_file) = &self.key_file {
            builder = builder.key_source(KeySource::KeyFile(key_file.clone()));
        }
        builder.open()?.session(&self.profile)
    }
}

/// What one task got in one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// From asking to having, in microseconds.
    pub took_us: u64,
    /// The fingerprint of the token.
    pub token: Option<String>,
    /// What is left of its life, in milliseconds.
    pub expires_in_ms: Option<u64>,
    /// Why there is none: the error's kind and message.
    pub error: Option<String>,
    /// Whether only a new login helps.
    pub login_lost: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Round {
    /// When to ask, in milliseconds since the Unix epoch.
    at_ms: u64,
}

/// The workers, seen from the parent. Dropping it ends them.
#[derive(Debug)]
pub struct Fleet {
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    results: BufReader<ChildStdout>,
}

impl Fleet {
    /// Starts `processes` workers; `program` makes the command that ends up in
    /// [`work`].
    ///
    /// # Errors
    ///
    /// If a process can't be started.
    pub fn start(
        processes: usize,
        assignment: &Assignment,
        program: impl Fn() -> Command,
    ) -> std::io::Result<Self> {
        let line = serde_json::to_string(assignment)?;
        // From the first worker on, so that an error ends those there are.
        let mut fleet = Self {
            workers: Vec::with_capacity(processes),
        };
        for _ in 0..processes {
            let mut child = program()
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let (Some(mut orders), Some(results)) = (child.stdin.take(), child.stdout.take())
            else {
                return Err(std::io::Error::other("a worker without pipes"));
            };
            let written = writeln!(orders, "{line}");
            fleet.workers.push(Worker {
                child,
                orders: Some(orders),
                results: BufReader::new(results),
            });
            written.map_err(|_| ended())?;
        }
        for worker in &mut fleet.workers {
            worker.read::<String>()?;
        }
        Ok(fleet)
    }

    /// Has every task of every worker ask at the same instant, a moment from
    /// now.
    ///
    /// # Errors
    ///
    /// If a worker has died.
    pub fn round(&mut self) -> std::io::Result<Vec<Call>> {
        let at = since_epoch() + Duration::from_millis(30);
        let round = Round {
            at_ms: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
        };
        let line = serde_json::to_string(&round)?;
        for worker in &mut self.workers {
            if let Some(orders) = &mut worker.orders {
                writeln!(orders, "{line}").map_err(|_| ended())?;
            }
        }
        let mut calls = Vec::new();
        for worker in &mut self.workers {
            calls.extend(worker.read::<Vec<Call>>()?);
        }
        Ok(calls)
    }

    /// The workers' process ids.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        self.workers
            .iter()
            .map(|worker| worker.child.id())
            .collect()
    }
}

impl Worker {
    fn read<T: serde::de::DeserializeOwned>(&mut self) -> std::io::Result<T> {
        let mut line = String::new();
        if self.results.read_line(&mut line)? == 0 {
            return Err(ended());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

fn ended() -> std::io::Error {
    std::io::Error::other("a worker process ended before its time")
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // The end of its input ends a worker.
            worker.orders = None;
        }
        for worker in &mut self.workers {
            if worker.child.wait().is_err() {
                drop(worker.child.kill());
            }
        }
    }
}

/// What a worker process does: reads its assignment, then rounds, until its
/// input ends.
///
/// # Errors
///
/// If its input makes no sense, or the vault can't be opened.
pub fn work() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    kept::log();
    let mut lines = std::io::stdin().lines();
    let assignment: Assignment = match lines.next() {
        Some(line) => serde_json::from_str(&line?)?,
        None => return Ok(()),
    };
    for fault in &assignment.faults {
        vault_core::fault::inject(fault);
    }
    let session = assignment.open()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let tasks: Vec<_> = (0..assignment.tasks)
        .map(|number| Arc::new(Task::new(&assignment, number)))
        .collect();
    say(&"ready")?;
    for line in lines {
        let round: Round = serde_json::from_str(&line?)?;
        let calls = runtime.block_on(ask_together(&session, &tasks, round.at_ms));
        say(&calls)?;
    }
    Ok(())
}

fn say(value: &impl Serialize) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(value)?)?;
    stdout.flush()
}

/// What one task asks for.
#[derive(Debug)]
struct Task {
    options: TokenOptions,
    refuses: bool,
    last: Mutex<Option<AccessToken>>,
}

impl Task {
    fn new(assignment: &Assignment, number: usize) -> Self {
        let resources = &assignment.resources;
        let resource = resources.get(number.checked_rem(resources.len()).unwrap_or(0));
        let mut options = TokenOptions::default();
        if let Some(resource) = resource.and_then(|text| url::Url::parse(text).ok()) {
            options = options.resource(&resource);
        }
        Self {
            options,
            refuses: assignment.refused,
            last: Mutex::default(),
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<AccessToken>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, session: &Session) -> Result<Token, Error> {
        let refused = self.last().clone().filter(|_| self.refuses);
        let answer = match refused {
            Some(refused) => {
                let verdict = Verdict::of(401, [r#"Bearer error="invalid_token""#]);
                session.refused(&refused, &verdict, &self.options).await
            }
            None => session.token(&self.options).await,
        };
        if let Ok(token) = &answer {
            *self.last() = Some(token.access_token.clone());
        }
        answer
    }
}

async fn ask_together(session: &Session, tasks: &[Arc<Task>], at_ms: u64) -> Vec<Call> {
    let barrier = Arc::new(tokio::sync::Barrier::new(tasks.len()));
    let asking: Vec<_> = tasks
        .iter()
        .map(|task| {
            let task = task.clone();
            let (session, barrier) = (session.clone(), barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                let now = u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX);
                tokio::time::sleep(Duration::from_millis(at_ms.saturating_sub(now))).await;
                ask(&session, &task).await
            })
        })
        .collect();
    let mut calls = Vec::with_capacity(tasks.len());
    for task in asking {
        calls.push(task.await.unwrap_or_else(|error| Call {
            took_us: 0,
            token: None,
            expires_in_ms: None,
            error: Some(error.to_string()),
            login_lost: false,
        }));
    }
    calls
}

async fn ask(session: &Session, task: &Task) -> Call {
    let began = stopwatch();
    let answer = task.ask(session).await;
    let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    match answer {
        Ok(token) => Call {
            took_us,
            token: Some(crate::server::fingerprint(token.access_token.expose())),
            expires_in_ms: token
                .expires_in
                .map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            error: None,
            login_lost: false,
        },
        Err(error) => Call {
            took_us,
            token: None,
            expires_in_ms: None,
            login_lost: error.is_login_required() || error.kind() == ErrorKind::ItemMissing,
            error: Some(format!("{error:?}")),
        },
    }
}

fn since_epoch() -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "processes agree on a moment by the wall clock"
    )]
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn stopwatch() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    Instant::now()
}
