//! The rows, as data, by what is at fault.

mod answers;
mod folder;
mod network;
mod store;
mod time;
mod tokens;

use std::time::Duration;

use vault_core::ErrorKind;
use vault_core::display::LoginState;
use vault_core::refresh::policy::RotationPolicy;

use super::row::{Afterwards, Caller, Change, Pause, Row};
use crate::server::Rotation;

/// Every row.
#[must_use]
pub fn all() -> Vec<Row> {
    [
        network::rows(),
        answers::rows(),
        tokens::rows(),
        store::rows(),
        folder::rows(),
        time::rows(),
    ]
    .concat()
}

/// A server that takes the same refresh token again for longer than a row
/// lasts.
const WITH_A_WINDOW: Rotation = Rotation::Grace(Duration::from_secs(120));

impl Row {
    /// Nothing reached the token endpoint.
    fn unsent(self) -> Self {
        self.requests(0)
    }

    /// Whether the server acted can't be told, twice in a row: the mark says
    /// so, and the next try comes after a back-off.
    fn unconfirmed_twice(self) -> Self {
        self.requests(2)
            .pause(Pause::BackOff)
            .stored(vec![Change::Mark(2)])
    }

    /// As the row, but the login's policy forbids to send a token twice.
    fn under_the_strict_policy(self) -> Self {
        let mut row = self.with(|row| {
            row.login.policy = RotationPolicy::strict();
            row.caller = Caller::Fails(ErrorKind::RotationUnconfirmed);
            row.requests = 1;
            row.alive = true;
            row.pause = Pause::None;
            row.stored = vec![
                Change::Mark(1),
                Change::History(&["unconfirmed"]),
                Change::Display(LoginState::RotationUnconfirmed),
            ];
            row.afterwards = Afterwards::Fails(ErrorKind::RotationUnconfirmed);
        });
        row.name += ", strict policy";
        row
    }
}
