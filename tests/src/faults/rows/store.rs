//! The secret store: locked, absent, hung, refusing, or emptied behind the
//! vault's back. Nothing is sent unless the key was read under the lock.

use vault_core::ErrorKind;
use vault_core::display::LoginState;

use crate::faults::act::{Act, KeyFault, Target};
use crate::faults::restriction::Restriction;
use crate::faults::row::{Afterwards, Caller, Change, Left, Row, rotated};

fn row(name: &str, acts: Vec<Act>, caller: Caller) -> Row {
    Row::fault("store", name, acts, caller)
}

/// The key can't be had, so nothing is sent.
fn no_key(name: &str, fault: KeyFault, kind: ErrorKind) -> Row {
    row(name, vec![Act::Key(fault)], Caller::Fails(kind)).unsent()
}

/// The key item was deleted, and nobody logged out.
fn emptied(name: &str) -> Row {
    let acts = vec![Act::DeleteItem("work#key")];
    row(name, acts, Caller::Fails(ErrorKind::ItemMissing))
        .unsent()
        .with(|row| row.afterwards = Afterwards::Fails(ErrorKind::ItemMissing))
}

pub(super) fn rows() -> Vec<Row> {
    let with_modes = |row: Row| row.with(|row| row.restriction = Restriction::Modes);
    let warm = |row: Row| row.with(|row| row.warm = true);
    vec![
        no_key(
            "locked: no key was given",
            KeyFault::NotGiven,
            ErrorKind::StoreLocked,
        ),
        no_key(
            "absent: there is no key file",
            KeyFault::Missing,
            ErrorKind::StoreMissing,
        ),
        no_key(
            "hung: reading the key never ends",
            KeyFault::Endless,
            ErrorKind::StoreHung,
        ),
        with_modes(no_key(
            "the key file can't be read",
            KeyFault::Unreadable,
            ErrorKind::StoreRefused,
        )),
        no_key(
            "the key file is open to others",
            KeyFault::Exposed,
            ErrorKind::StoreRefused,
        ),
        no_key("another key", KeyFault::Other, ErrorKind::StoreKeyWrong),
        no_key(
            "a key file without a key",
            KeyFault::Garbage,
            ErrorKind::StoreKeyWrong,
        ),
        with_modes(
            row(
                "the items can't be read",
                vec![Act::Mode(Target::Items, 0)],
                Caller::Fails(ErrorKind::StoreRefused),
            )
            .unsent(),
        ),
        warm(with_modes(
            row(
                "the items can't be read any more",
                vec![Act::Mode(Target::Items, 0)],
                Caller::Fails(ErrorKind::StoreRefused),
            )
            .unsent(),
        )),
        warm(with_modes(
            row(
                "the items can't be read any more, a good token left",
                vec![Act::Mode(Target::Items, 0)],
                Caller::Stored,
            )
            .login(|login| login.left = Left::Plenty)
            .unsent(),
        )),
        with_modes(
            row(
                "read-only",
                vec![Act::Mode(Target::Items, 0o500)],
                Caller::New,
            )
            .stored(vec![
                Change::Sealed(1),
                Change::History(&["ok"]),
                Change::Display(LoginState::LoggedIn),
            ]),
        ),
        emptied("the key item is gone"),
        warm(emptied("the key item goes while it is in use")),
        row(
            "the token item is gone",
            vec![Act::DeleteItem("work")],
            Caller::New,
        )
        .stored(rotated()),
    ]
}
