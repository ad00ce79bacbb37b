//! The kernel's key ring as the store of `vault-cli`, by itself and as an end of a move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use vault_core::platform::store::{self, Interaction, SecretStore, StoreKind, StoreOptions};
use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::skipped::lacking;
use crate::support::{Output, Sandbox, wait};

/// An application of its own in the ring, which is the user's real one.
struct Scene {
    sandbox: Sandbox,
    ring: Arc<dyn SecretStore>,
    application: String,
}

impl Scene {
    /// `None`, and said, where this kernel has no key rings.
    fn new() -> Option<Self> {
        static SCENES: AtomicU32 = AtomicU32::new(0);
        let ring = store::open(StoreKind::Keyutils, &StoreOptions::default()).unwrap();
        if ring.unlock(Interaction::Forbidden).is_err() {
            lacking("key rings in the kernel");
            return None;
        }
        let number = SCENES.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            sandbox: Sandbox::new(),
            ring,
            application: format!("vault.test.{}.{number}", std::process::id()),
        })
    }

    fn log_in(&self, server: &AuthorizationServer, store: &str) -> Output {
        let here = ["--store", store, "--app", &self.application];
        let output = self.sandbox.log_in_with(server, &here);
        assert_eq!(output.code(), Some(0), "{output:?}");
        output
    }

    /// The program, which is told no store.
    fn run(&self, arguments: &[&str]) -> Output {
        self.start(arguments).wait_with_output().unwrap().into()
    }

    fn start(&self, arguments: &[&str]) -> std::process::Child {
        let app = ["--app", &self.application];
        let mut command = self.sandbox.command(&[&app, arguments].concat());
        command.env_remove("VAULT_STORE").spawn().unwrap()
    }

    fn in_the_ring(&self) -> Vec<String> {
        let items = self.ring.list(&self.application).unwrap();
        items.iter().map(|item| item.account().to_owned()).collect()
    }

    fn in_files(&self) -> usize {
        let items = self.sandbox.state().join(&self.application).join("items");
        let files = std::fs::read_dir(items).unwrap().map(|file| file.unwrap());
        files
            .filter(|file| file.file_name().to_string_lossy().ends_with(".item"))
            .count()
    }
}

impl Drop for Scene {
    /// What a test that failed has left would stay until the next boot.
    fn drop(&mut self) {
        for item in self.ring.list(&self.application).unwrap_or_default() {
            self.ring.delete(&item).ok();
        }
    }
}

#[test]
fn a_login_in_the_kernels_key_ring_works_and_says_that_it_ends() {
    let Some(scene) = Scene::new() else {
        return;
    };
    let server = AuthorizationServer::start(ServerConfig::default());
    let output = scene.log_in(&server, "keyutils");
    assert!(
        output.stderr.contains("when the machine reboots"),
        "{output:?}"
    );
    assert_eq!(scene.run(&["refresh", "--force"]).code(), Some(0));
    let token = scene.run(&["token"]);
    assert!(
        server.is_valid_access_token(token.stdout.trim()),
        "{token:?}"
    );
    let status = scene.run(&["status"]);
    assert!(status.stdout.contains("keyutils"), "{status:?}");
    assert!(
        status.stderr.contains("when the machine reboots"),
        "{status:?}"
    );
    assert_eq!(scene.run(&["doctor"]).code(), Some(0));
    assert_eq!(scene.in_the_ring(), ["default", "default#key"]);
    assert_eq!(scene.run(&["logout"]).code(), Some(0));
    assert_eq!(scene.in_the_ring(), [""; 0]);
}

#[test]
fn a_login_moves_into_the_ring_and_back_while_others_ask() {
    let Some(scene) = Scene::new() else {
        return;
    };
    let life = Duration::from_secs(2);
    let server = AuthorizationServer::start(ServerConfig {
        access_token_lifetime: life,
        ..ServerConfig::default()
    });
    scene.log_in(&server, "encrypted-file");
    for (to, in_the_ring, in_files) in [
        ("keyutils", &["default", "default#key"][..], 0),
        ("encrypted-file", &[], 2),
        ("keyutils", &["default", "default#key"], 0),
    ] {
        wait(life);
        // It has expired: of all these one refreshes, and none loses it.
        let asking: Vec<_> = (0..8).map(|_| scene.start(&["token"])).collect();
        let moved = scene.run(&["migrate", "--to", to, "--json"]);
        assert_eq!(moved.code(), Some(0), "{moved:?}");
        let report = moved.json();
        assert_eq!(
            (&report["moved"], &report["remains"]),
            (&true.into(), &false.into())
        );
        let until_reboot = moved.stderr.contains("the next start of the machine");
        assert_eq!(until_reboot, to == "keyutils", "{moved:?}");
        for process in asking {
            let answer = Output::from(process.wait_with_output().unwrap());
            assert_eq!((answer.code(), answer.stderr.as_str()), (Some(0), ""));
        }
        assert_eq!(scene.in_the_ring(), in_the_ring);
        assert_eq!(scene.in_files(), in_files);
        assert_eq!(scene.run(&["refresh", "--force"]).code(), Some(0));
        assert_eq!(scene.run(&["status", "--json"]).json()["store"], to);
    }
    let left = scene.run(&["logout", "--json"]);
    assert_eq!(left.json()["remains"], false, "{left:?}");
    assert_eq!(scene.in_the_ring(), [""; 0]);
    let counts = server.counts();
    assert_eq!((counts.reuse_detected, server.living_logins()), (0, 0));
}

/// The contents of a key have at most 4,095 bytes.
#[test]
fn a_token_that_is_too_long_for_the_ring_moves_with_its_key_alone() {
    let Some(scene) = Scene::new() else {
        return;
    };
    let server = AuthorizationServer::start(ServerConfig {
        refresh_token_length: 6000,
        ..ServerConfig::default()
    });
    scene.log_in(&server, "encrypted-file");
    let moved = scene.run(&["migrate", "--to", "keyutils", "--json"]);
    assert_eq!(moved.json()["copied"], false, "{moved:?}");
    assert_eq!(scene.in_the_ring(), ["default#key"]);
    assert_eq!(scene.run(&["refresh", "--force"]).code(), Some(0));
    let back = scene.run(&["migrate", "--to", "encrypted-file", "--json"]);
    assert_eq!(back.json()["copied"], true, "{back:?}");
    assert_eq!(scene.in_the_ring(), [""; 0]);
    assert_eq!(scene.run(&["refresh", "--force"]).code(), Some(0));
    assert_eq!(scene.run(&["logout"]).code(), Some(0));
    let counts = server.counts();
    assert_eq!((counts.reuse_detected, server.living_logins()), (0, 0));
}
