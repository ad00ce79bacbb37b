//! Every look into the application: with the zeroizing allocator, and without.

use super::app::{App, Order};
use super::cli::PATIENCE;
use super::place::Place;
use super::table::{ACCESS_TOKEN, DPOP_KEY, Expected, KEY_FILE, REFRESH_TOKEN, Row, SEALING_KEY};
use crate::kills::worker::Failure;
use crate::server::{Dpop, Endpoint, Fault, ServerConfig, Stage};

const AFTER: &str = "done, the session is open";
const CLOSED: &str = "all is dropped";

/// The keys of an open session; access tokens are its cache.
const OPEN: [(&str, Expected); 4] = [
    (ACCESS_TOKEN, Expected::Any),
    (SEALING_KEY, Expected::Locked(1)),
    (KEY_FILE, Expected::Locked(1)),
    (DPOP_KEY, Expected::Locked(1)),
];

/// The store of a process stays, with its key, until the process ends.
const ENDED: [(&str, Expected); 1] = [(KEY_FILE, Expected::Locked(1))];

/// What is expected without the allocator, where libraries have copied: nothing.
const ANY: [(&str, Expected); 5] = [
    (REFRESH_TOKEN, Expected::Any),
    (ACCESS_TOKEN, Expected::Any),
    (SEALING_KEY, Expected::Any),
    (KEY_FILE, Expected::Any),
    (DPOP_KEY, Expected::Any),
];

/// How the application is run.
pub(super) struct Breakage {
    /// With the zeroizing allocator.
    pub(super) wiping: bool,
    /// With a rule broken.
    pub(super) fault: Option<&'static str>,
}

/// One application, one user, and what was seen so far.
struct Bench {
    place: Place,
    app: App,
    program: &'static str,
    claims: bool,
    rows: Vec<Row>,
}

impl Bench {
    /// Starts the application; `claims` is whether it is judged as one that has the allocator.
    fn new(place: Place, claims: bool, app: &Breakage) -> Result<Self, Failure> {
        let mut started = App::start(app.wiping)?;
        started.order(&Order::Open(Box::new(place.opened())), "done")?;
        if let Some(fault) = app.fault {
            started.order(&Order::Inject(fault.to_owned()), "done")?;
        }
        Ok(Self {
            place,
            app: started,
            program: if claims { "app, wiping" } else { "app" },
            claims,
            rows: Vec::new(),
        })
    }

    /// Looks into it.
    fn look(
        &mut self,
        operation: &'static str,
        point: &'static str,
        expected: &[(&'static str, Expected)],
    ) -> Result<(), Failure> {
        self.place.learn()?;
        let canaries = self.place.canaries();
        let scan = self.app.scan(&canaries)?;
        let name = (self.program, operation, point);
        self.rows.push(Row::new(name, expected, &canaries, &scan));
        Ok(())
    }

    /// Looks where something has been copied by libraries.
    fn look_after(&mut self, operation: &'static str) -> Result<(), Failure> {
        let expected = if self.claims { &OPEN[..] } else { &ANY[..] };
        self.look(operation, AFTER, expected)
    }

    fn close(mut self, operation: &'static str) -> Result<Vec<Row>, Failure> {
        self.app.order(&Order::Close, "done")?;
        let expected = if self.claims { &ENDED[..] } else { &ANY[..] };
        self.look(operation, CLOSED, expected)?;
        Ok(self.rows)
    }
}

/// Every look into an application with the allocator, or without.
pub(super) fn rows(claims: bool) -> Result<Vec<Row>, Failure> {
    let app = &Breakage {
        wiping: claims,
        fault: None,
    };
    Ok([
        show(claims, app)?,
        token(claims, app)?,
        login(claims, app, false)?,
        login(claims, app, true)?,
        refresh(claims, app)?,
        failing(claims, app)?,
        given_up(claims, app)?,
        panicking(claims, app)?,
        logout(claims, app)?,
    ]
    .concat())
}

/// Everything that is stored is read, and nothing sent: what is copied here is copied by our own
/// types, so that they are on trial without the allocator, too.
pub(super) fn show(claims: bool, app: &Breakage) -> Result<Vec<Row>, Failure> {
    let mut bench = Bench::new(Place::logged_in()?, claims, app)?;
    bench.app.order(&Order::Inspect, "done")?;
    bench.look("show", AFTER, &OPEN)?;
    bench.close("show")
}

fn token(claims: bool, app: &Breakage) -> Result<Vec<Row>, Failure> {
    let mut bench = Bench::new(Place::logged_in()?, claims, app)?;
    bench.app.order(&Order::Token, "done")?;
    bench.look("token", AFTER, &OPEN)?;
    bench.close("token")
}

pub(super) fn login(claims: bool, app: &Breakage, dpop: bool) -> Result<Vec<Row>, Failure> {
    let operation = if dpop { "login with DPoP" } else { "login" };
    let place = Place::new(ServerConfig {
        dpop: if dpop { Dpop::Offered } else { Dpop::Off },
        ..ServerConfig::default()
    })?;
    let mut bench = Bench::new(place, claims, app)?;
    let issuer = bench.place.server.issuer().to_owned();
    bench.app.order(&Order::Login { issuer, dpop }, "done")?;
    bench.look_after(operation)?;
    bench.close(operation)
}

pub(super) fn refresh(claims: bool, app: &Breakage) -> Result<Vec<Row>, Failure> {
    let operation = "refresh";
    let mut bench = Bench::new(Place::logged_in()?, claims, app)?;
    for (point, name) in [
        ("refresh.before:Send", "before it is sent"),
        ("refresh.before:Commit", "before it is saved"),
        ("refresh.before:Finish", "before it ends"),
    ] {
        bench.app.order(&Order::Park(point.to_owned()), "parked")?;
        let held = match point {
            "refresh.before:Send" => Expected::InUse,
            "refresh.before:Finish" if claims => Expected::None,
            // The next one is not known yet.
            _ => Expected::Any,
        };
        bench.look(
            operation,
            name,
            &[&ANY[1..], &[(REFRESH_TOKEN, held)]].concat(),
        )?;
        bench.app.tell(&Order::GoOn)?;
        match bench.app.answer()?.as_str() {
            "done" => {}
            other => return Err(format!("{operation}: {other}").into()),
        }
    }
    bench.look_after(operation)?;
    bench.close(operation)
}

fn failing(claims: bool, app: &Breakage) -> Result<Vec<Row>, Failure> {
    let operation = "refresh, refused for now";
    let mut bench = Bench::new(Place::logged_in()?, claims, app)?;
    let fault = Fault::unavailable(0);
    bench.place.server.fail_next(Endpoint::Token, 1, fault);
    bench.app.order(&Order::Refresh, "ServerUnavailable")?;
    bench.look_after(operation)?;
    bench.close(operation)
}

fn given_up(claims: bool, app: &Breakage) -> Result<Vec<Row>, Failure> {
    let operation = "refresh, given up";
    let mut bench = Bench::new(Place::logged_in()?, claims, app)?;
    let hold = bench.place.server.hold(Endpoint::Token, Stage::Answered);
    bench.app.order(&Order::GiveUp, "done")?;
    if !hold.wait_for(1, PATIENCE) {
        return Err(format!("{operation}: nothing was sent").into());
    }
    let expected = [&ANY[1..], &[(REFRESH_TOKEN, Expected::InUse)]].concat();
    bench.look(operation, "nobody waits for it", &expected)?;
    drop(hold);
    bench.app.order(&Order::Settle, "done")?;
    bench.look_after(operation)?;
    bench.close(operation)
}

fn panicking(claims: bool, app: &Breakage) -> Result<Vec<Row>, Failure> {
    let operation = "refresh, a panic after the answer";
    let mut bench = Bench::new(Place::logged_in()?, claims, app)?;
    let point = "refresh.after:Send".to_owned();
    bench.app.order(&Order::Panic(point), "done")?;
    bench.app.order(&Order::Refresh, "Internal")?;
    bench.look_after(operation)?;
    bench.close(operation)
}

fn logout(claims: bool, app: &Breakage) -> Result<Vec<Row>, Failure> {
    let operation = "logout";
    let mut bench = Bench::new(Place::logged_in()?, claims, app)?;
    bench.app.order(&Order::Logout, "done")?;
    bench.look_after(operation)?;
    bench.close(operation)
}
