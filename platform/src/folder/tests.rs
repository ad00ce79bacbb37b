//! What a folder promises, on disk and in memory.

use super::*;

fn both(check: impl Fn(&StateFolder)) {
    let place = tempfile::tempdir().expect("a temporary folder");
    check(&folder_in(&place));
    check(&StateFolder::in_memory());
}

fn folder_in(place: &tempfile::TempDir) -> StateFolder {
    StateFolder::create(&place.path().join("state"), FolderOptions::default())
        .expect("a private folder")
}

fn contents(folder: &StateFolder, name: &str) -> Option<Vec<u8>> {
    let read = folder.read(name, 1000).expect("reads");
    read.map(|bytes| bytes.expose().to_vec())
}

fn temporaries(folder: &StateFolder) -> usize {
    let path = folder.path().expect("on disk");
    std::fs::read_dir(path)
        .expect("lists")
        .filter(|entry| {
            let name = entry.as_ref().expect("lists").file_name();
            name.to_string_lossy().starts_with(TEMPORARY)
        })
        .count()
}

#[test]
fn a_file_is_what_was_last_put_there() {
    both(|folder| {
        assert_eq!(contents(folder, "a"), None);
        folder.replace("a", b"first, and longer").expect("writes");
        folder.replace("a", b"second").expect("writes");
        assert_eq!(contents(folder, "a").as_deref(), Some(&b"second"[..]));
        folder.remove("a").expect("removes");
        folder.remove("a").expect("is gone already");
        assert_eq!(contents(folder, "a"), None);
    });
}

#[test]
fn a_file_over_the_limit_is_refused_and_one_at_the_limit_is_read() {
    both(|folder| {
        folder.replace("a", &[7; 5000]).expect("writes");
        let read = folder.read("a", 5000).expect("reads").expect("there");
        assert_eq!(read.len(), 5000);
        let error = folder.read("a", 4999).expect_err("too large");
        assert!(matches!(error, FolderError::TooLarge { limit: 4999, .. }));
    });
}

#[test]
fn a_prepared_file_appears_with_its_commit_and_not_before() {
    both(|folder| {
        folder.replace("a", b"old").expect("writes");
        let mut prepared = folder.prepare("a", 500).expect("prepares");
        assert_eq!(contents(folder, "a").as_deref(), Some(&b"old"[..]));
        assert_eq!(folder.names().expect("lists"), ["a"]);
        prepared.commit(b"new").expect("commits");
        assert_eq!(contents(folder, "a").as_deref(), Some(&b"new"[..]));
        prepared.commit(b"new").expect("may be said twice");
        drop(prepared);
        assert_eq!(contents(folder, "a").as_deref(), Some(&b"new"[..]));
    });
}

#[test]
fn a_prepared_file_holds_its_space_and_leaves_nothing_when_dropped() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = folder_in(&place);
    let prepared = folder.prepare("a", 5000).expect("prepares");
    assert_eq!(temporaries(&folder), 1);
    let path = folder.path().expect("on disk");
    let sizes: Vec<u64> = std::fs::read_dir(path)
        .expect("lists")
        .map(|entry| {
            entry
                .and_then(|entry| entry.metadata())
                .expect("there")
                .len()
        })
        .collect();
    assert_eq!(sizes, [5000]);
    drop(prepared);
    assert_eq!(temporaries(&folder), 0);
    assert_eq!(contents(&folder, "a"), None);
}

#[test]
fn a_commit_that_failed_may_be_tried_again() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = folder_in(&place);
    let mut prepared = folder.prepare("a", 10).expect("prepares");
    // A folder in the way makes the rename fail.
    folder.create_child("a").expect("creates");
    prepared.commit(b"token").expect_err("in the way");
    assert_eq!(temporaries(&folder), 1, "still there");
    folder.remove_child("a").expect("removes");
    prepared.commit(b"newer token").expect("commits");
    assert_eq!(contents(&folder, "a").as_deref(), Some(&b"newer token"[..]));
}

#[test]
fn a_sweep_removes_leftovers_and_no_commit_is_lost_to_it() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = folder_in(&place);
    std::mem::forget(folder.prepare("a", 10).expect("prepares"));
    let mut alive = folder.prepare("b", 10).expect("prepares");
    folder.sweep_temporaries().expect("sweeps");
    // On Windows what is open is seen to be in use.
    assert_eq!(temporaries(&folder), if cfg!(windows) { 2 } else { 0 });
    alive.commit(b"kept").expect("makes its file again");
    assert_eq!(contents(&folder, "b").as_deref(), Some(&b"kept"[..]));
    folder
        .replace(".tmp-of-a-dead-process", b"")
        .expect("writes");
    folder.sweep_temporaries().expect("sweeps");
    assert_eq!(temporaries(&folder), if cfg!(windows) { 1 } else { 0 });
}

#[test]
fn a_new_file_is_created_once() {
    both(|folder| {
        assert!(folder.create_new("id", b"first").expect("creates"));
        assert!(!folder.create_new("id", b"second").expect("is there"));
        assert_eq!(contents(folder, "id").as_deref(), Some(&b"first"[..]));
        assert_eq!(folder.names().expect("lists"), ["id"]);
    });
}

#[test]
fn a_damaged_file_is_set_aside_under_another_name() {
    both(|folder| {
        folder.replace("sealed", b"damaged").expect("writes");
        let aside = folder.set_aside("sealed").expect("renames");
        assert!(aside.starts_with("sealed.corrupt-"));
        assert_eq!(contents(folder, "sealed"), None);
        assert_eq!(contents(folder, &aside).as_deref(), Some(&b"damaged"[..]));
        assert!(folder.set_aside("sealed").expect_err("gone").is_not_found());
    });
}

#[test]
fn lines_are_appended() {
    both(|folder| {
        folder.append("history", b"one").expect("appends");
        folder.append("history", b"two").expect("appends");
        assert_eq!(
            contents(folder, "history").as_deref(),
            Some(&b"one\ntwo\n"[..])
        );
    });
}

#[test]
fn folders_lie_in_folders() {
    both(|folder| {
        assert!(folder.open_child("app").expect("looks").is_none());
        let child = folder.create_child("app").expect("creates");
        child.create_child("work").expect("creates");
        folder.create_child("app").expect("is there");
        folder.replace("file", b"").expect("writes");
        assert_eq!(folder.children().expect("lists"), ["app"]);
        assert_eq!(folder.names().expect("lists"), ["file"]);
        let again = folder.open_child("app").expect("looks").expect("there");
        assert_eq!(again.children().expect("lists"), ["work"]);
        assert!(again.remove_child("work").expect("removes"));
        assert!(!again.remove_child("work").expect("is gone already"));
    });
}

#[test]
fn folders_whose_names_differ_in_case_only_are_apart() {
    both(|folder| {
        for name in ["work", "Work", "WORK"] {
            let child = folder.create_child(name).expect("creates");
            child.replace("whose", name.as_bytes()).expect("writes");
        }
        assert_eq!(folder.children().expect("lists"), ["WORK", "Work", "work"]);
        for name in ["work", "Work", "WORK"] {
            let child = folder.open_child(name).expect("looks").expect("there");
            assert_eq!(contents(&child, "whose").as_deref(), Some(name.as_bytes()));
            child.remove("whose").expect("removes");
            drop(child);
            assert!(folder.remove_child(name).expect("removes"));
        }
    });
}

#[test]
fn a_folders_name_on_disk_has_no_capitals_where_there_is_no_case() {
    for (name, with_case, without) in [
        ("work", "work", "work"),
        ("Work", "Work", "^work"),
        ("com.Example.App", "com.Example.App", "com.^example.^app"),
        ("a^b", "a^b", "a^^b"),
    ] {
        assert_eq!(child_name(name, false), with_case);
        assert_eq!(child_name(name, true), without);
        let found = |text: &str, caseless| name_of_child(text.to_owned(), caseless);
        assert_eq!(found(with_case, false).as_deref(), Some(name));
        assert_eq!(found(without, true).as_deref(), Some(name));
    }
    assert_eq!(name_of_child("Work".to_owned(), true), None);
    let names = ["com.example.MyApp", "Work"];
    let path = |caseless| below(PathBuf::from("state"), &names, caseless);
    let with_case = ["state", "com.example.MyApp", "Work"];
    assert_eq!(path(false), PathBuf::from_iter(with_case));
    let without = ["state", "com.example.^my^app", "^work"];
    assert_eq!(path(true), PathBuf::from_iter(without));
}

#[test]
fn a_folders_path_is_known_before_the_folder_is_made() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let mut roots = ["plain", "./dotted", "ended/", "deep//er"]
        .map(|root| place.path().join(root))
        .to_vec();
    if cfg!(unix) {
        roots.push(format!("/{}/doubled", place.path().display()).into());
    }
    for root in roots {
        for names in [["com.example.app", "work"], ["com.example.MyApp", "Work"]] {
            let path = StateFolder::path_below(&root, &names).expect("a path");
            assert!(!path.exists(), "{}", path.display());
            let options = FolderOptions::default();
            let mut folder = StateFolder::create(&root, options).expect("creates");
            for name in names {
                folder = folder.create_child(name).expect("creates");
            }
            assert_eq!(folder.path(), Some(&*path));
        }
    }
    let error = StateFolder::path_below(place.path(), &["app", ".."]).expect_err("leads away");
    assert!(matches!(error, FolderError::BadName { .. }), "{error}");
}

#[test]
fn names_that_windows_takes_for_something_else_are_known() {
    for name in [
        "con",
        "CON",
        "Con.txt",
        "nul",
        "aux.",
        "prn .x",
        "com1",
        "LPT9.json",
        "work.",
        "work ",
        "a:b",
        "a*",
        "a?",
        "<a>",
        "a|b",
        "a\"b",
        "a\n",
    ] {
        assert!(means_another(name), "{name:?}");
    }
    for name in [
        "work",
        "console",
        "com",
        "com.example.app",
        "com10",
        "a.con",
        "me@example.com",
        "aux-1",
    ] {
        assert!(!means_another(name), "{name:?}");
    }
}

#[test]
fn names_that_would_leave_the_folder_are_refused() {
    both(|folder| {
        for name in ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", "a\\b"] {
            let refused = |result: Option<FolderError>| {
                assert!(
                    matches!(result, Some(FolderError::BadName { .. })),
                    "{name:?}"
                );
            };
            refused(folder.read(name, 1).err());
            refused(folder.replace(name, b"").err());
            refused(folder.remove(name).err());
            refused(folder.create_child(name).err());
            refused(folder.append(name, b"").err());
        }
    });
}

#[test]
fn a_folder_that_is_not_there_opens_as_none() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("absent");
    let opened = StateFolder::open(&path, FolderOptions::default()).expect("looks");
    assert!(opened.is_none());
    assert!(!path.exists());
}

#[test]
fn a_folder_that_was_removed_and_made_again_is_not_in_place() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let old = folder_in(&place);
    assert!(old.is_in_place());
    // Renamed, not removed: a new folder may get the old one's number.
    std::fs::rename(place.path().join("state"), place.path().join("old")).expect("renames");
    assert!(!old.is_in_place());
    let new = folder_in(&place);
    assert!(!old.is_in_place());
    assert!(new.is_in_place());
    assert!(StateFolder::in_memory().is_in_place());
}

#[test]
fn nothing_is_written_through_a_folder_that_was_removed() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let old = folder_in(&place);
    let path = place.path().join("state");
    if cfg!(windows) {
        // Before Windows 10 a folder that is open keeps its name.
        std::fs::rename(&path, place.path().join("old")).expect("renames");
    } else {
        std::fs::remove_dir(&path).expect("removes");
    }
    let new = folder_in(&place);
    assert!(old.replace("a", b"lost").expect_err("gone").is_not_found());
    assert_eq!(contents(&new, "a"), None);
}

#[test]
fn a_file_where_the_folder_should_be_is_refused() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    std::fs::write(&path, b"").expect("writes");
    let error = StateFolder::create(&path, FolderOptions::default()).expect_err("a file");
    assert!(matches!(error, FolderError::NotFolder { .. }), "{error}");
}

#[cfg(unix)]
mod unix {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("there").mode() & 0o7777
    }

    #[test]
    fn links_are_refused_as_folder_and_as_file() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = folder_in(&place);
        let link = place.path().join("link");
        symlink(place.path().join("state"), &link).expect("links");
        for path in [link.clone(), link.join("")] {
            let error = StateFolder::create(&path, FolderOptions::default()).expect_err("a link");
            assert!(matches!(error, FolderError::Link { .. }), "{error}");
        }
        let target = place.path().join("target");
        std::fs::write(&target, b"untouched").expect("writes");
        symlink(&target, place.path().join("state/a")).expect("links");
        let error = folder.read("a", 100).expect_err("a link");
        assert!(matches!(error, FolderError::Link { .. }), "{error}");
        let error = folder.append("a", b"x").expect_err("a link");
        assert!(matches!(error, FolderError::Link { .. }), "{error}");
        folder
            .replace("a", b"own")
            .expect("replaces the link itself");
        assert_eq!(std::fs::read(&target).expect("reads"), b"untouched");
    }

    #[test]
    fn a_folder_behind_a_link_that_leads_nowhere_is_an_error() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let target = place.path().join("missing");
        let link = place.path().join("link");
        symlink(&target, &link).expect("links");
        for path in [link.join("a"), link.join("a/b")] {
            let error = StateFolder::create(&path, FolderOptions::default());
            let error = error.expect_err("leads nowhere");
            assert!(error.is_not_found(), "{error}");
        }
        let error = StateFolder::create(&link, FolderOptions::default()).expect_err("a link");
        assert!(matches!(error, FolderError::Link { .. }), "{error}");
        assert!(!target.exists());
    }

    #[test]
    fn a_folder_others_can_write_to_is_refused_and_left_as_it_is() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path().join("state");
        std::fs::create_dir(&path).expect("creates");
        for bits in [0o770, 0o707, 0o720, 0o702] {
            std::fs::set_permissions(&path, Permissions::from_mode(bits)).expect("chmod");
            let error = StateFolder::create(&path, FolderOptions::default()).expect_err("shared");
            assert!(matches!(error, FolderError::NotPrivate { .. }), "{error}");
            assert!(error.is_refused_folder());
            assert_eq!(mode(&path), bits);
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("chmod");
        StateFolder::create(&path, FolderOptions::default()).expect("readable is fine");
    }

    #[test]
    fn a_file_others_can_write_to_is_refused() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = folder_in(&place);
        folder.replace("a", b"x").expect("writes");
        let path = place.path().join("state/a");
        std::fs::set_permissions(&path, Permissions::from_mode(0o620)).expect("chmod");
        let error = folder.read("a", 100).expect_err("shared");
        assert!(matches!(error, FolderError::NotPrivate { .. }), "{error}");
    }

    #[test]
    fn a_pipe_in_a_files_place_is_refused_and_does_not_hang() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = folder_in(&place);
        let made = std::process::Command::new("mkfifo")
            .arg(place.path().join("state/a"))
            .status()
            .expect("mkfifo runs");
        assert!(made.success());
        let error = folder.read("a", 100).expect_err("a pipe");
        assert!(matches!(error, FolderError::NotFile { .. }), "{error}");
        let error = folder.append("a", b"x").expect_err("a pipe");
        assert!(matches!(error, FolderError::NotFile { .. }), "{error}");
        folder.create_child("b").expect("creates");
        let error = folder.read("b", 100).expect_err("a folder");
        assert!(matches!(error, FolderError::NotFile { .. }), "{error}");
    }

    /// The umask belongs to the process, so that the test of it is one.
    #[test]
    #[ignore = "a child process of another test"]
    fn child_creates_under_a_umask() {
        let mut lines = std::io::stdin().lines().map(|line| line.expect("orders"));
        let path = lines.next().expect("a path");
        let umask = lines.next().expect("a umask");
        let umask = rustix::fs::RawMode::from_str_radix(&umask, 8).expect("octal");
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        let folder = StateFolder::create(Path::new(&path), FolderOptions::default())
            .expect("a private folder");
        let child = folder.create_child("child").expect("creates");
        child.replace("file", b"x").expect("writes");
        child.append("log", b"x").expect("appends");
        child.append("log", b"x").expect("appends again");
    }

    /// Runs an ignored test as a process of its own; tells whether it passed.
    fn runs_alone(test: &str, orders: &str) -> bool {
        let mut process = std::process::Command::new(std::env::current_exe().expect("this"))
            .args(["--exact", &format!("folder::tests::unix::{test}")])
            .args(["--ignored", "--quiet"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("starts");
        let mut pipe = process.stdin.take().expect("piped");
        pipe.write_all(orders.as_bytes()).expect("takes orders");
        drop(pipe);
        let output = process.wait_with_output().expect("ends");
        // One that is not there passes, too.
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains(" 1 passed;") || !output.status.success(),
            "{said}"
        );
        output.status.success()
    }

    #[test]
    fn folders_are_0700_and_files_0600_whatever_the_umask() {
        for umask in ["000", "022", "077", "777"] {
            let place = tempfile::tempdir().expect("a temporary folder");
            let path = place.path().join("above/state");
            let orders = format!("{}\n{umask}\n", path.display());
            let passed = runs_alone("child_creates_under_a_umask", &orders);
            assert!(passed, "umask {umask}");
            for folder in [
                path.as_path(),
                &path.join("child"),
                &place.path().join("above"),
            ] {
                assert_eq!(mode(folder), 0o700, "umask {umask}");
            }
            assert_eq!(mode(&path.join("child/file")), 0o600, "umask {umask}");
            assert_eq!(mode(&path.join("child/log")), 0o600, "umask {umask}");
        }
    }

    /// A fault belongs to the process, too.
    #[cfg(feature = "fault-points")]
    #[test]
    #[ignore = "a child process of another test"]
    fn child_creates_without_links() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = folder_in(&place);
        fault::inject(fault::REFUSE_LINKS);
        if !cfg!(any(
            target_os = "linux",
            target_os = "android",
            target_vendor = "apple"
        )) {
            let error = folder.create_new("id", b"x").expect_err("refused");
            assert!(error.is_unwritable(), "{error}");
            return;
        }
        for round in 0..20 {
            let name = format!("id-{round}");
            let barrier = std::sync::Barrier::new(4);
            let create = |creator: u8| {
                barrier.wait();
                folder.create_new(&name, &[creator]).expect("creates")
            };
            let created: Vec<u8> = std::thread::scope(|scope| {
                let create = &create;
                let creators: Vec<_> = (0..4)
                    .map(|creator| (creator, scope.spawn(move || create(creator))))
                    .collect();
                creators
                    .into_iter()
                    .filter_map(|(creator, ran)| ran.join().expect("ran").then_some(creator))
                    .collect()
            });
            assert_eq!(created.len(), 1, "{created:?}");
            assert_eq!(contents(&folder, &name), Some(created));
            assert_eq!(temporaries(&folder), 0);
        }
        // What a sweep takes away is made again here, too.
        let swept = folder.clone();
        let sweep = move || swept.sweep_temporaries().expect("sweeps");
        let sweep = fault::Action::Run(Arc::new(sweep));
        fault::arm("temporary:fsynced", 1, sweep);
        assert!(folder.create_new("swept", b"kept").expect("creates"));
        assert_eq!(contents(&folder, "swept").as_deref(), Some(&b"kept"[..]));
        assert_eq!(temporaries(&folder), 0);
    }

    #[cfg(feature = "fault-points")]
    #[test]
    fn a_new_file_is_created_once_where_no_file_can_have_two_names() {
        assert!(runs_alone("child_creates_without_links", ""));
    }
}
