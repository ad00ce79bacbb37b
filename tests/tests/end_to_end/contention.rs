//! Many processes whose token has expired, at the same instant, against a
//! server that revokes a login whose used token comes again.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use vault_core::enrolment::Import;
use vault_core::fault;
use vault_core::platform::secret::SecretString;
use vault_core::platform::store::{Interaction, KeySource, StoreKind};
use vault_core::{RefreshToken, Vault};
use vault_tests::fleet::{Assignment, Call, Fleet};
use vault_tests::server::{AuthorizationServer, ServerConfig};

const APPLICATION: &str = "com.example.contention";
const LIFETIME: Duration = Duration::from_millis(1000);

struct Scene {
    server: AuthorizationServer,
    folder: tempfile::TempDir,
}

impl Scene {
    fn logged_in() -> Self {
        let server = AuthorizationServer::start(ServerConfig {
            access_token_lifetime: LIFETIME,
            ..ServerConfig::default()
        });
        let scene = Self {
            server,
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(scene.key_file(), [7; 32]).unwrap();
        make_private(&scene.key_file());
        let login = scene.server.issue_login();
        let session = Vault::builder(APPLICATION)
            .state_root(scene.root())
            .store(StoreKind::EncryptedFile)
            .key_source(KeySource::KeyFile(scene.key_file()))
            .interaction(Interaction::Forbidden)
            .open()
            .unwrap()
            .session("default")
            .unwrap();
        let token = RefreshToken::new(SecretString::from(login.refresh_token));
        session
            .blocking()
            .import(
                Import::from_issuer(scene.server.issuer(), "vault-cli"),
                token,
            )
            .unwrap();
        scene
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    fn key_file(&self) -> std::path::PathBuf {
        self.folder.path().join("key")
    }

    fn assignment(&self, tasks: usize) -> Assignment {
        Assignment {
            application: APPLICATION.to_owned(),
            profile: "default".to_owned(),
            state_root: self.root(),
            store: StoreKind::EncryptedFile,
            key_file: Some(self.key_file()),
            tasks,
            lock_timeout_ms: 30_000,
            resources: Vec::new(),
            refused: false,
            faults: Vec::new(),
        }
    }

    fn fleet(&self, processes: usize, assignment: &Assignment) -> Fleet {
        let _ = self;
        Fleet::start(processes, assignment, contender).unwrap()
    }
}

fn contender() -> Command {
    Command::new(env!("CARGO_BIN_EXE_contender"))
}

fn make_private(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let _ = path;
}

fn errors(calls: &[Call]) -> Vec<&str> {
    calls
        .iter()
        .filter_map(|call| call.error.as_deref())
        .collect()
}

#[test]
fn eight_processes_share_one_refresh_per_rotation() {
    let scene = Scene::logged_in();
    let mut fleet = scene.fleet(8, &scene.assignment(8));
    for rotation in 1..=4 {
        let calls = fleet.round().unwrap();
        assert_eq!(errors(&calls), Vec::<&str>::new());
        assert_eq!(calls.len(), 64);
        assert!(
            calls.iter().all(|call| call.token == calls[0].token),
            "one token for all"
        );
        let counts = scene.server.counts();
        assert_eq!(counts.refreshes_ok, rotation);
        assert_eq!(
            (counts.refresh_requests, counts.reuse_detected),
            (rotation, 0)
        );
        assert_eq!(counts.peak_concurrent_refreshes, 1);
        std::thread::sleep(LIFETIME);
    }
}

/// Each process looks, and takes the lock only after others have refreshed:
/// what it looked at is old by then.
fn latecomers(scene: &Scene, more_faults: &[&str]) -> Vec<Call> {
    let mut faults = vec![fault::PAUSE_BEFORE_LOCK.to_owned()];
    faults.extend(more_faults.iter().map(|fault| (*fault).to_owned()));
    let mut fleet = scene.fleet(
        8,
        &Assignment {
            faults,
            ..scene.assignment(8)
        },
    );
    fleet.round().unwrap()
}

#[test]
fn who_takes_the_lock_late_adopts_what_was_stored_meanwhile() {
    let scene = Scene::logged_in();
    let calls = latecomers(&scene, &[]);
    assert_eq!(errors(&calls), Vec::<&str>::new());
    assert_eq!(scene.server.counts().refresh_requests, 1);
}

/// The broken variant of the test above: what was read before the lock is
/// sent.
#[test]
fn without_the_read_under_the_lock_the_login_is_lost() {
    let scene = Scene::logged_in();
    let calls = latecomers(&scene, &[fault::SKIP_READ_UNDER_LOCK]);
    assert!(scene.server.counts().reuse_detected > 0);
    assert!(calls.iter().any(|call| call.login_lost));
}
