//! What the program says, word for word: `tests/cases`. `TRYCMD=overwrite`
//! writes what it says now, to be looked at before it is kept.

use std::path::Path;

use vault_tests::server::{AuthorizationServer, Endpoint, Fault, ServerConfig};

use crate::support::{Sandbox, vault_cli};

fn run(sandbox: &Sandbox, server: Option<&AuthorizationServer>, cases: &str) {
    let plain = sandbox.command(&[]);
    let tests = trycmd::TestCases::new();
    tests.register_bin("vault-cli", Path::new(plain.get_program()));
    for (name, value) in plain.get_envs() {
        if let Some(value) = value {
            tests.env(name.to_str().unwrap(), value.to_str().unwrap());
        }
    }
    tests.env("NO_COLOR", "1");
    let known = |name: &'static str, value: String| {
        tests.insert_var(name, value).unwrap();
    };
    known("[STATE]", sandbox.state().display().to_string());
    known("[KEY]", sandbox.key_file().display().to_string());
    if let Some(server) = server {
        known("[ISSUER]", server.issuer().to_owned());
    }
    tests.case(format!("tests/cases/{cases}"));
    tests.run();
}

#[test]
fn of_nobody() {
    run(&Sandbox::new(), None, "nobody.trycmd");
}

#[test]
fn of_a_login() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    run(&sandbox, Some(&server), "login.trycmd");
}

#[test]
fn of_what_is_wrong() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    sandbox.log_in(&server, "busy");
    let token = vault_cli(&sandbox, &["token"]).stdout;
    assert!(server.revoke_family(token.trim()));
    assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(3));
    server.fail_always(Endpoint::Token, Fault::unavailable(60));
    run(&sandbox, Some(&server), "failures.trycmd");
}
