//! Many processes whose token has expired, at the same instant, against a
//! server that revokes a login whose used token comes again.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use vault_core::enrolment::Import;
use vault_core::fault;
use vault_core::platform::secret::SecretString;
use vault_core::platform::store::{Interaction, KeySource, StoreKind};
use vault_core::{RefreshToken, Session, Vault};
use vault_tests::fleet::{Assignment, Call, Fleet};
use vault_tests::server::{AuthorizationServer, ServerConfig};

/// In nine tenths of it, counted from the request, all processes of a round have
/// their token, also where the machine stands still meanwhile.
const LIFETIME: Duration = Duration::from_secs(3);

struct Scene {
    application: String,
    store: StoreKind,
    server: AuthorizationServer,
    folder: tempfile::TempDir,
}

impl Scene {
    fn logged_in() -> Self {
        Self::kept_in(StoreKind::EncryptedFile, 64)
    }

    /// Logs in with refresh tokens of this length. The name is new each time:
    /// a system's store outlives the test.
    fn kept_in(store: StoreKind, token_length: usize) -> Self {
        let server = AuthorizationServer::start(ServerConfig {
            access_token_lifetime: LIFETIME,
            refresh_token_length: token_length,
            ..ServerConfig::default()
        });
        let number = u64::from_le_bytes(vault_core::platform::random::bytes());
        let scene = Self {
            application: format!("com.example.contention.{number:016x}"),
            store,
            server,
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(scene.key_file(), [7; 32]).unwrap();
        make_private(&scene.key_file());
        let login = scene.server.issue_login();
        let session = scene.session();
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

    fn session(&self) -> Session {
        Vault::builder(&self.application)
            .state_root(self.root())
            .store(self.store)
            .key_source(KeySource::KeyFile(self.key_file()))
            .interaction(Interaction::Forbidden)
            .open()
            .unwrap()
            .session("default")
            .unwrap()
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    fn key_file(&self) -> std::path::PathBuf {
        self.folder.path().join("key")
    }

    fn assignment(&self, tasks: usize) -> Assignment {
        Assignment {
            application: self.application.clone(),
            profile: "default".to_owned(),
            state_root: self.root(),
            store: Some(self.store),
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
    // The login has no token yet. Whoever comes last is to find one that is good.
    let long = Duration::from_secs(300);
    scene
        .server
        .configure(|config| config.access_token_lifetime = long);
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

/// The broken variant of them all: nobody excludes anybody.
#[test]
fn without_the_lock_the_processes_refresh_at_once() {
    let scene = Scene::logged_in();
    let latency = Duration::from_millis(300);
    scene.server.configure(|config| config.latency = latency);
    let assignment = Assignment {
        faults: vec![fault::SKIP_LOCK.to_owned()],
        ..scene.assignment(1)
    };
    scene.fleet(8, &assignment).round().unwrap();
    assert!(scene.server.counts().refresh_requests > 1);
}

#[cfg(windows)]
mod windows {
    use std::os::windows::fs::OpenOptionsExt;

    use super::*;

    /// More than the Credential Manager takes.
    const LARGE: usize = 6000;

    #[test]
    fn sixteen_processes_share_one_refresh_through_the_credential_manager() {
        for length in [64, LARGE] {
            let scene = Scene::kept_in(StoreKind::CredentialManager, length);
            let mut fleet = scene.fleet(16, &scene.assignment(4));
            // So long that sixteen processes on a slow machine all get it.
            let long = Duration::from_secs(300);
            scene
                .server
                .configure(|config| config.access_token_lifetime = long);
            std::thread::sleep(LIFETIME);
            let calls = fleet.round().unwrap();
            assert_eq!(errors(&calls), Vec::<&str>::new());
            assert_eq!(calls.len(), 64);
            assert!(calls.iter().all(|call| call.token == calls[0].token));
            let counts = scene.server.counts();
            assert_eq!((counts.refresh_requests, counts.reuse_detected), (1, 0));
            drop(fleet);
            scene.session().blocking().logout(true).unwrap();
        }
    }

    /// What a virus scanner does: the sealed file is open, for nobody else, at
    /// the moment when all processes want it; for so long, or as long as they do.
    fn while_scanned(faults: &[&str], time: Option<Duration>) -> (Scene, Vec<Call>) {
        let scene = Scene::logged_in();
        let profile = scene.root().join(&scene.application).join("default");
        let sealed = std::fs::read_dir(profile)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().contains("sealed."))
            .unwrap();
        let assignment = Assignment {
            faults: faults.iter().map(|fault| (*fault).to_owned()).collect(),
            ..scene.assignment(2)
        };
        let mut fleet = scene.fleet(4, &assignment);
        let scanned = std::fs::OpenOptions::new()
            .read(true)
            .share_mode(0)
            .open(sealed)
            .unwrap();
        let (over, is_over) = std::sync::mpsc::channel::<()>();
        let scanner = std::thread::spawn(move || {
            match time {
                Some(time) => std::thread::sleep(time),
                None => drop(is_over.recv()),
            }
            drop(scanned);
        });
        let calls = fleet.round().unwrap();
        drop(over);
        scanner.join().unwrap();
        drop(fleet);
        (scene, calls)
    }

    #[test]
    fn a_sealed_file_that_a_scanner_has_open_is_waited_for() {
        let (scene, calls) = while_scanned(&[], Some(Duration::from_millis(400)));
        assert_eq!(errors(&calls), Vec::<&str>::new());
        assert_eq!(scene.server.counts().refresh_requests, 1);
    }

    /// The broken variant of the test above.
    #[test]
    fn without_waiting_for_open_files_calls_fail() {
        let (scene, calls) = while_scanned(&[fault::SKIP_BUSY_RETRY], None);
        assert_ne!(errors(&calls), Vec::<&str>::new());
        assert_eq!(scene.server.counts().reuse_detected, 0);
    }
}
