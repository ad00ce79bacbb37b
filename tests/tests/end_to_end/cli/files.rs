//! What the real program makes of its folders and files: private whatever the umask, nothing
//! followed that stands in the way, and another user of the machine gets nothing.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use vault_tests::leaks::kept::below;
use vault_tests::server::{AuthorizationServer, ServerConfig};

use crate::skipped::lacking;
use crate::support::{Output, Sandbox, vault_cli};

/// Users that nobody is: one whose vault it is, and one who would like to have it.
const OWNER: u32 = 54_001;
const OTHER: u32 = 54_002;

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn folders_below(root: &Path) -> BTreeSet<PathBuf> {
    let files = below(root).into_iter();
    let above = files.flat_map(|file| file.ancestors().map(PathBuf::from).collect::<Vec<_>>());
    above
        .filter(|folder| folder.is_dir() && folder.starts_with(root))
        .collect()
}

/// A command as a shell's script starts it, whose arguments it is.
fn in_shell(command: &Command, script: &str) -> Command {
    let mut shell = Command::new("sh");
    let set = command.get_envs();
    shell
        .args(["-c", script, "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(set.filter_map(|(name, value)| Some((name, value?))));
    shell
}

#[test]
fn everything_is_private_whatever_the_umask() {
    let server = AuthorizationServer::start(ServerConfig::default());
    for umask in ["000", "077", "002"] {
        let sandbox = Sandbox::new();
        let under = |arguments: &[&str], input: &str| -> Output {
            let script = format!("umask {umask} && exec \"$@\"");
            feed(in_shell(&sandbox.command(arguments), &script), input)
        };
        let token = server.issue_login().refresh_token;
        let import = [
            "import",
            "--issuer",
            server.issuer(),
            "--client-id",
            "vault-cli",
        ];
        let imported = under(&import, &token);
        assert_eq!(imported.code(), Some(0), "{imported:?}");
        for arguments in [&["token"][..], &["refresh", "--force"], &["doctor"]] {
            let done = under(arguments, "");
            assert_eq!(done.code(), Some(0), "{done:?}");
        }
        let files = below(&sandbox.state());
        assert!(files.len() > 5, "{files:?}");
        for file in files {
            assert_eq!(mode(&file), 0o600, "umask {umask}: {}", file.display());
        }
        for folder in folders_below(&sandbox.state()) {
            assert_eq!(mode(&folder), 0o700, "umask {umask}: {}", folder.display());
        }
    }
}

#[test]
fn a_standard_stream_that_is_closed_is_not_taken_for_a_file() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let token = vault_cli(&sandbox, &["token"]).stdout;
    let has_it = |file: &PathBuf| {
        let contents = std::fs::read(file).unwrap();
        contents
            .windows(token.len())
            .any(|part| part == token.as_bytes())
    };
    // With the first two closed, the file that processes share would be the second.
    for closed in ["<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        let script = format!("exec \"$@\" {closed}");
        let done = feed(in_shell(&sandbox.command(&["token"]), &script), "");
        assert_eq!(done.code(), Some(0), "{closed}: {done:?}");
        let with_it: Vec<_> = below(&sandbox.state()).into_iter().filter(has_it).collect();
        assert!(with_it.is_empty(), "{closed}: {with_it:?}");
    }
}

#[test]
fn doctor_does_not_wait_for_a_pipe_in_the_place_of_another_tools_file() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let place = sandbox.home().join(".netrc");
    let made = Command::new("mkfifo").arg(place).status().unwrap();
    assert!(made.success());
    let doctor = sandbox.command(&["doctor"]);
    let told = feed(in_shell(&doctor, "exec timeout 60 \"$@\""), "");
    assert_eq!(told.code(), Some(0), "{told:?}");
    assert!(told.stdout.contains("VD009 ok"), "{told:?}");
}

#[test]
fn what_stands_in_the_place_of_a_file_or_folder_is_neither_followed_nor_waited_for() {
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    let trap = elsewhere.path().join("trap");
    std::fs::write(&target, b"untouched").unwrap();
    std::fs::create_dir(&trap).unwrap();
    let mut places: Vec<PathBuf> = below(&sandbox.state());
    places.extend(folders_below(&sandbox.state()));
    let aside = elsewhere.path().join("aside");
    for place in places {
        let Ok(there) = std::fs::symlink_metadata(&place) else {
            continue;
        };
        for with in ["link", "dangling link", "pipe"] {
            std::fs::rename(&place, &aside).unwrap();
            match with {
                "link" if there.is_dir() => symlink(&trap, &place).unwrap(),
                "link" => symlink(&target, &place).unwrap(),
                "dangling link" => symlink(trap.join("made"), &place).unwrap(),
                _ => {
                    let made = Command::new("mkfifo").arg(&place).status().unwrap();
                    assert!(made.success());
                }
            }
            for arguments in [&["token"][..], &["refresh", "--force"], &["show"]] {
                let said = vault_cli(&sandbox, arguments);
                let code = said.code().expect("no signal ends it");
                let path = place.display();
                assert!(
                    code == 0 || said.stderr.contains("error:"),
                    "{path}: {said:?}"
                );
                if there.is_dir() {
                    assert_ne!(code, 0, "{with} at {path} was followed");
                }
            }
            assert_eq!(std::fs::read(&target).unwrap(), b"untouched");
            assert_eq!(std::fs::read_dir(&trap).unwrap().count(), 0);
            if place.is_dir() && !place.is_symlink() {
                std::fs::remove_dir_all(&place).unwrap();
            } else if place.is_symlink() || place.exists() {
                std::fs::remove_file(&place).unwrap();
            }
            std::fs::rename(&aside, &place).unwrap();
        }
    }
}

/// A folder that every user may write to, as `/tmp`, with the program and the owner's key in it.
struct Shared {
    server: AuthorizationServer,
    folder: tempfile::TempDir,
}

impl Shared {
    /// `None`, and said, where other users can't be played.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            lacking("root, to be two users");
            return None;
        }
        let shared = Self {
            server: AuthorizationServer::start(ServerConfig::default()),
            folder: tempfile::tempdir().unwrap(),
        };
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        set(shared.folder.path(), 0o1777);
        let program = Sandbox::new().command(&[]).get_program().to_owned();
        std::fs::copy(program, shared.path("vault-cli")).unwrap();
        set(&shared.path("vault-cli"), 0o755);
        vault_core::platform::store::create_key_file(&shared.path("key")).unwrap();
        for (name, user) in [("key", OWNER), ("home", OWNER), ("trap", OTHER)] {
            let path = shared.path(name);
            if name != "key" {
                std::fs::create_dir(&path).unwrap();
            }
            chown(&path, Some(user), Some(user)).unwrap();
        }
        set(&shared.path("trap"), 0o777);
        Some(shared)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn state(&self) -> PathBuf {
        self.path("state")
    }

    fn as_user(user: u32) -> Command {
        let mut command = Command::new("setpriv");
        let user = user.to_string();
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
        command
    }

    /// The owner, who is in one more group.
    fn owner_in(group: u32) -> Command {
        let mut command = Command::new("setpriv");
        let (user, group) = (OWNER.to_string(), group.to_string());
        command.args(["--reuid", &user, "--regid", &user, "--groups", &group]);
        command
    }

    /// The owner's program.
    fn owner(&self, arguments: &[&str], input: &str) -> Output {
        self.owner_by(Self::as_user(OWNER), arguments, input)
    }

    fn owner_by(&self, mut command: Command, arguments: &[&str], input: &str) -> Output {
        command
            .arg(self.path("vault-cli"))
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", self.path("home"))
            .env("VAULT_STATE_DIR", self.state())
            .env("VAULT_STORE", "encrypted-file")
            .env("VAULT_KEY_FILE", self.path("key"));
        feed(command, input)
    }

    fn owner_imports(&self) -> Output {
        self.owner_imports_by(Self::as_user(OWNER))
    }

    fn owner_imports_by(&self, command: Command) -> Output {
        let token = self.server.issue_login().refresh_token;
        let issuer = self.server.issuer();
        self.owner_by(
            command,
            &["import", "--issuer", issuer, "--client-id", "vault-cli"],
            &token,
        )
    }

    /// What another user does, by a shell.
    fn other(&self, script: &str) -> Command {
        let mut command = Self::as_user(OTHER);
        command
            .args(["sh", "-c", script])
            .current_dir(self.folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    fn other_does(&self, script: &str) {
        self.other(script).status().unwrap();
    }

    /// Nothing of the owner's lies where the other user could read it.
    #[track_caller]
    fn nothing_is_elsewhere(&self) {
        assert_eq!(std::fs::read_dir(self.path("trap")).unwrap().count(), 0);
        let script = "find state -type f -exec cat {} + ; ls -R state";
        let read = self.other(script).output().unwrap().stdout;
        let shown = String::from_utf8_lossy(&read);
        assert!(
            !shown.contains("sealed") && !shown.contains("items"),
            "{shown}"
        );
    }
}

#[test]
fn what_another_user_put_in_the_way_is_refused_and_left_alone() {
    let Some(shared) = Shared::new() else { return };
    for (put, cleared) in [
        ("ln -s trap state", "rm state"),
        ("ln -s missing state", "rm state"),
        ("mkdir -m 700 state", "rmdir state"),
        ("mkdir -m 777 state", "rmdir state"),
        ("mkfifo -m 666 state", "rm state"),
        ("echo file > state; chmod 666 state", "rm state"),
    ] {
        shared.other_does(put);
        let refused = shared.owner_imports();
        assert_eq!(refused.code(), Some(1), "{put}: {refused:?}");
        let place = shared.state().display().to_string();
        assert!(refused.stderr.contains(&place), "{put}: {refused:?}");
        shared.nothing_is_elsewhere();
        assert!(!shared.path("missing").exists(), "{put}");
        shared.other_does(cleared);
        assert!(
            !shared.state().is_symlink() && !shared.state().exists(),
            "{put}"
        );
    }
    let imported = shared.owner_imports();
    assert_eq!(imported.code(), Some(0), "{imported:?}");
}

#[test]
fn another_user_can_neither_read_nor_replace_nor_stop_what_is_there() {
    let Some(shared) = Shared::new() else { return };
    let imported = shared.owner_imports();
    assert_eq!(imported.code(), Some(0), "{imported:?}");
    shared.nothing_is_elsewhere();
    let before = below(&shared.state()).len();
    shared.other_does(
        "mv state stolen; rm -rf state; ln -sfn trap state; ln state/vault-cli/default/lock mine; \
         chmod -R 777 state; touch state/new; flock -n state/vault-cli/default/lock sleep 1",
    );
    assert_eq!(std::fs::metadata(shared.state()).unwrap().uid(), OWNER);
    assert_eq!(mode(&shared.state()), 0o700);
    assert_eq!(below(&shared.state()).len(), before);
    assert!(!shared.path("stolen").exists() && !shared.path("mine").exists());
    let token = shared.owner(&["token"], "");
    assert_eq!(token.code(), Some(0), "{token:?}");
}

/// As Kubernetes mounts a secret: it is root's, and the pod, which is not root's, reads it by its
/// group (`fsGroup`).
#[test]
fn a_key_file_of_roots_may_be_read_by_a_group_of_the_owners_and_by_nobody_else() {
    const FURTHER: u32 = 54_003;
    for group in [OWNER, FURTHER] {
        let Some(shared) = Shared::new() else { return };
        let as_owner = || match group {
            OWNER => Shared::as_user(OWNER),
            further => Shared::owner_in(further),
        };
        let key = shared.path("key");
        let imports = |group, mode| {
            chown(&key, Some(0), Some(group)).unwrap();
            std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
            shared.owner_imports_by(as_owner())
        };
        for (group, mode) in [(group, 0o444), (group, 0o460), (OTHER, 0o444)] {
            let refused = imports(group, mode);
            assert_ne!(refused.code(), Some(0), "{mode:o}: {refused:?}");
            for hint in ["defaultMode: 0440", "fsGroup"] {
                assert!(refused.stderr.contains(hint), "{mode:o}: {refused:?}");
            }
        }
        let unreadable = imports(OTHER, 0o440);
        assert_ne!(unreadable.code(), Some(0), "{unreadable:?}");
        assert!(
            unreadable.stderr.contains("Permission denied"),
            "{unreadable:?}"
        );
        let imported = imports(group, 0o440);
        assert_eq!(imported.code(), Some(0), "{imported:?}");
    }
}

/// Where folders may be read by all and the kernel lets anybody link to anything, another user can
/// keep a name of each file. A file with two names is not refused: backups make them, too.
#[test]
fn a_hard_link_to_each_file_gives_another_user_nothing_and_stops_nothing() {
    let Some(shared) = Shared::new() else { return };
    let imported = shared.owner_imports();
    assert_eq!(imported.code(), Some(0), "{imported:?}");
    let links = shared.path("links");
    std::fs::create_dir(&links).unwrap();
    chown(&links, Some(OTHER), Some(OTHER)).unwrap();
    let files = below(&shared.state());
    assert!(files.len() > 5, "{files:?}");
    for (number, file) in files.iter().enumerate() {
        std::fs::hard_link(file, links.join(number.to_string())).unwrap();
        assert_eq!(std::fs::metadata(file).unwrap().nlink(), 2);
    }
    for arguments in [&["token"][..], &["refresh", "--force"], &["doctor"]] {
        let mut tried = shared.other(
            "cd links; for one in *; do cat $one; echo other > $one; echo other >> $one; \
             flock -n $one echo locked; chmod 666 $one; done",
        );
        let gained = tried.output().unwrap().stdout;
        assert_eq!(String::from_utf8_lossy(&gained), "");
        let done = shared.owner(arguments, "");
        assert_eq!(done.code(), Some(0), "{arguments:?}: {done:?}");
    }
    for link in below(&links) {
        let linked = std::fs::read(&link).unwrap();
        assert!(!linked.starts_with(b"other") && !linked.ends_with(b"other\n"));
        assert_eq!(mode(&link), 0o600, "{}", link.display());
        assert_eq!(std::fs::metadata(&link).unwrap().uid(), OWNER);
    }
    let ended = shared.owner(&["logout"], "");
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

#[test]
fn another_user_who_is_faster_makes_it_fail_and_nothing_else() {
    let Some(shared) = Shared::new() else { return };
    let racing = shared
        .other(
            "while [ ! -e stop ]; do ln -s trap state; rm -f state; mkdir state; rmdir state; done",
        )
        .stdout(Stdio::null())
        .spawn()
        .map(Racing)
        .unwrap();
    let (mut won, mut lost) = (0, 0);
    for _ in 0..60 {
        let imported = shared.owner_imports();
        match imported.code() {
            Some(0) => won += 1,
            Some(1) if imported.stderr.contains("error:") => lost += 1,
            _ => panic!("{imported:?}"),
        }
        shared.nothing_is_elsewhere();
        if imported.code() == Some(0) {
            assert_eq!(std::fs::metadata(shared.state()).unwrap().uid(), OWNER);
            assert_eq!(mode(&shared.state()), 0o700);
            std::fs::remove_dir_all(shared.state()).unwrap();
        }
    }
    drop(racing);
    assert_eq!(won + lost, 60);
}

#[test]
fn a_user_may_have_more_profiles_than_a_process_may_have_files_open() {
    const PROFILES: usize = 100;
    let server = AuthorizationServer::start(ServerConfig::default());
    let sandbox = Sandbox::new();
    sandbox.log_in(&server, "default");
    let first = sandbox.profile("default");
    for number in 1..PROFILES {
        let folder = sandbox.profile(&format!("more-{number}"));
        let copied = Command::new("cp")
            .arg("-rp")
            .args([&first, &folder])
            .status();
        assert!(copied.unwrap().success());
    }
    let listed = vault_cli(&sandbox, &["list", "--json"]);
    let command = sandbox.command(&["list", "--json"]);
    let limited = in_shell(&command, "ulimit -n 48 && exec \"$@\"");
    let limited = feed(limited, "");
    for output in [listed, limited] {
        assert_eq!(output.code(), Some(0), "{output:?}");
        let rows = output.json()["profiles"].take();
        assert_eq!(rows.as_array().unwrap().len(), PROFILES, "{output:?}");
        for row in rows.as_array().unwrap() {
            assert_eq!(row["state"], "logged_in", "{row}");
        }
    }
}

struct Racing(Child);

impl Drop for Racing {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn feed(mut command: Command, input: &str) -> Output {
    use std::io::Write;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses earlier does not read it.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap().into()
}
