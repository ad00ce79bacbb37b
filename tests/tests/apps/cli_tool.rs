//! The command-line tool.

use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::machine::{Machine, arguments};
use crate::running::Running;

fn start(machine: &Machine, server: &AuthorizationServer, more: &[&str]) -> Running {
    let mut command = machine.app("cli-tool");
    command.args(arguments(server)).args(more);
    Running::start(command)
}

/// All of them at once, and each is told by the API who it is.
#[track_caller]
fn four_ask(machine: &Machine, server: &AuthorizationServer) {
    let tools: Vec<Running> = (0..4).map(|_| start(machine, server, &[])).collect();
    for tool in tools {
        let (code, said) = tool.end();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("alice"), "{said}");
    }
}

#[test]
fn the_tool_logs_in_once_and_every_later_call_uses_that_login() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let server = AuthorizationServer::start(ServerConfig::default());
    let first = start(&machine, &server, &[]);
    machine.log_in_there();
    let (code, said) = first.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("logged in as alice, kept in secret-service"),
        "{said}"
    );
    assert!(said.contains("\"alice\""), "{said}");

    four_ask(&machine, &server);
    assert_eq!(server.counts().refreshes_ok, 0);
    server.expire_access_tokens();
    four_ask(&machine, &server);
    let counts = server.counts();
    assert_eq!((counts.logins, counts.refreshes_ok), (1, 1), "{counts:?}");
    assert_eq!(counts.reuse_detected, 0);
    assert_eq!(machine.unseen_pages(), 0, "no browser was opened again");

    let (code, said) = start(&machine, &server, &["--log-out"]).end();
    assert_eq!((code, said.as_str()), (Some(0), "logged out"));
    assert_eq!(
        (server.counts().revocations, server.living_logins()),
        (1, 0)
    );
    let (code, said) = start(&machine, &server, &["--log-out"]).end();
    assert_eq!((code, said.as_str()), (Some(0), "nobody was logged in"));

    // The next call logs in again, and then does what it was asked to.
    let again = start(&machine, &server, &[]);
    machine.log_in_there();
    let (code, said) = again.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\"alice\""), "{said}");
    start(&machine, &server, &["--log-out"]).end();
}
