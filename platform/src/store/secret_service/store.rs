//! The store itself: keyring-core's calls, each behind its question.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Error};
use zbus_secret_service_keyring_store::Store;

use super::bus::{self, Bus, BusError};
use super::gate;
use crate::exit::ForkMark;
use crate::secret::SecretBytes;
use crate::store::native::{self, each_name};
use crate::store::{
    Capabilities, Interaction, ItemName, Persistence, SecretStore, StoreError, StoreErrorKind,
    StoreKind, StoreOptions,
};

/// How often a call is tried: the service may have been restarted since the
/// last one.
const TRIES: u32 = 2;

/// The Secret Service of the session bus.
pub struct SecretServiceStore {
    state_root: Option<PathBuf>,
    deadline: Duration,
    connection: Mutex<Option<Connection>>,
    provider: Mutex<String>,
}

/// Two connections: ours, for questions, and the zbus store's.
struct Connection {
    bus: Bus,
    store: Arc<Store>,
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
            state_root: options.state_root.clone(),
            deadline: options.call_deadline,
            connection: Mutex::new(None),
            provider: Mutex::new("org.freedesktop.secrets".to_owned()),
        })
    }

    fn connect(&self) -> Result<Connection, BusError> {
        // Held until the store has its session.
        let _gate = gate::pass(self.state_root.as_ref());
        let bus = Bus::connect(self.deadline)?;
        bus.reach_service()?;
        let store = Store::new().map_err(|cause| BusError {
            kind: kind_of(&cause),
            source: cause.into(),
        })?;
        *self.provider.lock().unwrap_or_else(PoisonError::into_inner) = bus.provider();
        Ok(Connection {
            bus,
            store,
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
            for entry in connection.matching(&attributes(item), "get")? {
                match entry.get_secret() {
                    Ok(secret) => secrets.push(secret.into()),
                    Err(Error::NoEntry) => {}
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
            let mut entries = connection.matching(&attributes(item), "set")?.into_iter();
            let Some(first) = entries.next() else {
                connection.ensure_open("set")?;
                let label = format!("{} ({})", item.application(), item.account());
                let modifiers = HashMap::from([("label", label.as_str())]);
                return connection
                    .store
                    .build(item.application(), item.account(), Some(&modifiers))
                    .and_then(|entry| entry.set_secret(secret.expose()))
                    .map_err(|cause| failed(cause, "set"));
            };
            first
                .set_secret(secret.expose())
                .map_err(|cause| failed(cause, "set"))?;
            delete_all(entries, "set")
        })
    }

    fn delete(&self, item: &ItemName) -> Result<(), StoreError> {
        self.with_connection("delete", |connection| {
            let entries = connection.matching(&attributes(item), "delete")?;
            delete_all(entries.into_iter(), "delete")
        })
    }

    fn list(&self, application: &str) -> Result<Vec<ItemName>, StoreError> {
        self.with_connection("list", |connection| {
            let entries =
                connection.matching(&HashMap::from([("service", application)]), "list")?;
            Ok(each_name(
                application,
                entries.iter().filter_map(Entry::get_specifiers),
            ))
        })
    }
}

impl Connection {
    /// Finds the items with these attributes, none of which is locked.
    fn matching(
        &self,
        attributes: &HashMap<&str, &str>,
        operation: &'static str,
    ) -> Result<Vec<Entry>, StoreError> {
        let found = self
            .bus
            .search(attributes)
            .map_err(|cause| told(cause, operation))?;
        if !found.locked.is_empty() {
            return Err(error(StoreErrorKind::Locked, operation));
        }
        if found.unlocked.is_empty() {
            self.ensure_open(operation)?;
            return Ok(Vec::new());
        }
        self.store
            .search(attributes)
            .map_err(|cause| failed(cause, operation))
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

fn delete_all(
    entries: impl Iterator<Item = Entry>,
    operation: &'static str,
) -> Result<(), StoreError> {
    for entry in entries {
        match entry.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => {}
            Err(cause) => return Err(failed(cause, operation)),
        }
    }
    Ok(())
}

fn kind_of(cause: &Error) -> StoreErrorKind {
    match cause {
        Error::PlatformFailure(source) => bus::kind_in(&**source),
        other => native::kind_of(other),
    }
}

fn failed(cause: Error, operation: &'static str) -> StoreError {
    let kind = kind_of(&cause);
    native::store_error(cause, kind, StoreKind::SecretService, operation)
}

fn told(cause: BusError, operation: &'static str) -> StoreError {
    error(cause.kind, operation).because(cause.source)
}

fn error(kind: StoreErrorKind, operation: &'static str) -> StoreError {
    StoreError::new(kind, StoreKind::SecretService, operation)
}
