//! A secret service that does as it is told: what no real one does on demand.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use vault_platform::clock::{Clock, SystemClock};
use zbus::blocking::{Connection, connection};
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{ObjectPath, OwnedObjectPath, OwnedValue, Value};
use zbus::{fdo, interface};

const NAME: &str = "org.freedesktop.secrets";
const SERVICE: &str = "/org/freedesktop/secrets";
const COLLECTION: &str = "/org/freedesktop/secrets/collection/only";
const PROMPT: &str = "/org/freedesktop/secrets/prompt/only";
const ITEM: &str = "/org/freedesktop/secrets/collection/only/1";

/// How long it takes to know its client.
const HESITATION: Duration = Duration::from_millis(100);

/// What becomes of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Person {
    /// Types the password.
    Unlocks,
    /// Closes the window.
    Declines,
    /// Is not there.
    IsAway,
}

/// What the service has, and what it was asked.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) person: Mutex<Person>,
    pub(crate) locked: AtomicBool,
    pub(crate) shown: AtomicU32,
    pub(crate) taken_back: AtomicU32,
    pub(crate) searches: AtomicU32,
    /// Whether it knows its client. Until it does it has no collection by any
    /// alias; a little later it knows.
    pub(crate) knows: AtomicBool,
    /// What it was asked besides before it knew.
    pub(crate) too_early: AtomicU32,
}

impl State {
    fn asked(&self) {
        let early = !self.knows.load(Ordering::SeqCst);
        self.too_early.fetch_add(u32::from(early), Ordering::SeqCst);
    }
}

/// The service, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) state: Arc<State>,
    pub(crate) connection: Connection,
}

/// A locked service on the session bus.
pub(crate) fn start(person: Person) -> Fake {
    let state = Arc::new(State {
        person: Mutex::new(person),
        locked: AtomicBool::new(true),
        shown: AtomicU32::new(0),
        taken_back: AtomicU32::new(0),
        searches: AtomicU32::new(0),
        knows: AtomicBool::new(true),
        too_early: AtomicU32::new(0),
    });
    let built = connection::Builder::session()
        .and_then(|builder| builder.serve_at(SERVICE, Service(state.clone())))
        .and_then(|builder| builder.serve_at(COLLECTION, Collection(state.clone())))
        .and_then(|builder| builder.serve_at(PROMPT, Prompt(state.clone())))
        .and_then(|builder| builder.name(NAME))
        .and_then(connection::Builder::build);
    Fake {
        state,
        connection: built.expect("a bus where nobody has the name"),
    }
}

/// Has the name and answers nothing.
pub(crate) fn mute() -> Connection {
    connection::Builder::session()
        .and_then(|builder| builder.name(NAME))
        .and_then(connection::Builder::build)
        .expect("a bus where nobody has the name")
}

/// Lets what else came be answered, for so long.
async fn others_have_their_turn(length: Duration) {
    let end = SystemClock.since_boot() + length;
    poll_fn(|context| {
        if SystemClock.since_boot() >= end {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn path(text: &'static str) -> OwnedObjectPath {
    ObjectPath::from_static_str_unchecked(text).into()
}

struct Service(Arc<State>);
struct Collection(Arc<State>);
struct Prompt(Arc<State>);

#[interface(name = "org.freedesktop.Secret.Service")]
impl Service {
    #[zbus(property)]
    fn collections(&self) -> Vec<OwnedObjectPath> {
        vec![path(COLLECTION)]
    }

    /// Half of a key agreement; nothing is ever sent under its key.
    fn open_session(
        &self,
        _algorithm: &str,
        _input: OwnedValue,
    ) -> (Value<'static>, OwnedObjectPath) {
        self.0.asked();
        (
            vec![2_u8; 128].into(),
            path("/org/freedesktop/secrets/session/only"),
        )
    }

    async fn read_alias(&self, _name: &str) -> OwnedObjectPath {
        if self.0.knows.load(Ordering::SeqCst) {
            return path(COLLECTION);
        }
        others_have_their_turn(HESITATION).await;
        self.0.knows.store(true, Ordering::SeqCst);
        path("/")
    }

    fn search_items(
        &self,
        _attributes: HashMap<String, String>,
    ) -> (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) {
        self.0.asked();
        self.0.searches.fetch_add(1, Ordering::SeqCst);
        (Vec::new(), Vec::new())
    }

    fn unlock(&self, objects: Vec<OwnedObjectPath>) -> (Vec<OwnedObjectPath>, OwnedObjectPath) {
        if self.0.locked.load(Ordering::SeqCst) {
            (Vec::new(), path(PROMPT))
        } else {
            (objects, path("/"))
        }
    }
}

#[interface(name = "org.freedesktop.Secret.Collection")]
impl Collection {
    #[zbus(property)]
    fn locked(&self) -> bool {
        self.0.asked();
        self.0.locked.load(Ordering::SeqCst)
    }

    /// Asks first, as where somebody locks the keyring at this moment.
    fn create_item(
        &self,
        _properties: HashMap<String, OwnedValue>,
        _secret: (OwnedObjectPath, Vec<u8>, Vec<u8>, String),
        _replace: bool,
    ) -> (OwnedObjectPath, OwnedObjectPath) {
        (path("/"), path(PROMPT))
    }
}

#[interface(name = "org.freedesktop.Secret.Prompt")]
impl Prompt {
    async fn prompt(
        &self,
        _window: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<()> {
        self.0.shown.fetch_add(1, Ordering::SeqCst);
        let person = *self.0.person.lock().expect("not poisoned");
        if person != Person::IsAway {
            let declined = person == Person::Declines;
            self.0.locked.fetch_and(declined, Ordering::SeqCst);
            Self::completed(&emitter, declined, path(ITEM).into_inner().into()).await?;
        }
        Ok(())
    }

    /// Says that it was taken back only if a person is there to see it.
    async fn dismiss(&self) {
        self.0.taken_back.fetch_add(1, Ordering::SeqCst);
    }

    #[zbus(signal)]
    async fn completed(
        emitter: &SignalEmitter<'_>,
        dismissed: bool,
        result: Value<'_>,
    ) -> zbus::Result<()>;
}
