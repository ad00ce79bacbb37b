//! The store itself: reads and writes, each behind its question.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secret_service::blocking::{Item, SecretService};
use secret_service::{EncryptionType, Error};
use zbus::zvariant::OwnedObjectPath;

use super::bus::{self, Bus, BusError};
use crate::exit::ForkMark;
use crate::secret::SecretBytes;
use crate::store::{
    Capabilities, Interaction, ItemName, Persistence, SecretStore, StoreError, StoreErrorKind,
    StoreKind, StoreOptions,
};

/// How often a call is tried: the service may have been restarted since the
/// last one.
const TRIES: u32 = 2;

const CONTENT_TYPE: &str = "application/octet-stream";

/// The Secret Service of the session bus.
pub struct SecretServiceStore {
    deadline: Duration,
    connection: Mutex<Option<Connection>>,
    provider: Mutex<String>,
}

/// One connection: for questions, and for the session that carries secrets
/// encrypted over the bus.
struct Connection {
    bus: Bus,
    session: SecretService<'static>,
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
            connection: Mutex::new(None),
            provider: Mutex::new("org.freedesktop.secrets".to_owned()),
        })
    }

    fn connect(&self) -> Result<Connection, BusError> {
        let bus = Bus::connect(self.deadline)?;
        // Before the session is opened, and on the same connection: otherwise
        // simultaneous clients bring gnome-keyring 42.1 down.
        bus.reach_service()?;
        let session = SecretService::connect_with_existing(EncryptionType::Dh, bus.0.clone())
            .map_err(|cause| BusError {
                kind: kind_of(&cause),
                source: cause.into(),
            })?;
        *self.provider.lock().unwrap_or_else(PoisonError::into_inner) = bus.provider();
        Ok(Connection {
            bus,
            session,
            mark: ForkMark::here(),
        })
    }

    /// Calls with the connection there is or a new one; if that fails as it does
    /// when the service went away, once more with a new one.
    fn with_connection<T>(
        &self,
        operation: &'static str,
        call: impl Fn(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut slot = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(forked) = slot.take_if(|connection| !connection.mark.is_here()) {
            // The threads that serve it stayed with the parent: closing it in
            // order would wait for them.
            std::mem::forget(forked);
        }
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
        self.provider
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            size_limit: None,
            persistence: Persistence::UntilDeleted,
            may_prompt: true,
        }
    }

    fn unlock(&self, interaction: Interaction) -> Result<(), StoreError> {
        self.with_connection("unlock", |connection| {
            let bus = &connection.bus;
            let open = bus.is_open().map_err(|cause| told(cause, "unlock"))?;
            if open {
                return Ok(());
            }
            if interaction == Interaction::Forbidden {
                return Err(error(StoreErrorKind::Locked, "unlock"));
            }
            match bus.open_by_asking() {
                Ok(true) => Ok(()),
                Ok(false) => Err(error(StoreErrorKind::Locked, "unlock")
                    .because("the prompt was closed without unlocking")),
                Err(cause) => Err(told(cause, "unlock")),
            }
        })
    }

    fn get(&self, item: &ItemName) -> Result<Vec<SecretBytes>, StoreError> {
        self.with_connection("get", |connection| {
            let mut secrets = Vec::new();
            for path in connection.matching(&attributes(item), "get")? {
                match connection.item(path).and_then(|item| item.get_secret()) {
                    Ok(secret) => secrets.push(secret.into()),
                    Err(cause) if is_absent(&cause) => {}
                    Err(cause) => return Err(failed(cause, "get")),
                }
            }
            Ok(secrets)
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
        self.with_connection("set", |connection| {
            let mut paths = connection.matching(&attributes(item), "set")?.into_iter();
            let Some(first) = paths.next() else {
                connection.ensure_open("set")?;
                return connection
                    .create(item, secret)
                    .map_err(|cause| failed(cause, "set"));
            };
            connection
                .item(first)
                .and_then(|found| found.set_secret(secret.expose(), CONTENT_TYPE))
                .map_err(|cause| failed(cause, "set"))?;
            connection.delete_all(paths, "set")
        })
    }

    fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
        self.with_connection("delete", |connection| {
            let paths = connection.matching(&attributes(item), "delete")?;
            connection.delete_all(paths.into_iter(), "delete")
        })
    }

    fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
        self.with_connection("list", |connection| {
            let attributes = HashMap::from([("service", application)]);
            let mut names = Vec::new();
            for path in connection.matching(&attributes, "list")? {
                match connection.item(path).and_then(|item| item.get_attributes()) {
                    Ok(found) => names.extend(name_of(application, &found)),
                    Err(cause) if is_absent(&cause) => {}
                    Err(cause) => return Err(failed(cause, "list")),
                }
            }
            names.sort_unstable();
            names.dedup();
            Ok(names)
        })
    }
}

impl Connection {
    /// Finds the items with these attributes, none of which is locked.
    fn matching(
        &self,
        attributes: &HashMap<&str, &str>,
        operation: &'static str,
    ) -> Result<Vec<OwnedObjectPath>, StoreError> {
        let found = self
            .bus
            .search(attributes)
            .map_err(|cause| told(cause, operation))?;
        if !found.locked.is_empty() {
            return Err(error(StoreErrorKind::Locked, operation));
        }
        if found.unlocked.is_empty() {
            self.ensure_open(operation)?;
        }
        Ok(found.unlocked)
    }

    fn item(&self, path: OwnedObjectPath) -> Result<Item<'_>, Error> {
        self.session.get_item_by_path(path)
    }

    fn create(&self, item: &ItemName, secret: &SecretBytes) -> Result<(), Error> {
        let label = format!("{} ({})", item.application(), item.account());
        self.session.get_default_collection()?.create_item(
            &label,
            attributes(item),
            secret.expose(),
            true,
            CONTENT_TYPE,
        )?;
        Ok(())
    }

    fn delete_all(
        &self,
        paths: impl Iterator<Item = OwnedObjectPath>,
        operation: &'static str,
    ) -> Result<(), StoreError> {
        for path in paths {
            match self.item(path).and_then(|item| item.delete()) {
                Ok(()) => {}
                Err(cause) if is_absent(&cause) => {}
                Err(cause) => return Err(failed(cause, operation)),
            }
        }
        Ok(())
    }

    /// Fails unless the default collection is unlocked: otherwise "nothing
    /// found" says nothing, and writing would prompt.
    fn ensure_open(&self, operation: &'static str) -> Result<(), StoreError> {
        match self.bus.is_open() {
            Ok(true) => Ok(()),
            Ok(false) => Err(error(StoreErrorKind::Locked, operation)),
            Err(cause) => Err(told(cause, operation)),
        }
    }
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

/// Whether an item that was found is gone by now.
fn is_absent(cause: &Error) -> bool {
    let told = match cause {
        Error::Zbus(zbus::Error::MethodError(name, ..)) => name.as_str(),
        Error::NoResult => return true,
        _ => return false,
    };
    told == "org.freedesktop.Secret.Error.NoSuchObject"
        || told == "org.freedesktop.DBus.Error.UnknownObject"
}

fn kind_of(cause: &Error) -> StoreErrorKind {
    match cause {
        Error::Locked | Error::Prompt => StoreErrorKind::Locked,
        Error::Unavailable => StoreErrorKind::Missing,
        cause => bus::kind_in(cause),
    }
}

fn failed(cause: Error, operation: &'static str) -> StoreError {
    error(kind_of(&cause), operation).because(cause)
}

fn told(cause: BusError, operation: &'static str) -> StoreError {
    error(cause.kind, operation).because(cause.source)
}

fn error(kind: StoreErrorKind, operation: &'static str) -> StoreError {
    StoreError::new(kind, StoreKind::SecretService, operation)
}
