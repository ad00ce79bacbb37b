//! What the store holds under our names is not ours: another program's bytes,
//! a newer version's, or what another key sealed. Nothing panics, nothing newer
//! is written over by a refresh, and a login always succeeds over it.

use vault_core::platform::store::{
    self, ItemName, KeySource, SecretStore, StoreKind, StoreOptions,
};
use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::support::{Output, Sandbox, vault_cli};

const TOKEN_ITEM: &str = "default";
const KEY_ITEM: &str = "default#key";

const GARBAGE: [&[u8]; 7] = [
    b"",
    b"garbage",
    b"two\nlines\n",
    b"\0\xff\xfe",
    b"{}",
    b"[1,2,3]",
    b"{\"v\":1,\"login\":17}",
];

const NEWER: &[u8] = br#"{"v":99,"login":"of the future"}"#;

struct Scene {
    server: AuthorizationServer,
    sandbox: Sandbox,
    store: std::sync::Arc<dyn SecretStore>,
}

impl Scene {
    fn new() -> Self {
        let (server, sandbox) = (
            AuthorizationServer::start(ServerConfig::default()),
            Sandbox::new(),
        );
        sandbox.log_in(&server, "default");
        let options = StoreOptions {
            state_root: Some(sandbox.state()),
            key: Some(KeySource::KeyFile(sandbox.key_file())),
            ..StoreOptions::default()
        };
        let store = store::open(StoreKind::EncryptedFile, &options).unwrap();
        let scene = Self {
            server,
            sandbox,
            store,
        };
        let items = scene.store.list("vault-cli").unwrap();
        assert_eq!(items, [TOKEN_ITEM, KEY_ITEM].map(item));
        scene
    }

    fn put(&self, account: &str, bytes: &[u8]) {
        let bytes = bytes.to_vec().into();
        self.store.set(&item(account), &bytes).unwrap();
    }

    fn stored(&self, account: &str) -> Vec<u8> {
        let found = self.store.get(&item(account)).unwrap();
        found[0].expose().to_vec()
    }

    fn forced(&self) -> Output {
        vault_cli(&self.sandbox, &["--json", "refresh", "--force"])
    }

    /// A login succeeds over whatever is there, and lasts.
    #[track_caller]
    fn a_login_succeeds(&self) {
        self.sandbox.log_in(&self.server, "default");
        let forced = self.forced();
        assert_eq!(forced.code(), Some(0), "{forced:?}");
        let token = vault_cli(&self.sandbox, &["token"]);
        assert!(self.server.is_valid_access_token(token.stdout.trim()));
    }
}

fn item(account: &str) -> ItemName {
    ItemName::new("vault-cli", account).unwrap()
}

/// Asks for an error in our form, as opposed to a panic.
#[track_caller]
fn refused(output: &Output, codes: &[&str]) {
    let code = output.json()["error"]["code"].as_str().unwrap().to_owned();
    assert!(codes.contains(&code.as_str()), "{output:?}");
    assert!(!output.stderr.contains("panicked"), "{output:?}");
}

#[test]
fn garbage_in_the_place_of_the_token_item_costs_nothing() {
    let scene = Scene::new();
    for garbage in GARBAGE {
        scene.put(TOKEN_ITEM, garbage);
        let forced = scene.forced();
        assert_eq!(forced.code(), Some(0), "{forced:?}");
        assert_ne!(scene.stored(TOKEN_ITEM), garbage, "it is repaired");
    }
    assert_eq!(scene.server.counts().reuse_detected, 0);
    scene.put(TOKEN_ITEM, GARBAGE[1]);
    scene.a_login_succeeds();
}

#[test]
fn garbage_in_the_place_of_the_key_item_is_an_error_and_a_login_succeeds_over_it() {
    let scene = Scene::new();
    let before = scene.server.counts().refresh_requests;
    for garbage in GARBAGE {
        scene.put(KEY_ITEM, garbage);
        refused(&scene.forced(), &["corrupted", "item_missing"]);
        let shown = vault_cli(&scene.sandbox, &["--json", "status"]);
        assert!(!shown.stderr.contains("panicked"), "{shown:?}");
    }
    assert_eq!(scene.server.counts().refresh_requests, before);
    scene.a_login_succeeds();
}

#[test]
fn an_item_of_a_newer_version_is_not_written_over_by_a_refresh() {
    for account in [TOKEN_ITEM, KEY_ITEM] {
        let scene = Scene::new();
        scene.put(account, NEWER);
        let forced = scene.forced();
        if forced.code() != Some(0) {
            refused(&forced, &["newer_version"]);
        }
        assert_eq!(scene.stored(account), NEWER, "{account}");
        scene.a_login_succeeds();
        assert_ne!(scene.stored(account), NEWER, "{account}");
    }
}

#[test]
fn a_key_item_of_another_login_opens_nothing_and_a_login_succeeds_over_it() {
    let scene = Scene::new();
    let other = Scene::new();
    scene.put(KEY_ITEM, &other.stored(KEY_ITEM));
    let forced = scene.forced();
    assert_ne!(forced.code(), Some(0), "{forced:?}");
    assert!(!forced.json()["error"]["hint"].as_str().unwrap().is_empty());
    scene.a_login_succeeds();
}

#[test]
fn items_that_another_key_sealed_are_an_error_and_a_login_succeeds_over_them() {
    let scene = Scene::new();
    let other = Scene::new();
    for account in [TOKEN_ITEM, KEY_ITEM] {
        let file = |scene: &Scene| {
            let name = data_encoding::BASE32_DNSSEC.encode(account.as_bytes());
            let items = scene.sandbox.state().join("vault-cli/items");
            items.join(name + ".item")
        };
        std::fs::copy(file(&other), file(&scene)).unwrap();
    }
    let forced = scene.forced();
    refused(&forced, &["store_failed"]);
    let hint = forced.json()["error"]["hint"].take();
    assert!(hint.as_str().unwrap().contains("vault-cli login"), "{hint}");
    scene.a_login_succeeds();
}
