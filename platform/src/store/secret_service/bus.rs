//! Questions to the Secret Service that can't prompt, and the one prompt that
//! is wanted.
//!
//! The specification is
//! <https://specifications.freedesktop.org/secret-service/0.2/>. Each message
//! has a deadline; a prompt has none, as a person is typing.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use zbus::blocking::{Connection, MessageIterator, connection};
use zbus::message::{Body, Type};
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Value};
use zbus::{MatchRule, fdo};

use crate::store::StoreErrorKind;

const NAME: &str = "org.freedesktop.secrets";
const PATH: &str = "/org/freedesktop/secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";
const COLLECTION: &str = "org.freedesktop.Secret.Collection";
const PROMPT: &str = "org.freedesktop.Secret.Prompt";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const BUS: &str = "org.freedesktop.DBus";
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
    fn new(kind: StoreErrorKind, why: &'static str) -> Self {
        Self {
            kind,
            source: why.into(),
        }
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
    /// Connects to the session bus.
    pub(super) fn connect(deadline: Duration) -> Result<Self, BusError> {
        let connected = connection::Builder::session()
            .and_then(|builder| builder.method_timeout(deadline).build());
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

    /// Unlocks or, if there is none, makes the default collection, asking a
    /// person; false when that person declined.
    pub(super) fn open_by_asking(&self) -> Result<bool, BusError> {
        let prompt: OwnedObjectPath = if let Some(collection) = self.default_collection()? {
            let (_, prompt): (Vec<OwnedObjectPath>, OwnedObjectPath) =
                self.ask(PATH, SERVICE, "Unlock", &(vec![collection],))?;
            prompt
        } else {
            let label = Value::from("Default keyring");
            let properties = HashMap::from([("org.freedesktop.Secret.Collection.Label", label)]);
            let (_, prompt): (OwnedObjectPath, OwnedObjectPath) =
                self.ask(PATH, SERVICE, "CreateCollection", &(properties, "default"))?;
            prompt
        };
        if prompt.as_str() != NOTHING {
            self.prompt(&prompt)?;
        }
        self.is_open()
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

    /// Shows a prompt and waits for its end, or for the service's.
    fn prompt(&self, prompt: &OwnedObjectPath) -> Result<(), BusError> {
        let completed = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(PROMPT)?
            .member("Completed")?
            .path(prompt.as_str())?
            .build();
        let vanished = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(BUS)?
            .interface(BUS)?
            .member("NameOwnerChanged")?
            .add_arg(NAME)?
            .build();
        // These two tell the bus to send us the signals; the third sees both.
        let _completed = MessageIterator::for_match_rule(completed, &self.0, None)?;
        let _vanished = MessageIterator::for_match_rule(vanished, &self.0, None)?;
        let messages = MessageIterator::from(&self.0);
        let () = self.ask(prompt.as_str(), PROMPT, "Prompt", &("",))?;
        for message in messages {
            let message = message?;
            let header = message.header();
            if message.message_type() != Type::Signal {
                continue;
            }
            match header.member().map(|member| member.as_str()) {
                Some("Completed")
                    if header.path().map(|path| path.as_str()) == Some(prompt.as_str()) =>
                {
                    return Ok(());
                }
                Some("NameOwnerChanged") if mentions_service(&message.body()) => break,
                _ => {}
            }
        }
        Err(BusError::new(
            StoreErrorKind::Failed,
            "the secret service went away while it asked",
        ))
    }

    fn ask<'a, R>(
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

    fn ask_bus<R>(
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

fn mentions_service(body: &Body) -> bool {
    body.deserialize::<(String, String, String)>()
        .is_ok_and(|(name, _, _)| name == NAME)
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
