//! The configurations in which every rule holds.

use super::configuration::{Configuration, EXPIRED, FRESH, Room, Server, VALID};
use super::process::Kind::{self, Forced, Insisting, Login, Logout, Narrow, Refresh};
use super::report;
use super::world::Faults;

const NONE: Faults = Faults::NONE;

/// How much is explored: 1, or what `VAULT_MODEL_DEPTH` says.
#[expect(
    clippy::disallowed_methods,
    reason = "how much is explored is the caller's choice"
)]
fn depth() -> u8 {
    let depth = std::env::var("VAULT_MODEL_DEPTH").ok();
    depth.and_then(|depth| depth.parse().ok()).unwrap_or(1)
}

/// Explores each, with each kind of server.
fn explore(title: &str, configurations: Vec<Configuration>) {
    let _table = report::print_head(title);
    let mut failures = Vec::new();
    for mut configuration in configurations {
        for server in [Server::Strict, Server::Grace] {
            configuration.server = server;
            let found = report::check(&configuration, 2);
            let name = format!("{} ({server:?})", configuration.name);
            let verdict = match found.broken.first() {
                None => format!("{} properties hold", found.properties),
                Some((rule, way)) => {
                    failures.push(format!("{name}: {rule}\n{way}"));
                    format!("BROKEN: {rule}")
                }
            };
            report::print(&name, &found, &verdict);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn run(name: &'static str, processes: &[Kind], faults: Faults) -> Configuration {
    Configuration::new(name, Server::Strict, processes).with(faults)
}

/// Only from an access token of this age, to keep a large space small.
fn from(age: &'static [u8], configuration: Configuration) -> Configuration {
    if depth() > 1 {
        return configuration;
    }
    Configuration {
        access_ages: age,
        ..configuration
    }
}

#[test]
fn model_of_three_processes_that_refresh() {
    let three = &[Refresh; 3];
    let crashes = 1 + depth();
    let network = depth();
    let mut configurations = vec![
        run("3 refresh, crashes", three, Faults { crashes, ..NONE }),
        run(
            "3 refresh, network faults",
            three,
            Faults {
                network,
                time: 1,
                ..NONE
            },
        ),
        run(
            "3 refresh, store faults, crash",
            three,
            Faults {
                store: 2,
                crashes: 1,
                ..NONE
            },
        ),
        run(
            "3 refresh, folder faults, crash",
            three,
            Faults {
                folder: 2,
                crashes: 1,
                ..NONE
            },
        ),
        run(
            "3 refresh, a holder stopped for an hour",
            three,
            Faults {
                late: 2,
                time: 1,
                crashes: 1,
                ..NONE
            },
        ),
    ];
    let mut forced = run("3 after a 401", &[Forced; 3], NONE);
    forced.access_ages = &[FRESH];
    configurations.push(forced);
    configurations.push(run(
        "refresh and a person who insists, crash",
        &[Insisting, Refresh],
        Faults {
            crashes: 1,
            network: 1,
            ..NONE
        },
    ));
    explore("refreshing", configurations);
}

#[test]
fn model_of_two_requests_from_one_refresh_token() {
    let two = &[Refresh, Narrow];
    let crash = Faults { crashes: 1, ..NONE };
    explore(
        "one login, two access tokens",
        vec![
            run(
                "2 refresh, 2 narrow",
                &[Refresh, Refresh, Narrow, Narrow],
                NONE,
            ),
            run(
                "refresh, 2 narrow, crash",
                &[Refresh, Narrow, Narrow],
                crash,
            ),
            run(
                "refresh, narrow, refused, network faults, time",
                two,
                Faults {
                    network: depth(),
                    time: 1,
                    ..crash
                },
            ),
            run(
                "refresh, narrow, store and folder faults, crash",
                two,
                Faults {
                    store: 1,
                    folder: 1,
                    ..crash
                },
            ),
            from(
                &[EXPIRED],
                run(
                    "refresh, narrow, logout, stopped",
                    &[Refresh, Narrow, Logout],
                    Faults { late: 1, ..NONE },
                ),
            ),
        ],
    );
}

#[test]
fn model_of_two_processes_and_many_faults() {
    let two = &[Refresh; 2];
    let more = depth() - 1;
    let mut small = run(
        "2 refresh, no room for a copy, disk full",
        two,
        Faults {
            commits: 2,
            crashes: 1,
            store: 1,
            time: 1,
            ..NONE
        },
    );
    small.room = Room::Nothing;
    let mut longer = run(
        "2 refresh, no room for the next, crash",
        two,
        Faults {
            crashes: 1,
            store: 1,
            time: 1,
            ..NONE
        },
    );
    longer.room = Room::First;
    // One commit more may fail than those that bring the second way.
    let mut shorter = run(
        "2 refresh, room for the next alone, disk full",
        two,
        Faults {
            commits: 7,
            crashes: 1,
            store: 1,
            ..NONE
        },
    );
    shorter.room = Room::Second;
    let mut power = run(
        "2 refresh, power loss, crash",
        two,
        Faults {
            power: 1,
            crashes: 1,
            time: 1,
            ..NONE
        },
    );
    power.slow_disk = true;
    explore(
        "two and many faults",
        vec![
            run(
                "2 refresh, crash, network faults, time",
                two,
                Faults {
                    network: 1,
                    crashes: 1,
                    time: 2,
                    ..NONE
                },
            ),
            from(
                &[EXPIRED],
                run(
                    "2 refresh, one of each fault",
                    two,
                    Faults {
                        network: 1,
                        crashes: 1 + more,
                        time: 1,
                        store: 1,
                        folder: 1,
                        late: more,
                        ..NONE
                    },
                ),
            ),
            run(
                "2 refresh, disk full, second way",
                two,
                Faults {
                    commits: 8,
                    crashes: 1,
                    store: 1,
                    ..NONE
                },
            ),
            run(
                "2 refresh, one copy damaged, crash",
                two,
                Faults {
                    damage: 1,
                    crashes: 1,
                    time: 1,
                    ..NONE
                },
            ),
            small,
            longer,
            shorter,
            power,
        ],
    );
}

#[test]
fn model_of_a_logout() {
    let crash = Faults {
        crashes: 1,
        late: 1,
        ..NONE
    };
    let faults = Faults {
        store: 1,
        folder: 1,
        network: depth() - 1,
        ..crash
    };
    explore(
        "a logout among others",
        vec![
            from(
                &[EXPIRED],
                run(
                    "2 refresh, logout, crash, stopped",
                    &[Refresh, Refresh, Logout],
                    crash,
                ),
            ),
            from(
                &[EXPIRED],
                run(
                    "refresh, logout, store and folder faults",
                    &[Refresh, Logout],
                    faults,
                ),
            ),
            from(
                &[VALID],
                run(
                    "refresh, 2 logout, stopped",
                    &[Refresh, Logout, Logout],
                    Faults {
                        crashes: depth() - 1,
                        ..crash
                    },
                ),
            ),
        ],
    );
}

#[test]
fn model_of_a_login() {
    let crash = Faults {
        crashes: 1,
        late: 1,
        ..NONE
    };
    let mut power = run(
        "refresh, login, power loss",
        &[Refresh, Login],
        Faults {
            power: 1,
            crashes: 1,
            ..NONE
        },
    );
    power.slow_disk = true;
    explore(
        "a login among others",
        vec![
            run(
                "2 refresh, login, crash, stopped",
                &[Refresh, Refresh, Login],
                crash,
            ),
            run(
                "refresh, login, store and folder faults",
                &[Refresh, Login],
                Faults {
                    store: 1,
                    folder: 1,
                    time: 1,
                    ..crash
                },
            ),
            run("refresh, 2 login, crash", &[Refresh, Login, Login], crash),
            power,
            from(
                &[EXPIRED],
                run(
                    "refresh, login, logout, crash",
                    &[Refresh, Login, Logout],
                    Faults {
                        late: depth() - 1,
                        ..crash
                    },
                ),
            ),
            run(
                "login, 2 logout, store fault, stopped",
                &[Login, Logout, Logout],
                Faults {
                    store: 1,
                    late: 1,
                    ..NONE
                },
            ),
        ],
    );
}
