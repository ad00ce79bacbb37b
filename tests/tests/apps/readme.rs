//! The README's ten lines.

use vault_tests::server::{AuthorizationServer, Client, ServerConfig};

use crate::machine::Machine;
use crate::running::Running;

#[test]
fn the_readmes_lines_log_in_once_and_give_that_logins_token() {
    let Some(machine) = Machine::new() else {
        return;
    };
    let server = AuthorizationServer::start(ServerConfig {
        clients: vec![Client::public("my-client-id")],
        ..ServerConfig::default()
    });
    let start = || {
        let mut lines = machine.app("readme");
        lines.arg(server.issuer());
        Running::start(lines)
    };
    let first = start();
    machine.log_in_there();
    let (code, token) = first.end();
    assert_eq!(code, Some(0), "{token}");
    assert!(server.is_valid_access_token(&token), "{token}");
    assert_eq!(start().end(), (Some(0), token));
    assert_eq!(server.counts().logins, 1);
    assert_eq!(machine.unseen_pages(), 0, "no browser was opened again");
}
