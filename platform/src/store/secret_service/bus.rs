//! Questions to the Secret Service that can't prompt, and those that may:
//! unlocking, making and deleting.
//!
//! The specification is
//! <https://specifications.freedesktop.org/secret-service/0.2/>. Each message
//! has a deadline, and so has each prompt (`prompt`).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use zbus::message::{Flags, Message};
use zbus::zvariant::{DynamicDeserialize, DynamicType, OwnedObjectPath, OwnedValue, Value};

use super::error::{BusError, kind_of};
use super::kwallet;
use super::prompt::Answer;
use super::session::{ALGORITHM, KeyPair, Sealed, Session};
use super::wire::Wire;
use crate::secret::SecretBytes;
use crate::store::StoreErrorKind;

pub(super) const NAME: &str = "org.freedesktop.secrets";
const PATH: &str = "/org/freedesktop/secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";
pub(super) const COLLECTION: &str = "org.freedesktop.Secret.Collection";
const ITEM: &str = "org.freedesktop.Secret.Item";
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
pub(super) const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// Whether a collection is locked: a property.
const LOCKED: (&str, &str) = (COLLECTION, "Locked");

/// How the specification says "no object".
const NOTHING: &str = "/";

/// A connection to the session bus.
#[derive(Debug)]
pub(super) struct Bus(pub(super) RefCell<Wire>);

/// What is known of the service once it was reached, and what it was asked.
#[derive(Debug)]
pub(super) struct Service {
    /// The process that answers.
    pub(super) process: Option<u32>,
    /// Whether the default collection is locked.
    pub(super) lock: Option<Asked>,
    /// The session that it was asked to open.
    pub(super) opening: Opening,
}

/// A question whose answer is read when it is needed.
#[derive(Debug)]
pub(super) struct Asked(NonZeroU32);

/// A session that was asked for; the answer is read when it is needed.
#[derive(Debug)]
pub(super) struct Opening {
    pair: KeyPair,
    call: Cell<Option<NonZeroU32>>,
}

/// The paths of the items that a search found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) unlocked: Vec<OwnedObjectPath>,
    pub(super) locked: Vec<OwnedObjectPath>,
}

impl Bus {
    /// Connects to the session bus, makes sure that somebody answers to the
    /// service's name, and asks for the default collection, then for its lock
    /// and for a session.
    ///
    /// Which collection is the default one is asked first, and nothing else
    /// until that is answered: gnome-keyring 42.1 may get to a call before it
    /// knows the client that made it. It says of any alias then that there is no
    /// such collection; any other question ends it.
    pub(super) fn connect(deadline: Duration) -> Result<(Self, Service), BusError> {
        let missing = |error: zbus::Error| {
            let kind = match kind_of(&error) {
                StoreErrorKind::Hung => StoreErrorKind::Hung,
                // No address, no socket, nobody behind it.
                _ => StoreErrorKind::Missing,
            };
            BusError::new(kind, error)
        };
        let wire = Wire::connect(deadline).map_err(missing)?;
        let bus = Self(RefCell::new(wire));
        let hello = to_bus("Hello", &())?;
        // This starts no service.
        let first = quietly(PATH, SERVICE, "ReadAlias", &("default",))?;
        let (answers, pair) = bus.ask_meanwhile([&hello, &first], KeyPair::generate);
        let [hello, mut alias] = answers;
        hello.map_err(missing)?;
        if let Err(error) = &alias
            && kind_of(error) == StoreErrorKind::Missing
        {
            bus.start_service()?;
            [alias] = bus.ask_all([&first]);
        }
        let session = session_with(&pair)?;
        let (lock, call) = match read_collection(&alias?)? {
            Some(collection) => {
                let [lock, call] = bus.send([&lock_of(&collection)?, &session]);
                (Some(Asked(lock)), Some(call))
            }
            None => (None, None),
        };
        let service = Service {
            // The bus answers while the service works on the session.
            process: bus.process(),
            lock,
            opening: Opening {
                pair,
                call: Cell::new(call),
            },
        };
        Ok((bus, service))
    }

    /// The process that answers to the service's name.
    pub(super) fn process(&self) -> Option<u32> {
        self.ask_bus("GetConnectionUnixProcessID", &(NAME,)).ok()
    }

    fn start_service(&self) -> Result<(), BusError> {
        let known: Vec<String> = self.ask_bus("ListActivatableNames", &())?;
        if !known.iter().any(|name| name == NAME) {
            return Err(BusError::new(
                StoreErrorKind::Missing,
                "no program on the session bus is a secret service",
            ));
        }
        let _started: u32 = self.ask_bus("StartServiceByName", &(NAME, 0_u32))?;
        Ok(())
    }

    /// Whether the answer says that the collection is open.
    pub(super) fn says_open(&self, Asked(lock): Asked) -> bool {
        let [locked] = self.answers([lock]);
        let is_unlocked = |answer| read_lock(&answer).is_ok_and(|locked| !locked);
        locked.is_ok_and(is_unlocked)
    }

    /// Finds items by attributes, in all collections. The answer is waited for by
    /// [`Bus::found`].
    pub(super) fn search(&self, attributes: &HashMap<&str, &str>) -> Result<Asked, BusError> {
        let [search] = self.send([&to_service(PATH, SERVICE, "SearchItems", &(attributes,))?]);
        Ok(Asked(search))
    }

    pub(super) fn found(&self, Asked(search): Asked) -> Result<Found, BusError> {
        let [found] = self.answers([search]);
        let (unlocked, locked) = read(&found?)?;
        Ok(Found { unlocked, locked })
    }

    /// The session that was asked for, or another one where its answer was read
    /// already.
    pub(super) fn session(&self, opening: &Opening) -> Result<Session, BusError> {
        let [call] = match opening.call.take() {
            Some(call) => [call],
            None => self.send([&session_with(&opening.pair)?]),
        };
        let [agreed] = self.answers([call]);
        opening.pair.agree(read(&agreed?)?)
    }

    /// Tells whether the default collection is there and unlocked.
    pub(super) fn is_open(&self) -> Result<bool, BusError> {
        match self.default_collection()? {
            Some(collection) => {
                let [locked] = self.ask_all([&lock_of(&collection)?]);
                Ok(!read_lock(&locked?)?)
            }
            None => Ok(false),
        }
    }

    /// Unlocks the default collection; true when it is open then.
    ///
    /// Without patience nobody is asked: what opens so is a keyring with a
    /// blank password, which is locked at each start of the service until
    /// somebody says `Unlock`, and a wallet of KWallet's that is open already.
    /// With patience a person is asked for so long, for a new collection if
    /// there is none.
    pub(super) fn open(&self, patience: Option<Duration>) -> Result<bool, BusError> {
        let prompt: OwnedObjectPath = match (self.default_collection()?, patience) {
            (Some(collection), _) => {
                let (_, prompt): (Vec<OwnedObjectPath>, OwnedObjectPath) =
                    self.ask(PATH, SERVICE, "Unlock", &(vec![&collection],))?;
                if patience.is_none()
                    && prompt.as_str() != NOTHING
                    && self.is_open_wallet(&collection)
                {
                    return match self.prompt(&prompt, kwallet::PATIENCE) {
                        // It does ask somebody.
                        Err(error) if error.kind == StoreErrorKind::Hung => Ok(false),
                        Err(error) => Err(error),
                        Ok(_) => self.is_open(),
                    };
                }
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

    /// Reads an item's secret.
    pub(super) fn read(
        &self,
        item: &OwnedObjectPath,
        session: &Session,
    ) -> Result<SecretBytes, BusError> {
        let secret = to_service(item.as_str(), ITEM, "GetSecret", &(session.path(),))?;
        let ([secret], ()) = self.ask_meanwhile([&secret], || session.derive());
        session.open(read::<Sealed>(&secret?)?)
    }

    /// Gives an item another secret.
    pub(super) fn write(&self, item: &OwnedObjectPath, sealed: Sealed) -> Result<(), BusError> {
        self.ask(item.as_str(), ITEM, "SetSecret", &(sealed,))
    }

    /// Reads an item's attributes.
    pub(super) fn attributes(
        &self,
        item: &OwnedObjectPath,
    ) -> Result<HashMap<String, String>, BusError> {
        let found: OwnedValue =
            self.ask(item.as_str(), PROPERTIES, "Get", &(ITEM, "Attributes"))?;
        Ok(found.try_into().map_err(zbus::Error::from)?)
    }

    /// Makes an item in the default collection. The service may ask a person:
    /// somebody has locked the keyring since it was looked at.
    pub(super) fn create(
        &self,
        label: &str,
        attributes: HashMap<&str, &str>,
        sealed: Sealed,
        patience: Duration,
    ) -> Result<(), BusError> {
        let Some(collection) = self.default_collection()? else {
            return Err(BusError::new(
                StoreErrorKind::Locked,
                "there is no default collection",
            ));
        };
        let properties = HashMap::from([
            ("org.freedesktop.Secret.Item.Label", Value::from(label)),
            (
                "org.freedesktop.Secret.Item.Attributes",
                Value::from(attributes),
            ),
        ]);
        let (_item, prompt): (OwnedObjectPath, OwnedObjectPath) = self.ask(
            collection.as_str(),
            COLLECTION,
            "CreateItem",
            &(properties, sealed, true),
        )?;
        if prompt.as_str() == NOTHING {
            return Ok(());
        }
        match self.prompt(&prompt, patience)? {
            Answer::Given => Ok(()),
            Answer::Dismissed => Err(BusError::new(
                StoreErrorKind::Locked,
                "the prompt was closed without unlocking",
            )),
        }
    }

    fn default_collection(&self) -> Result<Option<OwnedObjectPath>, BusError> {
        let [answer] = self.ask_all([&default_collection()?]);
        read_collection(&answer?)
    }

    pub(super) fn ask<R>(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        arguments: &(impl serde::Serialize + DynamicType),
    ) -> Result<R, BusError>
    where
        R: for<'d> DynamicDeserialize<'d>,
    {
        let [answer] = self.ask_all([&to_service(path, interface, method, arguments)?]);
        read(&answer?)
    }

    pub(super) fn ask_bus<R>(
        &self,
        method: &str,
        arguments: &(impl serde::Serialize + DynamicType),
    ) -> Result<R, BusError>
    where
        R: for<'d> DynamicDeserialize<'d>,
    {
        let [answer] = self.ask_all([&to_bus(method, arguments)?]);
        read(&answer?)
    }

    /// Asks several questions in one piece.
    fn ask_all<const N: usize>(&self, questions: [&Message; N]) -> [zbus::Result<Message>; N] {
        self.ask_meanwhile(questions, || ()).0
    }

    /// The same, and does some work until the answers come.
    fn ask_meanwhile<const N: usize, T>(
        &self,
        questions: [&Message; N],
        work: impl FnOnce() -> T,
    ) -> ([zbus::Result<Message>; N], T) {
        let calls = self.send(questions);
        let done = meanwhile(work);
        (self.answers(calls), done)
    }

    /// Sends questions in one piece; gives their numbers.
    fn send<const N: usize>(&self, questions: [&Message; N]) -> [NonZeroU32; N] {
        let mut wire = self.0.borrow_mut();
        let calls = questions.map(|question| wire.send(question));
        // What failed is told by each answer.
        wire.flush().ok();
        calls
    }

    fn answers<const N: usize>(&self, calls: [NonZeroU32; N]) -> [zbus::Result<Message>; N] {
        let mut wire = self.0.borrow_mut();
        calls.map(|call| wire.answer(call))
    }
}

/// Does work while others answer. They are let go first: whoever a message wakes
/// may wait for this very processor.
pub(super) fn meanwhile<T>(work: impl FnOnce() -> T) -> T {
    std::thread::yield_now();
    work()
}

fn to_service(
    path: &str,
    interface: &str,
    method: &str,
    arguments: &(impl serde::Serialize + DynamicType),
) -> zbus::Result<Message> {
    Message::method_call(path, method)?
        .destination(NAME)?
        .interface(interface)?
        .build(arguments)
}

fn to_bus(
    method: &str,
    arguments: &(impl serde::Serialize + DynamicType),
) -> zbus::Result<Message> {
    Message::method_call(BUS_PATH, method)?
        .destination(BUS)?
        .interface(BUS)?
        .build(arguments)
}

/// A call to the service, if it runs.
fn quietly(
    path: &str,
    interface: &str,
    method: &str,
    arguments: &(impl serde::Serialize + DynamicType),
) -> zbus::Result<Message> {
    Message::method_call(path, method)?
        .destination(NAME)?
        .interface(interface)?
        .with_flags(Flags::NoAutoStart)?
        .build(arguments)
}

fn default_collection() -> zbus::Result<Message> {
    to_service(PATH, SERVICE, "ReadAlias", &("default",))
}

fn lock_of(collection: &OwnedObjectPath) -> zbus::Result<Message> {
    to_service(collection.as_str(), PROPERTIES, "Get", &LOCKED)
}

fn session_with(pair: &KeyPair) -> zbus::Result<Message> {
    to_service(PATH, SERVICE, "OpenSession", &(ALGORITHM, pair.public()))
}

fn read<R: for<'d> DynamicDeserialize<'d>>(answer: &Message) -> Result<R, BusError> {
    Ok(answer.body().deserialize()?)
}

fn read_collection(answer: &Message) -> Result<Option<OwnedObjectPath>, BusError> {
    let collection: OwnedObjectPath = read(answer)?;
    Ok((collection.as_str() != NOTHING).then_some(collection))
}

fn read_lock(answer: &Message) -> Result<bool, BusError> {
    let locked: OwnedValue = read(answer)?;
    bool::try_from(locked).map_err(|error| zbus::Error::from(error).into())
}

/// Names the program that answers, for people.
pub(super) fn provider(process: Option<u32>) -> String {
    match process.and_then(program).as_deref() {
        Some(GNOME_KEYRING) => format!("{NAME} (gnome-keyring)"),
        Some(name) if !name.is_empty() && !name.contains(char::is_control) => {
            format!("{NAME} ({name})")
        }
        _ => NAME.to_owned(),
    }
}

/// What the kernel calls it, which cuts names at 15 characters.
const GNOME_KEYRING: &str = "gnome-keyring-d";

/// The name of a process's program, as far as the kernel tells.
pub(super) fn program(process: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}
