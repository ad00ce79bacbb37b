//! Hosts that a login is bound to: who may be given its token.

use serde_json::json;
use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::support::{Sandbox, vault_cli};

fn logged_in() -> (AuthorizationServer, Sandbox) {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    (server, sandbox)
}

fn hosts(sandbox: &Sandbox) -> serde_json::Value {
    let shown = vault_cli(sandbox, &["show", "--json"]).json();
    let listed = vault_cli(sandbox, &["list", "--json"]).json();
    assert_eq!(shown["bound_hosts"], listed["profiles"][0]["bound_hosts"]);
    shown["bound_hosts"].clone()
}

#[test]
fn a_host_is_bound_once_shown_and_taken_back() {
    let (server, sandbox) = logged_in();
    assert_eq!(hosts(&sandbox), json!([]));
    for (arguments, answer, changed) in [
        (
            ["bind", "Git.Example"],
            "default: bound to git.example\n",
            true,
        ),
        (
            ["bind", "git.example:443"],
            "default: already bound to git.example\n",
            false,
        ),
        (
            ["bind", "registry.example:8443"],
            "default: bound to registry.example:8443\n",
            true,
        ),
    ] {
        let output = vault_cli(&sandbox, &arguments);
        assert_eq!((output.code(), output.stdout.as_str()), (Some(0), answer));
        let again = vault_cli(&sandbox, &[arguments[0], arguments[1], "--json"]).json();
        assert_eq!(again["changed"], false, "{changed}");
    }
    assert_eq!(
        hosts(&sandbox),
        json!(["git.example", "registry.example:8443"])
    );
    let list = vault_cli(&sandbox, &["list"]).stdout;
    assert!(list.contains("BOUND TO"), "{list}");
    let show = vault_cli(&sandbox, &["show"]).stdout;
    assert!(
        show.contains("bound to:       git.example registry.example:8443\n"),
        "{show}"
    );

    let output = vault_cli(&sandbox, &["unbind", "git.example"]);
    assert_eq!(output.stdout, "default: no longer bound to git.example\n");
    let output = vault_cli(&sandbox, &["unbind", "git.example"]);
    assert_eq!(output.stdout, "default: was not bound to git.example\n");
    assert_eq!(hosts(&sandbox), json!(["registry.example:8443"]));

    // A rotation keeps them, and the chain of rotations knows nothing of them.
    assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
    assert_eq!(hosts(&sandbox), json!(["registry.example:8443"]));
    let history = vault_cli(&sandbox, &["history", "--json"]).json();
    assert_eq!(history["entries"].as_array().unwrap().len(), 2);
    assert_eq!(server.counts().reuse_detected, 0);
}

#[test]
fn the_same_accounts_next_login_is_bound_and_anothers_is_not() {
    let (server, sandbox) = logged_in();
    assert_eq!(
        vault_cli(&sandbox, &["bind", "git.example"]).code(),
        Some(0)
    );
    let again = sandbox.log_in(&server, "default");
    assert!(!again.stderr.contains("bound"), "{again:?}");
    assert_eq!(hosts(&sandbox), json!(["git.example"]));

    // An imported token's account is not known.
    let issued = server.issue_login();
    let imported = sandbox.import(&server, "default", &issued.refresh_token);
    assert!(
        imported
            .stderr
            .contains("was bound to git.example; this one is not"),
        "{imported:?}"
    );
    assert_eq!(hosts(&sandbox), json!([]));
}

#[test]
fn a_host_that_can_not_be_bound_is_refused_and_changes_nothing() {
    let (_server, sandbox) = logged_in();
    let before = sandbox.stored();
    for host in [
        "*.example",
        "http://git.example",
        "a/b",
        "",
        "user@git.example",
    ] {
        let output = vault_cli(&sandbox, &["bind", host, "--json"]);
        assert_eq!(output.code(), Some(2), "{output:?}");
    }
    assert_eq!(sandbox.stored(), before);
    let nobody = vault_cli(&Sandbox::new(), &["bind", "git.example"]);
    assert_eq!(nobody.code(), Some(3), "{nobody:?}");
}

#[test]
fn many_processes_that_bind_and_refresh_at_once_lose_nothing() {
    let (server, sandbox) = logged_in();
    let bind = |number: u32| {
        let host = format!("h{number:02}.example");
        sandbox.command(&["bind", &host]).spawn().unwrap()
    };
    let refresh = |_| sandbox.command(&["refresh", "--force"]).spawn().unwrap();
    let children: Vec<_> = (0..12).map(bind).chain((0..6).map(refresh)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let bound = hosts(&sandbox);
    assert_eq!(bound.as_array().unwrap().len(), 12, "{bound}");
    assert_eq!(server.counts().reuse_detected, 0);
    assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
}
