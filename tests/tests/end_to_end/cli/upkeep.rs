//! What keeps a login well: refresh, doctor, history, logout of all.

use std::time::Duration;

use vault_tests::server::{AuthorizationServer, Endpoint, Fault, ServerConfig};

use crate::support::{Output, Sandbox, vault_cli, wait};

fn logged_in() -> (AuthorizationServer, Sandbox) {
    let (server, sandbox) = (
        AuthorizationServer::start(ServerConfig::default()),
        Sandbox::new(),
    );
    sandbox.log_in(&server, "default");
    (server, sandbox)
}

#[test]
fn a_refresh_is_made_when_it_is_due_or_forced() {
    let (server, sandbox) = logged_in();
    let idle = vault_cli(&sandbox, &["refresh"]);
    assert_eq!(idle.code(), Some(0), "{idle:?}");
    assert!(
        idle.stdout
            .starts_with("nothing to refresh; the access token is valid for")
    );
    assert_eq!(server.counts().refresh_requests, 0);
    let forced = vault_cli(&sandbox, &["refresh", "--force", "--json"]);
    assert_eq!(forced.code(), Some(0), "{forced:?}");
    assert_eq!(forced.json()["refreshed"], true);
    assert_eq!(server.counts().refreshes_ok, 1);
}

#[test]
fn a_server_that_is_away_is_told_as_such_and_costs_nothing() {
    let (mut server, sandbox) = logged_in();
    server.stop_listening();
    let path = sandbox.sealed_file("default");
    let sealed = std::fs::read(&path).unwrap();
    let forced = vault_cli(&sandbox, &["refresh", "--force", "--json"]);
    assert_eq!(forced.code(), Some(5), "{forced:?}");
    assert_eq!(forced.json()["error"]["code"], "network_unavailable");
    assert_eq!(std::fs::read(&path).unwrap(), sealed);
    // The access token that is left is still good.
    assert_eq!(vault_cli(&sandbox, &["token"]).code(), Some(0));
    server.listen_again();
    assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
    assert_eq!(server.counts().refreshes_ok, 1);
}

#[test]
fn a_token_that_is_served_although_its_refresh_failed_comes_with_a_warning() {
    let server = AuthorizationServer::start(ServerConfig {
        access_token_lifetime: Duration::from_secs(15),
        ..ServerConfig::default()
    });
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    server.fail_always(Endpoint::Token, Fault::unavailable(60));
    // More than a tenth of its life: it is not valid for long enough any more.
    wait(Duration::from_secs(2));
    let arguments = ["token", "--min-valid", "1min"];
    let token = vault_cli(&sandbox, &arguments);
    assert_eq!(token.code(), Some(0), "{token:?}");
    assert!(
        server.is_valid_access_token(token.stdout.trim()),
        "{token:?}"
    );
    let warning = "warning: the refresh that was due failed (server_unavailable); this token";
    assert!(token.stderr.starts_with(warning), "{token:?}");
    let quiet = sandbox.command(&arguments).arg("--quiet").output().unwrap();
    assert!(
        quiet.status.success() && quiet.stderr.is_empty(),
        "{quiet:?}"
    );
}

#[test]
fn a_doctor_proves_the_parts_and_spends_no_token() {
    let (mut server, sandbox) = logged_in();
    let healthy = vault_cli(&sandbox, &["doctor", "--json"]);
    assert_eq!(healthy.code(), Some(0), "{healthy:?}");
    let report = healthy.json();
    let checks = report["checks"].as_array().unwrap();
    let codes: Vec<_> = checks
        .iter()
        .map(|check| check["code"].as_str().unwrap())
        .collect();
    let all = [
        "VD001", "VD002", "VD003", "VD004", "VD005", "VD007", "VD008", "VD009",
    ];
    assert_eq!(codes, all);
    assert!(
        checks.iter().all(|check| check["result"] == "passed"),
        "{report}"
    );

    server.stop_listening();
    let ill = vault_cli(&sandbox, &["doctor"]);
    assert_eq!(ill.code(), Some(1), "{ill:?}");
    assert!(ill.stdout.contains("\nVD501 FAILED  server: "), "{ill:?}");
    assert_eq!(ill.stdout.lines().count(), 8);
    assert_eq!(server.counts().refresh_requests, 0);
}

#[test]
fn a_doctor_on_a_new_machine_has_nothing_to_complain_of() {
    let sandbox = Sandbox::new();
    let doctor = vault_cli(&sandbox, &["doctor"]);
    assert_eq!(doctor.code(), Some(0), "{doctor:?}");
}

#[test]
fn the_history_tells_who_did_what() {
    let (_server, sandbox) = logged_in();
    assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
    assert_eq!(vault_cli(&sandbox, &["logout"]).code(), Some(0));
    let history = vault_cli(&sandbox, &["history", "--json"]).json();
    let entries = history["entries"].as_array().unwrap();
    let events: Vec<_> = entries
        .iter()
        .map(|entry| entry["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["login", "refresh", "logout"]);
    assert!(
        entries.iter().all(|entry| entry["outcome"] == "ok"),
        "{history}"
    );
    let shown = vault_cli(&sandbox, &["history"]);
    assert_eq!(shown.stdout.lines().count(), 4, "{shown:?}");
}

#[test]
fn every_profile_is_logged_out_at_once_and_without_revocation_if_so_asked() {
    let (server, sandbox) = logged_in();
    sandbox.log_in(&server, "work");
    // One that has lost its display copy is one all the same.
    std::fs::remove_file(sandbox.profile("work").join("profile.json")).unwrap();
    let left = vault_cli(&sandbox, &["logout", "--all", "--no-revoke", "--json"]);
    assert_eq!(left.code(), Some(0), "{left:?}");
    let report = left.json();
    for (at, profile) in ["default", "work"].into_iter().enumerate() {
        assert_eq!(report["profiles"][at]["profile"], profile, "{report}");
        assert_eq!(report["profiles"][at]["revoked"], false);
        assert_eq!(
            vault_cli(&sandbox, &["--profile", profile, "token"]).code(),
            Some(3)
        );
    }
    assert_eq!(server.counts().requests.revoke, 0);
    let again = vault_cli(&sandbox, &["logout", "--all"]);
    assert_eq!(
        (again.code(), again.stdout.as_str()),
        (Some(0), ""),
        "{again:?}"
    );
}

#[test]
fn the_folder_of_the_stores_items_is_no_profile_unless_one_is_named_so() {
    let (server, sandbox) = logged_in();
    // As with the pinned store, where no option names it: nothing else is asked.
    let log_out_all = || {
        let mut command = sandbox.command(&["logout", "--all", "--json"]);
        command.env_remove("VAULT_STORE");
        let left = Output::from(command.output().unwrap());
        assert_eq!(left.code(), Some(0), "{left:?}");
        let ended = left.json()["profiles"].as_array().unwrap().clone();
        ended.iter().map(|row| row["profile"].clone()).collect()
    };
    let ended: Vec<_> = log_out_all();
    assert_eq!(ended, ["default"]);
    let items = std::fs::read_dir(sandbox.profile("items")).unwrap();
    let items = items.map(|entry| entry.unwrap().file_name());
    assert_eq!(items.collect::<Vec<_>>(), ["params"]);

    sandbox.log_in(&server, "default");
    sandbox.log_in(&server, "items");
    let listed = vault_cli(&sandbox, &["list", "--json"]).json();
    assert_eq!(listed["profiles"].as_array().unwrap().len(), 2);
    let ended: Vec<_> = log_out_all();
    assert_eq!(ended, ["default", "items"]);
    assert_eq!(server.living_logins(), 0);
}

#[test]
fn a_second_login_replaces_the_first_and_a_failed_one_does_not() {
    let (server, sandbox) = logged_in();
    sandbox.log_in(&server, "default");
    assert_eq!(server.counts().logins, 2);
    assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
    server.configure(|config| config.subject = "bob".to_owned());
    // Nobody is there to confirm that another account takes the profile over.
    let refused = sandbox.log_in_with(&server, &["--json"]);
    assert_eq!(refused.code(), Some(1), "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "access_denied");
    let status = vault_cli(&sandbox, &["status", "--json"]).json();
    assert_eq!(status["account"], "alice");
    assert_eq!(vault_cli(&sandbox, &["refresh", "--force"]).code(), Some(0));
}

#[test]
fn a_login_that_the_server_has_revoked_is_told_everywhere() {
    let (server, sandbox) = logged_in();
    let token = vault_cli(&sandbox, &["token"]).stdout;
    assert!(server.revoke_family(token.trim()));
    let refused = vault_cli(&sandbox, &["refresh", "--force", "--json"]);
    assert_eq!(refused.code(), Some(3), "{refused:?}");
    assert_eq!(refused.json()["error"]["code"], "login_required");
    let status = vault_cli(&sandbox, &["status", "--json"]);
    assert_eq!(
        (status.code(), status.json()["state"].as_str()),
        (Some(3), Some("login_required"))
    );
    let list = vault_cli(&sandbox, &["list"]);
    assert!(list.stdout.contains("login required"), "{list:?}");
    let doctor = vault_cli(&sandbox, &["doctor"]);
    assert_eq!(doctor.code(), Some(1));
    assert!(doctor.stdout.contains("VD701 FAILED"), "{doctor:?}");
    // It is not sent again by itself.
    let requests = server.counts().refresh_requests;
    vault_cli(&sandbox, &["status"]);
    vault_cli(&sandbox, &["doctor"]);
    assert_eq!(server.counts().refresh_requests, requests);
    sandbox.log_in(&server, "default");
    assert_eq!(vault_cli(&sandbox, &["status"]).code(), Some(0));
}
