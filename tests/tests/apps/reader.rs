//! A person who reads and presses a window by its names, as with a screen
//! reader: over AT-SPI, which the window's toolkit speaks by itself.

use serde::de::DeserializeOwned;
use zbus::blocking::{Connection, connection};
use zbus::zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Type};

use crate::machine::eventually;

const ACCESSIBLE: &str = "org.a11y.atspi.Accessible";
const ROOT: &str = "/org/a11y/atspi/accessible/root";

/// The bits of AT-SPI's states `enabled` and `sensitive`.
const PRESSABLE: u32 = 1 << 8 | 1 << 24;

/// Something on a bus: whose, and which.
type Object = (String, OwnedObjectPath);

pub(crate) struct Reader {
    bus: Connection,
}

impl Reader {
    /// Tells all windows of the session that somebody reads.
    pub(crate) fn new() -> Self {
        let session = Connection::session().expect("a session bus");
        let status = (
            "org.a11y.Status",
            "IsEnabled",
            zbus::zvariant::Value::from(true),
        );
        let there: Object = (
            "org.a11y.Bus".to_owned(),
            "/org/a11y/bus".try_into().unwrap(),
        );
        let _: () = call(
            &session,
            &there,
            "org.freedesktop.DBus.Properties",
            "Set",
            &status,
        )
        .expect("at-spi2-core is installed");
        let address: String =
            call(&session, &there, "org.a11y.Bus", "GetAddress", &()).expect("its bus");
        let bus = connection::Builder::address(address.as_str()).unwrap();
        Self {
            bus: bus.build().expect("its bus answers"),
        }
    }

    /// The window of a process, once it is there.
    pub(crate) fn window(&self, process: u32) -> Window<'_> {
        let registry = (
            "org.a11y.atspi.Registry".to_owned(),
            ROOT.try_into().unwrap(),
        );
        let root = eventually("the window is there", || {
            let mut apps = self.children(&registry).into_iter();
            apps.find(|app| self.process(app) == Some(process))
        });
        Window { reader: self, root }
    }

    fn process(&self, object: &Object) -> Option<u32> {
        let bus: Object = (
            "org.freedesktop.DBus".to_owned(),
            "/org/freedesktop/DBus".try_into().unwrap(),
        );
        let method = "GetConnectionUnixProcessID";
        call(&self.bus, &bus, "org.freedesktop.DBus", method, &object.0)
    }

    fn children(&self, object: &Object) -> Vec<Object> {
        call(&self.bus, object, ACCESSIBLE, "GetChildren", &()).unwrap_or_default()
    }

    fn name(&self, object: &Object) -> Option<String> {
        let asked = (ACCESSIBLE, "Name");
        let value: OwnedValue = call(
            &self.bus,
            object,
            "org.freedesktop.DBus.Properties",
            "Get",
            &asked,
        )?;
        value.try_into().ok()
    }

    /// All that has a name, from top to bottom.
    fn named(&self, object: &Object, found: &mut Vec<(String, Object)>) {
        if let Some(name) = self.name(object).filter(|name| !name.is_empty()) {
            found.push((name, object.clone()));
        }
        for child in self.children(object) {
            self.named(&child, found);
        }
    }
}

/// The window of a process.
pub(crate) struct Window<'a> {
    reader: &'a Reader,
    root: Object,
}

impl Window<'_> {
    /// All texts, from top to bottom.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.all().into_iter().map(|(name, _)| name).collect()
    }

    fn all(&self) -> Vec<(String, Object)> {
        let mut found = Vec::new();
        for window in self.reader.children(&self.root) {
            self.reader.named(&window, &mut found);
        }
        found
    }

    /// Waits for a text with these words, and gives it.
    #[track_caller]
    pub(crate) fn shows(&self, words: &str) -> String {
        let mut last = Vec::new();
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("a text is shown", || {
                last = self.texts();
                last.iter().find(|text| text.contains(words)).cloned()
            })
        }));
        shown.unwrap_or_else(|_| panic!("no text with `{words}`: {last:#?}"))
    }

    /// Waits until no text has these words.
    #[track_caller]
    pub(crate) fn hides(&self, words: &str) {
        eventually(&format!("`{words}` goes"), || {
            let texts = self.texts();
            let gone = !texts.is_empty() && !texts.iter().any(|text| text.contains(words));
            gone.then_some(())
        });
    }

    /// Presses a button, once it can be pressed.
    #[track_caller]
    pub(crate) fn press(&self, name: &str) {
        eventually(&format!("`{name}` is pressed"), || {
            let all = self.all();
            let (_, button) = all.into_iter().find(|(text, _)| text == name)?;
            let bus = &self.reader.bus;
            let states: Vec<u32> = call(bus, &button, ACCESSIBLE, "GetState", &())?;
            if states.first()? & PRESSABLE != PRESSABLE {
                return None;
            }
            let pressed: bool = call(bus, &button, "org.a11y.atspi.Action", "DoAction", &0_i32)?;
            pressed.then_some(())
        });
    }
}

/// Nothing, if the object has gone meanwhile or is no such thing.
fn call<T: DeserializeOwned + Type>(
    bus: &Connection,
    (name, path): &Object,
    interface: &str,
    method: &str,
    arguments: &(impl serde::Serialize + DynamicType),
) -> Option<T> {
    let answer = bus.call_method(
        Some(name.as_str()),
        path,
        Some(interface),
        method,
        arguments,
    );
    answer.ok()?.body().deserialize().ok()
}
