//! kubectl with its exec credential, against a server that answers as a
//! cluster does.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use vault_tests::server::AuthorizationServer;

use super::https::{Answer, Event, Host, Request};
use super::{end, have_token, logged_in, program, run, tool};
use crate::skipped::lacking;
use crate::support::{Output, Sandbox};

/// A cluster with one config map.
fn cluster(authority: &Arc<AuthorizationServer>) -> Host {
    Host::start(authority, "Bearer", answer)
}

fn answer(request: &Request) -> Answer {
    let resource = json!({
        "name": "configmaps", "singularName": "configmap", "namespaced": true,
        "kind": "ConfigMap", "verbs": ["get", "list"], "shortNames": ["cm"],
    });
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "proof", "namespace": "default" },
        "data": { "answer": "42" },
    });
    let found: Value = match request.path.as_str() {
        "/api" => json!({ "kind": "APIVersions", "versions": ["v1"] }),
        "/apis" => json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [] }),
        "/api/v1" => json!({
            "kind": "APIResourceList", "groupVersion": "v1", "resources": [resource],
        }),
        "/api/v1/namespaces/default/configmaps/proof" => map,
        _ => return Answer::new(404, "text/plain", "no such thing"),
    };
    Answer::json(&found)
}

/// Before 1.22 there was only the beta of the protocol, and before 1.26 no
/// option for all of it.
fn minor_version(sandbox: &Sandbox) -> u32 {
    let version = end(kubectl(sandbox, &["version", "--client", "-o", "json"])).json();
    let minor = version["clientVersion"]["minor"]
        .as_str()
        .unwrap()
        .to_owned();
    minor.trim_end_matches('+').parse().unwrap()
}

fn kubectl(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut kubectl = tool(sandbox, "kubectl");
    kubectl
        .env("KUBECONFIG", sandbox.home().join("kubeconfig"))
        .args(arguments);
    kubectl
}

fn configure(sandbox: &Sandbox, host: &Host, provide_cluster_info: bool) {
    let version = match minor_version(sandbox) {
        ..22 => "v1beta1",
        _ => "v1",
    };
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "own",
        "clusters": [{ "name": "own", "cluster": {
            "server": format!("https://{}", host.name()),
            "certificate-authority": host.authority_file(),
        }}],
        "contexts": [{ "name": "own", "context": { "cluster": "own", "user": "vault-cli" }}],
        "users": [{ "name": "vault-cli", "user": { "exec": {
            "apiVersion": format!("client.authentication.k8s.io/{version}"),
            "command": program(sandbox),
            "args": ["credential", "kubectl"],
            "interactiveMode": "IfAvailable",
            "provideClusterInfo": provide_cluster_info,
        }}}],
    });
    std::fs::write(sandbox.home().join("kubeconfig"), config.to_string()).unwrap();
}

fn get(sandbox: &Sandbox) -> Output {
    let arguments = ["get", "configmap", "proof", "-o", "jsonpath={.data.answer}"];
    end(kubectl(sandbox, &arguments))
}

#[test]
fn a_bound_cluster_is_shown_the_token_and_an_expired_one_is_refreshed_once() {
    let (authority, sandbox) = logged_in();
    let host = cluster(&authority);
    configure(&sandbox, &host, true);
    run(&sandbox, &["bind", &host.name()]);
    let got = get(&sandbox);
    assert_eq!(
        (got.code(), got.stdout.as_str()),
        (Some(0), "42"),
        "{got:?}"
    );
    assert_eq!(authority.counts().refreshes_ok, 0);
    assert!(host.let_in().len() >= 3, "{:?}", host.asked());

    // What is known of the cluster is asked for again, and its first answer
    // outlasts the token. Google's kubectl does not wait 5 s for it.
    let life = Duration::from_secs(4);
    std::fs::remove_dir_all(sandbox.home().join(".kube")).ok();
    have_token(&authority, &sandbox, life);
    authority.configure(|config| config.access_token_lifetime = 60 * life);
    let before = authority.counts().refreshes_ok;
    let asked = host.asked().len();
    host.befall([Event::Takes(life + Duration::from_millis(500))]);
    let got = get(&sandbox);
    let asked = host.asked().split_off(asked);
    assert_eq!(
        (got.code(), got.stdout.as_str()),
        (Some(0), "42"),
        "{got:?} {asked:?}"
    );
    assert_eq!(authority.counts().refreshes_ok, before + 1, "{asked:?}");
}

#[test]
fn a_cluster_that_is_not_bound_or_not_said_gets_nothing() {
    let (authority, sandbox) = logged_in();
    let host = cluster(&authority);
    configure(&sandbox, &host, true);
    let got = get(&sandbox);
    assert_eq!(got.code(), Some(1), "{got:?}");
    assert!(got.stderr.contains("no login is bound to it"), "{got:?}");
    assert_eq!(host.shown(), Vec::<String>::new());

    run(&sandbox, &["bind", &host.name()]);
    configure(&sandbox, &host, false);
    let got = get(&sandbox);
    assert_eq!(got.code(), Some(1), "{got:?}");
    assert!(got.stderr.contains("provideClusterInfo"), "{got:?}");
    // Google's kubectl looks for the cluster's version first, and then says which
    // cluster it means, whatever it was told.
    let let_in = host.let_in();
    assert!(let_in.iter().all(|path| path == "/version"), "{let_in:?}");
}

fn set_up(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let mut command = tool(sandbox, program(sandbox));
    command.env("KUBECONFIG", sandbox.home().join("kubeconfig"));
    command.args(["setup", "kubectl"]).args(arguments);
    end(command)
}

#[test]
fn setup_makes_a_user_that_works_and_takes_it_back() {
    let (authority, sandbox) = logged_in();
    if minor_version(&sandbox) < 28 {
        lacking("kubectl 1.28 or newer, which can be set up");
        return;
    }
    let host = cluster(&authority);
    configure(&sandbox, &host, false);
    run(&sandbox, &["bind", &host.name()]);
    let setup = |arguments: &[&str]| set_up(&sandbox, arguments);
    let before = std::fs::read(sandbox.home().join("kubeconfig")).unwrap();
    let printed = setup(&[]);
    assert!(
        printed
            .stdout
            .starts_with("kubectl config set-credentials vault-cli "),
        "{printed:?}"
    );
    assert_eq!(
        std::fs::read(sandbox.home().join("kubeconfig")).unwrap(),
        before
    );
    for _ in 0..2 {
        let written = setup(&["--write"]);
        assert_eq!(written.code(), Some(0), "{written:?}");
        let got = get(&sandbox);
        assert_eq!(
            (got.code(), got.stdout.as_str()),
            (Some(0), "42"),
            "{got:?}"
        );
    }
    for is_told in [true, false] {
        let removed = setup(&["--remove"]);
        assert_eq!(removed.code(), Some(0), "{removed:?}");
        let told = removed.stderr.contains("still with that user: own;");
        assert_eq!(told, is_told, "{removed:?}");
    }
    let users = end(kubectl(&sandbox, &["config", "get-users"]));
    assert!(!users.stdout.contains("vault-cli"), "{users:?}");
}

#[test]
fn setup_leaves_a_user_of_somebody_elses_alone() {
    let (_authority, sandbox) = logged_in();
    if minor_version(&sandbox) < 28 {
        lacking("kubectl 1.28 or newer, which can be set up");
        return;
    }
    run(&sandbox, &["bind", "cluster.example"]);
    let file = sandbox.home().join("kubeconfig");
    let write = |user: &Value| {
        let config = json!({
            "apiVersion": "v1", "kind": "Config",
            "users": [{ "name": "vault-cli", "user": user }],
        });
        std::fs::write(&file, config.to_string()).unwrap();
    };
    let read = || std::fs::read_to_string(&file).unwrap();
    let ours = json!({
        "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "IfAvailable",
        "command": program(&sandbox), "args": ["credential", "kubectl"],
    });
    let both = json!({ "token": "fake-own-token", "exec": ours });
    for user in [&json!({ "token": "fake-own-token" }), &both] {
        write(user);
        let before = read();
        let refused = set_up(&sandbox, &["--write"]);
        assert_eq!(refused.code(), Some(1), "{refused:?}");
        assert!(
            refused.stderr.contains("nothing was changed"),
            "{refused:?}"
        );
        assert_eq!(read(), before);
    }
    // What is ours goes.
    let removed = set_up(&sandbox, &["--remove"]);
    assert_eq!(removed.code(), Some(0), "{removed:?}");
    let left = read();
    assert!(
        left.contains("fake-own-token") && !left.contains("exec"),
        "{left}"
    );
    let removed = set_up(&sandbox, &["--remove"]);
    assert_eq!(removed.code(), Some(0), "{removed:?}");
    assert!(removed.stdout.contains("it stays"), "{removed:?}");
    assert_eq!(read(), left);
}

#[test]
fn setup_names_the_version_that_it_needs_and_changes_nothing_before_that() {
    let (_authority, sandbox) = logged_in();
    run(&sandbox, &["bind", "cluster.example"]);
    let bin = sandbox.home().join("bin");
    std::fs::create_dir(&bin).unwrap();
    // What Debian 12 has says this of itself, and then has no such options.
    let old = "#!/bin/sh\n[ \"$1\" = version ] || { : > \"$HOME/asked\"; exit 1; }\n\
               echo '{\"clientVersion\": {\"major\": \"1\", \"minor\": \"20\"}}'\n";
    std::fs::write(bin.join("kubectl"), old).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(bin.join("kubectl"), mode).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = tool(&sandbox, program(&sandbox));
    command
        .env("PATH", format!("{}:{path}", bin.display()))
        .args(["setup", "kubectl", "--write"]);
    let refused = end(command);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains("kubectl 1.20 "), "{refused:?}");
    assert!(refused.stderr.contains("1.28"), "{refused:?}");
    assert!(!sandbox.home().join("asked").exists());
}
