//! Questions to the Secret Service that can't prompt, and the two that may:
//! unlocking and deleting.
//!
//! The specification is
//! <https://specifications.freedesktop.org/secret-service/0.2/>. Each message
//! has a deadline, and so has each prompt (`prompt`).

use std::collections::HashMap;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use zbus::blocking::{Connection, connection};
use zbus::fdo;
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Value};

use super::prompt::Answer;
use crate::store::StoreErrorKind;

pub(super) const NAME: &str = "org.freedesktop.secrets";
const PATH: &str = "/org/freedesktop/secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";
const COLLECTION: &str = "org.freedesktop.Secret.Collection";
const ITEM: &str = "org.freedesktop.Secret.Item";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
pub(super) const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// How the specification says "no object".
const NOTHING: &str = "/";

/// A connection to the session bus.
pub(super) struct Bus(pub(super) Connection);

/// The paths of the items that a search found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) unlocked: Vec<OwnedObjectPath>,
    pub(super) locked: Vec<OwnedObjectPath>,
}

/// What failed, sorted.
#[derive(Debug)]
pub(super) struct BusError {
    pub(super) kind: StoreErrorKind,
    pub(super) source: Box<dyn std::error::Error + Send + Sync>,
}

impl BusError {
    pub(super) fn new(
        kind: StoreErrorKind,
        why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: why.into(),
        }
    }
}

impl BusError {
    /// Whether the item that was asked is gone.
    pub(super) fn is_absent(&self) -> bool {
        let Some(zbus::Error::MethodError(name, ..)) = self.source.downcast_ref() else {
            return false;
        };
        [
            "org.freedesktop.Secret.Error.NoSuchObject",
            "org.freedesktop.DBus.Error.UnknownObject",
            // gnome-keyring's words.
            "org.freedesktop.DBus.Error.UnknownMethod",
        ]
        .contains(&name.as_str())
    }
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        Self {
            kind: kind_of(&error),
            source: error.into(),
        }
    }
}

impl Bus {
    /// Connects to the session bus. One that takes connections and never speaks
    /// holds a thread until it does, but not the caller.
    pub(super) fn connect(deadline: Duration) -> Result<Self, BusError> {
        let (answer, answered) = mpsc::sync_channel(1);
        let connect = move || {
            let connected = connection::Builder::session()
                .and_then(|builder| builder.method_timeout(deadline).build());
            // Nobody listens any more when the caller gave up.
            answer.send(connected).ok();
        };
        std::thread::Builder::new()
            .name("vault-bus".to_owned())
            .spawn(connect)
            .map_err(|error| BusError::new(StoreErrorKind::Failed, error))?;
        let connected = answered.recv_timeout(deadline).map_err(|_| {
            BusError::new(
                StoreErrorKind::Hung,
                format!("the session bus did not answer within {deadline:?}"),
            )
        })?;
        match connected {
            Ok(connection) => Ok(Self(connection)),
            Err(error) => {
                let kind = match kind_of(&error) {
                    StoreErrorKind::Hung => StoreErrorKind::Hung,
                    // No address, no socket, nobody behind it.
                    _ => StoreErrorKind::Missing,
                };
                Err(BusError {
                    kind,
                    source: error.into(),
                })
            }
        }
    }

    /// Makes sure that somebody answers to the service's name, and reads a
    /// property: a first call that gnome-keyring survives.
    pub(super) fn reach_service(&self) -> Result<(), BusError> {
        let owned: bool = self.ask_bus("NameHasOwner", &(NAME,))?;
        if !owned {
            let known: Vec<String> = self.ask_bus("ListActivatableNames", &())?;
            if !known.iter().any(|name| name == NAME) {
                return Err(BusError::new(
                    StoreErrorKind::Missing,
                    "no program on the session bus is a secret service",
                ));
            }
            let _started: u32 = self.ask_bus("StartServiceByName", &(NAME, 0_u32))?;
        }
        let _collections: OwnedValue =
            self.ask(PATH, PROPERTIES, "Get", &(SERVICE, "Collections"))?;
        Ok(())
    }

    /// Names the program that answers, for people.
    pub(super) fn provider(&self) -> String {
        let program = self
            .ask_bus::<u32>("GetConnectionUnixProcessID", &(NAME,))
            .ok()
            .and_then(|id| std::fs::read_to_string(format!("/proc/{id}/comm")).ok());
        match program.as_deref().map(str::trim_end) {
            // The kernel cuts names at 15 characters.
            Some("gnome-keyring-d") => format!("{NAME} (gnome-keyring)"),
            Some(name) if !name.is_empty() && !name.contains(char::is_control) => {
                format!("{NAME} ({name})")
            }
            _ => NAME.to_owned(),
        }
    }

    /// Finds items by attributes, in all collections.
    pub(super) fn search(&self, attributes: &HashMap<&str, &str>) -> Result<Found, BusError> {
        let (unlocked, locked) = self.ask(PATH, SERVICE, "SearchItems", &(attributes,))?;
        Ok(Found { unlocked, locked })
    }

    /// Tells whether the default collection is there and unlocked.
    pub(super) fn is_open(&self) -> Result<bool, BusError> {
        match self.default_collection()? {
            Some(collection) => Ok(!self.is_locked(&collection)?),
            None => Ok(false),
        }
    }

    /// Unlocks the default collection; true when it is open then.
    ///
    /// Without patience nobody is asked: what opens so is a keyring with a
    /// blank password, which is locked at each start of the service until
    /// somebody says `Unlock`. With patience a person is asked for so long, for
    /// a new collection if there is none.
    pub(super) fn open(&self, patience: Option<Duration>) -> Result<bool, BusError> {
        let prompt: OwnedObjectPath = match (self.default_collection()?, patience) {
            (Some(collection), _) => {
                let (_, prompt): (Vec<OwnedObjectPath>, OwnedObjectPath) =
                    self.ask(PATH, SERVICE, "Unlock", &(vec![collection],))?;
                prompt
            }
            (None, None) => return Ok(false),
            (None, Some(_)) => {
                let label = Value::from("Default keyring");
                let properties =
                    HashMap::from([("org.freedesktop.Secret.Collection.Label", label)]);
                let (_, prompt): (OwnedObjectPath, OwnedObjectPath) =
                    self.ask(PATH, SERVICE, "CreateCollection", &(properties, "default"))?;
                prompt
            }
        };
        match patience {
            _ if prompt.as_str() == NOTHING => {}
            Some(patience) => {
                self.prompt(&prompt, patience)?;
            }
            // A prompt shows nothing before it is told to.
            None => {
                self.dismiss(&prompt).ok();
                return Ok(false);
            }
        }
        self.is_open()
    }

    /// Deletes an item. Some services confirm each deletion by a prompt, most
    /// often without a person; one that does ask has as long as told.
    pub(super) fn delete(
        &self,
        item: &OwnedObjectPath,
        patience: Duration,
    ) -> Result<(), BusError> {
        let prompt: OwnedObjectPath = self.ask(item.as_str(), ITEM, "Delete", &())?;
        if prompt.as_str() == NOTHING {
            return Ok(());
        }
        match self.prompt(&prompt, patience)? {
            Answer::Given => Ok(()),
            Answer::Dismissed => Err(BusError::new(
                StoreErrorKind::Refused,
                "somebody declined to delete the item",
            )),
        }
    }

    fn default_collection(&self) -> Result<Option<OwnedObjectPath>, BusError> {
        let collection: OwnedObjectPath = self.ask(PATH, SERVICE, "ReadAlias", &("default",))?;
        Ok((collection.as_str() != NOTHING).then_some(collection))
    }

    fn is_locked(&self, collection: &OwnedObjectPath) -> Result<bool, BusError> {
        let locked: OwnedValue = self.ask(
            collection.as_str(),
            PROPERTIES,
            "Get",
            &(COLLECTION, "Locked"),
        )?;
        bool::try_from(locked).map_err(|error| zbus::Error::from(error).into())
    }

    pub(super) fn ask<R>(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        arguments: &(impl serde::Serialize + DynamicType),
    ) -> Result<R, BusError>
    where
        R: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
    {
        let reply = self
            .0
            .call_method(Some(NAME), path, Some(interface), method, arguments)?;
        Ok(reply.body().deserialize()?)
    }

    pub(super) fn ask_bus<R>(
        &self,
        method: &str,
        arguments: &(impl serde::Serialize + DynamicType),
    ) -> Result<R, BusError>
    where
        R: for<'d> zbus::zvariant::DynamicDeserialize<'d>,
    {
        let reply = self
            .0
            .call_method(Some(BUS), BUS_PATH, Some(BUS), method, arguments)?;
        Ok(reply.body().deserialize()?)
    }
}

/// Sorts an error of the bus, wherever in the chain it is.
pub(super) fn kind_in(error: &(dyn std::error::Error + 'static)) -> StoreErrorKind {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<zbus::Error>() {
            return kind_of(error);
        }
        if let Some(error) = error.downcast_ref::<fdo::Error>() {
            return kind_of_fdo(error);
        }
        next = error.source();
    }
    StoreErrorKind::Failed
}

fn kind_of(error: &zbus::Error) -> StoreErrorKind {
    match error {
        zbus::Error::InputOutput(error) if error.kind() == io::ErrorKind::TimedOut => {
            StoreErrorKind::Hung
        }
        zbus::Error::MethodError(name, ..) => kind_of_name(name.as_str()),
        zbus::Error::FDO(error) => kind_of_fdo(error),
        _ => StoreErrorKind::Failed,
    }
}

fn kind_of_fdo(error: &fdo::Error) -> StoreErrorKind {
    match error {
        fdo::Error::ZBus(error) => kind_of(error),
        error => kind_of_name(zbus::DBusError::name(error).as_str()),
    }
}

fn kind_of_name(name: &str) -> StoreErrorKind {
    match name {
        "org.freedesktop.Secret.Error.IsLocked" => StoreErrorKind::Locked,
        "org.freedesktop.DBus.Error.AccessDenied" | "org.freedesktop.DBus.Error.AuthFailed" => {
            StoreErrorKind::Refused
        }
        "org.freedesktop.DBus.Error.ServiceUnknown"
        | "org.freedesktop.DBus.Error.NameHasNoOwner" => StoreErrorKind::Missing,
        "org.freedesktop.DBus.Error.TimedOut" | "org.freedesktop.DBus.Error.Timeout" => {
            StoreErrorKind::Hung
        }
        // A program that can't be started is as good as none.
        name if name.starts_with("org.freedesktop.DBus.Error.Spawn.") => StoreErrorKind::Missing,
        // NoReply, too: it is what the bus says when the service died.
        _ => StoreErrorKind::Failed,
    }
}
