//! Answers with tokens in which something is wrong or missing.

use serde_json::json;
use vault_core::ErrorKind;

use super::WITH_A_WINDOW;
use crate::faults::act::Act;
use crate::faults::row::{Afterwards, Caller, Pause, Row, rotated};
use crate::server::{AccessTokenFormat, Fault, Rotation};

fn row(name: &str, faults: Vec<Fault>, caller: Caller) -> Row {
    let acts = faults.into_iter().map(Act::Once).collect();
    Row::fault("tokens", name, acts, caller).stored(rotated())
}

/// The new refresh token is kept, though the access token can't be used.
fn unusable(name: &str, fault: Fault) -> Row {
    row(
        name,
        vec![fault],
        Caller::Fails(ErrorKind::ServerAnswerInvalid),
    )
    .pause(Pause::BackOff)
}

/// The answer serves as it is.
fn good(name: &str, fault: Fault) -> Row {
    row(name, vec![fault], Caller::New)
}

/// As [`good`], and the token's life is longer than the row.
fn long(name: &str, fault: Fault) -> Row {
    good(name, fault).with(|row| row.afterwards = Afterwards::Stored)
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(
        unusable("no access_token", Fault::remove("access_token"))
            .says("no access token")
            .and_served(ErrorKind::ServerAnswerInvalid),
    );
    rows.extend([
        unusable(
            "an access_token of two lines",
            Fault::set("access_token", "one\nX-Admin: two"),
        ),
        unusable("unknown token_type", Fault::set("token_type", "mac")).says("mac"),
        good("no token_type", Fault::remove("token_type")),
        row(
            "a refresh_token of two lines",
            vec![Fault::set("refresh_token", "one\ntwo")],
            Caller::New,
        )
        .login(|login| login.rotation = WITH_A_WINDOW)
        .requests(2),
        long("negative expires_in", Fault::set("expires_in", -5)),
        long("expires_in of 0", Fault::set("expires_in", 0)),
        long("expires_in of 10^300", Fault::set("expires_in", 1e300)),
        long("expires_in of 2^64 - 1", Fault::set("expires_in", u64::MAX)),
        good("expires_in as a string", Fault::set("expires_in", "300")),
        long("expires_in in words", Fault::set("expires_in", "soon")),
        long(
            "expires_in as a list",
            Fault::set("expires_in", json!([300])),
        ),
        long("no expires_in", Fault::remove("expires_in")),
        good("no expires_in, a JWT", Fault::remove("expires_in"))
            .login(|login| login.format = AccessTokenFormat::JwtShaped { bytes: 900 }),
        row("no new refresh_token", vec![], Caller::New)
            .login(|login| login.rotation = Rotation::None),
        row("the same refresh_token", vec![], Caller::New)
            .login(|login| login.rotation = Rotation::Same),
        good(
            "the same refresh_token, where they rotate otherwise",
            Fault::SameRefreshToken,
        ),
        good("scope as a list", Fault::set("scope", json!(["read", 7]))),
    ]);
    rows
}
