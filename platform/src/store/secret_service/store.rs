//! The store itself: reads and writes, each behind its question.

use std::cell::{Cell, OnceCell};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use zbus::zvariant::OwnedObjectPath;

use super::bus::{self, Asked, Bus, Found, Opening, provider};
use super::error::BusError;
use super::session::{Sealed, Session};
use crate::clock::{Clock, SystemClock};
use crate::exit::ForkMark;
use crate::secret::SecretBytes;
use crate::store::{
    Capabilities, Interaction, ItemName, Persistence, SecretStore, StoreError, StoreErrorKind,
    StoreKind, StoreOptions,
};

/// How often a call is tried: the service may have been restarted since the
/// last one, and of 256 sessions one can't be used.
const TRIES: u32 = 3;

/// Why an item may be locked in a collection that is not.
const LOCKED_BY_ITSELF: &str = "an item of this name is locked although the default collection is \
    open: it lies in another collection, or the service asks before it gives an item out (in \
    KeePassXC: Settings, Secret Service Integration, \"Confirm when passwords are retrieved by \
    clients\")";

/// How often a search is made again because of items that come and go.
const SEARCHES: u32 = 16;

/// For how long what was found open need not be asked for again, by the next
/// call only: an unlock comes right before it.
const JUST_NOW: Duration = Duration::from_secs(1);

/// Text, which ours is: KeePassXC keeps anything else in an attachment, and was
/// seen to give that to another item after a restart (2.7.4).
const CONTENT_TYPE: &str = "text/plain; charset=utf8";

/// The Secret Service of the session bus.
pub struct SecretServiceStore {
    deadline: Duration,
    prompt_deadline: Duration,
    connection: Mutex<Option<Connection>>,
    /// The process that answered last.
    process: Mutex<Option<u32>>,
}

/// One connection: for questions, and for the session that carries secrets
/// encrypted over the bus, once there is one to carry.
struct Connection {
    bus: Bus,
    opening: Opening,
    session: OnceCell<Session>,
    /// The question whether the default collection is locked, as long as its
    /// answer was not read.
    lock: Cell<Option<Asked>>,
    /// When the default collection was found open, until that was made use of.
    found_open: Cell<Option<Duration>>,
    mark: ForkMark,
}

impl SecretServiceStore {
    /// Makes the store; connects at the first call.
    ///
    /// # Errors
    ///
    /// None on this system.
    pub fn new(options: &StoreOptions) -> Result<Self, StoreError> {
        Ok(Self {
            deadline: options.call_deadline,
            prompt_deadline: options.prompt_deadline,
            connection: Mutex::new(None),
            process: Mutex::new(None),
        })
    }

    fn connect(&self) -> Result<Connection, BusError> {
        let (bus, service) = Bus::connect(self.deadline)?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = service.process;
        Ok(Connection {
            bus,
            opening: service.opening,
            session: OnceCell::new(),
            lock: Cell::new(service.lock),
            found_open: Cell::new(None),
            mark: ForkMark::here(),
        })
    }

    /// How long a person may take at a prompt.
    fn patience(&self, interaction: Interaction) -> Option<Duration> {
        match interaction {
            Interaction::Allowed => Some(self.prompt_deadline),
            Interaction::Forbidden => None,
        }
    }

    /// Calls with the connection there is or a new one; if that fails as it does
    /// when the service went away, once more with a new one.
    fn with_connection<T>(
        &self,
        operation: &'static str,
        mut call: impl FnMut(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut slot = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // What a child of `fork` says on it would mix with the parent's words.
        drop(slot.take_if(|connection| !connection.mark.is_here()));
        let mut tries = TRIES;
        loop {
            let connection = match &*slot {
                Some(connection) => connection,
                None => {
                    let connected = self.connect().map_err(|cause| told(cause, operation));
                    match connected {
                        Ok(connection) => slot.insert(connection),
                        Err(error) if is_broken(&error) && tries > 1 => {
                            tries -= 1;
                            continue;
                        }
                        Err(error) => return Err(error),
                    }
                }
            };
            tries -= 1;
            match call(connection) {
                Err(error) if is_broken(&error) && tries > 0 => {
                    tracing::debug!(%error, "connecting to the secret service again");
                    *slot = None;
                }
                result => return result,
            }
        }
    }
}

/// Tells whether a new connection may help.
fn is_broken(error: &StoreError) -> bool {
    matches!(error.kind, StoreErrorKind::Failed | StoreErrorKind::Missing)
}

impl fmt::Debug for SecretServiceStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretServiceStore")
    }
}

impl SecretStore for SecretServiceStore {
    fn kind(&self) -> StoreKind {
        StoreKind::SecretService
    }

    fn provider(&self) -> String {
        provider(*self.process.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            size_limit: None,
            persistence: Persistence::UntilDeleted,
            may_prompt: true,
        }
    }

    /// Each message has a deadline, and each prompt.
    fn keeps_deadlines(&self) -> bool {
        true
    }

    fn unlock(&self, interaction: Interaction) -> Result<(), StoreError> {
        let patience = self.patience(interaction);
        self.with_connection("unlock", |connection| connection.unlock(patience))
    }

    fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
        self.with_connection("get", |connection| connection.get(&attributes(item)))
    }

    /// The session takes the service the longest, which was asked for already.
    fn unlock_and_get(
        &self,
        item: &ItemName,
        interaction: Interaction,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Vec<SecretBytes>, StoreError> {
        let patience = self.patience(interaction);
        let mut meanwhile = Some(meanwhile);
        self.with_connection("get", |connection| {
            if let Some(work) = meanwhile.take() {
                bus::meanwhile(work);
            }
            connection.unlock(patience)?;
            connection.get(&attributes(item))
        })
    }

    fn set(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), StoreError> {
        // A newline destroys a GNOME keyring that has a blank password, and
        // KWallet keeps text only.
        if !secret
            .expose()
            .iter()
            .all(|byte| matches!(byte, b' '..=b'~'))
        {
            return Err(error(StoreErrorKind::Refused, "set")
                .because("the secret service takes one line of ASCII"));
        }
        let patience = self.prompt_deadline;
        self.with_connection("set", |connection| {
            connection.with_matching(&attributes(item), "set", |session, paths| {
                let mut paths = paths.into_iter();
                match paths.next() {
                    None => connection.create(item, sealed(session, secret)?, patience)?,
                    Some(first) => connection.bus.write(&first, sealed(session, secret)?)?,
                }
                paths.try_for_each(|other| connection.bus.delete(&other, self.deadline))
            })
        })
    }

    fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
        self.with_connection("delete", |connection| {
            connection.with_matching(&attributes(item), "delete", |_, paths| {
                let delete = |path| connection.bus.delete(path, self.deadline);
                paths.iter().try_for_each(delete)
            })
        })
    }

    fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
        self.with_connection("list", |connection| {
            let attributes = HashMap::from([("service", application)]);
            let mut names = connection.with_matching(&attributes, "list", |_, paths| {
                let mut names = Vec::new();
                for path in paths {
                    let found = connection.bus.attributes(&path)?;
                    names.extend(name_of(application, &found));
                }
                Ok(names)
            })?;
            names.sort_unstable();
            names.dedup();
            Ok(names)
        })
    }
}

impl Connection {
    fn unlock(&self, patience: Option<Duration>) -> Result<(), StoreError> {
        if !self.is_known_open() {
            self.ensure_open(patience, "unlock")?;
        }
        self.found_open.set(Some(SystemClock.since_boot()));
        Ok(())
    }

    fn get(&self, attributes: &HashMap<&str, &str>) -> Result<Vec<SecretBytes>, StoreError> {
        self.with_matching(attributes, "get", |session, paths| {
            let read = |path| self.bus.read(path, session);
            paths.iter().map(read).collect()
        })
    }

    /// Finds the items with these attributes, none of which is locked. Asks
    /// first whether the keyring is: "nothing found" says nothing then, writing
    /// would prompt, and KeePassXC prompts even for the search.
    fn matching(
        &self,
        attributes: &HashMap<&str, &str>,
        operation: &'static str,
    ) -> Result<(&Session, Vec<OwnedObjectPath>), StoreError> {
        let known_open = self.is_known_open();
        if !known_open {
            self.ensure_open(None, operation)?;
        }
        let (session, found) = self
            .search(attributes)
            .map_err(|cause| told(cause, operation))?;
        if !found.locked.is_empty() {
            return Err(error(StoreErrorKind::Locked, operation).because(LOCKED_BY_ITSELF));
        }
        if known_open && found.unlocked.is_empty() {
            // Somebody may have locked it since.
            self.ensure_open(None, operation)?;
        }
        Ok((session, found.unlocked))
    }

    /// Searches, with the session that what is found is read or written in.
    fn search(&self, attributes: &HashMap<&str, &str>) -> Result<(&Session, Found), BusError> {
        let search = self.bus.search(attributes)?;
        let session = match self.session.get() {
            Some(session) => session,
            None => {
                let opened = self.bus.session(&self.opening)?;
                self.session.get_or_init(|| opened)
            }
        };
        Ok((session, self.bus.found(search)?))
    }

    /// Whether the default collection was found open just now. Says so once.
    fn is_known_open(&self) -> bool {
        if let Some(lock) = self.lock.take() {
            return self.bus.says_open(lock);
        }
        let found = self.found_open.take();
        found.is_some_and(|at| SystemClock.since_boot().saturating_sub(at) < JUST_NOW)
    }

    /// Does something with the items that match. From the search on again when
    /// one of them is gone by then: somebody deleted it, or the service died and
    /// the one that the bus started in its place is locked.
    fn with_matching<T>(
        &self,
        attributes: &HashMap<&str, &str>,
        operation: &'static str,
        act: impl Fn(&Session, Vec<OwnedObjectPath>) -> Result<T, BusError>,
    ) -> Result<T, StoreError> {
        let mut tries = SEARCHES;
        loop {
            tries -= 1;
            let (session, paths) = self.matching(attributes, operation)?;
            match act(session, paths) {
                Err(cause) if cause.is_absent() && tries > 0 => {}
                result => return result.map_err(|cause| told(cause, operation)),
            }
        }
    }

    /// Opens the default collection if it is not open, asking a person for as
    /// long as told, or nobody.
    fn ensure_open(
        &self,
        patience: Option<Duration>,
        operation: &'static str,
    ) -> Result<(), StoreError> {
        let open = match self.bus.is_open() {
            Ok(false) => self.bus.open(patience),
            answer => answer,
        };
        match (open, patience) {
            (Ok(true), _) => Ok(()),
            (Ok(false), None) => Err(error(StoreErrorKind::Locked, operation)),
            (Ok(false), Some(_)) => Err(error(StoreErrorKind::Locked, operation)
                .because("the prompt was closed without unlocking")),
            (Err(cause), _) => Err(told(cause, operation)),
        }
    }

    fn create(&self, item: &ItemName, sealed: Sealed, patience: Duration) -> Result<(), BusError> {
        let label = format!("{} ({})", item.application(), item.account());
        self.bus.create(&label, attributes(item), sealed, patience)
    }
}

fn sealed(session: &Session, secret: &SecretBytes) -> Result<Sealed, BusError> {
    session.seal(secret, CONTENT_TYPE)
}

fn attributes(item: &ItemName) -> HashMap<&str, &str> {
    HashMap::from([
        ("service", item.application()),
        ("username", item.account()),
    ])
}

fn name_of(application: &str, attributes: &HashMap<String, String>) -> Option<ItemName> {
    let (service, account) = (attributes.get("service")?, attributes.get("username")?);
    (service == application)
        .then(|| ItemName::new(service, account).ok())
        .flatten()
}

fn told(cause: BusError, operation: &'static str) -> StoreError {
    error(cause.kind, operation).because(cause.source)
}

fn error(kind: StoreErrorKind, operation: &'static str) -> StoreError {
    StoreError::new(kind, StoreKind::SecretService, operation)
}
