//! Counters that several processes share.

#[path = "common/other.rs"]
mod other;

use std::path::Path;
use std::sync::atomic::Ordering;

use other::{Other, answer, orders};
use vault_platform::counters::SharedWords;
use vault_platform::folder::{FolderOptions, StateFolder};

fn folder_at(path: &Path) -> StateFolder {
    StateFolder::create(path, FolderOptions::default()).expect("a private folder")
}

fn counting(path: &Path) -> Other {
    Other::start("child_counts", &[path.to_str().expect("utf-8")])
}

#[test]
#[ignore = "a child process of other tests"]
fn child_counts() {
    let mut orders = orders();
    let folder = folder_at(Path::new(&orders.next().expect("a folder")));
    let words = SharedWords::open(&folder, "shared").expect("maps");
    for order in orders {
        let index = order.parse().expect("an index");
        let before = words.word(index).fetch_add(1, Ordering::SeqCst);
        answer(&before.to_string());
    }
}

#[test]
fn two_mappings_see_each_other() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    let folder = folder_at(&path);
    let here = SharedWords::open(&folder, "shared").expect("maps");
    let there = SharedWords::open(&folder, "shared").expect("maps");
    here.word(3).store(7, Ordering::SeqCst);
    assert_eq!(there.word(3).load(Ordering::SeqCst), 7);

    let mut other = counting(&path);
    assert_eq!(other.ask("3"), "7");
    assert_eq!(here.word(3).load(Ordering::SeqCst), 8);
    here.word(511).store(u64::MAX, Ordering::SeqCst);
    assert_eq!(other.ask("511"), u64::MAX.to_string());
    other.kill();
    drop(there);

    assert!(here.is_in_place());
    std::fs::rename(path.join("shared"), path.join("gone")).expect("renames");
    assert!(!here.is_in_place());
}

/// Who has a page mapped whose file was cut can ask before it looks at a word,
/// which would end it; who opens the file makes it whole, for all.
#[cfg(unix)]
#[test]
fn a_file_that_was_cut_is_noticed_and_made_whole_by_who_opens_it() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    let folder = folder_at(&path);
    let here = SharedWords::open(&folder, "shared").expect("maps");
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(path.join("shared"))
        .expect("opens");
    for length in [0, 100, 4095] {
        here.word(511).store(u64::MAX, Ordering::SeqCst);
        assert!(here.is_whole() && here.is_in_place());
        file.set_len(length).expect("cuts");
        assert!(!here.is_whole() && !here.is_in_place(), "{length}");
        assert!(SharedWords::look(&folder, "shared").is_err(), "{length}");

        let there = here.reopen().expect("maps");
        assert_eq!(file.metadata().expect("tells").len(), 4096);
        assert!(here.is_in_place() && there.is_in_place(), "{length}");
        there.word(3).store(length + 1, Ordering::SeqCst);
        assert_eq!(here.word(3).load(Ordering::SeqCst), length + 1);
        // What was cut off is zeros.
        assert_ne!(here.word(511).load(Ordering::SeqCst), u64::MAX, "{length}");
    }
}

#[cfg(unix)]
#[test]
fn counters_in_a_folder_that_cannot_be_written_to_can_be_read() {
    use std::os::unix::fs::PermissionsExt;

    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    let folder = folder_at(&path);
    let writer = SharedWords::open(&folder, "shared").expect("maps");
    writer.word(0).store(5, Ordering::SeqCst);
    let file = path.join("shared");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).expect("chmod");
    let reads = || {
        obey_modes();
        let reader = SharedWords::open(&folder, "shared").expect("maps");
        assert_eq!(reader.word(0).load(Ordering::SeqCst), 5);
        assert!(!reader.writable());
        reader.word(0).store(9, Ordering::SeqCst);
        assert_eq!(writer.word(0).load(Ordering::SeqCst), 5);
    };
    std::thread::scope(|scope| scope.spawn(reads).join()).expect("reads");
}

/// To the administrator everything is writable: this thread gives that up.
#[cfg(target_os = "linux")]
fn obey_modes() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    let mut rights = capabilities(None).expect("tells");
    rights.effective -= CapabilitySet::DAC_OVERRIDE;
    set_capabilities(None, rights).expect("gives up");
}

#[cfg(all(unix, not(target_os = "linux")))]
fn obey_modes() {
    let is_root = rustix::process::geteuid().is_root();
    assert!(!is_root, "run it as a user to whom modes apply");
}

#[test]
fn many_processes_create_one_file_of_counters() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("state");
    folder_at(&path);
    let mut others: Vec<Other> = (0..6).map(|_| counting(&path)).collect();
    for other in &mut others {
        other.order("0");
    }
    let mut seen: Vec<u64> = others
        .iter_mut()
        .map(|other| other.answer().parse().expect("a number"))
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    others.into_iter().for_each(Other::kill);
    let length = std::fs::metadata(path.join("shared")).expect("there").len();
    assert_eq!(length, 4096);
}
