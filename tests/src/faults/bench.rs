//! Makes a login, has one thing go wrong, and compares what comes of it with
//! what the row says.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use url::Url;
use vault_core::enrolment::Import;
use vault_core::session::TokenOptions;
use vault_core::{Error, ErrorKind, RefreshToken, Session, Vault};
use vault_platform::clock::ManualClock;
use vault_platform::folder::{FolderOptions, StateFolder};
use vault_platform::lock::LockFile;
use vault_platform::secret::SecretString;
use vault_platform::store::{self, Interaction, ItemName, KeySource, StoreKind, StoreOptions};

use super::act::Undo;
use super::place::Place;
use super::row::{Caller, Endpoint, FaultRow, Left, Login};
use super::servers::{BlackHole, SelfSigned};
use super::stored::Snapshot;
use super::{Finding, Stop, check};
use crate::server::{self, AuthorizationServer, DEFAULT_CLIENT_ID, ServerConfig, Stage};

pub(super) const APPLICATION: &str = "org.example.faults";
pub(super) const PROFILE: &str = "work";

/// How long a row waits for what must happen soon, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A login in its surroundings.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) place: Place,
    pub(super) server: AuthorizationServer,
    pub(super) clock: ManualClock,
    /// The refresh token that was imported.
    pub(super) issued: String,
    pub(super) key_given: bool,
    login: Login,
    pub(super) self_signed: Option<SelfSigned>,
    black_hole: Option<BlackHole>,
}

/// What a caller got.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) token: Option<String>,
    refreshed: bool,
    served_despite: Option<ErrorKind>,
    error: Option<(ErrorKind, String)>,
    pub(super) retry_after: Option<Duration>,
}

impl Bench {
    pub(super) fn new(login: &Login) -> Result<Self, Stop> {
        let place = Place::new(login.ground)?;
        store::create_key_file(&place.key_file())?;
        let server = AuthorizationServer::start(ServerConfig {
            rotation: login.rotation,
            expires_in: login.expires_in,
            access_token_format: login.format,
            access_token_lifetime: login.lifetime,
            ..ServerConfig::default()
        });
        let issued = server.issue_login().refresh_token;
        let mut bench = Self {
            place,
            server,
            clock: ManualClock::new(),
            issued,
            key_given: true,
            login: login.clone(),
            self_signed: None,
            black_hole: None,
        };
        let import = match bench.endpoint()? {
            Some(url) => Import::from_token_endpoint(url, DEFAULT_CLIENT_ID),
            None => bench.import_from_server(),
        };
        bench.import(import)?;
        Ok(bench)
    }

    fn endpoint(&mut self) -> Result<Option<Url>, Stop> {
        let address = match self.login.endpoint {
            Endpoint::Server => return Ok(None),
            Endpoint::Unresolvable => "https://nobody.invalid".to_owned(),
            Endpoint::PlainPort => format!("https://{}", self.server.address()),
            Endpoint::SelfSigned => {
                let server = self.self_signed.insert(SelfSigned::start()?);
                format!("https://{}", server.address)
            }
            Endpoint::BlackHole => {
                let hole = self.black_hole.insert(BlackHole::start()?);
                format!("http://{}", hole.address()?)
            }
        };
        Ok(Some(Url::parse(&format!("{address}/token"))?))
    }

    pub(super) fn import_from_server(&self) -> Import {
        Import::from_issuer(self.server.issuer(), DEFAULT_CLIENT_ID)
    }

    pub(super) fn import(&self, import: Import) -> Result<(), Stop> {
        let token = RefreshToken::new(SecretString::from(self.issued.clone()));
        self.session()?.blocking().import(import, token)?;
        Ok(())
    }

    /// A session of a vault of its own, as another process has it.
    pub(super) fn session(&self) -> Result<Session, Error> {
        let mut builder = Vault::builder(APPLICATION)
            .state_root(self.place.state_root())
            .store(StoreKind::EncryptedFile)
            .interaction(Interaction::Forbidden)
            .clock(Arc::new(self.clock.clone()))
            .rotation_policy(self.login.policy)
            .lock_timeout(self.login.lock_timeout)
            .request_timeout(self.login.request_timeout)
            .store_deadline(Duration::from_secs(2));
        if self.key_given {
            builder = builder.key_source(KeySource::KeyFile(self.place.key_file()));
        }
        builder.open()?.session(PROFILE)
    }

    /// How many requests the token endpoint has read.
    pub(super) fn requests(&self) -> u64 {
        self.server.counts().requests.token
    }

    /// Waits until whoever holds the refresh lock has let it go: a caller is
    /// answered before the last copies are written.
    pub(super) fn settle(&self) -> Result<(), Stop> {
        let path = self.place.state_root().join(APPLICATION).join(PROFILE);
        let Some(folder) = StateFolder::open(&path, FolderOptions::default())? else {
            return Ok(());
        };
        let lock = LockFile::new(&folder, "lock");
        let step = Duration::from_millis(5);
        for _ in 0..SOON.as_millis() / step.as_millis() {
            match lock.try_lock() {
                Ok(None) => wait(step),
                // A folder that can't be written to has no holder.
                Ok(Some(_)) | Err(_) => return Ok(()),
            }
        }
        Err(Stop::Broken("the refresh lock is never let go".into()))
    }

    /// What the token item holds.
    pub(super) fn token_item(&self) -> Option<String> {
        let options = StoreOptions {
            state_root: Some(self.place.state_root()),
            key: Some(KeySource::KeyFile(self.place.key_file())),
            ..StoreOptions::default()
        };
        let item = ItemName::new(APPLICATION, PROFILE).ok()?;
        let values = store::open(StoreKind::EncryptedFile, &options)
            .ok()?
            .get(&item)
            .ok()?;
        let line: serde_json::Value = serde_json::from_slice(values.first()?.expose()).ok()?;
        Some(line["refresh_token"].as_str()?.to_owned())
    }
}

/// Asks for a token.
pub(super) fn ask(session: &Session) -> Answer {
    match session.blocking().token(&TokenOptions::default()) {
        Ok(token) => Answer {
            token: Some(token.access_token.expose().to_owned()),
            refreshed: token.refreshed,
            served_despite: token.served_despite,
            error: None,
            retry_after: None,
        },
        Err(error) => Answer {
            token: None,
            refreshed: false,
            served_despite: None,
            error: Some((error.kind(), format!("{error:?}"))),
            retry_after: error.retry_after(),
        },
    }
}

impl Answer {
    pub(super) fn caller(&self) -> Caller {
        match (&self.error, self.served_despite) {
            (Some((kind, _)), _) => Caller::Fails(*kind),
            (None, Some(kind)) => Caller::Served(kind),
            (None, None) if self.refreshed => Caller::New,
            (None, None) => Caller::Stored,
        }
    }

    pub(super) fn words(&self) -> &str {
        self.error.as_ref().map_or("", |(_, words)| words)
    }

    pub(super) fn told(&self) -> String {
        let caller = match self.caller() {
            Caller::New => "new token".to_owned(),
            Caller::Stored => "stored token".to_owned(),
            Caller::Served(kind) => format!("stored token ({kind:?})"),
            Caller::Fails(kind) => format!("{kind:?}"),
        };
        match self.retry_after {
            Some(pause) if pause >= Duration::from_secs(1) => {
                format!("{caller}, retry in {:.0} s", pause.as_secs_f64())
            }
            Some(_) => format!("{caller}, back-off"),
            None => caller,
        }
    }
}

/// Runs a row; what was seen, and what is wrong with it, goes to `finding`.
pub(super) fn run(row: &FaultRow, finding: &mut Finding) -> Result<(), Stop> {
    let mut bench = Bench::new(&row.login)?;
    let earlier = give_token(&bench, row)?;
    let inspected = bench.session()?.blocking().inspect()?;
    let mut undo = Vec::new();
    if !row.warm {
        damage(&mut bench, row)?;
    }
    let mut before = Snapshot::take(&bench.place.state_root())?;
    let requests_before = bench.requests();
    let answer = ask_amid(&mut bench, row, &mut before, &mut undo)?;
    finding.caller = answer.told();
    check::caller(row, &answer, &bench, earlier.as_deref(), finding);
    check::pause(row, &answer, &bench, finding)?;
    let alive = bench.server.family_alive(&bench.issued);
    finding.alive = Some(alive);
    if alive != row.alive {
        finding.wrong(format!("the login lives: {alive}"));
    }

    for undo in undo.into_iter().rev() {
        if let Some(problem) = undo.perform(&mut bench)? {
            finding.wrong(problem);
        }
    }
    bench.settle()?;
    let requests = bench.requests() - requests_before;
    finding.requests = Some(requests);
    if requests != row.requests {
        finding.wrong(format!("{requests} requests, not {}", row.requests));
    }
    check::stored(row, &bench, &before, &inspected, finding)?;
    check::served_to_its_end(row, &bench, finding)?;
    check::afterwards(row, &bench, finding)?;
    // Nobody writes any more into what is removed now.
    bench.settle()
}

/// Gives the login the access token that the row starts with.
fn give_token(bench: &Bench, row: &FaultRow) -> Result<Option<String>, Stop> {
    if row.login.left == Left::Nothing {
        return Ok(None);
    }
    let answer = ask(&bench.session()?);
    bench.settle()?;
    if row.login.left == Left::ALittle {
        bench.clock.advance(row.login.lifetime.mul_f64(14.0 / 15.0));
    }
    match answer.token {
        Some(token) => Ok(Some(token)),
        None => Err(Stop::Broken(format!("no first token: {}", answer.words()))),
    }
}

/// What the row does to the stored things themselves.
fn damage(bench: &mut Bench, row: &FaultRow) -> Result<(), Stop> {
    for act in row.before.iter().filter(|act| act.is_damage()) {
        act.perform(bench)?;
    }
    Ok(())
}

/// Asks on a thread of its own, with its restriction, and does before and
/// meanwhile what the row says.
fn ask_amid(
    bench: &mut Bench,
    row: &FaultRow,
    before: &mut Snapshot,
    undo: &mut Vec<Undo>,
) -> Result<Answer, Stop> {
    let (is_ready, ready) = mpsc::sync_channel(0);
    let (go, start) = mpsc::sync_channel::<Session>(0);
    let restriction = row.restriction;
    let opened = match row.warm {
        true => Some(bench.session()?),
        false => None,
    };
    let asking = thread::spawn(move || {
        restriction.apply()?;
        if let Some(session) = &opened {
            session.blocking().inspect()?;
        }
        is_ready.send(())?;
        let session = start.recv()?;
        Ok(ask(opened.as_ref().unwrap_or(&session)))
    });
    if ready.recv().is_err() {
        return joined(asking);
    }
    if row.warm {
        damage(bench, row)?;
        *before = Snapshot::take(&bench.place.state_root())?;
    }
    for act in row.before.iter().filter(|act| !act.is_damage()) {
        undo.push(act.perform(bench)?);
    }
    let hold = match row.during.is_empty() {
        true => None,
        false => Some(bench.server.hold(server::Endpoint::Token, Stage::Answered)),
    };
    go.send(bench.session()?)?;
    if let Some(hold) = hold {
        if !hold.wait_for(1, SOON) {
            return Err(Stop::Broken("no request came".into()));
        }
        for act in &row.during {
            undo.push(act.perform(bench)?);
        }
    }
    joined(asking)
}

pub(super) fn joined(asking: thread::JoinHandle<Result<Answer, Stop>>) -> Result<Answer, Stop> {
    match asking.join() {
        Ok(answer) => answer,
        Err(_) => Err(Stop::Broken("the caller panicked".into())),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test waits for threads that it can't ask"
)]
fn wait(pause: Duration) {
    thread::sleep(pause);
}
