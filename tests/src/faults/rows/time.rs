//! Clocks that are wrong, that are set, and that stand still.

use std::time::Duration;

use crate::faults::clockwork::{Script, Step};
use crate::faults::row::{Login, Row};
use crate::server::{AccessTokenFormat, ExpiresIn};
use Step::{Another, AnotherEarly, FromServer, Pass, Reboot, Same, Shift, Wall};

const HOUR: i64 = 3600;
const HALF_A_DAY: i64 = 12 * HOUR;

/// Two thirds of a token's life of five minutes.
const MOST: Duration = Duration::from_secs(200);
/// The rest of it.
const REST: Duration = Duration::from_secs(100);
const MINUTE: Duration = Duration::from_secs(60);
const EIGHT_HOURS: Duration = Duration::from_secs(8 * 3600);

fn row(name: &str, steps: &[Step]) -> Row {
    script(name, Login::default(), steps)
}

fn script(name: &str, login: Login, steps: &[Step]) -> Row {
    let steps = steps.to_vec();
    Row::time(name, Script { login, steps })
}

/// What a token's life must look like whatever the wall clock says.
const LIFE: [Step; 8] = [
    Another,
    Same,
    Pass(MOST),
    Same,
    Pass(REST),
    Another,
    Same,
    Pass(MOST),
];

fn life_after(first: Step) -> Vec<Step> {
    [&[first][..], &LIFE, &[Same]].concat()
}

pub(super) fn rows() -> Vec<Row> {
    let by_claim = || Login {
        expires_in: ExpiresIn::Omitted,
        format: AccessTokenFormat::JwtShaped { bytes: 600 },
        ..Login::default()
    };
    let long = || Login {
        lifetime: Duration::from_secs(3600),
        ..Login::default()
    };
    let jump = |seconds| {
        [
            Another,
            Shift(seconds),
            Same,
            Pass(MOST),
            Same,
            Pass(REST),
            Another,
            Same,
        ]
    };
    vec![
        row("12 hours forward in a token's life", &jump(HALF_A_DAY)),
        row("12 hours back in a token's life", &jump(-HALF_A_DAY)),
        row("a step back of one hour", &jump(-HOUR)),
        row(
            "a wall clock 12 hours fast",
            &life_after(FromServer(HALF_A_DAY)),
        ),
        row(
            "a wall clock 12 hours slow",
            &life_after(FromServer(-HALF_A_DAY)),
        ),
        row(
            "a wall clock that is set again and again",
            &[
                Another,
                Shift(HALF_A_DAY),
                Same,
                Shift(-2 * HALF_A_DAY),
                Same,
                Shift(HOUR),
                Pass(MOST),
                Same,
                Shift(-HOUR),
                Pass(REST),
                Another,
                Shift(-HALF_A_DAY),
                Same,
            ],
        ),
        row(
            "eight hours of sleep",
            &[Another, Pass(EIGHT_HOURS), Another, Same],
        ),
        row(
            "eight hours of sleep, and the wall clock slept too",
            &[Another, Pass(EIGHT_HOURS), Shift(-8 * HOUR), Another, Same],
        ),
        script(
            "a restart",
            long(),
            &[
                Another,
                Pass(MOST),
                Reboot(MINUTE),
                Same,
                Reboot(EIGHT_HOURS),
                Another,
                Same,
            ],
        ),
        script(
            "a restart, then a wall clock before the token's issue",
            long(),
            &[
                Another,
                Reboot(MINUTE),
                Shift(-HALF_A_DAY),
                AnotherEarly,
                Same,
                Shift(HALF_A_DAY),
                Same,
            ],
        ),
        script(
            "a restart, then a wall clock 12 hours fast",
            long(),
            &[
                Another,
                Reboot(MINUTE),
                Shift(HALF_A_DAY),
                AnotherEarly,
                Same,
                Shift(-HALF_A_DAY),
                Same,
            ],
        ),
        script(
            "the server's clock 5 hours ahead, only a JWT tells the life",
            by_claim(),
            &life_after(FromServer(-5 * HOUR)),
        ),
        script(
            "the server's clock 5 hours behind, only a JWT tells the life",
            by_claim(),
            &life_after(FromServer(5 * HOUR)),
        ),
        row("a wall clock in 1970", &life_after(Wall(Duration::ZERO))),
        row(
            "a wall clock in the year 9999",
            &life_after(Wall(Duration::from_secs(253_402_300_799))),
        ),
        row(
            "a wall clock beyond all years",
            &life_after(Wall(Duration::from_secs(u64::MAX / 2))),
        ),
    ]
}
