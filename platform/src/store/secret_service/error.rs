//! What fails on the bus, sorted into the stores' kinds.

use std::io;

use zbus::fdo;

use crate::store::StoreErrorKind;

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

pub(super) fn kind_of(error: &zbus::Error) -> StoreErrorKind {
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
