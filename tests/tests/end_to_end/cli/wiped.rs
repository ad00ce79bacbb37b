//! A state folder that was wiped: the store still holds the login, and the
//! folder that is made again in the same place takes it over.

use vault_core::platform::folder::StateFolder;
use vault_core::platform::store::StoreKind;
use vault_tests::server::{AuthorizationServer, DEFAULT_CLIENT_ID, ServerConfig};
use vault_tests::stand_in;

use crate::support::{Output, Sandbox, vault_cli};

// With capitals: where file systems take no notice of case, folders have other
// names than these.
const APPLICATION: &str = "com.example.MyApp";
const PROFILE: &str = "Work";

struct Scene {
    server: AuthorizationServer,
    sandbox: Sandbox,
}

impl Scene {
    /// A login whose folder is gone. The store's items lie beside it.
    fn wiped() -> Self {
        let scene = Self {
            server: AuthorizationServer::start(ServerConfig::default()),
            sandbox: Sandbox::new(),
        };
        let token = scene.server.issue_login().refresh_token;
        let import = [
            "--app",
            APPLICATION,
            "--profile",
            PROFILE,
            "import",
            "--issuer",
            scene.server.issuer(),
            "--client-id",
            DEFAULT_CLIENT_ID,
        ];
        let imported = scene.sandbox.run_with_input(&import, &token);
        assert_eq!(imported.code(), Some(0), "{imported:?}");
        assert_eq!(scene.accounts(), [PROFILE, "Work#key"]);
        let names = [APPLICATION, PROFILE];
        let folder = StateFolder::path_below(&scene.sandbox.state(), &names).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        scene
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let named = ["--app", APPLICATION, "--profile", PROFILE];
        vault_cli(&self.sandbox, &[&named[..], arguments].concat())
    }

    /// What the store holds.
    fn accounts(&self) -> Vec<String> {
        let (state, key) = (self.sandbox.state(), self.sandbox.key_file());
        let mut accounts =
            stand_in::accounts(StoreKind::EncryptedFile, &state, &key, APPLICATION).unwrap();
        accounts.sort();
        accounts
    }
}

#[test]
fn a_login_is_taken_over_by_the_folder_that_is_made_again() {
    let scene = Scene::wiped();
    let doctor = scene.run(&["doctor", "--json"]).json();
    let checks = doctor["checks"].as_array().unwrap();
    let found = |code: &str| checks.iter().any(|check| check["code"] == code);
    assert!(found("VD405"), "the folder is gone: {doctor:#}");
    assert!(!found("VD404"), "it is kept nowhere else: {doctor:#}");

    let token = scene.run(&["token"]);
    assert_eq!(token.code(), Some(0), "{token:?}");
    assert!(scene.server.is_valid_access_token(token.stdout.trim()));
    let refreshed = scene.run(&["refresh", "--force"]);
    assert_eq!(refreshed.code(), Some(0), "{refreshed:?}");
    let counts = scene.server.counts();
    assert_eq!((counts.refreshes_ok, counts.reuse_detected), (2, 0));
}

#[test]
fn a_logout_without_the_folder_leaves_nothing_in_the_store() {
    let scene = Scene::wiped();
    let ended = scene.run(&["logout"]);
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    assert_eq!(scene.accounts(), [""; 0]);
    assert_eq!(scene.run(&["token"]).code(), Some(3));
}
