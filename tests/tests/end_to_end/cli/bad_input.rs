//! What can't be done: each has its own code and hint, and what was stored
//! stays as it was, byte for byte.

use std::path::Path;

use serde_json::{Value, json};
use vault_core::platform::store::{self, ItemName, KeySource, StoreKind, StoreOptions};
use vault_tests::server::{
    AuthorizationServer, Decision, DeviceApproval, Endpoint, Fault, Reply, ResponseParameter,
    ServerConfig,
};

use crate::support::{Output, Sandbox, login, vault_cli};

/// A sandbox that has a login already, which nothing below may harm.
struct Scene {
    server: AuthorizationServer,
    sandbox: Sandbox,
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            server: AuthorizationServer::start(ServerConfig::default()),
            sandbox: Sandbox::new(),
        };
        scene.sandbox.log_in(&scene.server, "default");
        scene
    }

    /// Runs something that is refused with this code, and changes nothing.
    #[track_caller]
    fn refuses(&self, code: &str, exit: i32, act: impl FnOnce(&Self) -> Output) -> Value {
        let before = self.sandbox.stored();
        let output = act(self);
        assert_eq!(output.code(), Some(exit), "{output:?}");
        let error = output.json()["error"].take();
        assert_eq!(error["code"], code, "{output:?}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{output:?}");
        assert!(!error["hint"].as_str().unwrap().is_empty(), "{output:?}");
        let after = self.sandbox.stored();
        let names = |stored: &std::collections::BTreeMap<_, _>| format!("{:#?}", stored.keys());
        assert_eq!(names(&before), names(&after));
        for (path, contents) in &before {
            assert!(after[path] == *contents, "{} was changed", path.display());
        }
        error
    }

    fn log_in_at(&self, issuer: &str) -> Output {
        let arguments = [
            "--json",
            "login",
            "--issuer",
            issuer,
            "--client-id",
            "vault-cli",
            "--no-browser",
        ];
        vault_cli(&self.sandbox, &arguments)
    }

    fn log_in(&self) -> Output {
        self.sandbox.log_in_with(&self.server, &["--json"])
    }

    fn log_in_by_code(&self) -> Output {
        let mut arguments = login(&self.server);
        arguments.extend(["--flow", "device", "--json"]);
        vault_cli(&self.sandbox, &arguments)
    }

    /// The login of the beginning works to this day.
    #[track_caller]
    fn still_works(&self) {
        let refreshed = vault_cli(&self.sandbox, &["refresh", "--force", "--json"]);
        assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
        assert_eq!(refreshed.json()["refreshed"], true, "{refreshed:?}");
    }
}

#[test]
fn an_unknown_issuer() {
    let scene = Scene::new();
    let nowhere = scene.server.url("/nowhere");
    scene.refuses("issuer_unknown", 1, |scene| scene.log_in_at(&nowhere));
    scene.still_works();
}

#[test]
fn a_server_that_is_not_there() {
    let scene = Scene::new();
    scene.refuses("network_unavailable", 5, |scene| {
        scene.log_in_at("http://127.0.0.1:1")
    });
}

#[test]
fn an_issuer_that_calls_itself_otherwise() {
    let scene = Scene::new();
    scene.server.configure(|config| {
        config.metadata_changes = vec![("issuer".to_owned(), json!("https://evil.example"))];
    });
    let error = scene.refuses("issuer_mismatch", 1, Scene::log_in);
    assert!(error["message"].as_str().unwrap().contains("evil.example"));
}

#[test]
fn a_web_page_instead_of_a_description() {
    let scene = Scene::new();
    for endpoint in [Endpoint::OAuthMetadata, Endpoint::OpenIdMetadata] {
        let page = Fault::Instead(Reply::html(200, "Log in to the Wi-Fi"));
        scene.server.fail_always(endpoint, page);
    }
    scene.refuses("server_answer_invalid", 1, Scene::log_in);
}

#[test]
fn a_description_that_breaks_off() {
    let scene = Scene::new();
    for endpoint in [Endpoint::OAuthMetadata, Endpoint::OpenIdMetadata] {
        scene.server.fail_always(endpoint, Fault::TruncateBody);
    }
    scene.refuses("server_answer_invalid", 1, Scene::log_in);
}

#[test]
fn a_web_page_or_half_an_answer_instead_of_tokens() {
    let scene = Scene::new();
    for fault in [
        Fault::Instead(Reply::html(200, "Sign in")),
        Fault::TruncateBody,
    ] {
        scene.server.fail_next(Endpoint::Token, 1, fault);
        scene.refuses("server_answer_invalid", 1, Scene::log_in);
    }
    scene.still_works();
}

#[test]
fn plain_http_to_another_machine() {
    let scene = Scene::new();
    scene.refuses("insecure_url", 1, |scene| {
        scene.log_in_at("http://login.example")
    });
    scene.server.configure(|config| {
        let endpoint = json!("http://login.example/token");
        config.metadata_changes = vec![("token_endpoint".to_owned(), endpoint)];
    });
    scene.refuses("insecure_url", 1, Scene::log_in);
}

#[test]
fn a_redirect_with_the_wrong_state() {
    let scene = Scene::new();
    scene
        .server
        .configure(|config| config.state_parameter = ResponseParameter::Altered);
    scene.refuses("state_mismatch", 1, Scene::log_in);
    scene.still_works();
}

#[test]
fn a_redirect_from_another_issuer() {
    let scene = Scene::new();
    scene
        .server
        .configure(|config| config.iss_parameter = ResponseParameter::Altered);
    scene.refuses("issuer_mismatch", 1, Scene::log_in);
}

#[test]
fn a_denied_login() {
    let scene = Scene::new();
    scene
        .server
        .configure(|config| config.decision = Decision::Deny);
    scene.refuses("access_denied", 1, Scene::log_in);
}

#[test]
fn a_denied_device_code() {
    let scene = Scene::new();
    scene
        .server
        .configure(|config| config.device_approval = DeviceApproval::DenyAfterPolls(1));
    scene.refuses("access_denied", 1, Scene::log_in_by_code);
}

#[test]
fn a_device_code_that_expires() {
    let scene = Scene::new();
    scene
        .server
        .configure(|config| config.device_code_lifetime = std::time::Duration::from_secs(2));
    scene.refuses("login_expired", 1, Scene::log_in_by_code);
    scene.still_works();
}

#[test]
fn an_import_of_what_is_no_token() {
    let scene = Scene::new();
    for input in [
        "",
        "\n",
        "rt-one\nrt-two\n",
        "rt-one\n\n",
        " rt-one",
        "rt-öne",
        "rt-\u{7}",
    ] {
        scene.refuses("invalid_input", 2, |scene| {
            scene.sandbox.run_with_input(
                &[
                    "--json",
                    "import",
                    "--issuer",
                    scene.server.issuer(),
                    "--client-id",
                    "vault-cli",
                ],
                input,
            )
        });
    }
    scene.still_works();
}

#[test]
fn a_token_that_another_profile_holds() {
    let scene = Scene::new();
    let issued = scene.server.issue_login().refresh_token;
    assert!(
        scene
            .sandbox
            .import(&scene.server, "one", &issued)
            .status
            .success()
    );
    // The folder of the second is made before, so that nothing may change.
    scene.sandbox.log_in(&scene.server, "two");
    let error = scene.refuses("token_in_use", 1, |scene| {
        let arguments = [
            "--json",
            "--profile",
            "two",
            "import",
            "--issuer",
            scene.server.issuer(),
            "--client-id",
            "vault-cli",
        ];
        scene.sandbox.run_with_input(&arguments, &issued)
    });
    assert!(error["message"].as_str().unwrap().contains("`one`"));
    assert!(!error.to_string().contains(&issued));
}

#[test]
fn names_that_would_leave_their_folder() {
    let scene = Scene::new();
    for profile in ["../x", "a/b", "", ".", "..", "work#key", "a:b", "/etc"] {
        for command in ["token", "logout", "doctor"] {
            scene.refuses("invalid_input", 2, |scene| {
                vault_cli(&scene.sandbox, &["--json", "--profile", profile, command])
            });
        }
    }
    scene.refuses("invalid_input", 2, |scene| {
        vault_cli(&scene.sandbox, &["--json", "--app", "../x", "list"])
    });
}

#[test]
fn a_damaged_sealed_file_is_repaired_from_the_stores_copy() {
    let scene = Scene::new();
    damage(&scene.sandbox.sealed_file("default"));
    let token = vault_cli(&scene.sandbox, &["token"]);
    assert_eq!(token.code(), Some(0), "{token:?}");
    assert!(scene.server.is_valid_access_token(token.stdout.trim()));
    assert_eq!(scene.server.counts().reuse_detected, 0);
    scene.still_works();
}

#[test]
fn a_login_whose_both_copies_are_gone() {
    let scene = Scene::new();
    damage(&scene.sandbox.sealed_file("default"));
    let options = StoreOptions {
        state_root: Some(scene.sandbox.state()),
        key: Some(KeySource::KeyFile(scene.sandbox.key_file())),
        ..StoreOptions::default()
    };
    let store = store::open(StoreKind::EncryptedFile, &options).unwrap();
    store
        .delete(&ItemName::new("vault-cli", "default").unwrap())
        .unwrap();

    let refused = vault_cli(&scene.sandbox, &["--json", "token"]);
    let error = &refused.json()["error"];
    assert_eq!(error["code"], "corrupted", "{refused:?}");
    assert!(
        error["hint"].as_str().unwrap().contains("vault-cli login"),
        "{refused:?}"
    );
    assert_eq!(refused.code(), Some(1));
    // A login always succeeds over it.
    scene.sandbox.log_in(&scene.server, "default");
    scene.still_works();
}

#[test]
fn a_display_copy_of_a_newer_version() {
    let scene = Scene::new();
    scene.sandbox.log_in(&scene.server, "other");
    let path = scene.sandbox.profile("default").join("profile.json");
    let newer = json!({ "v": 99, "profile": "default", "colour": "blue" });
    std::fs::write(&path, newer.to_string()).unwrap();

    let before = scene.sandbox.stored();
    let list = vault_cli(&scene.sandbox, &["list"]);
    assert_eq!(list.code(), Some(1), "{list:?}");
    assert!(
        list.stderr
            .starts_with("error: profile default: profile.json was written by a newer")
    );
    assert!(list.stderr.contains("hint: "), "{list:?}");
    let lines: Vec<_> = list.stdout.lines().collect();
    assert!(
        lines[1].starts_with("default") && lines[1].contains("newer version"),
        "{list:?}"
    );
    assert!(
        lines[2].starts_with("other") && lines[2].contains("logged in"),
        "{list:?}"
    );
    let rows = vault_cli(&scene.sandbox, &["list", "--json"]);
    assert_eq!((rows.code(), rows.stderr.as_str()), (Some(1), ""));
    let rows = rows.json();
    assert_eq!(rows["profiles"][0]["error"]["code"], "newer_version");
    assert_eq!(rows["profiles"][1]["state"], "logged_in");
    assert!(scene.sandbox.stored() == before);

    // It is a copy for display: the login itself goes on.
    scene.still_works();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), newer.to_string());
}

#[cfg(unix)]
#[test]
fn a_state_folder_that_others_can_write_to() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    let profile = scene.sandbox.profile("default");
    let application = profile.parent().unwrap();
    // Who can write to a folder can exchange those within.
    for folder in [
        profile.as_path(),
        application,
        application.parent().unwrap(),
    ] {
        let set = |mode| {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for mode in [0o720, 0o702, 0o777] {
            set(mode);
            for command in ["token", "show", "status"] {
                scene.refuses("state_folder_unsafe", 1, |scene| {
                    vault_cli(&scene.sandbox, &["--json", command])
                });
            }
        }
        let doctor = vault_cli(&scene.sandbox, &["doctor"]);
        assert_eq!(doctor.code(), Some(1), "{doctor:?}");
        assert!(doctor.stdout.contains("VD101 FAILED"), "{doctor:?}");
        set(0o700);
        scene.still_works();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_secret_service() {
    for address in [None, Some("unix:path=/nonexistent/bus")] {
        let scene = Scene::new();
        // A login elsewhere, where nobody has chosen a store.
        let error = scene.refuses("store_missing", 4, |scene| {
            let mut arguments = login(&scene.server);
            arguments.extend(["--no-browser", "--json", "--profile", "new"]);
            let state = scene.sandbox.home().join("state");
            let mut command = scene.sandbox.command(&arguments);
            command
                .env_remove("VAULT_STORE")
                .env("VAULT_STATE_DIR", state);
            if let Some(address) = address {
                command.env("DBUS_SESSION_BUS_ADDRESS", address);
            }
            command.output().unwrap().into()
        });
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("secret-service"),
            "{error}"
        );
        assert!(
            error["hint"].as_str().unwrap().contains("encrypted-file"),
            "{error}"
        );
        assert_eq!(scene.server.counts().logins, 1);
    }
}

const FOREIGN_STORE: &str = if cfg!(target_os = "macos") {
    "credential-manager"
} else {
    "keychain"
};

#[test]
fn a_store_that_this_build_has_not() {
    let scene = Scene::new();
    let error = scene.refuses("store_missing", 4, |scene| {
        scene
            .sandbox
            .log_in_with(&scene.server, &["--json", "--store", FOREIGN_STORE])
    });
    assert!(
        error["hint"].as_str().unwrap().contains("encrypted-file"),
        "{error}"
    );
}

#[test]
fn a_key_that_is_not_the_stores() {
    let scene = Scene::new();
    let other = scene.sandbox.home().join("other-key");
    store::create_key_file(&other).unwrap();
    scene.refuses("store_key_wrong", 4, |scene| {
        vault_cli(
            &scene.sandbox,
            &["--json", "token", "--key-file", other.to_str().unwrap()],
        )
    });
    let nowhere = scene.sandbox.home().join("nowhere");
    scene.refuses("store_missing", 4, |scene| {
        vault_cli(
            &scene.sandbox,
            &["--json", "token", "--key-file", nowhere.to_str().unwrap()],
        )
    });
    scene.still_works();
}

fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
