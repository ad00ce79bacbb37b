//! Watches from outside, while programs run: the command line and the environment of every process
//! of the machine and the names of the kernel's keys, or each file that appears in some folders, temporary ones too.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::kept::{self, Place};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// A look that goes on until it is dropped.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look at all processes.
    #[must_use]
    pub fn of_processes() -> Self {
        Self::of(Vec::new(), true)
    }

    /// Begins to look at files: those in `temporary` count as temporary, those in `state` by their
    /// names.
    #[must_use]
    pub fn of_files(temporary: &Path, state: &Path) -> Self {
        let folders = vec![(temporary.to_owned(), true), (state.to_owned(), false)];
        Self::of(folders, false)
    }

    fn of(folders: Vec<(PathBuf, bool)>, processes: bool) -> Self {
        let seen = Arc::new(Mutex::new(Seen {
            known: HashSet::new(),
            folders,
            processes,
        }));
        let over = Arc::new(AtomicBool::new(false));
        let (looking, ending) = (Arc::clone(&seen), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            while !ending.load(Ordering::Acquire) {
                look(&looking, None);
                std::thread::park_timeout(PAUSE);
            }
        });
        Self {
            seen,
            over,
            thread: Some(thread),
        }
    }

    /// Looks at a process at once.
    pub fn look_at(&self, process: u32) {
        look(&self.seen, Some(process));
    }

    /// Looks at the kernel's keys at once.
    pub fn look_at_keys(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.kernel_keys();
    }

    /// Looks at all files at once.
    pub fn look_at_files(&self) {
        look(&self.seen, None);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("looking does not panic");
        }
        look(&self.seen, None);
    }
}

fn look(seen: &Mutex<Seen>, process: Option<u32>) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    match process {
        Some(process) => seen.process(&PathBuf::from(format!("/proc/{process}"))),
        None => {
            if seen.processes {
                seen.all_processes();
                seen.kernel_keys();
            }
            seen.files();
        }
    }
}

#[derive(Debug)]
struct Seen {
    known: HashSet<u64>,
    /// Each with whether its files are temporary ones.
    folders: Vec<(PathBuf, bool)>,
    processes: bool,
}

impl Seen {
    fn is_new(&mut self, what: impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        self.known.insert(hasher.finish())
    }

    fn all_processes(&mut self) {
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return;
        };
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            if name.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                self.process(&entry.path());
            }
        }
    }

    /// A process that has ended has nothing to show any more.
    fn process(&mut self, process: &Path) {
        for (file, place) in [
            ("cmdline", Place::CommandLine),
            ("environ", Place::Environment),
        ] {
            if let Ok(bytes) = std::fs::read(process.join(file))
                && !bytes.is_empty()
                && self.is_new((file, &bytes))
            {
                let place = match place {
                    Place::Environment => Place::of_environment(&bytes),
                    place => place,
                };
                kept::output(place, bytes);
            }
        }
    }

    /// What anybody sees of a key: its name. A kernel without keys has none to show.
    fn kernel_keys(&mut self) {
        let keys = std::fs::read_to_string("/proc/keys").unwrap_or_default();
        for key in keys.lines() {
            // Before the name stands what changes: how often it is used, and when it ends.
            let name = key.split_whitespace().skip(7).collect::<Vec<_>>().join(" ");
            if self.is_new(("key", &name)) {
                kept::output(Place::KernelKeys, name);
            }
        }
    }

    fn files(&mut self) {
        for (folder, is_temporary) in self.folders.clone() {
            for path in kept::below(&folder) {
                let Ok(about) = path.metadata() else { continue };
                let mark = (about.ino(), about.mtime(), about.mtime_nsec(), about.len());
                if !self.is_new((&path, mark)) {
                    continue;
                }
                if let Ok(bytes) = std::fs::read(&path) {
                    let place = match is_temporary {
                        true => Place::Temporary,
                        false => Place::of_file(&path),
                    };
                    kept::output(place, bytes);
                }
            }
        }
    }
}
