//! Between the login and its server.

use std::time::Duration;

use vault_core::ErrorKind;

use super::WITH_A_WINDOW;
use crate::faults::act::Act;
use crate::faults::row::{
    Afterwards, Caller, Change, Endpoint, Left, Pause, Row, refused, rotated,
};
use crate::server::{Fault, Stage};

const UNREACHABLE: Caller = Caller::Fails(ErrorKind::NetworkUnavailable);
const UNAVAILABLE: Caller = Caller::Fails(ErrorKind::ServerUnavailable);

fn row(name: &str, before: Vec<Act>, caller: Caller) -> Row {
    Row::fault("network", name, before, caller)
}

/// A login whose endpoint is not the server.
fn elsewhere(name: &str, endpoint: Endpoint, says: &'static str) -> Row {
    row(name, vec![], UNREACHABLE)
        .login(|login| login.endpoint = endpoint)
        .unsent()
        .says(says)
        .pause(Pause::BackOff)
        .with(|row| row.afterwards = Afterwards::TokenOnceImported)
}

/// A fault that may have met the server's action: once on a server with a
/// window, under the strict policy with and without a token left, and again
/// and again.
fn unknown(name: &str, fault: &Fault) -> Vec<Row> {
    let once = vec![Act::Once(fault.clone())];
    let strict = row(name, once.clone(), Caller::New).under_the_strict_policy();
    let mut served = strict.clone().with(|row| {
        row.login.left = Left::ALittle;
        row.caller = Caller::Served(ErrorKind::ServerUnavailable);
        row.pause = Pause::BackOff;
        row.stored = vec![Change::Mark(1)];
    });
    served.name += ", a valid token left";
    let mut rows = vec![
        row(&format!("{name}, once"), once, Caller::New)
            .login(|login| login.rotation = WITH_A_WINDOW)
            .requests(2)
            .stored(rotated()),
        strict,
        served,
    ];
    rows.extend(
        row(
            &format!("{name}, always"),
            vec![Act::Always(fault.clone())],
            UNAVAILABLE,
        )
        .login(|login| login.rotation = WITH_A_WINDOW)
        .unconfirmed_twice()
        .and_served(ErrorKind::ServerUnavailable),
    );
    rows
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = vec![
        elsewhere(
            "no such host",
            Endpoint::Unresolvable,
            "the host nobody.invalid was not found",
        ),
        elsewhere(
            "TLS to a port that speaks none",
            Endpoint::PlainPort,
            "no secure connection",
        ),
        elsewhere(
            "TLS with a certificate that nobody signed",
            Endpoint::SelfSigned,
            "no secure connection",
        ),
        elsewhere("connecting takes too long", Endpoint::BlackHole, "in time")
            .login(|login| login.request_timeout = Duration::from_secs(1)),
    ];
    rows.extend(
        row("connection refused", vec![Act::NoListener], UNREACHABLE)
            .unsent()
            .says("no connection")
            .pause(Pause::BackOff)
            .and_served(ErrorKind::NetworkUnavailable),
    );
    rows.push(
        row(
            "reset before the request is acted on, strict server",
            vec![Act::Once(Fault::Drop)],
            Caller::New,
        )
        .requests(2)
        .stored(rotated()),
    );
    rows.extend(unknown(
        "reset before the request is acted on",
        &Fault::Drop,
    ));
    rows.extend(unknown("answer lost", &Fault::LoseAnswer));
    rows.extend(unknown("answer cut in the middle", &Fault::CutAnswer));
    rows.push(
        row(
            "answer lost, strict server",
            vec![Act::Once(Fault::LoseAnswer)],
            Caller::Fails(ErrorKind::LoginRequired),
        )
        .requests(2)
        .stored(refused("invalid_grant"))
        .lost(),
    );
    let late = Fault::DelayAnswer(Duration::from_millis(1800));
    rows.extend([
        row("time-out, once", vec![Act::Once(late.clone())], Caller::New)
            .login(|login| {
                login.rotation = WITH_A_WINDOW;
                login.request_timeout = Duration::from_millis(1200);
            })
            .requests(2)
            .stored(rotated()),
        row(
            "time-out, always",
            vec![Act::Stall(Stage::Answered)],
            UNAVAILABLE,
        )
        .login(|login| {
            login.rotation = WITH_A_WINDOW;
            login.request_timeout = Duration::from_millis(800);
        })
        .says("did not answer in time")
        .unconfirmed_twice(),
        row("time-out", vec![Act::Once(late)], Caller::New)
            .login(|login| login.request_timeout = Duration::from_millis(1200))
            .under_the_strict_policy(),
    ]);
    rows
}
