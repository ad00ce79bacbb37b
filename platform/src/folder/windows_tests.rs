//! What a folder promises where there are access lists, and programs that hold
//! files.

use crate::folder::{FolderError, FolderOptions, StateFolder};

use super::*;

fn folder_in(place: &tempfile::TempDir) -> StateFolder {
    StateFolder::create(&place.path().join("state"), FolderOptions::default()).expect("a folder")
}

/// Opens a file as programs do that let nobody else touch it.
fn open_alone(folder: &StateFolder, name: &str) -> File {
    OpenOptions::new()
        .read(true)
        .share_mode(0)
        .open(folder.path().expect("on disk").join(name))
        .expect("opens")
}

#[test]
fn a_file_that_a_scanner_has_open_is_replaced_and_read_when_it_is_closed() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = folder_in(&place);
    folder.replace("a", b"old").expect("writes");
    let scanned = open_alone(&folder, "a");
    std::thread::scope(|scope| {
        let replacing = scope.spawn(|| folder.replace("a", b"new"));
        let mut prepared = folder.prepare("b", 10).expect("prepares");
        prepared.commit(b"another file").expect("is not in the way");
        assert!(!replacing.is_finished(), "waits for the scanner");
        drop(scanned);
        replacing.join().expect("no panic").expect("replaces");
    });
    let read = folder.read("a", 10).expect("reads").expect("there");
    assert_eq!(read.expose(), b"new");
}

#[test]
fn a_file_that_stays_open_is_told_as_busy_and_keeps_its_contents() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = folder_in(&place);
    folder.replace("a", b"old").expect("writes");
    let scanned = open_alone(&folder, "a");
    let error = folder.replace("a", b"new").expect_err("in use");
    assert!(error.is_busy(), "{error:?}");
    assert!(folder.read("a", 10).expect_err("in use").is_busy());
    drop(scanned);
    let read = folder.read("a", 10).expect("reads").expect("there");
    assert_eq!(read.expose(), b"old");
}

#[test]
fn a_file_is_replaced_while_readers_of_ours_have_it_open() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = folder_in(&place);
    folder.replace("a", &[1; 5000]).expect("writes");
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for round in 2..40 {
                folder.replace("a", &[round; 5000]).expect("replaces");
            }
        });
        while !writing.is_finished() {
            let read = folder.read("a", 5000).expect("reads").expect("there");
            let bytes = read.expose();
            assert_eq!(bytes.len(), 5000);
            assert!(bytes.iter().all(|byte| *byte == bytes[0]), "half written");
            // Else the writer has no chance where no open file is replaced.
            std::thread::park_timeout(Duration::from_millis(2));
        }
    });
}

/// What others may do with a file or folder, asked of the system.
fn exposure(path: &Path) -> Option<Exposure> {
    let security = super::super::sys::security_of(&sys::open_folder(path).expect("opens"));
    let access = access_list::Access::parse(&security.expect("has an access list"));
    let (access, me) = (access.expect("well-formed"), me().expect("somebody"));
    access.judge(me).expect("the user's own")
}

/// Gives a file or folder this list, `ME` standing for the user.
fn change_list(list: &str, path: &Path) {
    /// READ_CONTROL, WRITE_DAC.
    const TO_CHANGE: u32 = 0x6_0000;
    /// FILE_FLAG_BACKUP_SEMANTICS: a folder, too.
    const FOLDERS_TOO: u32 = 0x0200_0000;
    let list = list.replace("ME", me().expect("somebody"));
    let mut options = OpenOptions::new();
    let options = options.access_mode(TO_CHANGE).custom_flags(FOLDERS_TOO);
    let open = options.open(path).expect("opens");
    super::super::sys::change_list(&open, &list).expect("is the user's");
}

const OPEN_TO_ALL: &str = "D:P(A;OICI;FA;;;ME)(A;OICI;FA;;;WD)";

#[test]
fn a_folder_is_made_for_the_user_alone_and_so_are_those_above_and_in_it() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let shared = place.path().join("shared");
    std::fs::create_dir(&shared).expect("creates");
    change_list(OPEN_TO_ALL, &shared);
    assert_eq!(exposure(&shared), Some(Exposure::OthersWrite));
    let path = shared.join("above").join("state");
    let folder = StateFolder::create(&path, FolderOptions::default()).expect("creates");
    folder.create_child("child").expect("creates");
    for made in [shared.join("above"), path.clone(), path.join("child")] {
        assert_eq!(exposure(&made), None, "{}", made.display());
    }
}

#[test]
fn a_folder_that_others_can_read_or_write_to_is_refused_and_left_as_it_is() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    drop(folder_in(&place));
    for (list, expected) in [
        (OPEN_TO_ALL, Exposure::OthersWrite),
        ("D:P(A;OICI;FA;;;ME)(A;OICI;FR;;;WD)", Exposure::OthersRead),
    ] {
        change_list(list, &path);
        let refused = StateFolder::create(&path, FolderOptions::default());
        match refused.expect_err("others have access") {
            FolderError::NotPrivate { why, .. } => assert_eq!(why, expected),
            other => panic!("{other:?}"),
        }
        assert_eq!(exposure(&path), Some(expected));
    }
    change_list("D:P(A;OICI;FA;;;ME)", &path);
    folder_in(&place);
}

#[test]
fn a_file_that_others_can_write_to_is_refused_where_it_lies() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = folder_in(&place);
    folder.replace("a", b"x").expect("writes");
    folder.read("a", 10).expect("is the user's alone");
    change_list(OPEN_TO_ALL, &place.path().join("state").join("a"));
    let error = folder.read("a", 10).expect_err("everybody may write");
    assert!(matches!(error, FolderError::NotPrivate { .. }), "{error}");
    let error = folder.append("a", b"x").expect_err("everybody may write");
    assert!(matches!(error, FolderError::NotPrivate { .. }), "{error}");
}

#[test]
fn a_folder_with_a_long_path_is_made_and_used() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("a".repeat(120)).join("b".repeat(150));
    let folder = StateFolder::create(&path, FolderOptions::default()).expect("creates");
    folder.replace("a", b"x").expect("writes");
    assert_eq!(exposure(&path), None);
}

#[test]
fn names_that_mean_something_else_to_windows_are_refused() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let folder = folder_in(&place);
    for name in [
        "con", "NUL", "aux.txt", "COM1", "lpt9.x", "a.", "a ", "a:b", "a?",
    ] {
        let error = folder.create_child(name).expect_err("refused");
        assert!(matches!(error, FolderError::BadName { .. }), "{name}");
    }
    for name in ["console", "nul-1", "com", "com10", "a.b"] {
        folder.create_child(name).expect(name);
    }
}

#[test]
fn a_share_is_remote_and_the_system_drive_is_not() {
    assert!(is_remote(Path::new(r"\\server\share\folder")));
    assert!(is_remote(Path::new(r"\\?\UNC\server\share")));
    assert!(!is_remote(Path::new(r"C:\users")));
    let error = StateFolder::create(
        Path::new(r"\\localhost\share\state"),
        FolderOptions::default(),
    );
    error.expect_err("no such share, or a network file system");
}
