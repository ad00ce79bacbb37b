//! The background service.

use std::process::Command;

use rustix::process::Signal;
use vault_core::platform::store::create_key_file;
use vault_tests::server::{AuthorizationServer, Endpoint, ServerConfig, Stage};

use crate::machine::{LONG, Machine, arguments};
use crate::running::Running;

/// As a service manager starts it: no home, no session, nobody to ask.
fn service(machine: &Machine, server: &AuthorizationServer, command: &str) -> Running {
    let mut service: Command = machine.app("service");
    service
        .env_clear()
        .env("STATE_DIRECTORY", machine.path("state"))
        .env("CREDENTIALS_DIRECTORY", machine.path("credentials"))
        .args(arguments(server))
        .args(["--every", "1", command]);
    Running::start(service)
}

#[test]
fn the_service_waits_for_a_login_serves_and_stops_without_tearing_a_refresh_apart() {
    let Some(machine) = Machine::new() else {
        return;
    };
    create_key_file(&machine.path("credentials").join("vault-key")).unwrap();
    let server = AuthorizationServer::start(ServerConfig::default());
    let mut running = service(&machine, &server, "run");
    running.says("started");
    running.says("`service log-in` makes a login");

    let mut login = service(&machine, &server, "log-in");
    let line = login.says("and type in");
    let (_, code) = line.rsplit_once(' ').unwrap();
    assert!(server.approve_device(code), "{line}");
    let (status, said) = login.end();
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("logged in as alice"), "{said}");
    // Without a restart.
    assert!(running.says("200 ").contains("alice"));

    // Told to stop between the spending of a token and the saving of the next.
    let hold = server.hold(Endpoint::Token, Stage::Answered);
    server.expire_access_tokens();
    assert!(hold.wait_for(1, LONG), "a refresh is under way");
    running.signal(Signal::TERM);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(running.runs(), "it waits for its token");
    drop(hold);
    let (status, said) = running.end();
    assert_eq!(status, Some(0), "{said}");
    assert!(said.ends_with("stopped"), "{said}");

    let mut again = service(&machine, &server, "run");
    assert!(again.says("200 ").contains("alice"));
    again.signal(Signal::TERM);
    let (status, said) = again.end();
    assert_eq!(status, Some(0), "{said}");
    let counts = server.counts();
    assert_eq!((counts.refreshes_ok, counts.reuse_detected), (1, 0));
}
