//! The state folder: where it can't be written to, nothing is sent, and a
//! valid token is served all the same.

use std::time::Duration;

use vault_core::ErrorKind;
use vault_core::display::LoginState;

use crate::faults::act::{Act, Target};
use crate::faults::place::Ground;
use crate::faults::restriction::Restriction;
use crate::faults::row::{Caller, Change, Left, Row, rotated};

fn row(name: &str, acts: Vec<Act>, caller: Caller) -> Row {
    Row::fault("folder", name, acts, caller)
}

/// Nothing can be saved, so nothing is sent: without a token left, with one
/// that should be renewed, and with a good one.
fn unsavable(name: &str, acts: Vec<Act>, kind: ErrorKind, change: impl Fn(Row) -> Row) -> Vec<Row> {
    let mut rows = row(name, acts, Caller::Fails(kind))
        .unsent()
        .and_served(kind);
    let mut good = rows[0].clone().with(|row| {
        row.login.left = Left::Plenty;
        row.caller = Caller::Stored;
    });
    good.name += ", a good token left";
    rows.push(good);
    rows.into_iter().map(change).collect()
}

pub(super) fn rows() -> Vec<Row> {
    let with_modes = |row: Row| row.with(|row| row.restriction = Restriction::Modes);
    let small = |row: Row| row.login(|login| login.ground = Ground::Small);
    let mut rows = Vec::new();
    rows.extend(unsavable(
        "not writable",
        vec![Act::Mode(Target::State, 0o500)],
        ErrorKind::StateFolderUnwritable,
        with_modes,
    ));
    rows.extend(unsavable(
        "a read-only file system",
        vec![Act::ReadOnly],
        ErrorKind::StateFolderUnwritable,
        small,
    ));
    rows.extend(unsavable(
        "a full disk",
        vec![Act::Full],
        ErrorKind::DiskFull,
        small,
    ));
    rows.extend(unsavable(
        "a file system without locks",
        vec![],
        ErrorKind::LockUnsupported,
        |row| row.with(|row| row.restriction = Restriction::Locks),
    ));
    rows.extend([
        row(
            "others can write to it",
            vec![Act::Mode(Target::State, 0o777)],
            Caller::Fails(ErrorKind::StateFolderUnsafe),
        )
        .unsent(),
        // Enough for the mark, too little for the next sealed file.
        small(row(
            "a nearly full disk",
            vec![Act::NearlyFull],
            Caller::Fails(ErrorKind::DiskFull),
        ))
        .unsent(),
        small(row(
            "the disk fills up before the answer comes",
            vec![],
            Caller::New,
        ))
        .with(|row| row.during = vec![Act::Full])
        .stored(rotated()),
        with_modes(row(
            "not writable any more before the answer comes",
            vec![],
            Caller::New,
        ))
        .with(|row| {
            row.during = vec![Act::Mode(Target::State, 0o500)];
            // The newest token lies in the store alone, and can't be copied.
            row.next = Some(Caller::Fails(ErrorKind::StateFolderUnwritable));
        })
        .stored(vec![
            Change::Mark(1),
            Change::Temporary,
            Change::TokenItemAlone,
            Change::History(&["ok"]),
        ]),
        with_modes(row(
            "neither folder nor store writable before the answer comes",
            vec![],
            Caller::Fails(ErrorKind::LockTimeout),
        ))
        .with(|row| {
            // The caller gives up in the middle of a pause between two tries.
            row.login.lock_timeout = Duration::from_millis(3600);
            row.during = vec![
                Act::Mode(Target::State, 0o500),
                Act::Mode(Target::Items, 0o500),
            ];
        })
        .stored(rotated()),
        row(
            "the sealed file is gone",
            vec![Act::DeleteSealed],
            Caller::New,
        )
        .stored(rotated()),
        row(
            "the sealed file is damaged",
            vec![Act::GarbleSealed],
            Caller::New,
        )
        .stored([rotated(), vec![Change::SetAside]].concat()),
        row("the folder is gone", vec![Act::DeleteFolder], Caller::New).stored(vec![
            Change::FolderMade,
            Change::Sealed(1),
            Change::TokenItem,
            Change::History(&["recovered", "ok"]),
            Change::Display(LoginState::LoggedIn),
        ]),
    ]);
    rows
}
