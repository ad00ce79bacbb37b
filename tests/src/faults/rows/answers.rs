//! Answers without tokens.

use vault_core::ErrorKind;
use vault_core::display::LoginState;

use super::WITH_A_WINDOW;
use crate::faults::act::Act;
use crate::faults::row::{Afterwards, Caller, Change, Pause, Row, refused, rotated};
use crate::server::{Alteration, Fault, Reply};

const UNAVAILABLE: Caller = Caller::Fails(ErrorKind::ServerUnavailable);

fn row(name: &str, fault: Fault, caller: Caller) -> Row {
    Row::fault("answer", name, vec![Act::Always(fault)], caller)
}

/// The server is busy: it did not act, and wants to be left alone.
fn busy(name: &str, fault: Fault, pause: Pause) -> Row {
    row(name, fault, UNAVAILABLE).pause(pause)
}

/// The server says no and does not say why.
fn no_reason(name: &str, fault: Fault) -> Row {
    row(name, fault, Caller::Fails(ErrorKind::RefusedWithoutReason)).pause(Pause::BackOff)
}

/// Nothing tells whether the server acted; here it did not.
fn unknown(name: &str, fault: Fault) -> Row {
    row(name, fault, UNAVAILABLE).unconfirmed_twice()
}

/// The server acted, and its answer is no use; asked again within its window
/// it gives another one.
fn acted(name: &str, fault: Fault) -> Row {
    Row::fault("answer", name, vec![Act::Once(fault)], Caller::New)
        .login(|login| login.rotation = WITH_A_WINDOW)
        .requests(2)
        .stored(rotated())
}

pub(super) fn rows() -> Vec<Row> {
    let page = |status| Fault::Instead(Reply::html(status, "Log in to the Wi-Fi"));
    let retry_after = |value: &str| {
        let date = "Fri, 15 Jan 2027 08:00:00 GMT";
        let reply = Reply::empty(429).header("Date", date);
        Fault::Instead(reply.header("Retry-After", value))
    };
    let mut rows = Vec::new();

    // Refusals.
    rows.extend(
        no_reason("400 without a code", Fault::status(400))
            .and_served(ErrorKind::RefusedWithoutReason),
    );
    rows.extend([
        no_reason("400 with a web page", page(400)),
        no_reason("401 without a code", Fault::status(401)),
        no_reason("403 without a code", Fault::status(403)),
        busy("404 without a code", Fault::status(404), Pause::BackOff),
        Row::fault(
            "answer",
            "redirect",
            vec![Act::RedirectElsewhere],
            UNAVAILABLE,
        )
        .pause(Pause::BackOff),
        Row::fault(
            "answer",
            "invalid_grant, the login was revoked",
            vec![Act::RevokeLogin],
            Caller::Fails(ErrorKind::LoginRequired),
        )
        .stored(refused("invalid_grant"))
        .lost(),
        row(
            "invalid_grant by mistake",
            Fault::oauth_error(400, "invalid_grant"),
            Caller::Fails(ErrorKind::LoginRequired),
        )
        .stored(refused("invalid_grant"))
        .with(|row| row.afterwards = Afterwards::TokenIfInsisted),
        row(
            "bad_refresh_token with 200, as GitHub says it",
            Fault::oauth_error(200, "bad_refresh_token"),
            Caller::Fails(ErrorKind::LoginRequired),
        )
        .stored(refused("bad_refresh_token"))
        .with(|row| row.afterwards = Afterwards::TokenIfInsisted),
    ]);
    rows.extend(
        row(
            "invalid_client",
            Fault::oauth_error(401, "invalid_client"),
            Caller::Fails(ErrorKind::ClientRefused),
        )
        .says("invalid_client")
        .pause(Pause::Refused)
        .stored(vec![Change::Display(LoginState::ClientRefused)])
        .and_served(ErrorKind::ClientRefused),
    );
    rows.push(
        row(
            "invalid_scope",
            Fault::oauth_error(400, "invalid_scope"),
            Caller::Fails(ErrorKind::RequestRefused),
        )
        .says("invalid_scope")
        .pause(Pause::Refused),
    );

    // Busy.
    rows.extend(
        busy(
            "temporarily_unavailable",
            Fault::oauth_error(400, "temporarily_unavailable"),
            Pause::BackOff,
        )
        .and_served(ErrorKind::ServerUnavailable),
    );
    rows.extend([
        busy("408", Fault::status(408), Pause::BackOff),
        busy("425", Fault::status(425), Pause::BackOff),
        busy("429", Fault::status(429), Pause::BackOff),
        busy("429, Retry-After 30", retry_after("30"), Pause::Seconds(30)),
        busy(
            "429, Retry-After a date in 42 s",
            retry_after("Fri, 15 Jan 2027 08:00:42 GMT"),
            Pause::Seconds(42),
        ),
        busy(
            "429, Retry-After a week",
            retry_after("604800"),
            Pause::Seconds(600),
        ),
        busy("429, Retry-After soon", retry_after("soon"), Pause::BackOff),
        busy("503", Fault::status(503), Pause::BackOff),
    ]);
    rows.extend(
        busy(
            "503, Retry-After 7",
            Fault::unavailable(7),
            Pause::Seconds(7),
        )
        .and_served(ErrorKind::ServerUnavailable),
    );

    // Neither yes nor no.
    rows.extend(unknown("500", Fault::status(500)).and_served(ErrorKind::ServerUnavailable));
    rows.extend([
        unknown("502", page(502)),
        unknown("504", page(504)),
        unknown("server_error", Fault::oauth_error(400, "server_error")),
        unknown("a web page with 200", page(200)),
        unknown("nothing with 200", Fault::status(200)),
        acted(
            "502 after the server acted",
            Fault::ReplaceAnswer(Reply::html(502, "Bad Gateway")),
        ),
        Row::fault(
            "answer",
            "502 after the server acted",
            vec![Act::Once(Fault::ReplaceAnswer(Reply::empty(502)))],
            Caller::New,
        )
        .under_the_strict_policy(),
        acted("truncated JSON", Fault::TruncateBody),
        acted("2 MiB of JSON", Fault::PadBody(2 << 20)),
        row(
            "2 MiB of JSON, always",
            Fault::PadBody(2 << 20),
            UNAVAILABLE,
        )
        .login(|login| login.rotation = WITH_A_WINDOW)
        .says("more than 1 MiB")
        .unconfirmed_twice(),
        Row::fault(
            "answer",
            "tokens as text/html",
            vec![Act::Once(Fault::Alter(Alteration::ContentType(
                "text/html",
            )))],
            Caller::New,
        )
        .stored(rotated()),
    ]);
    rows
}
