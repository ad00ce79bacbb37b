//! Keeps the login, on a thread of its own, so that no window ever waits: takes
//! wishes, does what they ask, and looks twice a second what became of the
//! login, by this process or another.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use vault_core::client::{AuthorizedClient, RequestError};
use vault_core::event::{Event, Events};
use vault_core::login::{LoginRequest, SystemBrowser};
use vault_core::refresh::ahead::KeepFresh;
use vault_core::session::TokenOptions;
use vault_core::{Error, ErrorKind, Session, Vault};

use crate::Arguments;
use crate::shown::{self, Shown};

/// The profile: one login of this app.
const PROFILE: &str = "default";

/// How often is looked what other processes did.
const LOOK: Duration = Duration::from_millis(500);

/// How many events are remembered.
const EVENTS: usize = 50;

/// What the person wants.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish {
    LogIn,
    GiveUp,
    AskApi,
    Refresh,
    LogOut,
}

/// The window's end: sends wishes, and reads what is to be shown.
pub(crate) struct Keeper {
    wishes: Option<mpsc::UnboundedSender<Wish>>,
    shown: Arc<Mutex<Shown>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread. `changed` is called when there is something new to
    /// show.
    ///
    /// # Errors
    ///
    /// If the vault can't be opened, the API's address is not one that a token
    /// may go to, or the thread can't be started.
    pub(crate) fn start(
        arguments: Arguments,
        changed: impl Fn() + Send + 'static,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let vault = Vault::open("com.example.desktop")?;
        let session = vault.session(PROFILE)?;
        let api = AuthorizedClient::new(&session, &arguments.api)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (sender, wishes) = mpsc::unbounded_channel();
        let shown = Arc::new(Mutex::new(Shown::default()));
        let work = Work {
            events: vault.events(),
            vault,
            session,
            api,
            arguments,
            told: Vec::new(),
            fresh: None,
            doing: JoinSet::new(),
            login: None,
            shown: Shown::default(),
        };
        let board = shown.clone();
        let show = move |shown: &Shown| {
            shown.clone_into(&mut board.lock().unwrap_or_else(PoisonError::into_inner));
            changed();
        };
        let thread = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || runtime.block_on(work.run(wishes, show)))?;
        Ok(Self {
            wishes: Some(sender),
            shown,
            thread: Some(thread),
        })
    }

    pub(crate) fn wish(&self, wish: Wish) {
        if let Some(wishes) = &self.wishes {
            // The thread ends after this only.
            wishes.send(wish).ok();
        }
    }

    pub(crate) fn shown(&self) -> Shown {
        self.shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.wishes = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// What came of a wish.
enum Done {
    Nothing,
    Answer(String),
}

/// The thread's end.
struct Work {
    vault: Vault,
    session: Session,
    api: AuthorizedClient,
    arguments: Arguments,
    events: Events,
    told: Vec<Event>,
    /// Held while somebody is logged in: renews the token ahead of its end, in
    /// one process of all.
    fresh: Option<KeepFresh>,
    doing: JoinSet<Result<Done, RequestError>>,
    /// Ends a login whose person went away.
    login: Option<AbortHandle>,
    shown: Shown,
}

impl Work {
    async fn run(mut self, mut wishes: mpsc::UnboundedReceiver<Wish>, show: impl Fn(&Shown)) {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                wish = wishes.recv() => match wish {
                    Some(wish) => self.fulfil(wish),
                    None => return,
                },
                Some(done) = self.doing.join_next() => {
                    self.shown.busy = None;
                    self.login = None;
                    // A login that was given up is no failure.
                    if let Ok(done) = done {
                        self.note(done);
                    }
                }
                Some(event) = self.events.next() => {
                    self.told.push(event);
                    if self.told.len() > EVENTS {
                        self.told.remove(0);
                    }
                }
                _ = looks.tick() => {}
            }
            self.look();
            show(&self.shown);
        }
    }

    /// Begins what the person wants; one thing at a time.
    fn fulfil(&mut self, wish: Wish) {
        if let Wish::GiveUp = wish {
            if let Some(login) = &self.login {
                login.abort();
            }
            return;
        }
        if !self.doing.is_empty() {
            return;
        }
        self.shown.failure = None;
        let session = self.session.clone();
        match wish {
            Wish::GiveUp => {}
            Wish::LogIn => {
                self.shown.busy = Some("Waiting for your browser…");
                let request = LoginRequest::new(&self.arguments.issuer, &self.arguments.client_id)
                    .scope("openid")
                    .scope("offline_access");
                self.login = Some(self.doing.spawn(async move {
                    let browser = Arc::new(SystemBrowser::new());
                    session.login(request, browser).await?;
                    Ok(Done::Nothing)
                }));
            }
            Wish::AskApi => {
                self.shown.busy = Some("Asking the API…");
                self.doing.spawn(ask(self.api.clone()));
            }
            Wish::Refresh => {
                self.shown.busy = Some("Refreshing…");
                self.doing.spawn(async move {
                    session.refresh_now(&TokenOptions::default()).await?;
                    Ok(Done::Nothing)
                });
            }
            Wish::LogOut => {
                self.shown.busy = Some("Logging out…");
                self.doing.spawn(async move {
                    session.logout(true).await?;
                    Ok(Done::Nothing)
                });
            }
        }
    }

    fn note(&mut self, done: Result<Done, RequestError>) {
        match done {
            Ok(Done::Nothing) => {}
            Ok(Done::Answer(answer)) => self.shown.answer = Some(answer),
            Err(error) => self.shown.failure = Some(advice(&error)),
        }
    }

    /// Looks what became of the login. Asks no store and takes no lock.
    fn look(&mut self) {
        let glances = match self.vault.glances() {
            Ok(glances) => glances,
            Err(error) => return self.shown.failure = Some(error.to_string()),
        };
        let glance = glances.into_iter().find(|(name, _)| name == PROFILE);
        let glance = match glance.map(|(_, glance)| glance).transpose() {
            Ok(glance) => glance.unwrap_or_default(),
            Err(error) => return self.shown.failure = Some(error.to_string()),
        };
        self.shown.login = shown::login(&glance);
        self.shown.logging_in = self.login.is_some();
        self.shown.lines = shown::lines(&glance.history, &self.told, std::process::id());
        match &self.shown.login {
            Some(_) if self.fresh.is_none() => match self.keep_fresh() {
                Ok(fresh) => self.fresh = Some(fresh),
                Err(error) => self.shown.failure = Some(error.to_string()),
            },
            Some(_) => {}
            None => {
                self.fresh = None;
                self.shown.answer = None;
            }
        }
    }

    fn keep_fresh(&self) -> Result<KeepFresh, Error> {
        self.session.keep_fresh(&TokenOptions::default())
    }
}

async fn ask(api: AuthorizedClient) -> Result<Done, RequestError> {
    let answer = api.send(api.get("")?).await?;
    let status = answer.status();
    let text = answer.text().await?;
    let text = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(json) => format!("{json:#}"),
        Err(_) => text,
    };
    Ok(Done::Answer(format!("{status}\n{text}")))
}

/// What went wrong, and what to do.
fn advice(error: &RequestError) -> String {
    match error {
        RequestError::Vault(error) if error.kind() == ErrorKind::AccessDenied => {
            format!("{error}. Nothing has changed.")
        }
        RequestError::Vault(error) if error.is_login_required() => format!("{error}. Log in."),
        RequestError::Vault(error) if error.is_transient() => format!("{error}. Try again later."),
        error => error.to_string(),
    }
}
